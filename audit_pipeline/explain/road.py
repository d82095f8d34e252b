r"""ROAD: removed voxels imputed from what remains, so that the shape of the removed set tells the model little.

Every removed voxel becomes the weighted mean of its neighbours, whether removed or not: a discrete Laplace equation
over the removed set with the remaining voxels as boundary values. In 2D the weights are those of the paper, 1/6 for
edge and 1/12 for corner neighbours. They are the tensor product of (1, 2, 1) without its centre, and so they are
defined here for any number of axes; in 3D they are 1/14, 1/28 and 1/56. At the rim of the image the mean runs over
the neighbours that exist. Affine functions of the index are reproduced exactly wherever the removed set keeps off
the rim.

The system is symmetric and positive definite. It is solved by conjugate gradients, preconditioned by one multigrid
cycle, for all images and channels of a batch at once on their device.

References
----------
Y. Rong, T. Leemann, V. Borisov, G. Kasneci, E. Kasneci, A Consistent and Efficient Evaluation Strategy for Attribution
Methods, ICML 2022, arXiv:2202.00449, section 4.2 (noisy linear imputation).
O. Tatebe, The multigrid preconditioned conjugate gradient method, 1993.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError

NOISE_SHARE = 0.01
"""Standard deviation of the noise on imputed voxels, as a share of that of the image's channel."""

TOLERANCE = 1e-8
"""Largest residual of the Laplace equation that counts as solved, as a share of the range of the image."""

LARGEST_ITERATION = 300

ROAD_TOLERANCE = 1e-5
"""The same under the noise of ROAD, a thousand times larger; in float32, which is five times faster on a CPU."""

RELAXATION = 0.8
"""Damping of the Jacobi sweeps; the eigenvalues of the scaled operator lie in (0, 2)."""

SWEEPS, COARSEST_SWEEPS, COARSEST_SIDE = 2, 16, 4


def road_fill(images: Tensor, removed: Tensor, *, noise_share: float = NOISE_SHARE, seed: int = 0) -> Tensor:
    r"""Return the images with the removed voxels imputed: the harmonic fill plus a little noise.

    The noise keeps the imputed part from being recognised by its smoothness. Every image of the batch receives the
    same noise field, so that the result does not depend on how masks are batched.

    Parameters
    ----------
    images : (M, C, \*S) floating point, finite
    removed : (M, \*S) bool
    noise_share : 0 or more, see `NOISE_SHARE`
    seed : of the noise

    Returns
    -------
    (M, C, \*S) like `images`

    Raises
    ------
    ExplainError
        See `harmonic_fill`.
    """
    filled = harmonic_fill(images, removed, tolerance=ROAD_TOLERANCE, precision=torch.float32)
    if noise_share == 0:
        return filled
    field = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed)).to(images)
    deviation = images.flatten(2).std(dim=2, correction=0).reshape(*images.shape[:2], *(1 for _ in images.shape[2:]))
    return torch.where(removed[:, None], filled + noise_share * deviation * field, filled)


def harmonic_fill(
    images: Tensor, removed: Tensor, *, tolerance: float = TOLERANCE, precision: torch.dtype = torch.float64
) -> Tensor:
    r"""Return the images with every removed voxel the weighted mean of its neighbours.

    Where everything is removed nothing is known of the image but its level, and the fill is the mean of each channel.

    Parameters
    ----------
    images : (M, C, \*S) floating point, finite
    removed : (M, \*S) bool
    tolerance : see `TOLERANCE`; precision : of the arithmetic

    Returns
    -------
    (M, C, \*S) like `images`; voxels that were not removed are unchanged

    Raises
    ------
    ExplainError
        The shapes do not fit, a value is not finite, or the solution does not reach the tolerance.
    """
    _require(images, removed)
    if not bool(removed.any()):
        return images.clone()
    axes = tuple(range(2, images.ndim))
    given = images.to(precision)
    mean = given.mean(dim=axes, keepdim=True)
    scale = (given - mean).abs().amax(dim=axes, keepdim=True)
    hidden = removed[:, None]
    known = torch.where(hidden, 0.0, (given - mean) / torch.where(scale > 0, scale, 1.0))
    everything = hidden.flatten(1).all(dim=1).reshape(-1, *(1 for _ in given.shape[1:]))
    levels = _levels(torch.ones_like(hidden), hidden & ~everything, precision)
    right = torch.where(levels[0].unknown, _neighbours(known), 0.0)
    filled = known + _solved(levels, right, tolerance)
    return torch.where(hidden, (filled * scale + mean).to(images.dtype), images)


def _require(images: Tensor, removed: Tensor) -> None:
    if removed.dtype != torch.bool or removed.shape != (images.shape[0], *images.shape[2:]):
        raise ExplainError(
            f"the removed set must be bool of shape {(images.shape[0], *images.shape[2:])} for images of shape "
            f"{tuple(images.shape)}, found {removed.dtype} of shape {tuple(removed.shape)}"
        )
    if not images.is_floating_point() or not bool(torch.isfinite(images).all()):
        raise ExplainError("images must be finite floating-point numbers to be imputed; found others: load them anew")


