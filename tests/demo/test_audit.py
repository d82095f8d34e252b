"""The demo as a user starts it: planted faults are found, clean studies pass, nothing is lost or given away."""

from __future__ import annotations

import csv

import pytest
from pypdf import PdfReader

from audit_pipeline.demo.audit import SITE_KEY
from audit_pipeline.demo.cohort import CLEAN_CT, CLEAN_DX
from audit_pipeline.findings import Outcome
from audit_pipeline.load import read_labels
from audit_pipeline.load.encode_dicom import uid
from audit_pipeline.records import Status
from audit_pipeline.store.ledger import verify
from audit_pipeline.store.pseudonym import study_key
from audit_pipeline.store.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

RUNS = {"ct_3d": "ct", "cxr_2d": "dx"}
UNUSED_COLUMN = "a column of the labels file is not used as a subgroup: no value stands there twice"
"""Said of what tells every study of the demo from all others."""

RAISED = {Outcome.NOTE, Outcome.FLAG, Outcome.CRITICAL}
CLEAN = [f"study-{number:03d}" for number in range(CLEAN_CT)] + [f"radiograph-{n:03d}" for n in range(CLEAN_DX)]


@pytest.fixture(scope="session", params=RUNS)
def run(request, demo):
    return RunFolder(demo.folder / request.param)


@pytest.fixture(scope="session")
def records(demo):
    """The records of both runs by the name of the study, which only the linkage knows."""
    found = {}
    for name in RUNS:
        folder = RunFolder(demo.folder / name)
        by_key = {record.study: record for record in folder.records()}
        with (folder.path / "linkage.csv").open(newline="") as stream:
            found |= {row["name"]: by_key[row["study"]] for row in csv.DictReader(stream) if row["study"] in by_key}
    return found


def outcome(record, code):
    """The outcome of the one finding with this code."""
    (one,) = [finding for finding in record.findings if finding.code == code]
    return one.outcome


def is_right(record):
    return ("nodule" in record.prediction.predicted) == (record.label == "nodule")


def test_the_exit_code_says_that_some_studies_were_refused(demo):
    assert demo.code == 1, demo.stderr


def test_standard_output_is_one_document_and_nothing_else_is_said(demo):
    assert [set(one) for one in demo.ended] == [{"folder", "report", "counts"}] * 2
    assert set(demo.stderr.splitlines()) <= {UNUSED_COLUMN}


def test_counts_are_those_of_the_cohorts(demo):
    ct, dx = (one["counts"] for one in demo.ended)
    assert ct == {"found": 20, "audited": 17, "refused": 3, "failed": 0, "excluded": 0}
    assert dx == {"found": 10, "audited": 10, "refused": 0, "failed": 0, "excluded": 0}


def test_counts_of_the_run_are_those_of_its_records(run):
    counts = run.run()["counts"]
    records = run.records()
    assert counts["found"] == len(records)
    assert all(counts[status] == sum(record.status is status for record in records) for status in Status)


def test_the_input_is_what_the_cohorts_are(demo, cohorts):
    written = demo.folder / "input"
    for kind in RUNS.values():
        files = {path.relative_to(written): path for path in (written / kind).rglob("*") if path.is_file()}
        again = {path.relative_to(cohorts): path for path in (cohorts / kind).rglob("*") if path.is_file()}
        assert set(files) == set(again)
        assert all(files[name].read_bytes() == again[name].read_bytes() for name in files)


def test_every_study_has_the_label_of_the_table(demo, records):
    labels = {}
    for kind in RUNS.values():
        labels |= read_labels(demo.folder / "input" / kind / "labels.csv")
    assert {name: record.label for name, record in records.items()} == {
        name: row["label"] for name, row in labels.items()
    }


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("study-016", {"MissingSlicesError"}),
        ("study-018", {"IncompleteSeriesError", "PixelDataError"}),
        ("study-019", {"PatientMixError"}),
    ],
)
def test_a_study_that_cannot_be_loaded_truthfully_is_refused_with_its_reason(records, name, codes):
    record = records[name]
    assert record.status is Status.REFUSED
    assert record.error.code in codes
    assert record.error.stage == "load"
    assert record.prediction is None


