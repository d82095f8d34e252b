"""Measures of one map: mass, enrichment, entropy, shift null, profile. How alike two are stands in `agreement`.

Notation: G is the raw signed map on the layer's grid, ``C = max(G, 0)`` its positive part, M is C on the prepared
grid, and ``m = M / sum(M)``. M is made without any min-max normalisation, which would give an empty map full colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import label

from audit_pipeline.agreement import pearson
from audit_pipeline.records import Explanation, Floats, Mask, Matrix
from audit_pipeline.resampling import sample_placed

BORDER_WIDTH = 0.10
"""Width of the border band on each face, as a share of the length of the axis."""


def interpolation_matrix(coarse: int, fine: int) -> Matrix:
    """Return the (fine, coarse) weights of linear interpolation between grids that tile the same length.

    Sample centres follow the half-pixel rule of `geometry`; beyond the outermost centres the edge value is kept.

    >>> interpolation_matrix(2, 4) @ [0.0, 1.0]
    array([0.  , 0.25, 0.75, 1.  ])
    """
    places = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    below = np.minimum(np.floor(places).astype(int), max(coarse - 2, 0))
    above = np.minimum(below + 1, coarse - 1)
    weights = np.zeros((fine, coarse))
    np.add.at(weights, (np.arange(fine), below), 1 - (places - below))
    np.add.at(weights, (np.arange(fine), above), places - below)
    return weights


def resampled(values: Matrix, shape: Sequence[int]) -> Matrix:
    """Return `values` on a grid of `shape` over the same field of view, by (tri)linear half-pixel interpolation."""
    for axis, size in enumerate(shape):
        if values.shape[axis] != size:
            moved = np.tensordot(interpolation_matrix(values.shape[axis], size), values, axes=(1, axis))
            values = np.moveaxis(moved, 0, axis)
    return values


def mass(explanation: Explanation) -> Matrix:
    """Return m, the positive part of the map on the prepared grid as shares that sum to 1.

    The map is rectified on its own grid and then resampled, in this order, because the limits of `null_limits` were
    simulated so: the reverse order lets negative neighbours eat into small peaks and doubles the spread of the border
    enrichment.

    Raises
    ------
    ValueError
        The map has no positive part.
    """
    shape, rectified = explanation.on_input.shape, np.maximum(explanation.values.astype(np.float64), 0)
    if explanation.to_input is None:
        positive = resampled(rectified, shape)
    else:
        same = np.eye(len(shape) + 1)
        positive = sample_placed(rectified.astype(np.float32), explanation.to_input, shape, same, shape).astype(float)
    total = float(positive.sum())
    if not total > 0:
        raise ValueError("a map without a positive part has no mass")
    return np.asarray(positive / total)


def share(masses: Matrix, region: Mask) -> float:
    """Return the share of the mass that lies in `region`."""
    return float(masses[region].sum())


def enrichment(masses: Matrix, region: Mask) -> float | None:
    """Return (share of mass in `region`) / (share of voxels in `region`); None for an empty region.

    1 is what an even map gives; the largest possible value is the inverse of the region's share.
    """
    area = float(region.mean())
    return share(masses, region) / area if area > 0 else None


def border_band(shape: Sequence[int], width: float = BORDER_WIDTH) -> Mask:
    """Return the band of `width` (share of each axis, at least one voxel) along every face."""
    band = np.ones(tuple(shape), dtype=np.bool_)
    margins = [max(1, round(width * size)) for size in shape]
    band[tuple(slice(margin, size - margin) for margin, size in zip(margins, shape, strict=True))] = False
    return band


def normalised_entropy(masses: Matrix) -> float:
    """Return the entropy of the mass over the logarithm of the number of voxels: 0 one voxel, 1 even (Shannon 1948)."""
    if masses.size == 1:
        return 0.0
    positive = masses[masses > 0]
    return float(max(0.0, -(positive * np.log(positive)).sum() / np.log(masses.size)))


def half_peak_area(masses: Matrix) -> float:
    """Return the share of voxels at or above half of the peak."""
    return float((masses >= 0.5 * masses.max()).mean())


def half_peak_parts(masses: Matrix) -> Matrix:
    """Return the sizes in voxels of the connected parts of what lies at or above half of the peak."""
    parts, _ = label(masses >= 0.5 * masses.max())
    return np.bincount(parts.ravel())[1:].astype(np.float64)


def neighbour_correlation(cells: Matrix) -> tuple[float | None, int]:
    """Return Pearson's correlation of cells that share a face, over all axes, and the number of such pairs.

    None where the cells are all alike or where there is but one.

    >>> neighbour_correlation(np.asarray([[1.0, 0.0], [0.0, 1.0]]))
    (-1.0, 4)
    """
    pairs = [
        (np.take(cells, range(size - 1), axis), np.take(cells, range(1, size), axis))
        for axis, size in enumerate(cells.shape)
    ]
    first, second = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return (pearson(first, second) if first.size else None), first.size


def coarsened(values: Matrix | Floats, shape: Sequence[int]) -> Matrix:
    """Return the means of `values` over the cells of a coarser grid of `shape` that tiles the same length.

    >>> coarsened(np.asarray([1.0, 2.0, 3.0]), (2,))
    array([1.33333333, 2.66666667])
    """
    coarse = np.asarray(values, dtype=np.float64)
    for axis, cells in enumerate(shape):
        fine = coarse.shape[axis]
        edges = np.arange(cells + 1) * fine / cells
        starts, ends = edges[:-1, None], edges[1:, None]
        places = np.arange(fine)
        weights = np.clip(np.minimum(ends, places + 1) - np.maximum(starts, places), 0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        coarse = np.moveaxis(np.tensordot(weights, coarse, axes=(1, axis)), 0, axis)
    return coarse


def common_correlation(one: Matrix | Floats, other: Matrix | Floats) -> float | None:
    """Return Pearson's correlation of two maps on the coarsest grid that both can fill; None when one is constant.

    Maps of inputs of different sizes are so compared by their relative places in the frame.
    """
    shape = tuple(min(sizes) for sizes in zip(one.shape, other.shape, strict=True))
    return pearson(coarsened(one, shape), coarsened(other, shape))


def toroidal_shares(masses: Matrix, region: Mask, shifts: int, seed: int = 0) -> Matrix:
    """Return the share of mass in `region` for `shifts` random cyclic shifts of the map, (shifts,).

    A cyclic shift keeps smoothness, mass and fragmentation of the map and destroys its place, so the shares are a
    null distribution for "the place of this map has nothing to do with the region".
    """
    random = np.random.default_rng(seed)
    axes = tuple(range(masses.ndim))
    offsets = random.integers(0, masses.shape, size=(shifts, masses.ndim))
    return np.asarray([masses[np.roll(region, tuple(offset), axes)].sum() for offset in offsets], dtype=np.float64)


def profile(masses: Matrix, axis: int) -> Matrix:
    """Return the mass of every slice along `axis`."""
    return np.asarray(masses.sum(axis=tuple(other for other in range(masses.ndim) if other != axis)))


def effective_count(shares: Matrix) -> float:
    """Return ``1 / sum(s^2)``, the number of equal parts with the same concentration (inverse Simpson index)."""
    return float(1 / np.square(shares).sum())
