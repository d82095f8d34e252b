"""Golden cases of the model card: the order of the classes (C09) and the chain from file to logit (A24)."""

import pytest
from evidence_factories import gradient, make_evidence, make_image, make_prediction, make_prepared

from audit_pipeline.checks.golden import golden_chain, golden_order, is_reordered
from audit_pipeline.checks.model_input import transform_chain
from audit_pipeline.checks.trust import class_order
from audit_pipeline.evidence import GoldenCase
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task


def case(found, expected=(2.0, -1.0), **change):
    return GoldenCase(name="golden case 1", expected=expected, tolerance=0.01, found=found, **change)


def evidence(*cases, **change):
    plain = gradient((32, 32))
    return make_evidence(
        image=make_image(plain), prepared=make_prepared(plain[None]), golden=cases,
        prediction=make_prediction(**change),
    )  # fmt: skip


def test_without_golden_cases_nothing_is_said():
    assert golden_order(evidence()) is None
    assert golden_chain(evidence()) is None
    assert class_order(evidence()).outcome is Outcome.NOT_EVALUABLE


def test_logits_within_the_tolerance_pass_both_checks():
    seen = evidence(case((2.005, -1.004)))
    assert class_order(seen).outcome is Outcome.PASS
    assert class_order(seen).message == "1 golden case leads to the expected conclusion."
    assert transform_chain(seen).outcome is Outcome.PASS


def test_expected_logits_in_another_order_are_a_wrong_order_of_classes_and_no_other_chain():
    seen = evidence(case((-1.0, 2.0)))
    finding = class_order(seen)
    assert finding.outcome is Outcome.CRITICAL
    assert "1 of 1 golden case fails: golden case 1 gives the expected logits in another order." in finding.message
    assert transform_chain(seen).outcome is Outcome.PASS


def test_an_order_that_changes_no_conclusion_is_found_too():
    several = case((2.0, 1.0, -1.0), expected=(2.0, -1.0, 1.0))
    assert is_reordered(several)
    seen = evidence(several, probabilities=(0.8, 0.1, 0.1))
    assert class_order(seen).outcome is Outcome.CRITICAL


@pytest.mark.parametrize(
    ("is_input_equal", "words"),
    [
        (None, "differ by up to 0.5 (limit 0.01)."),
        (True, "so the weights, the network or the device differ"),
        (False, "so the preprocessing differs"),
    ],
)
def test_a_logit_beyond_the_tolerance_is_another_chain(is_input_equal, words):
    seen = evidence(case((1.5, -1.0), is_input_equal=is_input_equal))
    finding = transform_chain(seen)
    assert finding.outcome is Outcome.CRITICAL
    assert words in finding.message
    assert finding.value is None  # what clean studies show excuses no golden case
    assert class_order(seen).outcome is Outcome.PASS


def test_the_worst_case_is_named():
    second = GoldenCase(name="golden case 2", expected=(0.0, 0.0), tolerance=0.01, found=(3.0, 0.0))
    assert "Golden case 2" in transform_chain(evidence(case((1.5, -1.0)), second)).message


def test_a_case_that_cannot_be_run_is_a_flag_and_says_nothing_about_the_order():
    seen = evidence(case(None, reason="a slice is missing"))
    assert transform_chain(seen).outcome is Outcome.FLAG
    assert "a slice is missing" in transform_chain(seen).message
    assert class_order(seen).outcome is Outcome.NOT_EVALUABLE


def test_another_input_with_the_same_logits_is_a_note():
    finding = transform_chain(evidence(case((2.0, -1.0), is_input_equal=False)))
    assert finding.outcome is Outcome.NOTE


def test_a_conclusion_that_turns_within_the_tolerance_is_no_fault():
    seen = evidence(case((0.001, 0.0), expected=(0.0, 0.001)), probabilities=(0.5, 0.5))
    assert class_order(seen).outcome is Outcome.PASS


def test_another_conclusion_at_the_threshold_of_a_sigmoid_is_critical():
    seen = evidence(case((0.4,), expected=(-0.4,)), probabilities=(0.6,), task=Task.BINARY, thresholds={"class a": 0.5})
    assert class_order(seen).outcome is Outcome.CRITICAL
