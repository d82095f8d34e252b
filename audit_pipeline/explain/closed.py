r"""The CAM family where the gradient is the same at every place, as behind global average pooling and a linear layer.

There a gradient (N, K, C, \*S) holds no more than weights :math:`w` (N, K, C), and every method is a matrix product of
weights and activations: nothing of the size of all gradients is formed. That the gradient is the same to the last bit
is looked up in its numbers, not in the architecture; the values are those of the methods' definitions in `cam` and
`eigen`, up to the order of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from audit_pipeline.explain.cam import gradcam_plus_plus, weighted
from audit_pipeline.explain.eigen import eigencam, eigengradcam_of_uniform
from audit_pipeline.explain.method import CamFunction


def constant_weights(gradients: Tensor) -> Tensor | None:
    r"""Return the weights (N, K, C) when the gradients (N, K, C, \*S) are the same at every place, bit for bit."""
    flat = gradients.flatten(3)
    first = flat[..., :1]
    return first[..., 0].contiguous() if torch.equal(flat, first.expand_as(flat)) else None


def _cam(activations: Tensor, weights: Tensor) -> Tensor:
    return weighted(math.prod(activations.shape[2:]) * weights, activations)


def _gradcam_plus_plus(activations: Tensor, weights: Tensor) -> Tensor:
    one_cell = weights.reshape(*weights.shape, *[1] * (activations.ndim - 2))
    return math.prod(activations.shape[2:]) * gradcam_plus_plus(activations, one_cell)


def _xgradcam(activations: Tensor, weights: Tensor) -> Tensor:
    # the mean of the gradient where a channel is active is the gradient
    sums = activations.flatten(2).sum(dim=2).unsqueeze(1)
    return weighted(torch.where(sums == 0, 0.0, weights), activations)


def _layercam(activations: Tensor, weights: Tensor) -> Tensor:
    return weighted(weights.relu(), activations)


def _elementwise(activations: Tensor, weights: Tensor) -> Tensor:
    # max(w A, 0) = max(w, 0) max(A, 0) + max(-w, 0) max(-A, 0)
    supporting = weighted(weights.relu(), activations.relu())
    against = (-activations).relu()
    return supporting + weighted((-weights).relu(), against) if bool(against.any()) else supporting


CLOSED_FORMS: Mapping[str, CamFunction] = {
    "gradcam": lambda activations, weights: weighted(weights, activations),
    "hirescam": lambda activations, weights: weighted(weights, activations),
    "cam": _cam,
    "gradcam++": _gradcam_plus_plus,
    "xgradcam": _xgradcam,
    "layercam": _layercam,
    "elementwise": _elementwise,
    "eigencam": eigencam,
    "eigengradcam": eigengradcam_of_uniform,
}
r"""Method -> its function of activations (N, C, \*S) and weights (N, K, C), which returns (N, K, \*S)."""