def test_the_series_declared_as_mr_is_critical(records):
    assert outcome(records["study-017"], "A21") is Outcome.CRITICAL
    assert records["study-017"].verdict.prediction is Outcome.CRITICAL


def test_the_inverted_radiograph_is_flagged(records):
    assert outcome(records["radiograph-008"], "A07") in {Outcome.FLAG, Outcome.CRITICAL}


def test_the_burned_in_marker_is_found(records):
    assert outcome(records["radiograph-009"], "A19") in RAISED


@pytest.mark.parametrize("code", ["A07", "A19", "A21"])
def test_what_was_planted_once_is_found_once(records, code):
    raised = {
        name
        for name, record in records.items()
        if any(one.code == code and one.outcome in RAISED for one in record.findings)
    }
    assert raised == {{"A07": "radiograph-008", "A19": "radiograph-009", "A21": "study-017"}[code]}


def test_no_check_crashed(records):
    assert not [
        (name, one.code, one.message)
        for name, record in records.items()
        for one in record.findings
        if one.outcome is Outcome.ERROR
    ]


@pytest.mark.parametrize("kind", ["study", "radiograph"])
def test_most_clean_studies_may_be_trusted(records, kind):
    verdicts = {name: records[name].verdict.prediction for name in CLEAN if name.startswith(kind)}
    fine = [name for name, found in verdicts.items() if found in {Outcome.PASS, Outcome.NOTE}]
    assert len(fine) > len(verdicts) / 2, verdicts


@pytest.mark.parametrize("kind", ["study", "radiograph"])
def test_most_clean_studies_are_classified_as_labelled(records, kind):
    clean = [records[name] for name in CLEAN if name.startswith(kind)]
    assert sum(map(is_right, clean)) >= 0.75 * len(clean)


def test_grad_cam_and_hirescam_agree_for_these_networks(records):
    # behind global average pooling and one linear layer both are the same formula (Draelos and Carin 2020)
    for record in records.values():
        peaks = {(one.target, one.statistics.peak_index) for one in record.explanations}
        assert len(peaks) == len({one.target for one in record.explanations})


def test_nothing_differs_from_the_ledger(run):
    assert verify(run.path) == ()


def test_there_is_a_report_of_the_audit_and_one_of_two_to_six_pages_of_every_audited_study(run):
    assert run.report.read_bytes().startswith(b"%PDF")
    for record in run.records():
        pages = len(PdfReader(run.study(record.study) / "report.pdf").pages)
        assert pages in (range(2, 7) if record.status is Status.AUDITED else {1}), record.study


def test_the_report_states_the_counts(run):
    text = " ".join(page.extract_text() for page in PdfReader(run.report).pages)
    counts = run.run()["counts"]
    for status in ("audited", "refused"):
        assert str(counts[status]) in text
    assert all(record.study in text for record in run.records() if record.status is Status.REFUSED)


def test_no_identity_leaves_the_linkage(demo, run):
    for path in run.path.rglob("*"):
        if path.suffix in {".json", ".jsonl"}:
            content = path.read_text()
            assert "PHANTOM-" not in content, path.name
            assert "PHANTOM^" not in content, path.name
            assert str(demo.folder) not in content, path.name
    text = " ".join(page.extract_text() for page in PdfReader(run.report).pages)
    assert "PHANTOM-" not in text
    assert "PHANTOM^" not in text
    assert "PHANTOM-" in (run.path / "linkage.csv").read_text()


def test_the_demo_has_the_same_pseudonyms_everywhere(records):
    # a fixed key and fixed identities, so that the keys in the sample of git stay those of every demo
    identity = f"dicom||PHANTOM-CT-000|{uid('CT-0', 'study')}"
    assert records["study-000"].study == study_key(identity, SITE_KEY.strip())
    assert len({record.study for record in records.values()}) == len(records)
