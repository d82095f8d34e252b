"""Which other images of a study are of the same kind, and that they are asked about in a run (C15)."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from audit_pipeline import run_audit
from audit_pipeline.load import deliver, find_studies, sibling_images
from audit_pipeline.load.encode_dicom import Identity, ct_files, uid
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.siblings import difference, is_of_a_kind
from audit_pipeline.records import Image
from audit_pipeline.selection import SelectRules
from tests.audit_fixtures import AFFINE, configuration, tiny_volume

IDENTITY = Identity(seed="kernels", patient_id="PHANTOM-K", patient_name="PHANTOM^K")


def volume(shape=(26, 30, 32), affine=AFFINE, modality="CT", **metadata):
    return Image(
        values=np.zeros(shape, dtype=np.float32), affine=affine, spacing_mm=(3.0, 2.5, 2.0)[-len(shape) :],
        modality=modality, unit="HU", format="dicom", metadata=metadata,
    )  # fmt: skip


def moved(axis, millimetres):
    affine = AFFINE.copy()
    affine[axis, 3] += millimetres
    return affine


@pytest.mark.parametrize(
    ("other", "is_alike"),
    [
        (volume(), True),
        (volume((13, 30, 32)), False),  # 36 of 75 mm
        (volume((15, 30, 32)), True),  # 42 of 75 mm
        (volume(affine=moved(2, 30.0)), True),
        (volume(affine=moved(2, 40.0)), False),
        (volume(affine=AFFINE[:, [1, 0, 2, 3]]), False),  # coronal
        (volume(affine=None), False),
        (volume(modality="PT"), False),
        (volume((30, 32)), False),
        (volume(BodyPartExamined="HEAD"), False),
        (volume(ContrastBolusAgent="yes"), False),
        (volume(ImageType="DERIVED\\SECONDARY\\MPR"), False),
        (volume(ImageType="ORIGINAL\\PRIMARY\\LOCALIZER"), False),
        (volume(ConvolutionKernel="B60f"), True),
    ],
)
def test_volumes_of_a_kind_share_modality_plane_and_most_of_the_patient(other, is_alike):
    chosen = volume(BodyPartExamined="CHEST", ContrastBolusAgent="no", ConvolutionKernel="B30f")
    assert is_of_a_kind(other, chosen) is is_alike


def test_pictures_of_a_kind_share_their_view():
    front = volume((30, 32), ViewPosition="PA")
    assert is_of_a_kind(volume((40, 41), ViewPosition="PA"), front)
    assert not is_of_a_kind(volume((30, 32), ViewPosition="LL"), front)


def test_the_difference_names_fields_and_else_the_size():
    chosen = volume(ConvolutionKernel="B30f", SliceThickness=3.0)
    assert difference(volume(ConvolutionKernel="B60f", SliceThickness=3.0), chosen) == (
        "ConvolutionKernel B60f instead of B30f"
    )
    assert difference(volume(SliceThickness=1.5), chosen) == "SliceThickness 1.5 instead of 3"
    assert difference(volume(), chosen) == "CT 26 x 30 x 32"


def write_series(folder, values, kernel, affine=AFFINE):
    """Write one more series of the same study."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, content in enumerate(ct_files(values, affine, IDENTITY)):
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.ConvolutionKernel = kernel
        dataset.SeriesInstanceUID = uid(kernel, "series")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(kernel, place)
        dataset.save_as(folder / f"{kernel}-{place}.dcm")


RULES = SelectRules(tags=[{"tag": "ConvolutionKernel", "equals": "B30f"}])


@pytest.fixture
def study(tmp_path):
    """A study of three series: soft, sharp, and a short one of the same kernel as the sharp one."""
    values, folder = tiny_volume(3), tmp_path / "studies"
    write_series(folder, values, "B30f")
    write_series(folder, values + np.random.default_rng(0).normal(0, 120, values.shape).astype(np.float32), "B60f")
    write_series(folder, values[:6], "B70f")
    return folder


def test_only_the_other_series_of_a_kind_is_delivered(study):
    (source,) = find_studies([study])
    delivery = deliver(source, LoadSettings(), RULES)
    (image,) = delivery.study.images
    found = list(sibling_images(source, delivery.files, image, LoadSettings()))
    assert [name for name, _ in found] == ["ConvolutionKernel B60f instead of B30f"]
    rough, smooth = (np.abs(np.diff(one.values)).mean() for one in (found[0][1], image))
    assert rough > 2 * smooth


def test_without_other_series_nothing_is_read_again(study, monkeypatch):
    from audit_pipeline.load import siblings

    (source,) = find_studies([study])
    delivery = deliver(source, LoadSettings(), RULES)
    monkeypatch.setattr(siblings, "plan_dicom", lambda *_: pytest.fail("headers were read again"))
    used = tuple(one for one in delivery.files if one.disposition == "used")
    assert list(sibling_images(source, used, delivery.study.images[0], LoadSettings())) == []
    assert list(sibling_images(replace(source, kind="nifti"), delivery.files, volume(), LoadSettings())) == []


def test_a_run_compares_the_answers_to_both_series(tmp_path, study):
    config = configuration(tmp_path, study)
    config["audit"]["level"] = "standard"
    config["input"]["select"] = {"tags": [{"tag": "ConvolutionKernel", "equals": "B30f"}]}
    config["report"] = {"pdf": "none", "html": "none"}
    config["explain"] = {"methods": ["hirescam"], "targets": "predicted", "layer": "class_layers.relu"}
    (record,) = run_audit(config).records
    finding = next(one for one in record.findings if one.code == "C15")
    assert "1 other image of the study was asked about; with ConvolutionKernel B60f" in finding.message
    assert finding.value > 0
    assert (finding.outcome == "flag") is (finding.value > 0.2)
