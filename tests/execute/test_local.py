"""The run: nothing is lost, whatever happens, and everything can be repeated."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from audit_pipeline import run_audit
from audit_pipeline.errors import ConfigError, ModelError, StoreError
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.store.ledger import verify
from audit_pipeline.store.pseudonym import ENVIRONMENT
from tests.audit_fixtures import BARE, configuration, tiny_card, write_studies


@pytest.fixture
def studies(tmp_path):
    return write_studies(tmp_path / "studies", 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of three studies with every report, never changed."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, "a site key for tests")
        return run_audit(configuration(place, write_studies(place / "studies", 3)))


def contents(run: Path, *, without_times: bool = True) -> dict[str, bytes]:
    """Every file of a run; times, and what holds their digests, are left out."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "record.json" and without_times:
            record = json.loads(content)
            record.pop("timings_s")
            content = json.dumps(record).encode()
        if path.name not in {"run.json", "ledger.jsonl"}:
            found[path.relative_to(run).as_posix()] = content
    return found


def test_a_run_leaves_every_file_of_the_contract(whole):
    result = whole
    assert result.exit_code == 0
    assert dict(result.counts) == {"found": 3, "audited": 3, "refused": 0, "failed": 0, "excluded": 0}
    for name in (
        "run.json",
        "cohort.json",
        "report.pdf",
        "results.parquet",
        "findings.parquet",
        "ledger.jsonl",
        "linkage.csv",
    ):
        assert (result.folder / name).stat().st_size > 0
    for record in result.records:
        folder = result.folder / "studies" / record.study
        assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
        for one in record.explanations:
            assert (folder / one.map).exists()
        assert [one.method for one in record.explanations] == ["gradcam", "hirescam"] * 2
    rows = parquet.read_table(io.BytesIO((result.folder / "results.parquet").read_bytes()))
    assert rows.num_rows == 6
    assert verify(result.folder) == ()


