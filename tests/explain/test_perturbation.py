"""Perturbation methods: closed forms on linear models, captum and the definition as oracles, planted evidence wins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from sklearn.linear_model import Ridge
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import baseline_of
from audit_pipeline.explain.coalitions import lime_coalitions, lime_values, shapley_coalitions, shapley_values
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.supervoxels import supervoxels

both = pytest.mark.parametrize("dimensions", [2, 3])
METHODS = ("occlusion", "rise", "kernel_shap", "lime")
SMALL = {
    "occlusion": {}, "rise": {"samples": 60}, "kernel_shap": {"n_segments": 5},
    "lime": {"n_segments": 5, "samples": 40},
}  # fmt: skip
every = pytest.mark.parametrize("method", METHODS)


def values_of(model, images, method, layer=None, targets=None, seed=0, batch=16, **settings):
    maps = explain_batch(model, images, methods=[method], layer=layer, targets=targets, seed=seed, batch=batch,
                         settings={method: settings})  # fmt: skip
    return maps.values[method]


class Hot(nn.Module):
    """The first logit is the mean of the image in one box, the second minus that, the third ignores the image."""

    def __init__(self, box, shape) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[len(shape)]
        self.same = convolution(1, 1, 1, bias=False)
        self.same.weight.data[:] = 1
        weights = torch.zeros(3, *shape)
        weights[(0, *box)] = 1 / weights[(0, *box)].numel()
        weights[1] = -weights[0]
        self.register_buffer("weights", weights.flatten(1))

    def forward(self, images):
        return self.same(images).flatten(1) @ self.weights.T + torch.tensor([0.0, 5.0, 1.0])


def hot(dimensions, side=24):
    box = tuple([slice(14, 19), slice(4, 9), slice(9, 14)][:dimensions])
    images = torch.rand(1, 1, *[side] * dimensions, generator=torch.Generator().manual_seed(0)) * 0.1
    images[(0, 0, *box)] += 4
    return Hot(box, [side] * dimensions).eval(), images, box


@pytest.mark.parametrize(
    ("dimensions", "window", "stride"),
    [(2, 4, 4), (2, 5, 3), (2, [6, 4], [2, 3]), (2, 16, 1), (2, 3, 2), (3, 8, 5), (3, [4, 8, 6], [4, 3, 6])],
)
def test_occlusion_equals_captum(make_net, make_batch, dimensions, window, stride):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    found = values_of(net, images, "occlusion", window=window, stride=stride, baseline="zero")
    sizes = [list(one) if isinstance(one, list) else [one] * dimensions for one in (window, stride)]
    for target in range(3):
        expected = Occlusion(net).attribute(
            images, sliding_window_shapes=(1, *sizes[0]), strides=(1, *sizes[1]), target=target,
            perturbations_per_eval=8,
        )  # fmt: skip
        torch.testing.assert_close(found[:, target], expected[:, 0].detach(), rtol=1e-4, atol=1e-6)


@both
def test_occlusion_voxel_by_voxel_of_a_linear_model_is_weight_times_distance_to_the_baseline(dimensions):
    model, images, _ = hot(dimensions, side=20 if dimensions == 2 else 19)
    if dimensions == 3:
        images, model.weights = images[..., :4, :4, :4], torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    found = values_of(model, images, "occlusion", window=1, stride=1)
    expected = model.weights.reshape(3, *images.shape[2:]) * (images - images.min())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_shares_of_the_image_are_windows_in_voxels(make_net, make_batch):
    net, images = make_net(2, "flat"), make_batch(2)
    share = values_of(net, images, "occlusion", window=0.25, stride=0.125)
    torch.testing.assert_close(share, values_of(net, images, "occlusion", window=4, stride=2), rtol=0, atol=0)


@both
@every
def test_a_planted_hot_box_wins_with_the_sign_of_its_class(dimensions, method):
    model, images, box = hot(dimensions)
    settings = {"occlusion": {}, "rise": {"samples": 400}, "kernel_shap": {"n_segments": 40, "samples": 400},
                "lime": {"n_segments": 40, "samples": 400}}[method]  # fmt: skip
    found = values_of(model, images, method, **settings)[0]
    inside = torch.zeros(images.shape[2:], dtype=torch.bool)
    inside[box] = True
    peak = np.array(np.unravel_index(int(found[0].argmax()), found[0].shape))
    centre = np.array([(part.start + part.stop - 1) / 2 for part in box])
    assert np.abs(peak - centre).max() <= 3
    assert found[0][inside].mean() > found[0][~inside].max() / 2
    assert found[0][inside].mean() > 3 * found[0][~inside].mean()
    torch.testing.assert_close(found[1], -found[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[2], torch.zeros_like(found[2]), rtol=0, atol=1e-5)


@both
@pytest.mark.parametrize("n_segments", [4, 40])
def test_shapley_values_sum_to_the_logit_minus_that_of_the_baseline(make_net, make_batch, dimensions, n_segments):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    found = values_of(net, images, "kernel_shap", n_segments=n_segments, samples=200)
    difference = (net(images) - net(baseline_of(images, "lowest"))).detach()
    torch.testing.assert_close(found.flatten(2).sum(2), difference, rtol=1e-4, atol=1e-5)


def exact_shapley(players, game):
    """Return the definition: the mean over all orders of what a player adds, by subsets."""
    values = torch.zeros(players, dtype=torch.float64)
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for chosen in itertools.combinations(others, size):
                values[player] += weight * (game({*chosen, player}) - game(set(chosen)))
    return values


@pytest.mark.parametrize("players", [1, 2, 3, 5, 6])
def test_tiny_games_have_their_exact_shapley_values(players):
    draws = np.random.default_rng(players)
    table = {frozenset(chosen): draws.normal() for size in range(players + 1)
             for chosen in itertools.combinations(range(players), size)}  # fmt: skip

    def game(chosen):
        return table[frozenset(chosen)]

    coalitions, weights = shapley_coalitions(players, 64, torch.Generator().manual_seed(0))
    assert len(coalitions) == 2**players - 2
    answers = torch.tensor([[game(np.flatnonzero(row.numpy()).tolist())] for row in coalitions]).reshape(-1, 1)
    found = shapley_values(coalitions, weights, answers, torch.tensor([game([])]), torch.tensor([game(range(players))]))
    torch.testing.assert_close(found[:, 0], exact_shapley(players, game), rtol=1e-6, atol=1e-8)


def test_kernel_shap_of_a_network_equals_the_definition_on_its_supervoxels(make_net, make_batch):
    net, images = make_net(2, "flat"), make_batch(2, count=1)
    labels = torch.from_numpy(supervoxels(images[0].numpy(), 5))
    players = int(labels.max()) + 1
    baseline = baseline_of(images, "lowest")

    def game(chosen):
        visible = torch.isin(labels, torch.tensor(sorted(chosen), dtype=torch.int64))
        return net(torch.where(visible, images, baseline))[0, 1].double().item()

    found = values_of(net, images, "kernel_shap", n_segments=5)[0, 1]
    summed = torch.stack([found[labels == label].sum() for label in range(players)]).double()
    torch.testing.assert_close(summed, exact_shapley(players, game), rtol=1e-4, atol=1e-6)


def test_sampled_coalitions_come_in_complementary_pairs_with_sizes_of_the_shapley_kernel():
    coalitions, weights = shapley_coalitions(12, 4000, torch.Generator().manual_seed(0))
    assert coalitions.shape == (4000, 12)
    assert (coalitions[::2] == ~coalitions[1::2]).all()
    assert (weights == 1).all()
    sizes = torch.bincount(coalitions.sum(1), minlength=13)[1:12] / 4000
    expected = torch.tensor([1 / (size * (12 - size)) for size in range(1, 12)])
    torch.testing.assert_close(sizes, expected / expected.sum(), rtol=0, atol=0.02)


def test_too_few_samples_for_the_segments_are_refused(make_net, make_batch):
    with pytest.raises(ExplainError, match="samples do not determine the values of"):
        values_of(make_net(2), make_batch(2), "kernel_shap", n_segments=40, samples=10)


@both
@pytest.mark.parametrize("method", ["kernel_shap", "lime"])
def test_on_a_linear_model_every_supervoxel_has_the_sum_of_weight_times_distance(dimensions, method):
    model, images, _ = hot(dimensions)
    found = values_of(
        model, images, method, n_segments=12, samples=300, **({"ridge": 1e-9} if method == "lime" else {})
    )
    labels = torch.from_numpy(supervoxels(images[0].numpy(), 12))
    expected = (model.weights[0].reshape(images.shape[2:]) * (images - images.min()))[0, 0]
    for label in range(int(labels.max()) + 1):
        piece = labels == label
        torch.testing.assert_close(found[0, 0][piece].sum(), expected[piece].sum(), rtol=1e-3, atol=1e-4)
        assert found[0, 0][piece].unique().numel() == 1


@pytest.mark.parametrize("width", [0.05, 0.25, 50.0])
def test_lime_is_a_ridge_weighted_by_the_distance_to_the_full_coalition(width):
    coalitions = lime_coalitions(6, 300, torch.Generator().manual_seed(0))
    assert coalitions[0].all()
    answers = torch.randn(300, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    answers[:, 0] += (coalitions.sum(1) >= 5).double()
    share = coalitions.double().mean(1).numpy()
    weights = np.exp(-((1 - np.sqrt(share)) ** 2) / width**2)
    oracle = Ridge(alpha=1e-3).fit(coalitions.numpy(), answers.numpy(), sample_weight=weights / weights.sum())
    found = lime_values(coalitions, answers, width=width, ridge=1e-3)
    np.testing.assert_allclose(found.numpy(), oracle.coef_.T, rtol=1e-6, atol=1e-9)


@both
def test_rise_is_the_mean_logit_where_a_voxel_is_visible_minus_the_mean(dimensions):
    side = 12
    model, images, _ = hot(dimensions, side=24)
    images = images[(..., *[slice(0, side)] * dimensions)]
    model.weights = torch.randn(3, side**dimensions, generator=torch.Generator().manual_seed(3)) / side
    seen = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, given):
            logits = self.inner(given)
            if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
                seen.append((given.clone(), logits.clone()))
            return logits

    found = values_of(Watched().eval(), images, "rise", layer="inner.same", samples=48, batch=16, baseline="zero")[0]
    masked = torch.cat([given for given, _ in seen if len(given) == 16])[:, 0]
    logits = torch.cat([logits for given, logits in seen if len(given) == 16])
    masks = masked / images[0, 0]
    expected = torch.einsum("nk,n...->k...", logits, masks) / masks.sum(0)
    expected = expected - logits.mean(0).reshape(-1, *[1] * dimensions)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert masks.min() >= -1e-6
    assert masks.max() <= 1 + 1e-6
    assert masks.mean() == pytest.approx(0.5, abs=0.05)


@every
def test_one_seed_gives_one_map_whatever_the_batch(make_net, make_batch, method):
    net, images = make_net(2, "flat"), make_batch(2, count=3)
    first = values_of(net, images, method, seed=5, batch=16, **SMALL[method])
    assert torch.equal(first, values_of(net, images, method, seed=5, batch=16, **SMALL[method]))
    alone = values_of(net, images[1:2], method, seed=5, batch=16, **SMALL[method])
    torch.testing.assert_close(first[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "lime"])
def test_the_number_of_images_in_a_forward_pass_does_not_matter(make_net, make_batch, method):
    net, images = make_net(2, "flat"), make_batch(2)
    few, many = (values_of(net, images, method, batch=batch, **SMALL[method]) for batch in (1, 64))
    torch.testing.assert_close(few, many, rtol=1e-4, atol=1e-6)


@every
def test_another_seed_gives_another_map_unless_nothing_is_drawn(make_net, make_batch, method):
    net, images = make_net(2, "flat"), make_batch(2)
    maps = [values_of(net, images, method, seed=seed, **SMALL[method]) for seed in (1, 2)]
    assert torch.equal(*maps) == (method in {"occlusion", "kernel_shap"})


@every
def test_a_map_has_one_column_per_target_in_the_order_given(make_net, make_batch, method):
    net, images = make_net(3, "flat", side=8), make_batch(3, side=8)
    full = values_of(net, images, method, **SMALL[method])
    assert full.shape == (2, 3, 8, 8, 8)
    some = values_of(net, images, method, targets=[2, 0], **SMALL[method])
    torch.testing.assert_close(some, full[:, [2, 0]], rtol=1e-4, atol=1e-6)


@every
@pytest.mark.parametrize("is_broken", [False, True])
def test_model_and_random_state_leave_as_they_came_also_after_an_error(make_net, make_batch, method, is_broken):
    net = make_net(2, "flat", in_place=True)
    net.stem.train()
    calls = []

    def fail_late(*_):
        calls.append(1)
        if is_broken and len(calls) > 2:
            raise IndexError("in the head")

    net.fc.register_forward_hook(fail_late)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    hooks = [len(module._forward_hooks) for module in net.modules()]
    state = torch.get_rng_state()
    images = make_batch(2)
    given = images.clone()
    if is_broken:
        with pytest.raises(IndexError, match="in the head"):
            values_of(net, images, method, layer="stage", **SMALL[method])
    else:
        values_of(net, images, method, layer="stage", **SMALL[method])
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert modes == [module.training for module in net.modules()]
    assert hooks == [len(module._forward_hooks) for module in net.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(given, images)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("method", "setting", "reason"),
    [
        ("occlusion", {"window": 2, "stride": 3}, "must not exceed the window"),
        ("occlusion", {"window": 1.5}, "window must be a number of voxels, or a share"),
        ("occlusion", {"window": [4, 4, 4]}, "one or 2 of them"),
        ("occlusion", {"stride": 0}, "stride must be a number of voxels"),
        ("rise", {"visible": 1.0}, "visible must be a probability"),
        ("rise", {"cells": 0}, "cells must be a whole number above zero"),
        ("lime", {"width": 0}, "width must be a number above zero"),
        ("kernel_shap", {"baseline": "mean"}, "baseline must be one of"),
        ("kernel_shap", {"n_segments": 1}, "n_segments must be a whole number from 2"),
    ],
)
def test_impossible_settings_are_refused(make_net, make_batch, method, setting, reason):
    with pytest.raises(ExplainError, match=reason):
        values_of(make_net(2), make_batch(2), method, **setting)


def test_every_method_says_what_it_is_and_what_it_costs():
    for method in METHODS:
        explainer = EXPLAINERS[method]
        assert explainer.kind == "input"
        assert explainer.unit == "logit"
        assert "forward" in explainer.passes
        assert explainer.reference
