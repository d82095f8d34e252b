"""A blank map is a finding: each cause is planted in a network, in 2D and 3D, and told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.explain.blank import SATURATED_SHARE, classify, gradient_facts

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
both = pytest.mark.parametrize("dimensions", [2, 3])


class Planted(nn.Module):
    """One convolution with positive activations, the mean over space, a linear layer and what is planted behind it."""

    def __init__(self, dimensions, behind, weight=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(CONV[dimensions](1, 4, 3, 2, 1), nn.Softplus())
        self.fc = nn.Linear(4, 1, bias=False)
        nn.init.constant_(self.fc.weight, weight)
        self.behind = behind

    def answer(self, activations):
        return self.behind(self.fc(activations.flatten(2).mean(2)), activations)


def found_for(net, dimensions, *, floor=1e-9, is_replayed=True):
    images = torch.randn(1, 1, *[12] * dimensions, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        given = net.features(images)
    leaf = given.clone().requires_grad_()
    output = net.answer(leaf)[0, 0]
    gradient = None
    if output.requires_grad:
        (gradient,) = torch.autograd.grad(output, leaf, allow_unused=True)
    at_zero = float(net.answer(torch.zeros_like(given)).detach()[0, 0]) if is_replayed else None
    values = torch.zeros_like(given[:, 0]) if gradient is None else (gradient * given).sum(1)
    facts = gradient_facts(given[0], None if gradient is None else gradient[0], float(output.detach()), at_zero)
    return classify(values[0].numpy(), facts, floor), facts


@both
def test_a_map_with_evidence_for_the_class_is_not_blank(dimensions):
    assert found_for(Planted(dimensions, lambda z, _a: z), dimensions)[0] is None


@both
def test_a_target_that_does_not_use_the_layer_is_disconnected(dimensions):
    constant = nn.Parameter(torch.ones(1, 1))
    blank, _ = found_for(Planted(dimensions, lambda _z, _a: constant * 3), dimensions)
    assert blank.kind == "disconnected"


@both
@pytest.mark.parametrize("is_replayed", [True, False])
def test_a_dead_rectifier_behind_the_layer_is_a_zero_gradient(dimensions, is_replayed):
    net = Planted(dimensions, lambda z, _a: torch.relu(z - 1000))
    blank, facts = found_for(net, dimensions, is_replayed=is_replayed)
    assert blank.kind == "zero gradient"
    assert facts.largest == 0


@both
@pytest.mark.parametrize(
    "behind",
    [
        lambda z, _a: torch.sigmoid(30 * z),
        lambda z, _a: 1 - torch.sigmoid(30 * z),
        lambda z, _a: torch.tanh(30 * z),
        lambda z, _a: torch.softmax(torch.cat([40 * z, -40 * z], dim=1), dim=1),
        lambda z, _a: z.clamp(max=0.1),
    ],
    ids=["sigmoid", "falling sigmoid", "tanh", "softmax", "clamp"],
)
def test_an_output_pinned_to_its_bound_by_the_layer_is_saturated(dimensions, behind):
    blank, facts = found_for(Planted(dimensions, behind), dimensions)
    assert blank.kind == "saturated"
    assert facts.energy < SATURATED_SHARE * facts.effect
    assert "before the saturation" in blank.sentence


@both
def test_a_large_logit_alone_is_not_saturation(dimensions):
    assert found_for(Planted(dimensions, lambda z, _a: 100 * z), dimensions)[0] is None


def test_the_limit_of_saturation_is_a_sigmoid_of_about_seven():
    """At z the first-order share of 1 / (1 + exp(-z)) - 1 / 2 is z s (1 - s) / (s - 1 / 2)."""

    def share(z):
        value = 1 / (1 + math.exp(-z))
        return z * value * (1 - value) / (value - 0.5)

    assert share(7.5) < SATURATED_SHARE < share(6.5)


@both
def test_evidence_only_against_the_class_is_all_negative(dimensions):
    blank, _ = found_for(Planted(dimensions, lambda z, _a: z, weight=-1.0), dimensions)
    assert blank.kind == "all negative"
    assert blank.numbers["highest"] < 0
    assert "against the class" in blank.sentence


@both
def test_weights_that_are_not_finite_are_told_as_such(dimensions):
    blank, _ = found_for(Planted(dimensions, lambda z, _a: z, weight=float("nan")), dimensions)
    assert blank.kind == "not finite"


@both
def test_an_overflow_in_the_map_alone_is_not_finite(dimensions):
    values = np.ones((3,) * dimensions, np.float32)
    values[(1,) * dimensions] = np.inf
    facts = gradient_facts(torch.ones(1, 3), torch.ones(1, 3), 1.0)
    assert classify(values, facts, 0.0).sentence.startswith(f"Not finite: {1 / values.size:.1%}")


@both
def test_channels_that_cancel_leave_a_map_below_the_noise_floor(dimensions):
    net = Planted(dimensions, lambda z, _a: z)
    conv = net.features[0]
    conv.weight.data[2:], conv.bias.data[2:] = conv.weight.data[:2], conv.bias.data[:2]
    net.fc.weight.data = torch.tensor([[1.0, 2.0, -1.0, -2.0 - 1e-7]])
    blank, facts = found_for(net, dimensions, floor=1e-6)
    assert blank.kind == "below floor"
    assert facts.largest > 1e-3


@both
def test_a_layer_that_gives_the_same_everywhere_has_a_constant_map(dimensions):
    net = Planted(dimensions, lambda z, _a: z)
    nn.init.zeros_(net.features[0].weight)
    blank, _ = found_for(net, dimensions)
    assert blank.kind == "constant"


@both
def test_a_silent_layer_is_told_from_a_zero_gradient(dimensions):
    net = Planted(dimensions, lambda z, _a: z)
    net.features[1] = nn.ReLU()
    nn.init.constant_(net.features[0].bias, -1000.0)
    blank, facts = found_for(net, dimensions)
    assert blank.kind == "no activation"
    assert facts.largest > 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_cause_does_not_depend_on_the_scale_of_the_logits(scale):
    kinds = []
    for behind in (lambda z, _a: z, lambda z, _a: -z, lambda z, _a: torch.tanh(30 * z)):
        blank, _ = found_for(Planted(3, lambda z, a, behind=behind: scale * behind(z, a)), 3, floor=1e-9 * scale)
        kinds.append(blank.kind if blank else None)
    assert kinds == [None, "all negative", "saturated"]
