"""Every check ends in a finding: also one that crashes, is too expensive, or lacks what it needs."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_image, make_prediction, make_prepared
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.checks import catalogue, run_checks
from audit_pipeline.checks.declare import Check, Result, finding_of
from audit_pipeline.checks.run import judge_each_map, run_each
from audit_pipeline.config import ChecksSection
from audit_pipeline.errors import ConfigError
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import FailureMode, Outcome
from audit_pipeline.records import Task

MODE = FailureMode(
    code="Z01",
    name="trial",
    title="Trial",
    family="Z",
    sentence="A trial.",
    severity=(1, 1, 1),
    provenance="dom",
    reference="",
    advice="",
    level="deep",
)


def test_all_checks_run_in_the_order_of_their_codes():
    findings = run_checks(make_evidence(make_explanation(focal((7, 7), (3, 3)))), ChecksSection())
    assert [one.code for one in findings] == [entry.mode.code for entry in catalogue().values()]
    assert not [one for one in findings if one.outcome is Outcome.ERROR]


def test_a_volume_runs_through_all_checks_without_an_error():
    evidence = make_evidence(
        make_explanation(focal((4, 4, 4), (1, 2, 2))),
        image=make_image(np.random.default_rng(0).normal(size=(8, 16, 16))),
    )
    assert not [one for one in run_checks(evidence, ChecksSection()) if one.outcome is Outcome.ERROR]


def test_disabled_checks_have_no_finding():
    findings = run_checks(make_evidence(), ChecksSection(disable=["D05", "slice_gaps"]))
    assert {"D05", "A01"}.isdisjoint(one.code for one in findings)
    assert len(findings) == len(catalogue()) - 2


def test_settings_reach_the_check():
    evidence = make_evidence(prediction=make_prediction((0.6,), task=Task.BINARY, thresholds={"class a": 0.5}))
    by_margin = {
        margin: next(
            one for one in run_checks(evidence, ChecksSection(near_threshold={"margin": margin})) if one.code == "C01"
        )
        for margin in (0.05, 0.2)
    }
    assert by_margin[0.05].outcome is Outcome.PASS
    assert by_margin[0.2].outcome is Outcome.NOTE
    assert by_margin[0.2].limit == pytest.approx(0.2)


@pytest.mark.parametrize(("clean", "outcome"), [(1e3, Outcome.FLAG), (1e-3, Outcome.PASS)])
def test_a_map_is_weighed_against_the_reference_as_the_study_is(clean, outcome):
    values = {"weak_map": np.linspace(0.9 * clean, 1.1 * clean, 120)}
    empty = np.zeros((120, 1), np.float32)
    evidence = make_evidence(
        make_explanation(3 * focal((7, 7), (3, 3))),
        reference=Reference(features=empty, intensities=empty, digest="", values=values),
    )
    settings = ChecksSection()
    findings = run_checks(evidence, settings)
    whole = {one.code: one.outcome for one in findings}
    assert whole["D08"] is outcome
    assert judge_each_map(evidence, settings, findings)["gradcam", 0]["D08"] is outcome


def test_unknown_settings_stop_the_run_before_any_check():
    with pytest.raises(ConfigError):
        run_checks(make_evidence(), ChecksSection(nothing={}))


def test_a_crashed_check_is_an_error_that_names_the_exception_but_not_its_text():
    def crash(evidence):
        raise KeyError("Doe^Jane")

    finding = run_each([Check(mode=MODE, function=crash, defaults={})], make_evidence(), ChecksSection(), "deep")[0]
    assert finding.outcome is Outcome.ERROR
    assert "KeyError" in finding.message
    assert "Doe" not in finding.message


@pytest.mark.parametrize(
    ("level", "outcome"),
    [("screen", Outcome.NOT_EVALUABLE), ("standard", Outcome.NOT_EVALUABLE), ("deep", Outcome.PASS)],
)
def test_the_level_limits_the_work_a_check_may_ask_for(level, outcome):
    def costly(evidence):
        return finding_of(MODE, Result(Outcome.PASS, "Done."))

    findings = run_each([Check(mode=MODE, function=costly, defaults={})], make_evidence(), ChecksSection(), level)
    assert findings[0].outcome is outcome


def test_the_evidence_is_read_only():
    evidence = make_evidence(make_explanation(focal((7, 7), (3, 3))))
    for values in (evidence.image.values, evidence.prepared.values, evidence.explanations[0].values):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=16, max_size=16),
    pixels=st.lists(st.floats(-3000, 3000, width=32) | st.just(float("inf")), min_size=64, max_size=64),
    logit=st.floats(allow_nan=True),
)
def test_findings_are_json_without_nan_whatever_the_evidence(values, pixels, logit):
    with np.errstate(invalid="ignore"):
        explanation = make_explanation(np.reshape(values, (4, 4)), shape=(8, 8))
    evidence = make_evidence(
        explanation,
        image=make_image(np.reshape(pixels, (8, 8)), modality="CR"),
        prepared=make_prepared(np.reshape(pixels, (1, 8, 8)), shape=(8, 8)),
        prediction=make_prediction((0.7, 0.3), logits=(logit, 0.0)),
        body=np.tri(8, dtype=bool),
    )
    findings = run_checks(evidence, ChecksSection())
    json.dumps([asdict(one) for one in findings], allow_nan=False)
    assert not [one.message for one in findings if one.outcome is Outcome.ERROR]
    assert all(one.message for one in findings)
