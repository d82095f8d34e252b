"""The cohort of a run: facts of the labels file reach it without identity, and reports come from stored facts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline import run_audit
from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.card import read_card
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.record import Plan
from audit_pipeline.config import AuditConfig
from audit_pipeline.errors import ConfigError, StoreError
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.execute.cohort import concluded, gathered, plan_of
from audit_pipeline.execute.plan import plan
from audit_pipeline.load import facts_of, find_studies
from audit_pipeline.store.run_folder import RunFolder
from tests.audit_fixtures import configuration, tiny_card, write_studies

SECRETS = ("MUSTERMANN", "St Agnes", "1961-04-01", "RN77")


def labelled(folder, count):
    rows = ["study,label,split,patient,site,period,sex,birth_date,record"]
    for place in range(count):
        split = "train" if place == count - 1 else "test"
        rows.append(
            f"study-{place},{'nodule' if place % 2 else 'clear'},{split},MUSTERMANN {place // 2},St Agnes,2026-05-0"
            f"{place + 1},{'FM'[place // 2 % 2]},1961-04-01,RN77{place}"
        )
    path = folder / "labels.csv"
    path.write_text("\n".join(rows))
    return path


def config_of(tmp_path, studies, output="run", **cohort):
    made = configuration(tmp_path, studies, output)
    made["input"]["labels"] = str(tmp_path / "labels.csv")
    made["explain"] = {"layer": "features", "methods": ["gradcam"]}
    made["audit"]["level"] = "screen"
    made["report"] = {"pdf": "none"}
    made["run"]["site_key"] = str(tmp_path / "key")
    return made | {"cohort": cohort}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("cohort")
    (tmp_path / "key").write_text("a secret of this test")
    studies = write_studies(tmp_path / "studies", 4)
    (studies / "study-4.nii.gz").write_bytes((studies / "study-0.nii.gz").read_bytes()[:3000])
    labelled(tmp_path, 5)
    result = run_audit(config_of(tmp_path, studies, groups=["sex"]))
    return tmp_path, result


def test_cohort_json_holds_every_check_and_a_row_per_failure_mode(finished):
    _, result = finished
    content = json.loads((result.folder / "cohort.json").read_bytes())
    assert content["schema"] == "audit-pipeline/cohort/1"
    assert [one["code"] for one in content["cohort_checks"]] == [one.mode.code for one in cohort_catalogue().values()]
    codes = {row["code"] for row in content["fmea"]}
    assert {"A01", "D05", "E01", "E21"} <= codes
    with (result.folder / "fmea.csv").open() as stream:
        assert {row["code"] for row in csv.DictReader(stream)} == codes


def test_the_facts_of_the_labels_file_stand_in_the_records(finished):
    _, result = finished
    facts = [record.facts for record in result.records]
    assert all(set(one) == {"split", "patient", "site", "period", "sex"} for one in facts)
    assert {one["period"] for one in facts} == {"2026-Q2"}
    assert len({one["patient"] for one in facts}) == 3
    assert result.counts["refused"] == 1


def test_the_same_patient_on_both_sides_of_the_split_is_critical(finished):
    tmp_path, _ = finished
    records = [replace(one, facts={**one.facts, "patient": "p"}) for one in RunFolder(tmp_path / "run").records()]
    records[0] = replace(records[0], facts={**records[0].facts, "split": "train"})
    config = AuditConfig.model_validate(config_of(tmp_path, tmp_path / "studies"))
    cohort = gathered(RunFolder(tmp_path / "run"), records, Plan(), config)
    content = concluded(cohort, config, {}, {})
    leak = next(one for one in content["cohort_checks"] if one["code"] == "E14")
    assert leak["outcome"] == "critical"


def test_nothing_of_the_labels_file_that_identifies_leaves_the_run(finished):
    _, result = finished
    for path in result.folder.rglob("*"):
        if path.is_file() and path.name != "linkage.csv":
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path.name


def test_the_reports_are_rendered_again_without_asking_the_cohort_again(finished, monkeypatch):
    from audit_pipeline.execute import closing

    _, result = finished
    before = {name: (result.folder / name).read_bytes() for name in ("cohort.json", "fmea.csv", "report.pdf")}
    monkeypatch.setattr(closing, "gathered", lambda *_: pytest.fail("the cohort was gathered again"))
    render_reports(result.folder)
    assert before == {name: (result.folder / name).read_bytes() for name in before}


def test_a_run_is_compared_with_its_baseline_and_keeps_what_was_found(finished):
    tmp_path, result = finished
    config = AuditConfig.model_validate(config_of(tmp_path, tmp_path / "studies", baseline=str(result.folder)))
    cohort = gathered(result_folder := RunFolder(result.folder), result_folder.records(), Plan(), config)
    assert cohort.baseline.keys == cohort.keys
    assert cohort.features is not None
    assert cohort.maps is not None
    missing = AuditConfig.model_validate(config_of(tmp_path, tmp_path / "studies", baseline=str(tmp_path / "none")))
    with pytest.raises(StoreError):
        gathered(result_folder, result_folder.records(), Plan(), missing)


def test_a_damaged_file_of_one_study_costs_only_what_needs_it(finished, caplog):
    tmp_path, result = finished
    folder = RunFolder(result.folder)
    place = next(result.folder.glob("studies/*/traits.npz"))
    content = place.read_bytes()
    place.write_bytes(b"damaged")
    try:
        config = AuditConfig.model_validate(config_of(tmp_path, tmp_path / "studies"))
        cohort = gathered(folder, folder.records(), Plan(), config)
    finally:
        place.write_bytes(content)
    assert cohort.features is None
    assert len(cohort.keys) == 4
    assert "traits.npz is missing or damaged" in caplog.text


def test_claims_for_an_unknown_class_are_refused_and_sites_are_compared_by_pseudonym(tmp_path):
    card = read_card(tiny_card(tmp_path))
    config = AuditConfig.model_validate({"model": {"card": {}}, "cohort": {"claims": {"nodul": {"sensitivity": 0.9}}}})
    with pytest.raises(ConfigError, match="no class of the model"):
        plan_of(config, card, b"k")
    config = AuditConfig.model_validate({"model": {"card": {}}, "cohort": {"development_sites": ["St Agnes", "B"]}})
    sites = plan_of(config, card, b"k").development_sites
    assert "Agnes" not in str(sites)
    assert sites[1] == "B"


def test_a_study_finds_its_facts_and_mask_by_its_name(tmp_path):
    studies = write_studies(tmp_path / "in", 2)
    (tmp_path / "mask.nii.gz").write_bytes(b"x")
    rows = {"study-1": {"study": "study-1", "label": "nodule", "sex": "", "mask": "mask.nii.gz"}}
    found = plan(find_studies([studies]), b"k", rows, (1, 1), None, folder=tmp_path)
    by_label = {one.label: one for one in found.work}
    assert by_label["nodule"].mask == tmp_path / "mask.nii.gz"
    assert by_label[None].mask is None
    assert facts_of({}, str) == {}


def test_what_the_checks_conclude_is_json_without_nan():
    config = AuditConfig.model_validate({"model": {"card": {}}})
    modes = {one.mode.code: one.mode for one in cohort_catalogue().values()}
    content = concluded(clean_cohort(120, np.random.default_rng(0)), config, modes, {}, {"E01": (57, 60)})
    again = json.loads(json.dumps(content, allow_nan=False))
    assert again["cohort_checks"][0]["kind"] in {"declared", "rule", "exploratory"}
    assert {row["planted"] for row in again["fmea"]} == {0, 60}


def test_what_the_model_says_without_the_body_reaches_the_cohort(tmp_path):
    studies = write_studies(tmp_path / "studies", 1)
    labelled(tmp_path, 1)
    (tmp_path / "key").write_text("a secret of this test")
    made = config_of(tmp_path, studies)
    made["audit"]["level"] = "standard"
    result = run_audit(made)
    config = AuditConfig.model_validate(made)
    cohort = gathered(RunFolder(result.folder), result.records, Plan(), config)
    assert cohort.panel["body_removed"].shape == (1, 2)
    assert cohort.panel["body_removed"].sum() == pytest.approx(1)
