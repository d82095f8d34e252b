"""The run folder: commits are atomic, folders are not mixed, and every change is found."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store import run_folder as module
from audit_pipeline.store.ledger import verify, write_ledger
from audit_pipeline.store.run_folder import RunFolder
from tests.store.test_record_file import FULL

IDENTITY = {"settings": "a", "model_card": "b"}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(IDENTITY, {"start": "now"})
    return made


def test_a_study_is_committed_by_its_record_and_read_back(folder):
    assert not folder.is_committed(FULL.study)
    folder.commit(FULL, {"maps/a.nii.gz": b"map", "report.pdf": b"pdf"})
    assert folder.is_committed(FULL.study)
    assert folder.records() == (FULL,)
    assert (folder.study(FULL.study) / "maps/a.nii.gz").read_bytes() == b"map"


def test_a_crash_before_the_record_leaves_the_study_uncommitted(folder, monkeypatch):
    def crash(_record):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "record_bytes", crash)
    with pytest.raises(KeyboardInterrupt):
        folder.commit(FULL, {"report.pdf": b"pdf"})
    assert not folder.is_committed(FULL.study)
    assert folder.records() == ()


def test_no_partial_files_remain(folder):
    folder.commit(FULL, {"report.pdf": b"pdf"})
    assert not [path for path in folder.path.rglob("*") if path.name.endswith(".part")]


def test_the_same_audit_resumes_and_another_one_is_refused(folder):
    assert folder.open(IDENTITY, {"start": "later"})["start"] == "now"
    with pytest.raises(StoreError, match="differs in its model card"):
        folder.open(IDENTITY | {"model_card": "z"}, {})


def test_a_folder_with_foreign_files_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty and holds no run"):
        RunFolder(tmp_path).open(IDENTITY, {})


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"no readable run\.json"):
        RunFolder(tmp_path).run()
    (tmp_path / "run.json").write_text('{"schema": "other"}')
    with pytest.raises(StoreError, match="has schema 'other'"):
        RunFolder(tmp_path).run()


def test_the_linkage_is_private_and_inert_in_a_spreadsheet(folder):
    folder.write_linkage(
        [{"study": "k", "name": "=HYPERLINK(1)", "kind": "dicom", "files": "3", "identity": "i", "note": ""}]
    )
    place = folder.path / "linkage.csv"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    rows = list(csv.DictReader(place.read_text().splitlines()))
    assert rows[0]["name"] == "'=HYPERLINK(1)"


def test_verify_accepts_an_untouched_run(folder):
    folder.commit(FULL, {"report.pdf": b"pdf"})
    folder.write_linkage([])
    write_ledger(folder.path)
    assert verify(folder.path) == ()
    (folder.path / "linkage.csv").unlink()
    assert verify(folder.path) == ()


def test_verify_names_changed_missing_and_added_files(folder):
    folder.commit(FULL, {"report.pdf": b"pdf", "maps/a": b"1"})
    write_ledger(folder.path)
    base = folder.study(FULL.study)
    (base / "report.pdf").write_bytes(b"pdg")
    (base / "maps/a").unlink()
    (base / "extra").write_bytes(b"?")
    name = f"studies/{FULL.study}"
    assert verify(folder.path) == (
        f"{name}/maps/a is missing",
        f"{name}/report.pdf has changed since the run",
        f"{name}/extra was added after the run",
    )


def test_verify_finds_a_rewritten_ledger_line(folder):
    folder.commit(FULL, {"report.pdf": b"pdf"})
    write_ledger(folder.path)
    ledger = folder.path / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    entry = json.loads(lines[0])
    lines[0] = json.dumps(entry | {"bytes": entry["bytes"] + 1}, sort_keys=True)
    ledger.write_text("\n".join(lines) + "\n")
    assert any("does not follow from the line before it" in difference for difference in verify(folder.path))
    ledger.write_text("not json\n" + "\n".join(lines[1:]) + "\n")
    assert "ledger.jsonl line 1 is damaged" in verify(folder.path)


def test_verify_needs_a_ledger(folder):
    with pytest.raises(StoreError, match="the run did not finish"):
        verify(folder.path)


def test_records_that_say_the_same_words_hold_them_once(folder):
    other = replace(FULL, study="e" * 12)
    folder.commit(FULL, {})
    folder.commit(other, {})
    found = {one.study: one for one in folder.records()}
    assert folder.keys() == tuple(sorted(found))
    assert [found[one.study] for one in (FULL, other)] == [FULL, other]
    first, second = found.values()
    assert first.findings[0].message is second.findings[0].message
    assert next(iter(first.prediction.logits)) is next(iter(second.prediction.logits))
