"""Where the gradient is constant over space, the closed forms give what the definitions of the methods give."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline import explain_batch
from audit_pipeline.explain import closed
from audit_pipeline.explain.closed import CLOSED_FORMS, constant_weights
from audit_pipeline.explain.eigen import leading
from audit_pipeline.explain.methods import EXPLAINERS

GRIDS = {2: (4, 6), 3: (3, 4, 6)}
both = pytest.mark.parametrize("dimensions", [2, 3])
every = pytest.mark.parametrize("method", CLOSED_FORMS)


def drawn(dimensions, channels, *, signed=False):
    """Activations (2, C, *S), and weights (2, 3, C) with zeros among them."""
    generator = torch.Generator().manual_seed(6)
    activations = torch.randn(2, channels, *GRIDS[dimensions], generator=generator)
    weights = torch.randn(2, 3, channels, generator=generator)
    weights[weights.abs() < 0.2] = 0
    return activations if signed else activations.relu(), weights


def spread(weights, activations):
    return weights.reshape(*weights.shape, *[1] * (activations.ndim - 2)).expand(
        *weights.shape, *activations.shape[2:]
    )  # fmt: skip


@every
@both
@pytest.mark.parametrize("channels", [5, 90])
@pytest.mark.parametrize("signed", [False, True])
def test_a_closed_form_gives_what_the_definition_gives(method, dimensions, channels, signed):
    activations, weights = drawn(dimensions, channels, signed=signed)
    expected = EXPLAINERS[method].function(activations, spread(weights, activations))
    found = CLOSED_FORMS[method](activations, weights)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6 * float(expected.abs().max()))


@every
def test_closed_forms_of_no_gradient_and_of_no_activation_are_finite(method):
    activations, weights = drawn(3, 5)
    for given in ((activations, 0 * weights), (0 * activations, weights)):
        found = CLOSED_FORMS[method](*given)
        assert found.isfinite().all()
        assert method == "eigencam" or not found.any()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_closed_eigengradcam_scales_with_tiny_and_huge_gradients(scale):
    activations, weights = drawn(3, 5)
    expected = CLOSED_FORMS["eigengradcam"](activations, weights)
    found = CLOSED_FORMS["eigengradcam"](activations, weights * scale)
    torch.testing.assert_close(found / scale, expected, rtol=1e-4, atol=1e-6)


def test_a_gradient_that_differs_in_its_last_bit_has_no_closed_form():
    activations, weights = drawn(3, 5)
    gradients = spread(weights, activations).contiguous()
    assert torch.equal(constant_weights(gradients), weights)
    gradients[1, 2, 3, 1, 1, 1] = torch.nextafter(gradients[1, 2, 3, 1, 1, 1], torch.tensor(9.0))
    assert constant_weights(gradients) is None
    assert constant_weights(torch.full_like(gradients, torch.nan)) is None
    gradients[0, 0, 0] += torch.arange(3).reshape(3, 1, 1)
    assert constant_weights(gradients) is None


def test_chunks_in_a_row_are_joined_where_they_have_weights_and_keep_their_order():
    activations, weights = drawn(3, 5)
    same = spread(weights, activations).contiguous()
    varying = torch.randn(same.shape, generator=torch.Generator().manual_seed(2))
    chunks = [(slice(0), {"act": one}) for one in (same, 2 * same, varying, 3 * same)]
    first, second, third = list(closed.joined(chunks, "act"))
    assert torch.equal(first[1], torch.cat([weights, 2 * weights], dim=1))
    assert torch.equal(first[0]["act"], torch.cat([same, 2 * same], dim=1))
    assert second[1] is None
    assert torch.equal(second[0]["act"], varying)
    assert torch.equal(third[1], 3 * weights)


@both
def test_the_engine_gives_the_same_maps_with_and_without_closed_forms(make_net, make_batch, dimensions, monkeypatch):
    net, images = make_net(dimensions), make_batch(dimensions)
    found = explain_batch(net, images, methods=list(CLOSED_FORMS), layer="act")
    monkeypatch.setattr(closed, "constant_weights", lambda _gradients: None)
    expected = explain_batch(net, images, methods=list(CLOSED_FORMS), layer="act")
    for method, values in found.values.items():
        torch.testing.assert_close(values, expected.values[method], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.signal_floor, expected.signal_floor)
    assert torch.equal(found.gradient_is_uniform, expected.gradient_is_uniform)


def matrix(*eigenvalues):
    """Return a matrix with these eigenvalues, and its eigenvector of the first."""
    count = len(eigenvalues)
    axes, _ = torch.linalg.qr(torch.randn(count, count, generator=torch.Generator().manual_seed(8)))
    return axes @ torch.diag(torch.tensor(eigenvalues)) @ axes.T, axes[:, 0]


@pytest.mark.parametrize("second", [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999])
def test_the_leading_eigenvector_is_found_at_any_distance_of_the_second(second):
    one, axis = matrix(3.0, 3 * second, 0.3, 0.0)
    easy, other = matrix(1.0, 0.1, 0.0, 0.0)
    vectors, levels = leading(torch.stack([one, easy]))
    torch.testing.assert_close(levels, torch.tensor([3.0, 1.0]), rtol=1e-5, atol=0)
    # float32 itself resolves the direction no better than its rounding over the gap
    assert 1 - abs(float(vectors[0] @ axis)) < 1e-6 + (2e-7 / (1 - second)) ** 2
    assert 1 - abs(float(vectors[1] @ other)) < 1e-6


def test_two_equal_leading_eigenvalues_give_a_vector_of_their_plane():
    one, _ = matrix(2.0, 2.0, 0.5)
    vectors, levels = leading(one[None])
    torch.testing.assert_close(one @ vectors[0], 2 * vectors[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(levels, torch.tensor([2.0]))


def test_a_matrix_of_zeros_has_the_eigenvalue_zero():
    assert not leading(torch.zeros(2, 3, 3))[1].any()