@dataclass(frozen=True, slots=True)
class _Level:
    """One grid of the cycle: which cells are unknown, (M, 1, *S) bool, and the sum of their neighbours' weights."""

    unknown: Tensor
    diagonal: Tensor

    def operator(self, values: Tensor) -> Tensor:
        """Return the negative Laplacian of values that are zero at known cells, zero at known cells."""
        return torch.where(self.unknown, self.diagonal * values - _neighbours(values), 0.0)


def _binomial(values: Tensor) -> Tensor:
    """Return the sum over neighbours and the cell itself with tensor weights (1, 2, 1); outside the grid is zero."""
    for axis in range(2, values.ndim):
        length = values.shape[axis]
        summed = 2 * values
        if length > 1:
            summed.narrow(axis, 1, length - 1).add_(values.narrow(axis, 0, length - 1))
            summed.narrow(axis, 0, length - 1).add_(values.narrow(axis, 1, length - 1))
        values = summed
    return values


def _neighbours(values: Tensor) -> Tensor:
    """Return the weighted sum over the neighbours; the weights of a cell off the rim add to 1."""
    axes = values.ndim - 2
    return (_binomial(values) - float(2**axes) * values) / float(4**axes - 2**axes)


def _levels(inside: Tensor, unknown: Tensor, precision: torch.dtype) -> list[_Level]:
    """Return the grids from fine to coarse; a coarse cell is unknown where all its voxels inside the image are."""
    levels = []
    while True:
        weights = _neighbours(inside.to(precision))
        levels.append(_Level(unknown, torch.where(unknown & (weights > 0), weights, 1.0)))
        if max(unknown.shape[2:]) <= COARSEST_SIDE:
            return levels
        known = _gathered((inside & ~unknown).to(precision)) > 0
        inside = _gathered(inside.to(precision)) > 0
        unknown = inside & ~known


def _gathered(fine: Tensor) -> Tensor:
    """Return the sums over blocks of two cells along every axis; an odd last cell is a block of its own."""
    for axis in range(2, fine.ndim):
        length = fine.shape[axis]
        even = fine.narrow(axis, 0, length - length % 2)
        summed = even.reshape(*even.shape[:axis], -1, 2, *even.shape[axis + 1 :]).sum(dim=axis + 1)
        fine = torch.cat([summed, fine.narrow(axis, length - 1, 1)], dim=axis) if length % 2 else summed
    return fine


def _spread(coarse: Tensor, shape: torch.Size) -> Tensor:
    """Return the coarse value at every cell of its block, the transpose of `_gathered`."""
    for axis in range(2, coarse.ndim):
        coarse = coarse.repeat_interleave(2, dim=axis).narrow(axis, 0, shape[axis])
    return coarse


def _cycle(levels: list[_Level], depth: int, right: Tensor) -> Tensor:
    """Return one symmetric V-cycle from zero: an approximate solution of the equations of this level.

    Prolongation is linear, (1, 2, 1) / 4 after repetition, and restriction its transpose. A coarse Laplacian of the
    same stencil is four times the true one at twice the spacing, hence the factors.
    """
    level = levels[depth]
    sweeps = SWEEPS if depth + 1 < len(levels) else COARSEST_SWEEPS
    values = _relaxed(level, torch.zeros_like(right), right, sweeps)
    if depth + 1 == len(levels):
        return values
    axes = right.ndim - 2
    rest = right - level.operator(values)
    coarse = torch.where(levels[depth + 1].unknown, _gathered(_binomial(rest)) * (4 / 8**axes), 0.0)
    lifted = _binomial(_spread(_cycle(levels, depth + 1, coarse), right.shape)) / 4**axes
    return _relaxed(level, values + torch.where(level.unknown, lifted, 0.0), right, sweeps)


def _relaxed(level: _Level, values: Tensor, right: Tensor, sweeps: int) -> Tensor:
    for _ in range(sweeps):
        values = values + RELAXATION * (right - level.operator(values)) / level.diagonal
    return values


def _solved(levels: list[_Level], right: Tensor, tolerance: float) -> Tensor:
    """Return the solution by preconditioned conjugate gradients, every image and channel with its own step.

    Each stops when it is solved, so that a fill does not depend on the batch it is in.

    Raises
    ------
    ExplainError
        The residual, computed anew from the solution, is above the tolerance.
    """
    operator, axes = levels[0].operator, tuple(range(2, right.ndim))
    inner = cast("Callable[[Tensor, Tensor], Tensor]", lambda one, other: (one * other).sum(dim=axes, keepdim=True))
    values, rest = torch.zeros_like(right), right
    search, before = torch.zeros_like(right), torch.ones_like(inner(right, right))
    for _ in range(LARGEST_ITERATION):
        wanting = rest.abs().amax(dim=axes, keepdim=True) > 0.5 * tolerance
        if not bool(wanting.any()):
            break
        preconditioned = _cycle(levels, 0, rest)
        now = inner(rest, preconditioned)
        search = preconditioned + now / before * search
        image = operator(search)
        bend = inner(search, image)
        step = torch.where(wanting & (bend > 0), now / torch.where(bend > 0, bend, 1.0), 0.0)
        values, rest = values + step * search, rest - step * image
        before = torch.where(now > 0, now, 1.0)
    left = float((right - operator(values)).abs().amax())
    if not left <= tolerance:
        raise ExplainError(
            f"the harmonic fill must reach a residual of {tolerance:.1e} of the image's range, found {left:.1e} after "
            f"{LARGEST_ITERATION} iterations; remove less of the image or use infill blurred"
        )
    return values
