"""Asking again gives the model's own answers, leaves it as it was, and random parameters reach the last block alone."""

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import asking
from audit_pipeline.explain.asking import input_gradient, maps_of, stage_before, with_random_block
from audit_pipeline.explain.engine import explain_batch


def network(axes):
    convolution, pool = ((nn.Conv2d, nn.AdaptiveAvgPool2d), (nn.Conv3d, nn.AdaptiveAvgPool3d))[axes - 2]
    torch.manual_seed(0)
    return nn.Sequential(
        convolution(1, 4, 3, padding=1, stride=2), nn.ReLU(), convolution(4, 6, 3, padding=1, stride=2), nn.ReLU(),
        pool(1), nn.Flatten(), nn.Linear(6, 3),
    ).eval()  # fmt: skip


def inputs_of(axes, count=5):
    return np.random.default_rng(0).normal(size=(count, 1, *[16] * axes)).astype(np.float32)


@pytest.mark.parametrize("axes", [2, 3])
def test_maps_are_those_of_the_engine_whatever_the_batch(axes, monkeypatch):
    net, inputs = network(axes), inputs_of(axes)
    whole = explain_batch(net, torch.from_numpy(inputs), methods=("gradcam",), layer="3", targets=(1,))
    monkeypatch.setattr(asking, "BATCH_ELEMENTS", 2 * inputs[0].size)
    logits, maps = maps_of(net, inputs, method="gradcam", layer="3", target=1)
    assert logits == pytest.approx(whole.logits.numpy(), abs=1e-6)
    assert maps == pytest.approx(whole.values["gradcam"][:, 0].numpy(), abs=1e-6)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_stage_before_has_the_next_finer_grid(axes):
    net, inputs = network(axes), inputs_of(axes)
    assert stage_before(net, inputs, "3") == "1"
    with pytest.raises(ExplainError, match="first stage"):
        stage_before(net, inputs, "1")


def test_random_parameters_reach_the_last_block_of_a_copy_alone():
    net, inputs = network(2), inputs_of(2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    changed = with_random_block(net, inputs, seed=1).state_dict()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(changed["0.weight"], before["0.weight"])
    assert not torch.equal(changed["6.weight"], before["6.weight"])
    again, other = (with_random_block(net, inputs, seed=seed).state_dict()["6.weight"] for seed in (1, 2))
    assert torch.equal(again, changed["6.weight"])
    assert not torch.equal(other, changed["6.weight"])


@pytest.mark.parametrize("axes", [2, 3])
def test_the_gradient_of_a_linear_model_is_its_weights(axes):
    inputs = inputs_of(axes, 2)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].size, 3)).eval()
    found = input_gradient(linear, inputs, 2)
    weights = linear[1].weight[2].detach().numpy().reshape(inputs.shape[1:])
    assert found == pytest.approx(np.stack([weights, weights]), abs=1e-6)


def test_asking_for_a_gradient_leaves_flags_and_gradients_alone():
    net = network(2)
    net[0].weight.requires_grad = False
    input_gradient(net, inputs_of(2, 1), 0)
    assert not net[0].weight.requires_grad
    assert net[2].weight.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def test_draws_with_dropout_differ_repeat_with_the_seed_and_leave_no_trace():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 3)).eval()
    inputs = inputs_of(2, 1)
    state = torch.get_rng_state()
    first, again, other = (asking.dropout_draws(net, inputs, 6, seed) for seed in (1, 1, 2))
    assert first.shape == (6, 3)
    assert len({row.tobytes() for row in first}) == 6
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert not net[1].training


def test_a_network_without_dropout_says_so():
    with pytest.raises(ExplainError, match="drops anything"):
        asking.dropout_draws(network(2), inputs_of(2, 1), 3, 0)
