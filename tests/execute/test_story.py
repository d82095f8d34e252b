"""Reviews and plan of a real run: lines to fill in, words that come back, a signature that waits for them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audit_pipeline import run_audit
from audit_pipeline.errors import StoreError
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.execute.signing import sign_report
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.report.archive import attached_files
from audit_pipeline.report.statement import Meaning, ReviewMissingError, Statement
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.store.ledger import verify, write_ledger
from audit_pipeline.store.record_file import timeless_bytes
from audit_pipeline.store.run_folder import RunFolder
from tests.audit_fixtures import configuration, write_studies
from tests.report.pdf_reading import words
from tests.signing_keys import PASSWORD, key_file

PLANNED = {"claims": {"nodule": {"sensitivity": 0.9}}, "gates": {"refused": 0.2}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two volumes, one of which has a grave finding; never changed."""
    place = tmp_path_factory.mktemp("story")
    studies = write_studies(place / "studies", 2)
    labels = place / "labels.csv"
    labels.write_text("study,label,site,sex\nstudy-0,nodule,A,F\nstudy-1,clear,A,F\n")
    config = configuration(place, studies, cohort=PLANNED, report={"html": "none"})
    config["input"]["labels"] = str(labels)
    config["model"]["card"] |= {"thresholds_from": "a tuning set", "allowed": {"modality": ["CT"]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_PIPELINE_SITE_KEY", "a site key for tests")
        folder = RunFolder(run_audit(config).folder)
    record = folder.records()[0]
    grave = Finding(code="B07", name="confident_outlier", family="B", outcome=Outcome.CRITICAL, message="Far outside.")
    folder.commit(replace(record, findings=(*record.findings, grave)), {})
    (folder.path / "reviews.csv").unlink()
    write_ledger(folder.path)
    render_reports(folder.path)
    return folder.path, record.study


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    place = tmp_path_factory.mktemp("key") / "site.p12"
    place.write_bytes(key_file())
    return place


def sign(target, key, meaning):
    said = Statement(name="Dr Grace Example", meaning=meaning, time=datetime.now(UTC).replace(microsecond=0))
    return sign_report(target, key, PASSWORD, said)


def lines(run):
    return list(csv.DictReader((run / "reviews.csv").read_text().splitlines()))


def fill(run, verdict, note=""):
    rows = lines(run)
    with (run / "reviews.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "verdict": verdict, "reviewer": "Reader One", "note": note} for row in rows)


def cohort(run):
    return json.loads((run / "cohort.json").read_bytes())


def test_the_run_asks_for_a_verdict_on_the_study_with_the_grave_finding(run, finished):
    row = next(one for one in lines(run) if one["study"] == finished[1])
    assert "B07" in row["raised"].split()
    assert finished[1] in cohort(run)["reviews"]["open"]


@pytest.mark.parametrize("meaning", [Meaning.REVIEWED, Meaning.APPROVED])
def test_an_audit_with_open_verdicts_is_not_signed_as_reviewed_or_approved(run, key, meaning):
    with pytest.raises(ReviewMissingError, match=r"write the verdicts into reviews\.csv"):
        sign(run, key, meaning)
    assert not (run / "report.signed.pdf").exists()


@pytest.mark.parametrize("meaning", [Meaning.AUTHOR, Meaning.REJECTED])
def test_its_author_may_sign_and_who_rejects_it_may(run, key, meaning):
    assert sign(run, key, meaning).signature.meaning == str(meaning)


def test_the_report_of_one_study_may_be_signed_because_the_signature_is_its_verdict(run, key, finished):
    assert sign(run / "studies" / finished[1] / "report.pdf", key, Meaning.REVIEWED).signature.meaning == "reviewed"


def test_verdicts_that_the_report_does_not_know_yet_are_no_ground_to_sign(run, key):
    fill(run, "agree")
    with pytest.raises(StoreError, match=r"reviews\.csv is not as the ledger"):
        sign(run, key, Meaning.APPROVED)


def test_verdicts_come_back_in_the_report_and_open_the_way_to_the_signature(run, key, finished):
    fill(run, "agree, but the map is no evidence", "seen, and fine")
    before = (run / "reviews.csv").read_bytes()
    render_reports(run)
    assert (run / "reviews.csv").read_bytes() == before
    reviews = cohort(run)["reviews"]
    assert reviews["open"] == []
    assert reviews["verdicts"]["agree, but the map is no evidence"] == reviews["studies"] == len(reviews["needed"])
    shown = words((run / "report.pdf").read_bytes())
    assert "Reviewer's verdict by Reader One: agree, but the map is no evidence: seen, and fine." in shown
    assert sign(run, key, Meaning.APPROVED).signature.meaning == "approved"
    assert verify(run) == ()


def test_the_gates_of_the_report_answer_the_plan_of_the_run(run):
    found = cohort(run)
    assert [(gate["measure"], gate["class_name"], gate["state"]) for gate in found["gates"]] == [
        ("sensitivity", "nodule", "not_evaluable"), ("refused", "", "met"),
    ]  # fmt: skip
    assert found["plan"]["claims"]["nodule"]["sensitivity"] == 0.9
    assert not found["plan"]["is_changed"]
    assert "Share of studies refused or failed at most 0.2 0 of 2 2 met" in words((run / "report.pdf").read_bytes(), 0)


def test_the_flow_of_the_report_is_that_of_the_records(run):
    assert cohort(run)["flow"] == {
        "received": 2, "excluded": {}, "refused": {}, "failed": {}, "audited": 2, "not_analysed": {}, "analysed": 2,
    }  # fmt: skip


def test_what_the_model_card_tells_stands_in_the_run_and_in_the_report(run):
    card = json.loads((run / "run.json").read_bytes())["card"]
    assert card["thresholds_from"] == "a tuning set"
    shown = words((run / "report.pdf").read_bytes())
    assert "Modalities: CT" in shown
    assert "a tuning set" in shown


def test_the_digests_of_the_index_are_those_of_the_records_that_study_reports_carry(run):
    shown = words((run / "report.pdf").read_bytes())
    records = RunFolder(run).records()
    listed = ""
    for record in records:
        carried = attached_files((run / "studies" / record.study / "report.pdf").read_bytes())["record.json"]
        assert carried == timeless_bytes(record)
        assert sha256(carried)[:12] in shown
        listed += f"{record.study} {sha256(carried)}\n"
    assert sha256(listed.encode())[:12] in shown
    assert sha256((run / "cohort.json").read_bytes())[:12] in shown


def test_claims_that_change_after_the_run_began_are_told_and_the_first_ones_are_answered(run, finished):
    from audit_pipeline.config import AuditConfig
    from audit_pipeline.execute.closing import close, report_context
    from audit_pipeline.execute.cohort import Plan

    folder = RunFolder(run)
    facts = folder.run()
    first = AuditConfig.model_validate(facts["configuration"])
    content = first.model_dump(mode="json")
    content["cohort"]["claims"]["nodule"]["sensitivity"] = 0.1
    later = AuditConfig.model_validate(content)
    close(folder, report_context(later, facts), later, excluded={}, plan=Plan())
    found = cohort(run)
    assert found["plan"]["is_changed"]
    assert found["gates"][0]["claimed"] == 0.9
    assert folder.run()["plan_changed"], "it stays known when the run is rendered again"


def test_a_run_of_an_older_version_without_reasons_still_renders(run):
    folder = RunFolder(run)
    facts = folder.run()
    del facts["left_out"], facts["card"]
    facts["counts"]["excluded"] = 2
    (run / "run.json").write_bytes(json_bytes(facts))
    write_ledger(run)
    render_reports(run)
    assert cohort(run)["flow"]["excluded"] == {"no reason recorded": 2}
