"""The CAM functions against loops over their published formulas, symmetries, and the edges of floating point."""

from __future__ import annotations

import itertools

import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import (
    cam,
    elementwise,
    fused,
    gradcam,
    gradcam_plus_plus,
    hirescam,
    layercam,
    pooled_gradcam,
    uniform,
    upsample,
    xgradcam,
)
from audit_pipeline.explain.eigen import eigencam, eigengradcam, first_component
from audit_pipeline.explain.methods import EXPLAINERS

GRIDS = {2: (4, 6), 3: (3, 4, 6)}
FAMILY = (gradcam, hirescam, gradcam_plus_plus, xgradcam, layercam, elementwise, eigencam, eigengradcam)
both = pytest.mark.parametrize("dimensions", [2, 3])
family = pytest.mark.parametrize("function", FAMILY)


def drawn(dimensions=3, images=2, targets=3, channels=5, seed=0):
    """Activations as behind a ReLU, and gradients of both signs with zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    grid = GRIDS[dimensions]
    activations = torch.randn(images, channels, *grid, generator=generator).relu()
    gradients = torch.randn(images, targets, channels, *grid, generator=generator)
    gradients[gradients.abs() < 0.2] = 0
    return activations, gradients


def summed_over_channels(term, activations, gradients):
    """Loop over images, targets and channels; `term` gives the map of one channel."""
    images, targets, channels, *grid = gradients.shape
    found = torch.zeros(images, targets, *grid, dtype=torch.float64)
    for n, k, c in itertools.product(range(images), range(targets), range(channels)):
        found[n, k] += term(activations[n, c].double(), gradients[n, k, c].double())
    return found.float()


def plus_plus_term(a, g):
    alpha = torch.where(g != 0, g**2 / (2 * g**2 + a.sum() * g**3), 0.0)
    return (alpha * g.relu()).nansum() * a


FORMULAS = {
    gradcam: lambda a, g: g.mean() * a,
    hirescam: lambda a, g: g * a,
    gradcam_plus_plus: plus_plus_term,
    xgradcam: lambda a, g: (g * a).sum() / a.sum() * a,
    layercam: lambda a, g: g.relu() * a,
    elementwise: lambda a, g: (g * a).relu(),
}


@both
@pytest.mark.parametrize("function", FORMULAS)
def test_each_method_is_its_published_formula(function, dimensions):
    activations, gradients = drawn(dimensions)
    expected = summed_over_channels(FORMULAS[function], activations, gradients)
    torch.testing.assert_close(function(activations, gradients), expected, rtol=1e-5, atol=1e-6)


@both
def test_cam_is_the_head_weight_times_the_activation(dimensions):
    activations, _ = drawn(dimensions)
    head = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    cells = activations[0, 0].numel()
    gradients = (head / cells).reshape(1, 3, 5, *[1] * dimensions).expand(2, 3, 5, *activations.shape[2:])
    found = cam(activations, gradients)
    torch.testing.assert_close(found, torch.einsum("kc,nc...->nk...", head, activations), rtol=1e-5, atol=1e-6)
    logits = activations.flatten(2).mean(2) @ head.T
    torch.testing.assert_close(found.flatten(2).mean(2), logits, rtol=1e-5, atol=1e-6)


def test_cam_of_a_head_that_is_not_pooled_is_refused_with_the_alternative():
    activations, gradients = drawn()
    with pytest.raises(ExplainError, match="use hirescam"):
        cam(activations, gradients)


def test_uniform_tells_pooled_gradients_from_others_one_by_one():
    _, gradients = drawn()
    gradients[0, 1] = 0.25
    gradients[1, 2] = 0
    expected = torch.zeros(2, 3, dtype=torch.bool)
    expected[0, 1] = expected[1, 2] = True
    assert torch.equal(uniform(gradients), expected)


@family
@both
def test_permuting_channels_changes_nothing(function, dimensions):
    activations, gradients = drawn(dimensions)
    order = torch.tensor([3, 0, 4, 2, 1])
    expected = function(activations, gradients)
    torch.testing.assert_close(function(activations[:, order], gradients[:, :, order]), expected, rtol=1e-4, atol=1e-5)


@family
@both
def test_images_and_targets_do_not_influence_each_other(function, dimensions):
    activations, gradients = drawn(dimensions)
    alone = function(activations[1:], gradients[1:, 2:])
    torch.testing.assert_close(function(activations, gradients)[1:, 2:], alone, rtol=1e-5, atol=1e-6)


@family
@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_a_flipped_grid_gives_the_flipped_map(function, axis):
    activations, gradients = drawn(3)
    found = function(activations.flip(axis), gradients.flip(axis)).flip(axis)
    torch.testing.assert_close(found, function(activations, gradients), rtol=1e-4, atol=1e-5)


@family
def test_permuted_axes_give_the_permuted_map(function):
    activations, gradients = drawn(3)
    found = function(activations.permute(0, 1, 4, 2, 3), gradients.permute(0, 1, 2, 5, 3, 4))
    expected = function(activations, gradients).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@family
def test_a_volume_of_one_slice_gives_the_2d_map(function):
    activations, gradients = drawn(2)
    found = function(activations.unsqueeze(2), gradients.unsqueeze(3)).squeeze(2)
    torch.testing.assert_close(found, function(activations, gradients), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [gradcam, hirescam, xgradcam, layercam, elementwise, eigengradcam])
def test_maps_linear_in_the_gradient_scale_with_the_logit(function):
    activations, gradients = drawn()
    expected = 7 * function(activations, gradients)
    torch.testing.assert_close(function(activations, 7 * gradients), expected, rtol=1e-4, atol=1e-5)


@family
def test_a_zero_gradient_gives_a_finite_map_and_zero_unless_class_independent(function):
    activations, gradients = drawn()
    found = function(activations, torch.zeros_like(gradients))
    assert found.isfinite().all()
    assert function is eigencam or not found.any()


@family
def test_dead_activations_give_a_zero_map(function):
    activations, gradients = drawn()
    assert not function(torch.zeros_like(activations), gradients).any()


@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-12, 1e12, 1e30])
def test_gradcam_plus_plus_keeps_its_value_where_powers_of_the_gradient_leave_the_range_of_float32(scale):
    activations, gradients = drawn()
    given = gradients * scale
    expected = summed_over_channels(plus_plus_term, activations, given)
    torch.testing.assert_close(
        gradcam_plus_plus(activations, given) / expected.abs().max(),
        expected / expected.abs().max(),
        rtol=1e-4,
        atol=1e-6,
    )


def test_gradcam_plus_plus_has_no_weight_where_the_gradient_is_negative():
    activations, gradients = drawn()
    assert not gradcam_plus_plus(activations, -gradients.abs()).any()


def test_gradcam_plus_plus_leaves_out_places_where_its_denominator_vanishes():
    activations = torch.full((1, 1, 2, 2), -1.0)
    gradients = torch.full((1, 1, 1, 2, 2), 0.5)
    gradients[..., 0, 0] = 1.0
    # sum A = -4: 2 / 0.5 - 4 vanishes at three places, the fourth has 1 / (2 - 4)
    torch.testing.assert_close(gradcam_plus_plus(activations, gradients), torch.full((1, 1, 2, 2), 0.5))


def test_xgradcam_sums_to_the_same_as_hirescam():
    activations, gradients = drawn()
    found = xgradcam(activations, gradients).flatten(2).sum(2)
    torch.testing.assert_close(found, hirescam(activations, gradients).flatten(2).sum(2), rtol=1e-4, atol=1e-5)


def test_xgradcam_gives_a_dead_channel_no_weight():
    activations, gradients = drawn()
    activations[:, 2] = 0
    expected = xgradcam(activations[:, [0, 1, 3, 4]], gradients[:, :, [0, 1, 3, 4]])
    torch.testing.assert_close(xgradcam(activations, gradients), expected)


@both
def test_both_ends_of_the_pooled_family_are_gradcam_and_hirescam(dimensions):
    activations, gradients = drawn(dimensions)
    fine = pooled_gradcam(activations, gradients, pooling=1)
    assert torch.equal(fine, hirescam(activations, gradients))
    assert torch.equal(pooled_gradcam(activations, gradients, pooling="none"), fine)
    expected = gradcam(activations, gradients)
    assert torch.equal(pooled_gradcam(activations, gradients, pooling="global"), expected)
    whole = pooled_gradcam(activations, gradients, pooling=GRIDS[dimensions])
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)


def test_blocks_per_axis_average_the_gradient_over_their_own_cells():
    activations, gradients = drawn(3)
    found = pooled_gradcam(activations, gradients, pooling=(2, 1, 4))
    pooled = torch.zeros_like(gradients)
    for depth, column in itertools.product([slice(0, 2), slice(2, 3)], [slice(0, 4), slice(4, 6)]):
        block = gradients[:, :, :, depth, :, column]
        pooled[:, :, :, depth, :, column] = block.mean(dim=(3, 5), keepdim=True).expand_as(block)
    torch.testing.assert_close(found, hirescam(activations, pooled), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", [0, -1, True, 1.5, "half", (2, 0, 1), ()])
def test_pooling_that_is_no_number_of_cells_is_refused(pooling):
    with pytest.raises(ExplainError, match="pooling must be"):
        pooled_gradcam(*drawn(), pooling=pooling)


def test_blocks_for_another_number_of_axes_are_refused():
    with pytest.raises(ExplainError, match="one block for each of the 3 axes"):
        pooled_gradcam(*drawn(3), pooling=(2, 2))


@both
def test_eigencam_is_the_first_principal_component_of_the_centred_activations(dimensions):
    activations, gradients = drawn(dimensions)
    found = eigencam(activations, gradients)
    for image, values in zip(found, activations, strict=True):
        observations = values.flatten(1).T.double()
        observations = observations - observations.mean(dim=0)
        _, _, directions = torch.linalg.svd(observations, full_matrices=False)
        expected = observations @ directions[0]
        expected = expected * (expected @ observations.mean(dim=1)).sign()
        for one in image:
            torch.testing.assert_close(one.flatten(), expected.float(), rtol=1e-4, atol=1e-5)


def test_both_gram_matrices_give_the_same_component():
    values = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(2))
    wide = first_component(torch.cat([values, torch.zeros(2, 3, 7)], dim=1))
    torch.testing.assert_close(first_component(values), wide, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_sign_of_eigencam_makes_a_bright_blob_positive_in_any_order_of_channels(order):
    activations = 0.01 * torch.rand(1, 3, 5, 5, 5, generator=torch.Generator().manual_seed(4))
    activations[0, 1, 3, 1, 2] += 5
    found = eigencam(activations[:, list(order)], torch.zeros(1, 1, 3, 5, 5, 5))[0, 0]
    assert found.argmax() == torch.arange(125).reshape(5, 5, 5)[3, 1, 2]
    assert found.max() > 4
    assert found.min() > -0.1


def test_eigencam_of_a_constant_layer_is_zero():
    assert not first_component(torch.full((2, 4, 9), 3.0)).any()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_component_scales_with_tiny_and_huge_values(scale):
    values = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(first_component(values * scale) / scale, first_component(values), rtol=1e-4, atol=1e-5)


def test_a_component_uncorrelated_with_the_mean_has_a_positive_peak():
    blob = torch.tensor([3.0, -1.0, -1.0, -1.0])
    found = first_component(torch.stack([blob, -blob]).unsqueeze(0))
    torch.testing.assert_close(found[0], blob * 2**0.5, rtol=1e-5, atol=1e-6)


def test_fusion_lifts_shallow_maps_by_tanh_and_takes_the_largest():
    shallow = torch.tensor([[[[1.0, 4.0], [-3.0, 0.0]]]])
    deep = torch.tensor([[[[0.0, 1.0], [2.0, -5.0]]]])
    expected = torch.tensor([[[[0.25, 1.0], [0.0, 0.0]]]])
    expected = torch.maximum(torch.tanh(2 * expected), torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]]))
    torch.testing.assert_close(fused([shallow, deep], (2, 2)), expected)


@both
def test_fusion_brings_every_grid_to_the_size_asked_for(dimensions):
    fine, coarse = torch.rand(2, 3, *[8] * dimensions), torch.rand(2, 3, *[2] * dimensions)
    found = fused([fine, coarse], (8,) * dimensions)
    assert found.shape == fine.shape
    assert (
        found >= upsample(coarse / coarse.flatten(2).amax(2).reshape(2, 3, *[1] * dimensions), (8,) * dimensions)
    ).all()


def test_fusion_of_maps_without_evidence_stays_zero():
    assert not fused([-torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)], (8, 8)).any()


@pytest.mark.parametrize(("maps", "deep"), [([], 1), ([torch.ones(1, 1, 2, 2)], 2), ([torch.ones(1, 1, 2, 2)], -1)])
def test_fusion_of_nothing_or_of_more_deep_maps_than_there_are_is_refused(maps, deep):
    with pytest.raises(ExplainError, match="fusion needs maps"):
        fused(maps, (4, 4), deep=deep)


def test_every_method_carries_what_a_report_must_say():
    for name in ("cam", "gradcam++", "xgradcam", "layercam", "elementwise", "eigencam", "eigengradcam"):
        entry = EXPLAINERS[name]
        assert entry.name == name
        assert entry.kind == "cam"
        assert entry.caution
        assert entry.reference
    assert "same map for every class" in EXPLAINERS["eigencam"].caution
    assert EXPLAINERS["gradcam++"].unit == EXPLAINERS["eigencam"].unit == "relative"
    assert EXPLAINERS["cam"].unit == "logit"
