"""The demo cohorts on disk: what the labels promise is in the files, each planted fault included."""

from __future__ import annotations

import csv
import io
from collections import Counter

import numpy as np
import pydicom
import pytest

from audit_pipeline.demo.cohort import CLEAN_CT, CLEAN_DX, FIRST_SEED, NIFTI_CT, write_dx_cohort
from audit_pipeline.demo.lettering import FONT, MARGIN_PIXELS
from audit_pipeline.demo.phantom import phantom
from audit_pipeline.demo.train import HELD_OUT, REFERENCE, TRAINING, TUNING
from audit_pipeline.errors import IncompleteSeriesError, MissingSlicesError, PatientMixError, PixelDataError
from audit_pipeline.load import deliver, find_studies, load_study, read_labels
from audit_pipeline.load.encode_nifti import nifti_bytes

FAULTS = {
    "study-016": "missing slice",
    "study-017": "wrong modality",
    "study-018": "truncated file",
    "study-019": "two patients",
    "radiograph-008": "inverted",
    "radiograph-009": "burned-in marker",
}


@pytest.fixture(scope="session")
def sources(cohorts):
    """The studies of both cohorts by name, without the tables of labels."""
    found = [*find_studies([cohorts / "ct"]), *find_studies([cohorts / "dx"])]
    return {source.name: source for source in found if not source.is_clutter}


@pytest.fixture(scope="session")
def labels(cohorts):
    return {**read_labels(cohorts / "ct" / "labels.csv"), **read_labels(cohorts / "dx" / "labels.csv")}


def headers(source):
    """The readable headers of a DICOM study, lowest slice first."""
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in source.files]
    return sorted(read, key=lambda data: int(data.InstanceNumber))


def seed_of(name):
    kind, number = name.split("-")
    return FIRST_SEED + int(number) + (100 if kind == "radiograph" else 0)


def test_every_row_of_the_labels_names_a_study_and_every_study_has_a_row(sources, labels):
    assert set(sources) == set(labels)
    assert len(sources) == CLEAN_CT + 4 + CLEAN_DX + 2


def test_the_kinds_of_files_are_as_announced(sources):
    assert Counter((name.split("-")[0], source.kind) for name, source in sources.items()) == {
        ("study", "dicom"): CLEAN_CT - NIFTI_CT + 4,
        ("study", "nifti"): NIFTI_CT,
        ("radiograph", "dicom"): CLEAN_DX + 2,
    }


def test_half_of_each_cohort_has_a_nodule(labels):
    counts = Counter((name.split("-")[0], row["label"]) for name, row in labels.items())
    assert counts == {
        ("study", "nodule"): 10,
        ("study", "clear"): 10,
        ("radiograph", "nodule"): 5,
        ("radiograph", "clear"): 5,
    }


def test_labels_say_which_fault_was_planted_where(labels):
    assert {name: row["fault"] for name, row in labels.items() if row["fault"]} == FAULTS
    assert {row["split"] for row in labels.values()} == {"test"}


def test_no_demo_phantom_was_used_in_training(labels):
    seeds = {seed_of(name) for name in labels}
    assert len(seeds) == len(labels)
    assert not seeds & {*TRAINING, *TUNING, *REFERENCE, *HELD_OUT}


def test_every_clean_study_is_delivered_whole_and_without_a_finding(sources, labels):
    for name, source in sources.items():
        if labels[name]["fault"]:
            continue
        delivery = deliver(source)
        assert delivery.study is not None, name
        assert {str(one.disposition) for one in delivery.files} == {"used"}
        assert not delivery.refusals
        findings = [*delivery.study.findings, *delivery.study.images[0].findings]
        raised = {one.outcome.value for one in findings} & {"flag", "critical", "error"}
        assert not raised, (name, findings)


@pytest.mark.parametrize("name", ["study-002", "study-013"])
def test_a_clean_volume_is_its_phantom_at_its_place(sources, name):
    image = deliver(sources[name]).study.images[0]
    made = phantom(seed_of(name), nodule=int(name[-3:]) % 2 == 0)
    assert np.array_equal(image.values, made.values)
    assert np.allclose(image.affine, made.affine, atol=1e-4)


def test_names_of_slices_say_nothing_about_their_place(sources):
    paths = sorted(sources["study-000"].files)
    numbers = [int(pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber) for path in paths]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.5


def test_one_slice_is_missing_and_the_loader_says_so(sources):
    source = sources["study-016"]
    heights = np.array([float(data.ImagePositionPatient[2]) for data in headers(source)])
    steps = np.diff(heights)
    assert (steps > 1.5 * np.median(steps)).sum() == 1
    assert steps.max() == pytest.approx(2 * np.median(steps))
    delivery = deliver(source)
    assert delivery.study is None
    assert isinstance(delivery.error, MissingSlicesError)


