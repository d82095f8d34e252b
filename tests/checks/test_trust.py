"""Class order, label sets and reliability from labelled reference studies; one slice; thin margins; dropout."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_prediction, make_prepared

from audit_pipeline.checks.aggregation import lone_slice
from audit_pipeline.checks.labelled import labelled, wilson
from audit_pipeline.checks.margins import dropout_disagrees, mutual_information, thin_margin
from audit_pipeline.checks.trust import class_order, label_set, unreliable_probability
from audit_pipeline.evidence import Answer, Reference, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import PartScores, Task

NAMES = ("class a", "class b", "class c")


def known(logits, labels):
    size = len(labels)
    return Reference(
        features=np.zeros((size, 1)), intensities=np.zeros((size, 4)), digest="", logits=np.asarray(logits),
        labels=tuple(labels),
    )  # fmt: skip


def skilled(size=90, skill=4.0, classes=3, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, size)
    return random.standard_normal((size, classes)) + skill * np.eye(classes)[truth], truth


def test_the_declared_order_of_classes_fits_its_labels():
    logits, truth = skilled()
    evidence = make_evidence(
        prediction=make_prediction((0.8, 0.1, 0.1)), reference=known(logits, np.take(NAMES, truth))
    )
    finding = class_order(evidence)
    assert finding.outcome is Outcome.PASS
    assert finding.value > 0.95


def test_permuted_classes_are_critical_and_named():
    logits, truth = skilled()
    permuted = np.take(NAMES, (truth + 1) % 3)
    finding = class_order(make_evidence(prediction=make_prediction((0.8, 0.1, 0.1)), reference=known(logits, permuted)))
    assert finding.outcome is Outcome.CRITICAL
    assert "class b is output 1" in finding.message


@pytest.mark.parametrize(("sign", "outcome", "auroc"), [(1, Outcome.PASS, 1.0), (-1, Outcome.CRITICAL, 0.0)])
def test_a_single_sigmoid_that_is_higher_without_the_finding_is_critical(sign, outcome, auroc):
    truth = np.arange(60) % 2
    logits = sign * (2.0 * truth - 1)[:, None]
    prediction = make_prediction((0.9,), task=Task.BINARY)
    finding = class_order(make_evidence(prediction=prediction, reference=known(logits, np.where(truth, "1", "no"))))
    assert (finding.outcome, finding.value) == (outcome, auroc)


def test_labels_of_one_kind_only_tell_nothing_of_the_order():
    prediction = make_prediction((0.9,), task=Task.BINARY)
    given = make_evidence(prediction=prediction, reference=known(np.ones((30, 1)), ["1"] * 30))
    assert class_order(given).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("check", [class_order, label_set, unreliable_probability])
def test_without_labelled_studies_nothing_is_known(check):
    assert check(make_evidence()).outcome is Outcome.NOT_EVALUABLE
    logits, _ = skilled(classes=2)
    assert check(make_evidence(reference=known(logits, ["elsewhere"] * 90))).outcome is Outcome.NOT_EVALUABLE
    three, truth = skilled()
    assert check(make_evidence(reference=known(three, np.take(NAMES, truth)))).outcome is Outcome.NOT_EVALUABLE


def test_labels_are_understood_as_in_the_cohort():
    prediction = make_prediction((0.9, 0.2), task=Task.MULTILABEL)
    reference = known(np.zeros((3, 2)), ["class A; class b", "nothing", "class b|other"])
    found = labelled(make_evidence(prediction=prediction, reference=reference), 3)
    assert found.truth.tolist() == [[True, True], [False, False], [False, True]]
    with pytest.raises(Unanswered):
        labelled(make_evidence(prediction=prediction, reference=reference), 4)


def test_the_set_of_labels_holds_those_that_conform():
    chances = np.linspace(0.505, 0.995, 99)
    logits = np.stack([np.log(chances), np.log(1 - chances)], axis=1)
    reference = known(logits, ["class a"] * 99)

    def judged(chance):
        prediction = make_prediction((chance, 1 - chance))
        return label_set(make_evidence(prediction=prediction, reference=reference))

    assert (judged(0.9).outcome, judged(0.9).value) == (Outcome.PASS, 1)
    assert (judged(0.53).outcome, judged(0.53).value) == (Outcome.NOTE, 0)
    assert judged(0.5).outcome is Outcome.FLAG
    assert "p = 0.01 " in judged(0.5).message
    assert label_set(make_evidence(prediction=make_prediction((0.9,), task=Task.MULTILABEL))).outcome is (
        Outcome.NOT_EVALUABLE
    )


def test_two_labels_that_both_conform_are_a_note():
    logits = np.asarray([[0.2, -0.2], [-0.2, 0.2]] * 50)
    reference = known(logits, ["class a"] * 100)
    finding = label_set(make_evidence(prediction=make_prediction((0.5, 0.5)), reference=reference))
    assert (finding.outcome, finding.value) == (Outcome.NOTE, 2)


@pytest.mark.parametrize(("rate", "outcome"), [(0.9, Outcome.PASS), (0.5, Outcome.NOTE)])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_a_probability_that_came_true_at_another_rate_is_a_note(rate, outcome, task):
    count = round(30 * rate)
    labels = ["class a"] * count + ["class b"] * (30 - count) + ["class b"] * 60
    high, low = np.full(30, np.log(9)), np.full(60, -np.log(9))
    evidence = np.concatenate([high, low])
    logits = evidence[:, None] if task is Task.BINARY else np.stack([evidence, 0 * evidence], axis=1)
    logits[30:, 0] -= 3
    chances = (0.9,) if task is Task.BINARY else (0.9, 0.1)
    finding = unreliable_probability(
        make_evidence(prediction=make_prediction(chances, task=task), reference=known(logits, labels))
    )
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(abs(0.9 - rate), abs=1e-6)


def test_the_wilson_interval_of_none_and_of_all_ends_at_0_and_1():
    assert wilson(0, 10, 1.96)[0] == 0
    assert wilson(10, 10, 1.96)[1] == pytest.approx(1)


def sliced(evidence, threshold=0.5):
    logits = {"class a": tuple(-x / 2 for x in evidence), "class b": tuple(x / 2 for x in evidence)}
    parts = PartScores(
        kind="slice", rule="the largest", logits=logits, counted={}, axis=0,
        centres=tuple((float(place), 0.0, 0.0) for place in range(len(evidence))),
    )  # fmt: skip
    top = 1 / (1 + np.exp(-max(evidence)))
    prediction = make_prediction((1 - top, top), thresholds={"class b": threshold})
    return make_evidence(prediction=replace(prediction, parts=parts))


@pytest.mark.parametrize(
    ("evidence", "outcome", "slices"),
    [
        ([-4.0] * 10 + [3.0] + [-4.0] * 10, Outcome.FLAG, (10,)),
        ([3.0] + [-4.0] * 20, Outcome.FLAG, (0,)),
        ([-4.0] * 10 + [3.0, 2.0, 1.0] + [-4.0] * 10, Outcome.PASS, (10, 11, 12)),
        ([-4.0] * 10 + [3.0, -0.5] + [-4.0] * 10, Outcome.PASS, (10,)),
        ([-4.0] * 150 + [3.0, 2.0] + [-4.0] * 150, Outcome.NOTE, (150, 151)),
    ],
)
def test_a_slice_that_stands_alone_is_flagged(evidence, outcome, slices):
    finding = lone_slice(sliced(evidence))
    assert (finding.outcome, finding.slices) == (outcome, slices)


def test_models_that_read_at_once_or_conclude_nothing_have_no_lone_slice():
    assert lone_slice(make_evidence()).outcome is Outcome.NOT_EVALUABLE
    assert lone_slice(sliced([-4.0] * 9)).outcome is Outcome.NOT_EVALUABLE


class Linear:
    """``z = (-w.x - b, w.x + b) / 2``, whose adversarial step has a closed form."""

    def __init__(self, weights, bias):
        self.weights, self.bias = weights, bias

    def predict(self, inputs):
        evidence = (inputs * self.weights).reshape(len(inputs), -1).sum(axis=1) + self.bias
        logits = np.stack([-evidence, evidence], axis=1) / 2
        return Answer(logits=logits, probabilities=np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))

    def gradient(self, inputs, target):
        return np.broadcast_to((target - 0.5) * self.weights, inputs.shape)


@pytest.mark.parametrize("shape", [(32, 32), (12, 16, 16)])
@pytest.mark.parametrize(("sigmas", "outcome"), [(0.3, Outcome.FLAG), (3.0, Outcome.PASS), (40.0, Outcome.PASS)])
def test_the_step_that_turns_a_linear_model_is_its_margin_over_its_weights(shape, sigmas, outcome):
    random = np.random.default_rng(0)
    values = (5 + 0.1 * random.standard_normal(shape)).astype(np.float32)[None]
    weights = 0.01 * np.sign(random.standard_normal(shape))[None]
    own = float((values * weights).sum())
    model = Linear(weights, sigmas * 0.1 * 0.01 * values.size - own)
    logits = tuple(model.predict(values[None]).logits[0])
    chances = tuple(model.predict(values[None]).probabilities[0])
    prediction = replace(make_prediction(chances, logits), predicted=("class b",))
    finding = thin_margin(make_evidence(prepared=make_prepared(values), prediction=prediction, model=model))
    assert finding.outcome is outcome
    assert finding.value == {0.3: 0.354, 3.0: 4.0, 40.0: 4.0}[sigmas]


def test_an_input_without_noise_has_no_step():
    given = make_evidence(prepared=make_prepared(np.ones((1, 32, 32))), model=Linear(np.ones((1, 32, 32)), 0.0))
    assert thin_margin(given).outcome is Outcome.NOT_EVALUABLE


def test_the_mutual_information_of_draws_that_agree_is_none_and_of_opposites_one_bit():
    assert mutual_information(np.tile([[0.3, 0.7]], (5, 1)), Task.MULTICLASS) == pytest.approx(0)
    assert mutual_information(np.asarray([[0.0], [1.0]]), Task.BINARY) == pytest.approx(1)


class Dropping:
    """A model whose draws with dropout are given."""

    def __init__(self, chances):
        self.chances = np.asarray(chances)[:, None]

    def sample(self, _inputs, draws):
        return Answer(logits=np.zeros((draws, 1)), probabilities=np.resize(self.chances, (draws, 1)))


@pytest.mark.parametrize(("chances", "outcome", "share"), [([0.8], Outcome.PASS, 0.0), ([0.8, 0.4], Outcome.FLAG, 0.5)])
def test_draws_that_decide_otherwise_are_flagged(chances, outcome, share):
    prediction = make_prediction((0.8,), task=Task.BINARY, thresholds={"class a": 0.5})
    finding = dropout_disagrees(make_evidence(prediction=prediction, model=Dropping(chances)))
    assert (finding.outcome, finding.value) == (outcome, share)


def test_a_model_without_dropout_to_switch_on_is_not_evaluable():
    assert dropout_disagrees(make_evidence()).outcome is Outcome.NOT_EVALUABLE