def test_run_json_counts_add_up_and_names_no_path(tmp_path, studies):
    (studies / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    result = run_audit(configuration(tmp_path, studies, report=BARE), limit=3)
    facts = json.loads((result.folder / "run.json").read_bytes())
    counts = facts["counts"]
    assert facts["schema"] == "audit-pipeline/run/1"
    assert counts["found"] == 4 == sum(counts[name] for name in ("audited", "refused", "failed", "excluded"))
    assert str(tmp_path) not in json.dumps(facts)
    assert facts["start"] <= facts["end"]


def test_a_study_that_cannot_be_read_becomes_a_record_and_a_page_and_the_run_goes_on(tmp_path):
    studies = write_studies(tmp_path / "studies", 1)
    (studies / "a-broken.nii.gz").write_bytes((studies / "study-0.nii.gz").read_bytes()[:4000])
    result = run_audit(configuration(tmp_path, studies, report={"html": "none"}))
    assert result.exit_code == 1
    assert result.counts["audited"] == 1
    refused = [record for record in result.records if record.status == "refused"]
    assert len(refused) == 1
    assert refused[0].error.code == "CorruptFileError"
    assert refused[0].error.stage == "load"
    assert (result.folder / "studies" / refused[0].study / "report.pdf").exists()


def test_a_volume_offered_to_a_2d_model_is_refused_before_the_model_sees_it(tmp_path, studies):
    card = tiny_card(tmp_path, spatial_dims=2, input={"size": [32, 32], "intensity": {"zscore": {}}})
    result = run_audit(configuration(tmp_path, studies, model={"card": card}, report=BARE))
    assert {(record.status, record.error.stage) for record in result.records} == {("refused", "prepare")}
    assert "takes 2D images" in result.records[0].error.message


def test_something_unexpected_in_one_study_fails_that_study_only(tmp_path, studies, monkeypatch):
    from audit_pipeline import pipeline

    original, calls = pipeline.prepare, []

    def explode_once(image, card):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("SECRET NAME")
        return original(image, card)

    monkeypatch.setattr(pipeline, "run_checks", lambda *_, **__: 1 / 0 if len(calls) == 3 else ())
    monkeypatch.setattr(pipeline, "prepare", explode_once)
    result = run_audit(
        configuration(tmp_path, studies, report=BARE), level="screen"
    )  # no study is read before for the layer
    errors = {record.error.stage: record for record in result.records if record.error}
    assert errors["prepare"].error.code == "ZeroDivisionError"
    assert errors["check"].status == "failed"
    assert "SECRET" not in errors["prepare"].error.message
    assert result.counts["audited"] == 1


def test_a_reader_that_breaks_costs_one_study(tmp_path, studies, monkeypatch):
    from audit_pipeline import pipeline

    original = pipeline.deliver

    def break_on_one(source, settings, rules):
        if source.name == "study-1":
            raise struct.error("unpack")
        return original(source, settings, rules)

    monkeypatch.setattr(pipeline, "deliver", break_on_one)
    result = run_audit(configuration(tmp_path, studies, report=BARE))
    assert dict(result.counts) == {"found": 3, "audited": 2, "refused": 1, "failed": 0, "excluded": 0}
    broken = next(record for record in result.records if record.error)
    assert (broken.error.code, broken.error.stage, broken.files) == ("error", "load", {"refused": 1})


@pytest.mark.untraced
def test_two_runs_of_the_same_audit_are_equal_byte_for_byte(tmp_path, studies, whole):
    again = run_audit(configuration(tmp_path, studies))
    assert contents(again.folder) == contents(whole.folder)


@pytest.mark.untraced
def test_an_interrupted_run_continues_and_ends_like_an_uninterrupted_one(tmp_path, studies, whole):
    def interrupt(done, _total, _sentence):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_audit(configuration(tmp_path, studies, "cut"), on_progress=interrupt)
    assert not (tmp_path / "cut" / "report.pdf").exists()
    committed = sorted((tmp_path / "cut").glob("studies/*/record.json"))
    before = {path: path.read_bytes() for path in committed}
    assert len(before) == 2
    resumed = run_audit(configuration(tmp_path, studies, "cut"))
    assert {path: path.read_bytes() for path in committed} == before
    assert contents(resumed.folder) == contents(whole.folder)


@pytest.mark.slow
@pytest.mark.untraced
def test_a_killed_process_loses_nothing(tmp_path, studies, whole):
    place = tmp_path / "audit.yaml"
    place.write_text(yaml.safe_dump(configuration(tmp_path, studies, "killed")))
    command = [sys.executable, "-m", "audit_pipeline", "run", str(place)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("killed/studies/*/record.json")):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert 1 <= len(list(tmp_path.glob("killed/studies/*/record.json"))) < 3
    assert run_audit(place).exit_code == 0
    assert contents(tmp_path / "killed") == contents(whole.folder)
    assert verify(tmp_path / "killed") == ()


@pytest.mark.untraced
def test_reports_are_rendered_again_from_the_records_alone(tmp_path, whole):
    run = shutil.copytree(whole.folder, tmp_path / "run")
    before = contents(run)
    for path in run.rglob("report.pdf"):
        path.unlink()
    place = whole.folder.parent
    away = place.rename(place.with_name("away"))  # with the studies and the weights
    try:
        rendered = render_reports(run)
    finally:
        away.rename(place)
    assert contents(run) == before
    assert rendered.counts == whole.counts
    assert verify(run) == ()


@pytest.mark.untraced
@pytest.mark.parametrize("name", ["record.json", "run.json"])
def test_a_changed_record_is_neither_drawn_again_nor_resumed(tmp_path, studies, whole, name):
    run = shutil.copytree(whole.folder, tmp_path / "run")
    place = next(run.rglob(name))
    place.write_bytes(place.read_bytes().replace(b'"pass"', b'"note"', 1).replace(b'"standard"', b'"screen"', 1))
    before = contents(run)
    with pytest.raises(StoreError, match="is not as the run wrote it"):
        render_reports(run)
    with pytest.raises(StoreError, match="is not as the run wrote it"):
        run_audit(configuration(tmp_path, studies, "run"))
    assert contents(run) == before
    assert any(name in one for one in verify(run))


def test_shards_together_are_the_whole_run(tmp_path, studies, whole):
    config = configuration(tmp_path, studies, "parts", report=BARE)
    parts = [run_audit(config, shard=(part, 3)) for part in (1, 2, 3)]
    assert [sum(part.counts[name] for name in ("audited", "excluded")) for part in parts][-1] >= 3
    assert {record.study for record in parts[-1].records} == {record.study for record in whole.records}
    with pytest.raises(ConfigError, match="1 <= I <= N"):
        run_audit(configuration(tmp_path, studies, "none"), shard=(4, 3))


def test_the_same_study_found_twice_is_audited_once(tmp_path, studies):
    (studies / "copy.nii.gz").write_bytes((studies / "study-0.nii.gz").read_bytes())
    result = run_audit(configuration(tmp_path, studies, report=BARE))
    assert dict(result.counts) == {"found": 4, "audited": 3, "refused": 0, "failed": 0, "excluded": 1}
    assert "found before" in (result.folder / "linkage.csv").read_text()


def test_another_model_may_not_resume_the_folder(tmp_path, studies):
    run_audit(configuration(tmp_path, studies, report=BARE), limit=1)
    with pytest.raises(StoreError, match="differs in its model card"):
        run_audit(configuration(tmp_path, studies, model={"card": tiny_card(tmp_path, version="2")}, report=BARE))
    with pytest.raises(StoreError, match="differs in its settings"):
        run_audit(configuration(tmp_path, studies, explain={"targets": "all"}, report=BARE))


def test_new_studies_are_welcome_in_a_nightly_folder(tmp_path, studies):
    config = configuration(tmp_path, studies, report=BARE)
    run_audit(config)
    write_studies(studies, 4)
    assert run_audit(config).counts["audited"] == 4


def test_overrides_replace_the_configuration(tmp_path, studies):
    result = run_audit(
        configuration(tmp_path, studies),
        inputs=[studies / "study-1.nii.gz"],
        output=tmp_path / "elsewhere",
        device="cpu",
        level="screen",
        sets=["explain.methods=[hirescam]", "explain.targets=nodule", "report.pdf=none"],
    )
    assert result.folder == tmp_path / "elsewhere"
    assert [(one.method, one.target_name) for one in result.records[0].explanations] == [("hirescam", "nodule")]
    assert not (result.folder / "studies" / result.records[0].study / "report.pdf").exists()


@pytest.mark.parametrize(("wanted", "expected"), [("all", 3), ("none", 0), ("sample:2", 2)])
def test_reports_are_printed_as_asked(tmp_path, studies, wanted, expected):
    result = run_audit(configuration(tmp_path, studies, report={"pdf": wanted, "html": "none"}))
    assert len(list(result.folder.glob("studies/*/report.pdf"))) == expected


def test_labels_reach_the_records_by_study_name(tmp_path, studies):
    labels = tmp_path / "labels.csv"
    labels.write_text("study,label\nstudy-0,nodule\nstudy-2,clear\n")
    config = configuration(tmp_path, studies, report=BARE)
    config["input"]["labels"] = str(labels)
    found = [record.label for record in run_audit(config).records]
    assert sorted(map(str, found)) == ["None", "clear", "nodule"]


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"input": {"paths": []}}, ConfigError, "no input is named"),
        ({"explain": {"methods": ["gradcamm"]}}, ConfigError, "did you mean 'gradcam'"),
        ({"checks": {"near_treshold": {}}}, ConfigError, "did you mean 'near_threshold'"),
        ({"checks": {"near_threshold": {"margn": 0.1}}}, ConfigError, "did you mean 'margin'"),
        ({"run": {"device": "cuda"}}, ModelError, "no usable GPU"),
    ],
)
def test_impossible_settings_stop_the_run_before_any_work(tmp_path, studies, change, error, expected):
    if "run" in change:
        change = {"run": change["run"] | {"output": str(tmp_path / "run")}}
    with pytest.raises(error, match=expected):
        run_audit(configuration(tmp_path, studies, **change))
    assert not (tmp_path / "run").exists()


def test_a_wrong_layer_or_target_is_said_once_per_study_and_fails_them(tmp_path, studies):
    result = run_audit(configuration(tmp_path, studies, explain={"layer": "featurs"}, report=BARE))
    assert {record.error.code for record in result.records} == {"LayerError"}
    assert "did you mean 'features'" in result.records[0].error.message


@pytest.mark.untraced
def test_no_name_from_a_path_reaches_anything_but_the_linkage(tmp_path):
    studies = write_studies(tmp_path / "in" / "SMITH^JOHN 1961-04-01", 1)
    (studies / "SMITH^JOHN.nii.gz").write_bytes(b"\x1f\x8b broken")
    result = run_audit(configuration(tmp_path, tmp_path / "in"))
    for path in result.folder.rglob("*"):
        assert "SMITH" not in path.name
        if path.is_file() and path.name != "linkage.csv":
            assert b"SMITH" not in path.read_bytes()
    assert "SMITH" in (result.folder / "linkage.csv").read_text()
