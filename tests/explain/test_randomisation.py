"""Randomised parameters: closed forms, planted failures, untouched models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.agreement import spearman
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.controls import sobel
from audit_pipeline.explain.engine import explain_batch
from audit_pipeline.explain.randomisation import (
    chance_similarity,
    complexity_rise,
    denoised,
    draw_parameters,
    layers_in_order,
    parameter_randomisation,
    randomised,
    similarity,
)
from audit_pipeline.explain.similarity import histogram_entropy, ssim, surrogate

SHAPES = [(24, 20), (10, 12, 9)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def explaining(images, layer="stem"):
    return lambda model: explain_batch(model, images, methods=["hirescam"], targets=[1], layer=layer).values[
        "hirescam"
    ][:, 0]


def smooth(shape, seed, width=2.0):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), width)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_the_model_given_is_untouched(make_net, make_batch, dimensions, order):
    net, images = make_net(dimensions).train(), make_batch(dimensions)
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    parameter_randomisation(net, explaining(images), order=order, pairs=4)
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_layers_come_in_the_order_in_which_they_run(make_batch):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 2)
            self.attention = nn.MultiheadAttention(3, 1)
            self.first = nn.Conv2d(1, 3, 3)

        def forward(self, images):
            tokens = self.first(images).flatten(2).movedim(2, 0)
            return self.last(self.attention(tokens, tokens, tokens)[0].mean(0))

    images = make_batch(2)
    found = layers_in_order(Backwards().eval(), lambda model: model(images))
    assert found == ["first", "attention", "attention.out_proj", "last"]


def test_cascading_keeps_what_was_randomised_and_independent_does_not(make_net, make_batch):
    net, images = make_net(2), make_batch(2)
    for order, changed_at_last in (("cascading", 4), ("independent", 1)):
        steps = [
            (
                layers,
                sum(
                    not torch.equal(a, b) for a, b in zip(net.parameters(), one.parameters(), strict=True) if a.ndim > 1
                ),
            )
            for layers, one in randomised(net, explaining(images), order=order, steps=10, seed=0)
        ]
        assert steps[0][0] == ("fc",)
        assert steps[-1][0][-1] == "stem.0"
        assert len(steps[-1][0]) == changed_at_last
    assert [count for _, count in steps] == [1, 0, 1, 1]


def test_groups_of_layers_cover_all_of_them(make_net, make_batch):
    found = parameter_randomisation(make_net(2), explaining(make_batch(2)), steps=2, pairs=4)
    assert [len(step.layers) for step in found.steps] == [2, 4]


def test_a_layer_is_drawn_alike_in_both_orders_and_differently_by_another_seed(make_net, make_batch):
    net, run = make_net(2), explaining(make_batch(2))
    last = [list(randomised(net, run, order=order, steps=9, seed=seed))[-1][1].stem[0].weight
            for order, seed in (("cascading", 0), ("independent", 0), ("cascading", 1))]  # fmt: skip
    assert torch.equal(last[0], last[1])
    assert not torch.equal(last[0], last[2])


@torch.no_grad()
def test_new_weights_keep_the_scale_of_activations_through_twenty_layers():
    images = torch.randn(4, 32, 12, 12, generator=seeded())
    for depth in range(20):
        layer = nn.Conv2d(32, 32, 3, padding=1, padding_mode="circular", bias=False)
        draw_parameters(layer, seeded(depth))
        images = layer(images).relu()
    assert 0.2 < float(images.square().mean()) < 5


@torch.no_grad()
def test_a_new_normalisation_does_nothing():
    norm = nn.BatchNorm3d(4).eval()
    norm.running_mean.fill_(9)
    norm.weight.fill_(5)
    draw_parameters(norm, seeded())
    assert torch.allclose(norm(torch.ones(1, 4, 2, 2, 2)), torch.ones(1, 4, 2, 2, 2), atol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_map_that_uses_the_weights_falls_to_chance_and_edges_do_not(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions, count=6)
    used = parameter_randomisation(net, explaining(images), steps=3)
    edges = parameter_randomisation(net, lambda model: (model(images), sobel(images))[1], steps=3)
    assert used.is_at_chance("spearman") is True
    assert edges.steps[-1].similarity.spearman.value == pytest.approx(1)
    assert edges.is_at_chance("spearman") is False
    assert edges.is_at_chance("ssim") is False


def test_the_baseline_of_random_pairs_has_no_correlation_and_some_structure():
    maps = np.stack([smooth((30, 30), seed, 4.0) for seed in range(4)])
    found = chance_similarity(maps)
    assert found.spearman.n == 50
    assert found.spearman.low < 0 < found.spearman.high
    assert found.ssim.value < 0.6


@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_map_keeps_values_and_smoothness_and_loses_the_place(shape):
    values = np.maximum(smooth(shape, 3), 0)
    other = surrogate(values, seeded(1))
    assert np.array_equal(np.sort(other.ravel()), np.sort(values.ravel()))

    def next_to(one):
        return np.mean([np.corrcoef(np.roll(one, 1, axis).ravel(), one.ravel())[0, 1] for axis in range(one.ndim)])

    assert next_to(other) == pytest.approx(next_to(values), abs=0.12)
    assert abs(spearman(values, other)) < 0.6
    assert np.array_equal(surrogate(np.ones(shape), seeded()), np.ones(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_is_one_for_scaled_copies_symmetric_and_low_for_strangers(shape):
    one, other = smooth(shape, 1), smooth(shape, 2)
    assert ssim(one, 7 * one) == pytest.approx(1)
    assert ssim(one, other) == pytest.approx(ssim(other, one))
    assert ssim(one, other) < 0.5
    assert ssim(one, -one) < 0
    assert ssim(np.zeros(shape), np.zeros(shape)) is None
    assert ssim(np.ones(shape), 2 * np.ones(shape)) == 1


def test_ssim_of_a_plane_is_that_of_the_same_plane_in_a_periodic_stack():
    one, other = smooth((14, 14), 1), smooth((14, 14), 2)
    assert ssim(np.stack([one] * 5), np.stack([other] * 5)) == pytest.approx(ssim(one, other))
    assert ssim(one[None], other[None]) == pytest.approx(ssim(one, other))


def test_ssim_of_two_constants_is_the_luminance_term():
    assert ssim(np.ones((6, 6)), -np.ones((6, 6))) == pytest.approx(0.01**2 / (1 + 0.01**2))


def test_entropy_of_histograms_in_closed_form():
    assert histogram_entropy(np.arange(100.0).reshape(10, 10)) == pytest.approx(np.log(100))
    assert histogram_entropy(np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(np.log(2))
    assert histogram_entropy(np.full((3, 3), 2.0)) == 0


def test_complexity_rises_when_a_sparse_map_turns_into_noise():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.zero_()
    noise = torch.randn(4, 16, 16, generator=seeded())

    def explain(given):
        weight = given(torch.ones(1, 1, 1, 1)).detach().abs()
        peaked = torch.zeros(4, 16, 16)
        peaked[:, 3, 3] = 1
        return noise if float(weight) > 0 else peaked

    found = complexity_rise(model, explain)
    before = histogram_entropy(np.eye(16 * 16)[0])
    after = np.mean([histogram_entropy(one.double().numpy()) for one in noise])
    assert found.value == pytest.approx((after - before) / before)
    assert complexity_rise(model, lambda given: (given(torch.ones(1, 1, 1, 1)), torch.ones(2, 4, 4))[1]).value is None


def test_denoising_averages_maps_of_the_same_noise_for_every_model():
    images, noise = torch.rand(2, 1, 8, 8, generator=seeded()), []
    run = denoised(
        lambda _model, given: noise.append(given - images) or given[:, 0], images, draws=400, noise_share=0.2
    )
    first, second = run(nn.Identity()), run(nn.Identity())
    assert torch.equal(first, second)
    assert (first - images[:, 0]).abs().max() < 0.05
    reach = float(images[0].max() - images[0].min())
    assert float(torch.stack(noise)[:400, 0].std()) == pytest.approx(0.2 * reach, rel=0.02)


def test_the_smooth_test_runs_on_denoised_maps(make_net, make_batch):
    images = make_batch(2, count=4)
    run = denoised(lambda model, given: explaining(given)(model), images, draws=3)
    assert parameter_randomisation(make_net(2), run, steps=2, pairs=10).steps[-1].similarity.spearman.n == 4


def test_maps_that_are_not_finite_and_models_without_parameters_are_refused(make_net, make_batch):
    images = make_batch(2)
    with pytest.raises(ExplainError, match="finite"):
        parameter_randomisation(make_net(2), lambda model: model(images) / 0)
    with pytest.raises(ExplainError, match="no parameters"):
        parameter_randomisation(nn.Identity(), lambda model: model(images)[:, 0])


def test_constant_maps_count_as_omitted():
    found = similarity(np.stack([np.ones((4, 4)), smooth((4, 4), 0)]), np.stack([smooth((4, 4), 1), smooth((4, 4), 2)]))
    assert (found.spearman.n, found.spearman.omitted) == (1, 1)
