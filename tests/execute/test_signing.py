"""Signing in a real run: the copy beside the report, the line of the ledger, and what verification finds afterwards."""

from __future__ import annotations

import builtins
import json
import shutil
from datetime import UTC, datetime

import pytest

from audit_pipeline import run_audit
from audit_pipeline.errors import StoreError
from audit_pipeline.execute.closing import render_reports
from audit_pipeline.execute.signing import run_of, sign_report
from audit_pipeline.execute.verification import verify_path
from audit_pipeline.report.archive import attached_files
from audit_pipeline.report.statement import (
    ForeignReportError,
    KeyFileError,
    KeyPasswordError,
    Meaning,
    SigningError,
    SigningLibraryError,
    Statement,
)
from audit_pipeline.store.ledger import verify
from tests.audit_fixtures import configuration, write_studies
from tests.signing_keys import PASSWORD, key_file


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of one volume, never changed."""
    place = tmp_path_factory.mktemp("signing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_PIPELINE_SITE_KEY", "a site key for tests")
        studies = write_studies(place / "studies", 1)
        return run_audit(configuration(place, studies, report={"html": "none"})).folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    place = tmp_path_factory.mktemp("key") / "site.p12"
    place.write_bytes(key_file())
    return place


@pytest.fixture
def study(run):
    return next((run / "studies").iterdir())


def statement(meaning=Meaning.APPROVED):
    return Statement(name="Dr Grace Example", meaning=meaning, time=datetime.now(UTC).replace(microsecond=0))


def sign(target, key, meaning=Meaning.APPROVED):
    return sign_report(target, key, PASSWORD, statement(meaning))


def entries(run):
    return [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]


def without_times(content, *names):
    document = json.loads(content)
    return {name: value for name, value in document.items() if name not in names}


def test_a_study_report_carries_the_stored_record_but_for_its_timings(study):
    stored = (study / "record.json").read_bytes()
    carried = attached_files((study / "report.pdf").read_bytes())["record.json"]
    timings = json.loads(stored)["timings_s"]
    assert timings
    assert json.loads(carried)["timings_s"] == {}
    assert without_times(carried, "timings_s") == without_times(stored, "timings_s")
    with_times = json.dumps({**json.loads(carried), "timings_s": timings}, indent=1, ensure_ascii=False) + "\n"
    assert with_times.encode() == stored


def test_the_audit_report_carries_the_stored_cohort_and_the_run_but_for_its_times(run):
    carried = attached_files((run / "report.pdf").read_bytes())
    assert carried["cohort.json"] == (run / "cohort.json").read_bytes()
    stored = (run / "run.json").read_bytes()
    assert json.loads(carried["run.json"]) == without_times(stored, "start", "end")
    assert {"start", "end"} <= set(json.loads(stored))


@pytest.mark.untraced
def test_rendering_again_gives_the_same_bytes_and_no_line_in_the_ledger_but_that_of_the_run(run, study):
    before, reports = entries(run), [(run / "report.pdf").read_bytes(), (study / "report.pdf").read_bytes()]
    render_reports(run)
    assert [(run / "report.pdf").read_bytes(), (study / "report.pdf").read_bytes()] == reports
    added = entries(run)[len(before) :]
    assert {entry["file"] for entry in added} <= {"run.json"}
    assert entries(run)[: len(before)] == before


def test_signing_a_run_signs_its_audit_report_and_leaves_the_report_as_it_was(run, key):
    before = (run / "report.pdf").read_bytes()
    signed = sign(run, key)
    assert signed.path == run / "report.signed.pdf"
    assert signed.run == run
    assert (run / "report.pdf").read_bytes() == before
    assert signed.path.read_bytes().startswith(before)
    assert signed.signature.meaning == "approved"


def test_the_ledger_gets_a_line_and_verification_holds(run, study, key):
    count = len(entries(run))
    sign(study / "report.pdf", key, Meaning.REVIEWED)
    last = entries(run)[-1]
    assert len(entries(run)) == count + 1
    assert last["file"] == f"studies/{study.name}/report.signed.pdf"
    assert (last["event"], last["signer"], last["meaning"]) == ("signed", "Dr Grace Example", "reviewed")
    assert "Dr Ada Example" in last["subject"]
    found = verify_path(run)
    assert found.differences == ()
    assert [(name, one.meaning) for name, one in found.signatures] == [(last["file"], "reviewed")]


def test_a_second_signature_is_added_to_the_same_copy_whichever_file_is_named(run, key):
    sign(run, key, Meaning.AUTHOR)
    sign(run / "report.pdf", key, Meaning.REVIEWED)
    sign(run / "report.signed.pdf", key, Meaning.APPROVED)
    found = verify_path(run)
    assert found.differences == ()
    assert [one.meaning for _, one in found.signatures] == ["author", "reviewed", "approved"]
    assert [entry["meaning"] for entry in entries(run) if entry.get("event") == "signed"] == [
        "author", "reviewed", "approved",
    ]  # fmt: skip


def test_one_flipped_byte_is_found_by_the_ledger_and_by_the_signature(run, key):
    place = sign(run, key).path
    content = bytearray(place.read_bytes())
    content[1000] ^= 1
    place.write_bytes(content)
    found = verify_path(run).differences
    assert "report.signed.pdf has changed since its signature" in found
    assert any(one.startswith("report.signed.pdf: ") for one in found)
    assert any(one.startswith("report.signed.pdf: ") for one in verify_path(place).differences)


@pytest.mark.untraced
def test_rendering_again_after_a_signature_keeps_signature_and_chain(run, key):
    place = sign(run, key).path
    before = place.read_bytes()
    render_reports(run)
    assert place.read_bytes() == before
    assert verify_path(run).differences == ()


def test_a_signed_report_stays_bound_to_its_record(run, study, key):
    sign(study / "report.pdf", key)
    record = json.loads((study / "record.json").read_text())
    record["label"] = "changed afterwards"
    (study / "record.json").write_text(json.dumps(record))
    name = f"studies/{study.name}"
    found = verify_path(run).differences
    assert f"{name}/record.json has changed since the run" in found
    assert f"{name}/report.signed.pdf carries another record.json than the one that is stored" in found
    assert f"{name}/report.pdf carries another record.json than the one that is stored" in found


def test_a_report_outside_of_a_run_is_signed_without_a_ledger(run, key, tmp_path):
    place = shutil.copy(run / "report.pdf", tmp_path / "copy.pdf")
    signed = sign(place, key)
    assert signed.run is None
    assert signed.path == tmp_path / "copy.signed.pdf"
    assert verify_path(signed.path).differences == ()
    assert verify_path(signed.path).signatures[0][1].name == "Dr Grace Example"


def test_a_report_that_is_not_as_its_ledger_says_is_not_signed(run, study, key):
    report = study / "report.pdf"
    report.write_bytes(report.read_bytes() + b"\n")
    with pytest.raises(StoreError, match=r"report\.pdf is not as the ledger"):
        sign(report, key)
    assert not (study / "report.signed.pdf").exists()


def test_a_new_rendering_is_not_put_behind_signatures_of_an_older_one(run, study, key):
    sign(study / "report.pdf", key)
    (study / "report.pdf").write_bytes((run / "report.pdf").read_bytes())
    from audit_pipeline.store.ledger import write_ledger

    write_ledger(run)
    with pytest.raises(StoreError, match="signatures of an earlier rendering"):
        sign(study / "report.pdf", key)


def test_a_damaged_signature_is_not_signed_over(run, key, tmp_path):
    place = shutil.copy(sign(run, key).path, tmp_path / "copy.signed.pdf")
    content = bytearray(place.read_bytes())
    content[content.rindex(b"/Contents") + 800] ^= 1
    place.write_bytes(content)
    with pytest.raises(SigningError, match="cannot be signed further"):
        sign(place, key)


def test_an_unfinished_run_is_not_signed(run, key):
    (run / "ledger.jsonl").unlink()
    with pytest.raises(StoreError, match="let it finish"):
        sign(run, key)


def test_the_run_of_a_study_report_is_found_and_none_outside(run, study, tmp_path):
    assert run_of(study / "report.pdf") == run
    assert run_of(tmp_path / "report.pdf") is None


@pytest.mark.parametrize(
    ("target", "error"), [("nothing.pdf", ForeignReportError), ("run/cohort.json", ForeignReportError)]
)
def test_a_file_that_is_no_report_is_told(run, key, tmp_path, target, error):
    with pytest.raises(error):
        sign(tmp_path / target, key)


def test_a_missing_key_and_a_wrong_password_are_told_and_leave_nothing(run, key, tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read"):
        sign(run, tmp_path / "none.p12")
    with pytest.raises(KeyPasswordError):
        sign_report(run, key, b"wrong", statement())
    assert not (run / "report.signed.pdf").exists()
    assert verify(run) == ()


def test_without_the_library_signing_is_told_and_signatures_are_unchecked_not_passed(run, key, monkeypatch):
    import sys

    sign(run, key)
    real = builtins.__import__

    def missing(name, *arguments, **more):
        if name.split(".")[0] == "pyhanko":
            raise ModuleNotFoundError("No module named 'pyhanko'", name="pyhanko")
        return real(name, *arguments, **more)

    import audit_pipeline.report as package

    for name in ("signing", "signature_check"):
        monkeypatch.delitem(sys.modules, f"audit_pipeline.report.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SigningLibraryError, match=r"install audit-pipeline\[sign\]"):
        sign(run, key)
    found = verify_path(run)
    assert found.differences == ()
    assert found.signatures == ()
    assert found.unchecked == ("report.signed.pdf",)


def test_a_signed_copy_without_a_signature_is_named(run):
    (run / "report.signed.pdf").write_bytes((run / "report.pdf").read_bytes())
    assert "report.signed.pdf holds no signature" in verify_path(run).differences


def test_a_file_that_is_not_there_cannot_be_verified(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        verify_path(tmp_path / "nothing.pdf")
