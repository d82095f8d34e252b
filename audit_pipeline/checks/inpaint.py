"""Filling a region of the model input from its surroundings, with their noise, so that what was there is gone."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.records import Floats, Mask, Matrix

SWEEPS = 12
"""Rounds in which every filled voxel takes the mean of its neighbours, which smooths the seams between levels."""

RING = 3
"""Voxels around a hole whose noise the filling takes."""

LEAST_VOXELS = 64
"""Fewer known triplets of voxels give no noise level."""


def filled(values: Floats, hole: Mask, random: np.random.Generator) -> Floats:
    """Return the input (C, *S) with the region `hole` (*S) filled smoothly from around it, with matched noise.

    The filling interpolates the surroundings over a pyramid of halved grids and is then relaxed towards a harmonic
    function. Without any surroundings it is the mean. Its noise has the level of that in a ring around the hole, and
    it stays within the range of the input.
    """
    result = np.array(values, dtype=np.float32)
    if not hole.any():
        return result
    low, high = float(values.min()), float(values.max())
    ring = binary_dilation(hole, iterations=RING) & ~hole
    for channel in result:
        if hole.all():
            smooth = np.full(hole.shape, channel.mean(dtype=np.float64))
        else:
            smooth = _relaxed(_pyramid(channel.astype(np.float64), ~hole), hole)
        sigma = noise_level(channel, ring) or 0.0
        noisy = smooth[hole] + sigma * random.standard_normal(int(hole.sum()))
        channel[hole] = np.clip(noisy, low, high)
    return result


def _pyramid(values: Matrix, known: Mask) -> Matrix:
    """Return `values` where known, elsewhere the interpolation of the same on the halved grid."""
    if known.all():
        return values
    odd = [(0, size % 2) for size in values.shape]
    weights = np.pad(known.astype(np.float64), odd)
    sums = np.pad(np.where(known, values, 0.0), odd)
    counts, totals = _halved(weights), _halved(sums)
    coarse = np.where(counts > 0, totals / np.maximum(counts, 1), 0.0)
    finer = _doubled(_pyramid(coarse, counts > 0))[tuple(slice(size) for size in values.shape)]
    return np.asarray(np.where(known, values, finer))


def _halved(values: Matrix) -> Matrix:
    """Return the sums over blocks of two voxels along every axis."""
    places = [slice(start, None, 2) for start in (0, 1)]
    return np.asarray(sum(values[corner] for corner in product(places, repeat=values.ndim)))


def _doubled(values: Matrix) -> Matrix:
    """Return the values on twice as many points along every axis, by half-pixel linear interpolation."""
    for axis in range(values.ndim):
        lying = np.moveaxis(values, axis, 0)
        before, after = np.concatenate([lying[:1], lying[:-1]]), np.concatenate([lying[1:], lying[-1:]])
        finer = np.empty((2 * len(lying), *lying.shape[1:]))
        finer[::2], finer[1::2] = 0.75 * lying + 0.25 * before, 0.75 * lying + 0.25 * after
        values = np.moveaxis(finer, 0, axis)
    return values


def _relaxed(values: Matrix, hole: Mask) -> Matrix:
    """Return the values after `SWEEPS` rounds; work is done only in a box around the hole."""
    box = tuple(slice(max(0, int(places.min()) - 1), int(places.max()) + 2) for places in np.nonzero(hole))
    # the frame repeats the edge, which is read where the hole reaches the border of the input
    framed = np.pad(values[box], 1, mode="edge")
    middle = (slice(1, -1),) * values.ndim
    inner, is_free = framed[middle], hole[box]
    sides = [
        (*middle[:axis], beside, *middle[axis + 1 :])
        for axis in range(values.ndim)
        for beside in (slice(None, -2), slice(2, None))
    ]
    for _ in range(SWEEPS):
        around = np.zeros_like(inner)
        for side in sides:
            around += framed[side]
        around /= 2 * values.ndim
        np.copyto(inner, around, where=is_free)
        for axis in range(values.ndim):
            lying = np.moveaxis(framed, axis, 0)
            lying[0], lying[-1] = lying[1], lying[-2]
    result = values.copy()
    result[box] = inner
    return result


def noise_level(values: Floats, region: Mask) -> float | None:
    """Return the standard deviation of the noise in a region, None where too few of its voxels lie in a row.

    From the second differences along the last axis, ``(a - 2 b + c) / sqrt 6``, which a linear slope leaves at 0; the
    scale of the central half of them is taken, so that edges do not count.

    References
    ----------
    T. Gasser, L. Sroka, C. Jennen-Steinmetz, 1986, doi:10.1093/biomet/73.3.625 (pseudo-residuals).
    """
    rows = region[..., :-2] & region[..., 1:-1] & region[..., 2:]
    if int(rows.sum()) < LEAST_VOXELS:
        return None
    second = (values[..., :-2].astype(np.float64) - 2 * values[..., 1:-1] + values[..., 2:])[rows]
    return float(1.4826 * np.median(np.abs(second - np.median(second))) / np.sqrt(6))
