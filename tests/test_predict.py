"""Prediction: closed forms of the probabilities, and what is concluded from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from audit_pipeline.card import read_card
from audit_pipeline.conclusion import conclude
from audit_pipeline.errors import ConfigError, ModelError
from audit_pipeline.predict import choose_targets, forward, predict, probabilities
from audit_pipeline.records import Task

CLASSES = ["clear", "nodule", "mass"]


def card(task="multiclass", classes=CLASSES, thresholds=None):
    content = {"name": "n", "version": "1", "task": task, "classes": classes, "thresholds": thresholds or {}}
    content |= {"spatial_dims": 2, "input": {"size": [4, 4], "intensity": {"zscore": {}}}, "factory": "a:b"}
    return read_card(content)


@given(st.lists(st.floats(-80, 80), min_size=2, max_size=6))
def test_softmax_sums_to_one_and_keeps_the_order(logits):
    chances = probabilities(logits, Task.MULTICLASS)
    assert sum(chances) == pytest.approx(1)
    assert int(np.argmax(chances)) == int(np.argmax(logits)) or max(chances) == chances[int(np.argmax(logits))]


def test_sigmoid_is_exact_and_does_not_overflow():
    found = probabilities([0, np.log(3), -2000, 2000], Task.MULTILABEL)
    assert found == pytest.approx((0.5, 0.75, 0.0, 1.0))


@pytest.mark.parametrize(
    ("chances", "thresholds", "task", "expected"),
    [
        ((0.5, 0.3, 0.2), {}, Task.MULTICLASS, ("clear",)),
        ((0.5, 0.3, 0.2), {"nodule": 0.25}, Task.MULTICLASS, ("nodule",)),
        ((0.5, 0.3, 0.2), {"nodule": 0.25, "mass": 0.1}, Task.MULTICLASS, ("nodule",)),
        ((0.2, 0.6, 0.2), {"nodule": 0.7}, Task.MULTICLASS, ("clear",)),
        ((0.2, 0.6, 0.2), {"clear": 0.9, "nodule": 0.9, "mass": 0.9}, Task.MULTICLASS, ("nodule",)),
        ((0.6, 0.4, 0.5), {"nodule": 0.3}, Task.MULTILABEL, ("clear", "nodule", "mass")),
        ((0.4, 0.2, 0.1), {}, Task.MULTILABEL, ()),
    ],
)
def test_conclusions_follow_the_written_rule(chances, thresholds, task, expected):
    assert conclude(CLASSES, chances, thresholds, task) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("top1", (1,)), ("top2", (1, 0)), ("top9", (1, 0, 2)), ("all", (1, 0, 2)), ("predicted", (1,)), ("mass", (2,))],
)
def test_targets_are_chosen_by_probability(wanted, expected):
    assert choose_targets(wanted, [1.0, 2.0, -1.0], card()) == expected


def test_named_targets_keep_the_order_of_probability():
    assert choose_targets(["clear", "nodule"], [1.0, 2.0, -1.0], card()) == (1, 0)


def test_nothing_predicted_still_explains_the_most_probable_class():
    assert choose_targets("predicted", [-3.0, -2.0, -4.0], card("multilabel")) == (1,)


def test_an_unknown_target_is_answered_with_the_nearest_class():
    with pytest.raises(ConfigError, match="did you mean 'nodule'"):
        choose_targets("nodul", [0.0, 0.0, 0.0], card())


def test_a_prediction_carries_logits_probabilities_and_device():
    found = predict([0.0, 2.0, 0.0], [1.5], card(thresholds={"nodule": 0.4}), "cpu")
    assert found.predicted == ("nodule",)
    assert found.probabilities[1] == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert (found.device, found.precision, found.features) == ("cpu", "fp32", (1.5,))


def test_logits_that_do_not_fit_or_are_not_finite_are_refused():
    with pytest.raises(ModelError, match="returns 2 logits, the model card names 3 classes"):
        predict([0.0, 1.0], [], card(), "cpu")
    with pytest.raises(ModelError, match="not finite"):
        predict([0.0, np.nan, 1.0], [], card(), "cpu")


def test_batches_of_any_size_give_the_same_logits(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    inputs = np.random.default_rng(0).normal(size=(5, 1, 4, 4)).astype(np.float32)
    whole = forward(network, torch.device("cpu"), inputs)
    monkeypatch.setattr("audit_pipeline.predict.BATCH_BYTES", 1)
    np.testing.assert_allclose(forward(network, torch.device("cpu"), inputs), whole, atol=1e-6)
    assert whole.dtype == np.float64


def test_a_network_that_returns_maps_is_refused():
    with pytest.raises(ModelError, match="one row of logits"):
        forward(nn.Conv2d(1, 2, 1), torch.device("cpu"), np.zeros((1, 1, 4, 4), np.float32))
