"""Golden cases are run before the first study, pinned by digest, and judged in every record."""

from __future__ import annotations

import hashlib
import json

import pytest

from audit_pipeline import run_audit
from audit_pipeline.card import read_card
from audit_pipeline.errors import ConfigError
from audit_pipeline.execute.golden import golden_digest
from tests.audit_fixtures import configuration, tiny_card, write_studies

QUIET = {"report": {"pdf": "none", "html": "none"}, "explain": {"methods": ["hirescam"], "targets": "predicted"}}


def golden(study, logits, **change):
    digest = hashlib.sha256(study.read_bytes()).hexdigest()
    return {"path": str(study), "sha256": digest, "logits": logits} | change


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A study, what the tiny model says to it, and the digest of its model input."""
    folder = tmp_path_factory.mktemp("golden")
    study = write_studies(folder / "golden", 1) / "study-0.nii.gz"
    (record,) = run_audit(configuration(folder, folder / "golden", **QUIET)).records
    return study, dict(record.prediction.logits), record.image.input_digest


def audited(tmp_path, *cases):
    """Run an audit of another study with golden cases in the card."""
    studies = write_studies(tmp_path / "studies", 2)
    (studies / "study-0.nii.gz").unlink()
    config = configuration(tmp_path, studies, model={"card": tiny_card(tmp_path, golden=list(cases))}, **QUIET)
    result = run_audit(config)
    facts = json.loads((result.folder / "run.json").read_bytes())
    return {one.code: one for one in result.records[0].findings}, facts["golden"]


def test_the_stated_logits_let_chain_and_order_pass(tmp_path, measured):
    study, logits, digest = measured
    findings, kept = audited(tmp_path, golden(study, logits, input_sha256=digest))
    assert findings["A24"].outcome == "pass"
    assert findings["C09"].outcome == "pass"
    assert kept[0]["difference"] == pytest.approx(0, abs=1e-5)
    assert kept[0]["is_input_equal"] is True
    assert kept[0]["found"] == pytest.approx(logits)


def test_exchanged_names_are_critical(tmp_path, measured):
    study, logits, _ = measured
    findings, kept = audited(
        tmp_path, golden(study, {"clear": logits["nodule"], "nodule": logits["clear"]}, tolerance=1e-6)
    )
    assert findings["C09"].outcome == "critical"
    assert "in another order" in findings["C09"].message
    assert kept[0]["difference"] > 0


def test_another_logit_is_another_chain(tmp_path, measured):
    study, logits, digest = measured
    findings, _ = audited(
        tmp_path, golden(study, {name: value + 0.1 for name, value in logits.items()}, input_sha256=digest)
    )
    assert findings["A24"].outcome == "critical"
    assert "the weights, the network or the device differ" in findings["A24"].message


def test_a_golden_input_that_is_not_the_pinned_one_stops_the_run_before_any_work(tmp_path, measured):
    study, logits, _ = measured
    with pytest.raises(ConfigError, match=r"golden\.0: the input has SHA-256 .* the model card pins 0000"):
        audited(tmp_path, golden(study, logits, sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"golden\.0: the input gone.nii.gz is not there"):
        audited(tmp_path, golden(study, logits) | {"path": str(tmp_path / "gone.nii.gz")})
    assert not (tmp_path / "run").exists()


def test_a_golden_case_names_every_class(tmp_path, measured):
    study, logits, _ = measured
    with pytest.raises(ConfigError, match=r"golden\.0\.logits needs one logit for each class \(clear, nodule\)"):
        read_card(tiny_card(tmp_path, golden=[golden(study, {"clear": logits["clear"]})]))


def test_the_digest_of_a_card_knows_its_golden_cases_but_not_where_they_lie(tmp_path, measured):
    study, logits, _ = measured
    plain = tiny_card(tmp_path)
    one = read_card(plain | {"golden": [golden(study, logits)]})
    elsewhere = read_card(plain | {"golden": [golden(study, logits) | {"path": "elsewhere.nii.gz"}]})
    other = read_card(plain | {"golden": [golden(study, logits, tolerance=0.5)]})
    assert one.digest() == elsewhere.digest() != other.digest()
    assert read_card(plain).digest() == read_card(plain | {"golden": [], "reaudit": None}).digest() != one.digest()


def test_the_digest_of_a_folder_is_that_of_its_files_in_any_order(tmp_path):
    for name, content in (("b", b"two"), ("a", b"one")):
        (tmp_path / "one" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "one" / name).write_bytes(content)
    lines = sorted(hashlib.sha256(content).hexdigest() for content in (b"one", b"two"))
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert golden_digest(tmp_path / "one") == expected
    assert golden_digest(tmp_path / "none") is None
