"""The record of a run is checked when it is closed and again by ``verify``: F01 to F06."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from typer.testing import CliRunner

from audit_pipeline import cli, run_audit
from audit_pipeline.bench.run_case import clean_run
from audit_pipeline.execute import local, run_facts
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.execute.record_checks import RECORD_CHECKS, RunEvidence, record_findings, rows_of
from audit_pipeline.execute.run_facts import code_facts, sha256_of_wheel
from audit_pipeline.execute.verification import verify_path
from audit_pipeline.findings import Outcome
from audit_pipeline.store.ledger import write_ledger
from tests.audit_fixtures import configuration, tiny_card, write_studies

QUIET = {"report": {"pdf": "none", "html": "none"}, "explain": {"methods": ["hirescam"], "targets": "predicted"}}


def rows(run):
    return {row["code"]: row for row in json.loads((run / "run.json").read_bytes())["record_checks"]}


def judged(evidence, code):
    return next(one for one in record_findings(evidence) if one.code == code)


@pytest.fixture
def clean():
    return clean_run(20, np.random.default_rng(1))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    return configuration(folder, write_studies(folder / "studies", 2), **QUIET)


@pytest.fixture(scope="module")
def run(config):
    return run_audit(config).folder


def test_a_closed_run_says_what_can_be_said_of_its_record(run):
    assert {code: row["outcome"] for code, row in rows(run).items()} == {
        "F01": "pass", "F02": "pass", "F03": "pass", "F04": "not_evaluable", "F05": "not_evaluable",
        "F06": "not_evaluable",
    }  # fmt: skip
    assert all(row["message"] and row["advice"] and row["title"] for row in rows(run).values())


def test_the_table_of_failure_modes_counts_the_run_once(run):
    table = {row["code"]: row for row in json.loads((run / "cohort.json").read_bytes())["fmea"]}
    assert (table["F01"]["raised"], table["F01"]["judged"]) == (0, 1)
    assert table["F06"]["judged"] == 0


def test_rendering_again_leaves_the_findings_as_they_were(run):
    before = rows(run)
    render_reports(run)
    assert rows(run) == before


def test_verify_prints_every_check_of_the_record(run):
    told = CliRunner().invoke(cli.app, ["verify", str(run)])
    assert told.exit_code == 0, told.output
    assert all(f"{code} " in told.output for code in RECORD_CHECKS)
    assert "F05 pass: Every file is as the run wrote it." in told.output
    found = json.loads(CliRunner().invoke(cli.app, ["verify", str(run), "--json"]).stdout)
    assert [row["code"] for row in found["findings"]] == sorted(RECORD_CHECKS)


def test_settings_edited_under_a_continued_ledger_are_still_found(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    content = json.loads((copy / "run.json").read_bytes())
    content["configuration"]["explain"]["targets"] = "all"
    (copy / "run.json").write_text(json.dumps(content))
    write_ledger(copy)
    found = verify_path(copy)
    assert {one.code: one.outcome for one in found.findings}["F01"] is Outcome.CRITICAL
    assert any("digest of the settings" in words for words in found.differences)


def test_a_part_is_a_note_until_the_rest_is_done_and_other_code_stays_on_record(config, tmp_path, monkeypatch):
    folder = run_audit(config, output=tmp_path / "run", limit=1).folder
    assert rows(folder)["F01"]["outcome"] == "pass"
    assert rows(folder)["F03"]["outcome"] == "note"
    assert rows(folder)["F03"]["message"] == "This run is a part of the audit: 1 study left out: beyond the limit."
    other = {**code_facts(), "sha256": "f" * 64}
    monkeypatch.setattr(local, "code_facts", lambda: other)
    run_audit(config, output=tmp_path / "run")
    assert rows(folder)["F01"]["outcome"] == "flag"
    assert "The code changed while the run went on" in rows(folder)["F01"]["message"]
    assert rows(folder)["F03"]["outcome"] == "pass"


def test_the_card_names_the_last_audit_and_error_rates_grade_what_stays_invisible(config, tmp_path, monkeypatch):
    from audit_pipeline.checks.error_rates import ErrorRates
    from audit_pipeline.execute import closing

    measured = {"A15": ErrorRates(found=(180, 180), by_severity={}, quiet=(300, 300))}
    monkeypatch.setattr(closing, "error_rates", lambda: measured)
    card = tiny_card(tmp_path, reaudit={"by": "2020-01-31", "version": "0", "sites": ["A"]})
    folder = run_audit({**config, "model": {"card": card}}, output=tmp_path / "run", limit=1).folder
    assert rows(folder)["F06"]["outcome"] == "flag"
    assert rows(folder)["F06"]["message"] == (
        "The next audit was due by 2020-01-31; the version of the model changed since the last audit."
    )
    table = {row["code"]: row for row in json.loads((folder / "cohort.json").read_bytes())["fmea"]}
    assert (table["A15"]["sensitivity"], table["A15"]["undetected_after"]) == (1.0, 1)
    assert table["A15"]["after"] == table["A15"]["severity"] * table["A15"]["occurrence"]
    assert table["A16"]["after"] is None  # not measured
    assert table["F06"]["raised"] == 1


@pytest.mark.parametrize(("day", "outcome"), [(date(2027, 1, 1), Outcome.PASS), (date(2027, 1, 2), Outcome.FLAG)])
def test_an_audit_is_overdue_from_the_day_after_it_was_due(clean, day, outcome):
    assert judged(replace(clean, today=day), "F06").outcome is outcome


def test_a_site_that_the_last_audit_did_not_know_is_named_by_its_pseudonym(clean):
    records = tuple(replace(one, facts={"site": "site 0f0f"}) for one in clean.records)
    assert "1 site the last audit did not know (site 0f0f)" in judged(replace(clean, records=records), "F06").message


def test_an_unpinned_network_is_a_note(clean):
    run = {**clean.run, "identity": {**clean.run["identity"], "weights": ""}}
    run["model"] = {**run["model"], "weights_sha256": ""}
    records = tuple(replace(one, model=replace(one.model, weights_sha256="")) for one in clean.records)
    assert judged(replace(clean, run=run, records=records), "F01").outcome is Outcome.NOTE


def test_a_run_without_any_audited_study_used_nothing(clean):
    refused = tuple(one for one in clean.records if one.status == "refused")
    assert judged(replace(clean, records=refused), "F02").outcome is Outcome.NOT_EVALUABLE


def test_a_run_json_of_another_shape_is_an_error_and_never_a_pass(clean):
    broken = RunEvidence(run={}, records=clean.records, today=clean.today)
    outcomes = {one.code: one.outcome for one in record_findings(broken)}
    assert outcomes["F01"] is outcomes["F02"] is outcomes["F03"] is Outcome.ERROR
    assert Outcome.PASS not in outcomes.values()
    assert json.dumps(rows_of(record_findings(broken)))


def test_code_is_known_by_one_digest_and_a_wheel_by_its_list(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "one.py").write_bytes(b"one = 1\n")
    (package / "two.py").write_bytes(b"two = 2\n")
    monkeypatch.setattr(run_facts, "PACKAGE", package)
    listed = {path.resolve(): sha256_of_wheel(path.read_bytes()) for path in package.iterdir()}
    monkeypatch.setattr(run_facts, "_listed", lambda _: listed)
    code_facts.cache_clear()
    try:
        first = dict(code_facts())
        assert (first["installed"], first["altered"]) == ("wheel", 0)
        (package / "one.py").write_bytes(b"one = 3\n")
        code_facts.cache_clear()
        assert code_facts()["altered"] == 1
        assert code_facts()["sha256"] != first["sha256"]
        (package / "one.py").unlink()
        code_facts.cache_clear()
        assert code_facts()["altered"] == 1
    finally:
        code_facts.cache_clear()
