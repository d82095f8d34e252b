"""The ledger is append-only: what was written stays, what changed gets a further line, signatures stay provable."""

from __future__ import annotations

import json

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.files import sha256
from audit_pipeline.store.ledger import START, add_signature, is_as_written, require_as_written, verify, write_ledger

FACTS = {"signer": "Dr Grace Example", "meaning": "approved", "time": "2026-01-02T03:04:05+00:00"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "a.json").write_text("a")
    (tmp_path / "report.pdf").write_text("pdf")
    write_ledger(tmp_path)
    return tmp_path


def lines(run):
    return (run / "ledger.jsonl").read_text().splitlines()


def entries(run):
    return [json.loads(line) for line in lines(run)]


def test_a_first_closing_lists_every_file_in_path_order_as_one_chain(run):
    assert [entry["file"] for entry in entries(run)] == ["a.json", "report.pdf"]
    assert entries(run)[0] == {"file": "a.json", "bytes": 1, "sha256": sha256(b"a"), "previous": START}
    assert entries(run)[1]["previous"] == sha256(lines(run)[0].encode())


def test_closing_again_without_a_change_writes_nothing(run):
    before = lines(run)
    digest = write_ledger(run)
    assert lines(run) == before
    assert digest == sha256(before[-1].encode())


def test_a_changed_a_new_and_a_missing_file_get_a_line_behind_those_that_stand(run):
    before = lines(run)
    (run / "report.pdf").write_text("pdf 2")
    (run / "b.json").write_text("b")
    (run / "a.json").unlink()
    write_ledger(run)
    assert lines(run)[:2] == before
    told = [(entry["file"], entry.get("event"), entry["sha256"]) for entry in entries(run)[2:]]
    assert told == [("b.json", None, sha256(b"b")), ("report.pdf", None, sha256(b"pdf 2")), ("a.json", "removed", None)]
    assert verify(run) == ()


def test_a_removed_file_that_comes_back_is_named_until_the_next_closing(run):
    (run / "a.json").unlink()
    write_ledger(run)
    (run / "a.json").write_text("a")
    assert verify(run) == ("a.json was added after the run",)
    write_ledger(run)
    assert verify(run) == ()


def test_closing_does_not_hide_a_damaged_line(run):
    kept = lines(run)
    (run / "ledger.jsonl").write_text("not json\n" + kept[1] + "\n")
    write_ledger(run)
    found = verify(run)
    assert "ledger.jsonl line 1 is damaged" in found
    assert "ledger.jsonl line 2 (report.pdf) does not follow from the line before it" in found


@pytest.mark.parametrize(
    "line", ["[]", "null", '{"file": 1, "bytes": 1, "sha256": "", "previous": ""}', '{"file": "a", "previous": ""}']
)
def test_a_line_of_another_form_is_damaged(run, line):
    (run / "ledger.jsonl").write_text(line + "\n")
    assert "ledger.jsonl line 1 is damaged" in verify(run)


def test_a_ledger_that_is_not_text_cannot_be_verified(run):
    (run / "ledger.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="not text"):
        verify(run)


def test_a_signature_is_a_line_of_its_own_with_its_facts(run):
    (run / "report.signed.pdf").write_bytes(b"pdf signed")
    digest = add_signature(run, "report.signed.pdf", b"pdf signed", FACTS)
    last = entries(run)[-1]
    assert last == {
        "file": "report.signed.pdf", "event": "signed", "bytes": 10, "sha256": sha256(b"pdf signed"),
        "previous": sha256(lines(run)[1].encode()), **FACTS,
    }  # fmt: skip
    assert digest == sha256(lines(run)[-1].encode())
    assert verify(run) == ()
    assert is_as_written(run, "report.signed.pdf")


def test_an_earlier_signature_stays_provable_when_a_later_one_is_appended(run):
    signed = run / "report.signed.pdf"
    for content in (b"pdf one", b"pdf one two"):
        signed.write_bytes(content)
        add_signature(run, "report.signed.pdf", content, FACTS)
    assert verify(run) == ()
    signed.write_bytes(b"pdf xne two")
    assert verify(run) == (
        "report.signed.pdf has changed since its signature",
        "report.signed.pdf no longer begins with what was signed earlier",
    )


def test_closing_again_does_not_hide_a_changed_signature(run):
    (run / "report.signed.pdf").write_bytes(b"pdf signed")
    add_signature(run, "report.signed.pdf", b"pdf signed", FACTS)
    (run / "report.signed.pdf").write_bytes(b"pdf xigned")
    write_ledger(run)
    assert verify(run) == ("report.signed.pdf no longer begins with what was signed earlier",)


def test_a_removed_signature_is_named(run):
    (run / "report.signed.pdf").write_bytes(b"pdf signed")
    add_signature(run, "report.signed.pdf", b"pdf signed", FACTS)
    (run / "report.signed.pdf").unlink()
    assert verify(run) == ("report.signed.pdf is missing",)


def test_a_file_is_as_written_only_with_the_bytes_of_its_last_line(run):
    assert is_as_written(run, "report.pdf")
    assert not is_as_written(run, "other.pdf")
    (run / "report.pdf").write_text("other")
    assert not is_as_written(run, "report.pdf")


def test_nothing_is_signed_in_a_folder_without_a_ledger(tmp_path):
    with pytest.raises(StoreError, match="did not finish"):
        add_signature(tmp_path, "report.pdf", b"", FACTS)


def test_a_changed_or_missing_input_is_refused_before_a_line_could_make_it_look_right(run):
    require_as_written(run, "a.json")
    (run / "a.json").write_text("b")
    require_as_written(run, "report.pdf")
    with pytest.raises(StoreError, match=r"^a\.json is not as the run wrote it; restore it from a copy"):
        require_as_written(run, "a.json")
    (run / "report.pdf").unlink()
    with pytest.raises(StoreError, match=r"^a\.json is not, nor 1 more, as the run wrote it"):
        require_as_written(run, "a.json", "report.pdf")


def test_a_folder_without_a_ledger_has_nothing_to_compare_with(tmp_path):
    (tmp_path / "a.json").write_text("a")
    require_as_written(tmp_path, "a.json")
