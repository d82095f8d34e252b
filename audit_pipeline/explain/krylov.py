r"""The first eigenvector of a matrix known only by its products with vectors, with a proof that it is the first.

A matrix of gradient times activation over P cells costs :math:`C P^2` operations to form; a product with it costs
:math:`2 C P`, and eight of them, orthogonalised (Lanczos), hold its first eigenvector to the rounding of float32 where
the second eigenvalue is not close. How close it can be at most is known without forming the matrix: it is positive
semidefinite, so what the trace of the matrix leaves over the trace within the space is the sum of all other
eigenvalues, and bounds each of them. What is not proven so is told, and left to `eigen.leading`.

References
----------
Parlett, The Symmetric Eigenvalue Problem, SIAM 1998, chapters 10 (interlacing) and 13 (Lanczos).
doi:10.1137/1.9781611971163
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CHECKED = (8, 16)
"""Products after which the proof is tried; the last is the most that are taken."""

LEAST_CELLS = 33
"""Cells or channels from which products are cheaper than the matrix."""

INACCURACY = 3e-6
"""Largest sine of the angle between the vector and the true one that counts as proven."""

ROUNDING = 1e-6
"""Share of the trace below which what a product adds to the space is rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstPairs:
    """First eigenvectors (M, n) of length 1, their eigenvalues (M,), and whether each is proven (M,) bool."""

    vectors: Tensor
    levels: Tensor
    is_proven: Tensor


def first_pairs(times: Callable[[Tensor], Tensor], start: Tensor, trace: Tensor) -> FirstPairs:
    """Return the first eigenvector and eigenvalue of M positive semidefinite matrices.

    Parameters
    ----------
    times : vectors (M, n) -> the product of each matrix with its vector (M, n)
    start : (M, n), not orthogonal to the eigenvectors looked for; where it is, nothing is proven
    trace : (M,) of the matrices; a matrix of trace zero has the vector and the eigenvalue zero
    """
    count, size = start.shape
    basis = start.new_zeros(count, CHECKED[-1], size)
    products = torch.zeros_like(basis)
    rest = start
    for step in range(CHECKED[-1]):
        basis[:, step] = rest / _not_zero(rest.norm(dim=1, keepdim=True))
        products[:, step] = times(basis[:, step])
        space = basis[:, : step + 1]
        rest = _without(space, _without(space, products[:, step]))
        if step + 1 in CHECKED:
            found = _pairs(space, products[:, : step + 1], rest, trace)
            if bool(found.is_proven.all()):
                break
        rest = torch.where(rest.norm(dim=1, keepdim=True) > ROUNDING * trace.unsqueeze(1), rest, 0.0)
    return found


def _not_zero(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1.0)


def _without(space: Tensor, vectors: Tensor) -> Tensor:
    """Return what vectors (M, n) have outside the spaces that the rows of (M, m, n) span."""
    shares = (space * vectors.unsqueeze(1)).sum(dim=2, keepdim=True)  # faster than many products of small matrices
    return vectors - (shares * space).sum(dim=1)


def _pairs(space: Tensor, products: Tensor, rest: Tensor, trace: Tensor) -> FirstPairs:
    """Return the best pairs of the spaces (M, m, n), whose products with the matrices are (M, m, n).

    rest : (M, n), what the last product has outside the space
    """
    # so small, the decomposition is fastest on the host
    inner = (space @ products.mT).cpu().double()
    if not bool(inner.isfinite().all()):
        return FirstPairs(vectors=rest, levels=trace, is_proven=torch.zeros_like(trace, dtype=torch.bool))
    levels, weights = torch.linalg.eigh((inner + inner.mT) / 2)
    first = weights[:, None, :, -1].to(space.device, space.dtype)
    vectors, times = (first @ space)[:, 0], (first @ products)[:, 0]
    level = levels[:, -1].to(space.device, space.dtype)
    residual = (times - level.unsqueeze(1) * vectors).norm(dim=1).cpu().double()
    whole = trace.cpu().double()
    gap = levels[:, -1] - _highest_other(levels, whole, rest.norm(dim=1).cpu().double())
    is_proven = (whole == 0) | (residual <= INACCURACY * gap)
    # one more product takes out part of what the space lacks
    return FirstPairs(
        vectors=times / _not_zero(times.norm(dim=1, keepdim=True)), levels=level, is_proven=is_proven.to(space.device)
    )


def _highest_other(levels: Tensor, trace: Tensor, coupling: Tensor) -> Tensor:
    """Return an upper bound (M,) of the second eigenvalue.

    By interlacing it is at most the first of the matrix on all that is orthogonal to the vector found. That falls into
    the rest of the space, at most its second eigenvalue there, and everything outside, at most what the space leaves of
    the trace; `coupling` is the size of the block between the two.
    """
    inside, outside = levels[:, -2].clamp(min=0), (trace - levels.sum(dim=1)).clamp(min=0)
    return (inside + outside) / 2 + (((inside - outside) / 2).square() + coupling.square()).sqrt()
