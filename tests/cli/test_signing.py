"""The commands sign and verify as a user types them."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.cli.signing import PASSWORD as VARIABLE
from audit_pipeline.cli.signing import MeaningOption
from audit_pipeline.records import Status
from audit_pipeline.report import ReportContext, render_study
from audit_pipeline.report.statement import Meaning
from audit_pipeline.store.ledger import write_ledger
from audit_pipeline.store.record_file import record_bytes, timeless_bytes
from audit_pipeline.study_record import Failure, ModelFacts, StudyRecord
from tests.signing_keys import PASSWORD, key_file

RECORD = StudyRecord(
    study="0badbadbad00",
    status=Status.REFUSED,
    model=ModelFacts(
        name="net", version="1", task="binary", classes=("nodule",), card_sha256="", weights_sha256="", network="dense"
    ),
    files={"refused": 1},
    error=Failure(code="MissingSlicesError", message="Two slices are missing.", stage="load"),
    timings_s={"load": 0.25},
)


@pytest.fixture
def run(tmp_path):
    """A run folder with one refused study."""
    folder = tmp_path / "run"
    study = folder / "studies" / RECORD.study
    study.mkdir(parents=True)
    context = ReportContext(run="5f0c9a7be312", audit_name="an audit")
    (folder / "run.json").write_text('{"schema": "audit-pipeline/run/1"}')
    (study / "record.json").write_bytes(record_bytes(RECORD))
    (study / "report.pdf").write_bytes(render_study(RECORD, (), context, {"record.json": timeless_bytes(RECORD)}))
    write_ledger(folder)
    return folder


@pytest.fixture
def report(run):
    return run / "studies" / RECORD.study / "report.pdf"


@pytest.fixture
def key(tmp_path):
    place = tmp_path / "site.p12"
    place.write_bytes(key_file())
    return place


@pytest.fixture
def password(monkeypatch):
    monkeypatch.setenv(VARIABLE, PASSWORD.decode())


def invoke(*arguments, typed=None):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=typed)


def main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["audit-pipeline", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_the_meanings_offered_are_those_of_the_statement():
    assert list(map(str, MeaningOption)) == list(map(str, Meaning))


@pytest.mark.usefixtures("password")
def test_sign_and_verify_tell_the_signature(run, report, key):
    signed = invoke(
        "sign", report, "--key", key, "--name", "Dr Grace Example", "--meaning", "rejected", "--reason", "no"
    )
    assert signed.exit_code == 0, signed.output
    assert "signed as rejected (no) by Dr Grace Example on 20" in signed.output
    found = invoke("verify", run)
    assert found.exit_code == 0, found.output
    assert "Every file is as the run wrote it." in found.output
    assert "covers the whole file; certificate of" in found.output
    assert "Dr Ada Example" in found.output
    assert "self-signed: nobody else vouches for the name" in found.output


@pytest.mark.usefixtures("password")
def test_with_json_both_print_one_document(run, report, key):
    signed = json.loads(invoke("sign", report, "--key", key, "--meaning", "author", "--json").output)
    assert signed["file"].endswith("report.signed.pdf")
    assert signed["signature"]["name"] == "Dr Ada Example"
    found = json.loads(invoke("verify", run, "--json").output)
    assert found["differences"] == []
    assert found["unchecked"] == []
    (one,) = found["signatures"]
    assert one["file"] == f"studies/{RECORD.study}/report.signed.pdf"
    assert {name: one[name] for name in signed["signature"]} == signed["signature"]


@pytest.mark.usefixtures("password")
def test_one_flipped_byte_is_exit_code_3_in_the_run_and_for_the_file_alone(run, report, key):
    invoke("sign", report, "--key", key, "--meaning", "approved")
    place = report.with_suffix(".signed.pdf")
    assert invoke("verify", place).exit_code == 0
    content = bytearray(place.read_bytes())
    content[3000] ^= 1
    place.write_bytes(content)
    for target in (run, place):
        found = invoke("verify", target)
        assert found.exit_code == 3
        assert "report.signed.pdf" in found.output


def test_the_password_is_never_an_option():
    text = invoke("sign", "--help").output
    assert "--password" not in text
    assert VARIABLE in text.replace("\n", " ")


def test_without_a_terminal_and_a_variable_the_password_is_asked_for_in_a_sentence(report, key, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(monkeypatch, "sign", report, "--key", key, "--meaning", "author") == 2
    assert f"ConfigError: the password of the key is needed; set {VARIABLE}" in capsys.readouterr().err


def test_at_a_terminal_the_password_is_typed_in_unseen(report, key, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("audit_pipeline.cli.signing._is_terminal", lambda: True)
    signed = invoke("sign", report, "--key", key, "--meaning", "author", typed=PASSWORD.decode() + "\n")
    assert signed.exit_code == 0, signed.output
    assert PASSWORD.decode() not in signed.output


def test_a_wrong_password_is_one_sentence_and_exit_code_2(report, key, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "wrong")
    assert main(monkeypatch, "sign", report, "--key", key, "--meaning", "author") == 2
    assert "KeyPasswordError: the password does not open the key file" in capsys.readouterr().err


@pytest.mark.usefixtures("password")
def test_a_pdf_without_signature_is_a_difference(report):
    found = invoke("verify", report)
    assert found.exit_code == 3
    assert "report.pdf holds no signature" in found.output


@pytest.mark.usefixtures("password")
def test_outside_of_a_run_it_is_said_that_no_ledger_knows(report, key, tmp_path):
    place = tmp_path / "copy.pdf"
    place.write_bytes(report.read_bytes())
    assert "no ledger knows" in invoke("sign", place, "--key", key, "--meaning", "author").output


@pytest.mark.usefixtures("password")
def test_signatures_that_could_not_be_checked_are_exit_code_2(run, report, key, monkeypatch, capsys):
    invoke("sign", report, "--key", key, "--meaning", "author")
    from audit_pipeline.execute import verification

    monkeypatch.setattr(
        verification,
        "_of_files",
        lambda files: verification.Verification(differences=(), unchecked=tuple(files)),
    )
    assert main(monkeypatch, "verify", run) == 2
    assert "SigningLibraryError: signatures of 1 files were not checked" in capsys.readouterr().err
