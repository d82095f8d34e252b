r"""The CAM family where the gradient is the same at every place, as behind global average pooling and a linear layer.

There a gradient (N, K, C, \*S) holds no more than weights :math:`w` (N, K, C), and every method is a matrix product of
weights and activations: nothing of the size of all gradients is formed. That the gradient is the same to the last bit
is looked up in its numbers, not in the architecture; the values are those of the methods' definitions in `cam` and
`eigen`, up to the order of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from audit_pipeline.explain.cam import gradcam_plus_plus, weighted
from audit_pipeline.explain.eigen import eigencam, eigengradcam_of_uniform
from audit_pipeline.explain.method import CamFunction

Chunks = Iterable[tuple[slice, dict[str, Tensor]]]
r"""Targets, and their gradients (N, t, C, \*S) at each layer."""


def constant_weights(gradients: Tensor) -> Tensor | None:
    r"""Return the weights (N, K, C) when the gradients (N, K, C, \*S) are the same at every place, bit for bit."""
    flat = gradients.flatten(3)
    if not _is_constant(flat[:1, :1, :1]) or not _is_constant(flat):  # most that vary do so in the first channel
        return None
    return flat[..., 0].contiguous()


def _is_constant(flat: Tensor) -> bool:
    """Return whether values (N, K, C, P) are the same along their last axis; NaN is not the same as itself."""
    if flat.is_cpu:
        rows = flat.detach().numpy()  # NumPy compares along a broadcast axis several times faster
        return bool((rows == rows[..., :1]).all())
    return torch.equal(flat, flat[..., :1].expand_as(flat))


def weighed(chunks: Chunks, layer: str) -> Iterator[tuple[dict[str, Tensor], Tensor | None]]:
    """Yield the gradients of each chunk of targets with their `constant_weights` at the layer."""
    for _, found in chunks:
        yield found, constant_weights(found[layer])


def joined(chunks: Chunks, layer: str) -> Iterator[tuple[dict[str, Tensor], Tensor | None]]:
    r"""Yield what `weighed` does, with chunks in a row joined where there are weights.

    The gradients of such a chunk are a view of its weights, (N, K, C, \*S), so that all targets take no more memory
    than one, and each closed form runs once for all of them.
    """
    waiting: list[Tensor] = []
    grid: tuple[int, ...] = ()
    for found, weights in weighed(chunks, layer):
        if weights is None:
            yield from _spread(waiting, layer, grid)
            waiting = []
            yield found, None
        else:
            waiting.append(weights)
            grid = tuple(found[layer].shape[3:])
    yield from _spread(waiting, layer, grid)


def _spread(
    waiting: Sequence[Tensor], layer: str, grid: tuple[int, ...]
) -> Iterator[tuple[dict[str, Tensor], Tensor | None]]:
    if waiting:
        weights = torch.cat(tuple(waiting), dim=1)
        yield {layer: weights.reshape(*weights.shape, *(1 for _ in grid)).expand(*weights.shape, *grid)}, weights


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
    if bool(activations.amin() >= 0):
        return _layercam(activations, weights)
    return weighted(weights.relu(), activations.relu()) + weighted((-weights).relu(), (-activations).relu())


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
