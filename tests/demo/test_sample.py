"""The sample in git: one report of each kind, copied from the demo's runs as they are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit_pipeline.demo.audit import AUDITS
from audit_pipeline.demo.sample import TAKEN, chosen, renew
from audit_pipeline.findings import Outcome, Verdict
from audit_pipeline.records import Status
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import Failure, ModelFacts, PredictionFacts, StudyRecord

MODEL = ModelFacts(
    name="m",
    version="1",
    task="binary",
    classes=("nodule",),
    card_sha256="0" * 64,
    weights_sha256="0" * 64,
    network="densenet",
)
PREDICTION = PredictionFacts(
    task="binary",
    logits={"nodule": 2.0},
    probabilities={"nodule": 0.88},
    predicted=("nodule",),
    thresholds={"nodule": 0.5},
    device="cpu",
    precision="fp32",
)
DEMO = tuple(card for _, card, _ in AUDITS)
REFUSED = StudyRecord(
    study="0" * 12,
    status=Status.REFUSED,
    model=MODEL,
    error=Failure(code="MissingSlicesError", message="a slice is missing", stage="load"),
)


def audited(study, prediction=Outcome.PASS, *, predicted=("nodule",), label="nodule"):
    return StudyRecord(
        study=study * 12,
        status=Status.AUDITED,
        model=MODEL,
        prediction=replace(PREDICTION, predicted=predicted),
        verdict=Verdict(prediction=prediction, explanation=Outcome.PASS, prediction_code="", explanation_code=""),
        label=label,
    )


def test_one_record_of_each_kind_is_chosen_and_the_first_wins():
    records = [audited("1"), REFUSED, audited("2"), audited("3", Outcome.CRITICAL), audited("4", Outcome.CRITICAL)]
    found = {kind: record.study[0] for kind, record in chosen(records).items()}
    assert found == {"found": "1", "refused": "0", "critical": "3"}


@pytest.mark.parametrize("record", [audited("1", predicted=()), audited("1", label="clear"), audited("1", label=None)])
def test_a_nodule_counts_as_found_only_where_there_is_one(record):
    assert chosen([record]) == {}


def test_of_several_findings_called_as_labelled_the_study_with_the_most_is_chosen():
    several = audited("2", predicted=("nodule", "effusion"), label="effusion|nodule")
    wrong = audited("3", predicted=("nodule", "effusion", "pacemaker"), label="nodule|effusion")
    assert chosen([audited("1"), several, wrong, audited("4")]) == {"found": several}


def test_the_sample_takes_each_kind_of_model_and_a_large_audit():
    assert set(DEMO) < set(TAKEN)
    assert {"findings_2d", "slices_2d", "cohort_60"} == set(TAKEN) - set(DEMO)
    assert TAKEN["cohort_60"].audit
    assert TAKEN["cohort_60"].audit_page


def test_kinds_that_are_not_there_are_left_out():
    assert chosen([]) == {}
    assert set(chosen([REFUSED])) == {"refused"}


@pytest.mark.slow
def test_the_sample_holds_the_reports_of_the_demo(demo, tmp_path):
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / "left over.pdf").write_text("old")
    renew(demo.folder, sample, DEMO)
    names = {path.name for path in sample.iterdir()}
    assert {
        "ct_3d-audit.pdf",
        "ct_3d-critical.pdf",
        "ct_3d-found.json",
        "ct_3d-found.pdf",
        "ct_3d-refused.pdf",
        "cxr_2d-audit.pdf",
        "cxr_2d-found.pdf",
    } <= names
    assert "left over.pdf" not in names
    for name in ("ct_3d", "cxr_2d"):
        folder = RunFolder(demo.folder / name)
        assert (sample / f"{name}-audit.pdf").read_bytes() == folder.report.read_bytes()
        for kind, record in chosen(folder.records()).items():
            copied = (sample / f"{name}-{kind}.pdf").read_bytes()
            assert copied == (folder.study(record.study) / "report.pdf").read_bytes()
    facts = json.loads((sample / "ct_3d-found.json").read_text())
    assert facts["label"] == "nodule"
    assert "nodule" in facts["prediction"]["predicted"]


@pytest.mark.slow
def test_the_sample_stays_small_enough_for_git(demo, tmp_path):
    renew(demo.folder, tmp_path / "sample", DEMO)
    assert sum(path.stat().st_size for path in (tmp_path / "sample").iterdir()) < 5 * 1024 * 1024
