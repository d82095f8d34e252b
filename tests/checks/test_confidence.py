"""Near the threshold, undecided, and impossible outputs."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_prediction
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.checks.confidence import entropy, low_margin, near_threshold, wrong_activation
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task


def judged(check, *given, **settings):
    names = ("probabilities", "logits", "task", "thresholds")
    return check(make_evidence(prediction=make_prediction(**dict(zip(names, given, strict=False)))), **settings)


@pytest.mark.parametrize(
    ("probability", "outcome"),
    [(0.52, Outcome.FLAG), (0.48, Outcome.FLAG), (0.55, Outcome.NOTE), (0.45, Outcome.NOTE), (0.8, Outcome.PASS)],
)
def test_a_probability_within_the_margin_of_its_threshold_is_noted_and_on_it_flagged(probability, outcome):
    finding = judged(near_threshold, (probability,), None, Task.BINARY, {"class a": 0.5})
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(abs(probability - 0.5))
    assert finding.limit == pytest.approx(0.05)


def test_the_closest_of_several_classes_is_reported_by_name():
    finding = judged(
        near_threshold, (0.9, 0.31, 0.2), None, Task.MULTILABEL, {"class a": 0.5, "class b": 0.3, "class c": 0.4}
    )
    assert finding.outcome is Outcome.FLAG
    assert finding.message.startswith("class b: the probability 0.31 lies 0.01 from the operating point 0.3")


def test_the_margin_widens_with_the_spread_under_harmless_changes():
    chances = np.asarray([[0.5], [0.7]] * 5)
    prediction = make_prediction((0.65,), task=Task.BINARY, thresholds={"class a": 0.5})
    evidence = make_evidence(
        prediction=prediction, answers={"benign": Answer(logits=np.zeros((10, 1)), probabilities=chances)}
    )
    finding = near_threshold(evidence)
    assert (finding.outcome, finding.limit) == (Outcome.NOTE, pytest.approx(1.96 * 0.1))
    assert near_threshold(make_evidence(prediction=prediction)).outcome is Outcome.PASS


def test_without_an_operating_point_nothing_is_near_it():
    assert judged(near_threshold, (0.6, 0.4)).outcome is Outcome.NOT_EVALUABLE


def test_the_entropy_of_uniform_probabilities_is_one_and_of_a_quarter_is_its_closed_form():
    assert entropy(np.full(7, 1 / 7)) == pytest.approx(1)
    expected = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert entropy(np.asarray([0.25, 0.75])) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda values: sum(values) > 0))
def test_the_entropy_does_not_depend_on_the_order_of_classes(values):
    shares = np.asarray(values) / np.sum(values)
    assert entropy(shares) == pytest.approx(entropy(shares[::-1]))
    assert 0 <= entropy(shares) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("probabilities", "outcome", "value"),
    [
        ((0.52, 0.48), Outcome.NOTE, 0.04),
        ((0.505, 0.495), Outcome.FLAG, 0.01),
        ((0.48, 0.45, 0.07), Outcome.NOTE, 0.03),
        ((0.9, 0.1), Outcome.PASS, 0.8),
        ((0.45, 0.2, 0.2, 0.15), Outcome.NOTE, entropy(np.asarray([0.45, 0.2, 0.2, 0.15]))),
    ],
)
def test_an_undecided_choice_between_classes_is_noted_and_a_tie_flagged(probabilities, outcome, value):
    finding = judged(low_margin, probabilities)
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(value)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTILABEL])
def test_a_label_near_one_half_is_flagged_by_its_entropy_in_bits(task):
    finding = judged(low_margin, (0.5,), None, task)
    assert (finding.outcome, finding.value) == (Outcome.FLAG, pytest.approx(1))
    assert judged(low_margin, (0.05,), None, task).outcome is Outcome.PASS


def test_the_most_uncertain_label_is_reported():
    finding = judged(low_margin, (0.99, 0.6, 0.01), None, Task.MULTILABEL)
    assert finding.outcome is Outcome.NOTE
    assert finding.message.startswith("class b")


def test_impossible_probabilities_have_no_margin():
    assert judged(low_margin, (float("nan"), 0.5)).outcome is Outcome.NOT_EVALUABLE
    assert judged(low_margin, (1.0,)).outcome is Outcome.NOT_EVALUABLE


def softmax(logits):
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return tuple(powers / powers.sum())


def sigmoid(logits):
    return tuple(1 / (1 + np.exp(-np.asarray(logits))))


@pytest.mark.parametrize("logits", [(2.0, -1.0), (0.3, 0.2, 4.0), (-3.0, -2.0, 1.0, 0.0)])
def test_right_softmax_and_sigmoid_outputs_pass(logits):
    assert judged(wrong_activation, softmax(logits), logits).outcome is Outcome.PASS
    assert judged(wrong_activation, sigmoid(logits), logits, Task.MULTILABEL).outcome is Outcome.PASS
    assert judged(wrong_activation, sigmoid(logits[:1]), logits[:1], Task.BINARY).outcome is Outcome.PASS


def test_probabilities_that_do_not_sum_to_one_are_critical():
    finding = judged(wrong_activation, (0.9, 0.8), (2.2, 1.4))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value == pytest.approx(0.7)
    assert "sum to 1.7000 instead of 1" in finding.message


def test_a_softmax_applied_twice_shows_in_the_logits():
    finding = judged(wrong_activation, softmax(softmax((2.0, -1.0, 0.5))), softmax((2.0, -1.0, 0.5)))
    assert finding.outcome is Outcome.CRITICAL
    assert "probabilities already" in finding.message


@pytest.mark.parametrize(
    ("labels", "outcome"), [(1, Outcome.PASS), (3, Outcome.NOTE), (4, Outcome.CRITICAL), (14, Outcome.CRITICAL)]
)
def test_a_sigmoid_applied_twice_shows_when_there_are_enough_labels(labels, outcome):
    once = sigmoid(np.linspace(-4, 4, labels))
    task = Task.BINARY if labels == 1 else Task.MULTILABEL
    assert judged(wrong_activation, sigmoid(once), once, task).outcome is outcome


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_is_critical(wrong):
    finding = judged(wrong_activation, (0.5, 0.5), (wrong, 0.0))
    assert finding.outcome is Outcome.CRITICAL
    assert "1 logit or probability is not finite" in finding.message


def test_a_probability_outside_its_range_is_critical():
    assert judged(wrong_activation, (1.2, -0.2), (1.0, 0.0)).outcome is Outcome.CRITICAL


def test_a_huge_logit_is_flagged():
    finding = judged(wrong_activation, (1.0, 0.0), (45.0, -3.0))
    assert (finding.outcome, finding.value, finding.limit) == (Outcome.FLAG, 45.0, 30.0)


@pytest.mark.parametrize("threshold", [0.1, 0.42])
def test_a_label_with_an_operating_point_is_not_undecided_at_one_half(threshold):
    finding = judged(low_margin, (0.5,), None, Task.BINARY, {"class a": threshold})
    assert (finding.outcome, finding.value) == (Outcome.NOTE, pytest.approx(1))