def test_one_series_is_declared_as_mr_and_delivered_as_such(sources):
    source = sources["study-017"]
    assert {(data.Modality, data.SOPClassUID.name) for data in headers(source)} == {("MR", "MR Image Storage")}
    image = deliver(source).study.images[0]
    assert image.modality == "MR"
    assert np.array_equal(image.values, phantom(seed_of("study-017"), nodule=False).values + 1024)


def test_one_file_is_cut_and_the_loader_refuses_the_series(sources):
    source = sources["study-018"]
    sizes = Counter(path.stat().st_size for path in source.files)
    assert min(sizes.values()) == 1
    assert min(sizes) < 0.7 * max(sizes)
    delivery = deliver(source)
    assert delivery.study is None
    assert isinstance(delivery.error, (IncompleteSeriesError, PixelDataError))


def test_one_series_mixes_two_patients_and_is_refused(sources):
    source = sources["study-019"]
    read = headers(source)
    assert len({str(data.PatientID) for data in read}) == 2
    assert len({str(data.PatientName) for data in read}) == 2
    assert len({data.SeriesInstanceUID for data in read}) == 1
    assert len({data.SOPInstanceUID for data in read}) == len(read)
    delivery = deliver(source)
    assert delivery.study is None
    assert isinstance(delivery.error, PatientMixError)


def test_messages_of_the_refusals_name_no_patient(sources):
    for name in ("study-016", "study-018", "study-019"):
        message = str(deliver(sources[name]).error)
        assert "PHANTOM" not in message
        assert "1950" not in message


def test_one_radiograph_is_inverted_against_its_header(sources):
    right, wrong = (deliver(sources[name]).study.images[0].values for name in ("radiograph-006", "radiograph-008"))
    corner = np.s_[:20, :6]
    assert right[corner].mean() < np.median(right)
    assert wrong[corner].mean() > np.median(wrong)
    assert {data.PhotometricInterpretation for data in headers(sources["radiograph-008"])} == {"MONOCHROME1"}


def test_one_radiograph_carries_a_burned_in_marker(sources):
    values = deliver(sources["radiograph-009"]).study.images[0].values
    written = sum(row.count("1") for letter in "PORTABLE L" for row in FONT[letter]) * 4
    assert (values == 4095).sum() == written
    rows, columns = np.nonzero(values == 4095)
    assert (rows.min(), columns.min()) == (MARGIN_PIXELS, MARGIN_PIXELS)
    assert rows.max() < 20
    assert headers(sources["radiograph-009"])[0].BurnedInAnnotation == "NO"


def test_only_that_radiograph_has_saturated_pixels(sources):
    for number in range(8):
        assert deliver(sources[f"radiograph-{number:03d}"]).study.images[0].values.max() < 4095


def test_names_and_labels_carry_no_identity_of_a_patient(cohorts):
    for path in cohorts.rglob("*"):
        assert "PHANTOM" not in path.relative_to(cohorts).as_posix().upper()
    for table in cohorts.glob("*/labels.csv"):
        text = table.read_text()
        assert "PHANTOM" not in text
        assert "2.25." not in text
        assert next(csv.reader(io.StringIO(text))) == ["study", "label", "split", "fault"]


def test_patients_differ_between_studies(sources):
    ids = {name: {str(data.PatientID) for data in headers(one)} for name, one in sources.items() if one.kind == "dicom"}
    assert len(set().union(*ids.values())) == len(ids) + 1
    assert {name for name, found in ids.items() if len(found) > 1} == {"study-019"}
    assert len({source.identity for source in sources.values()}) == len(sources)


def test_no_header_holds_a_date_but_the_planted_one(sources):
    for name, source in sources.items():
        if source.kind != "dicom":
            continue
        for data in headers(source)[:: max(1, len(source.files) // 4)]:
            dates = {str(one.value) for one in data.iterall() if one.VR in {"DA", "DT", "TM"} and not one.is_empty}
            assert dates <= ({"19500101"} if name == "study-019" else set())


def test_two_calls_write_the_same_bytes(cohorts, tmp_path):
    write_dx_cohort(tmp_path)
    first = {path.name: path.read_bytes() for path in (cohorts / "dx").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    made = phantom(seed_of("study-014"), nodule=True)
    assert (cohorts / "ct" / "study-014.nii.gz").read_bytes() == nifti_bytes(made.values, made.affine, (None,) * 3)


def test_another_seed_is_another_cohort_of_the_same_names(cohorts, tmp_path):
    write_dx_cohort(tmp_path, seed=1)
    first = {path.name: path.read_bytes() for path in (cohorts / "dx").iterdir()}
    second = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == set(second)
    assert first.pop("labels.csv") == second.pop("labels.csv")
    assert all(second[name] != content for name, content in first.items())


def test_a_single_radiograph_can_be_loaded_by_its_path(cohorts):
    image = load_study(cohorts / "dx" / "radiograph-000.dcm").images[0]
    assert image.modality == "DX"
    assert image.spacing_mm[0] == pytest.approx(image.spacing_mm[1])
