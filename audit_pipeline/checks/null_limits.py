"""What random maps look like: limits of border enrichment, entropy, area and slice concentration by grid.

A coarse grid is border heavy and a fine one fragmented by chance, so one limit cannot serve all layers. The table was
simulated: activations of 64 channels, rectified standard normal on the grid, summed with standard normal weights,
rectified, resampled (tri)linearly to the input (16 voxels a cell up to 112 in 2D; in 3D 5 or 8 a cell up to 64, those
with 8 for entropy and area), without the draws that leave no positive cell; 800 to 8000 draws a grid, for the parts
500 in 3D and 1200 in 2D. Part of it is repeated by `tests/checks/test_null_limits.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, slots=True)
class NullLimits:
    """Quantiles over random maps of one grid; the number in a name is the per cent of maps below.

    border : border enrichment; entropy : share of the maximal entropy; half_peak_area : share of the input;
    slice_ratio : mass of the heaviest slice along axis 0 over the mean slice (1 in 2D)
    parts : connected parts of what lies at or above half of the peak; largest_part : the largest of them as a share of
    that area
    """

    border_95: float
    border_99: float
    entropy_95: float
    entropy_99: float
    half_peak_area_99: float
    slice_ratio_95: float = 1.0
    slice_ratio_99: float = 1.0
    parts_95: float = 1.0
    largest_part_5: float = 0.0


NULL_TABLE = {
    (2, 2): NullLimits(1.01, 1.01, 0.993, 0.998, 1.0, 1.0, 1.0, 2.0, 0.747),
    (4, 4): NullLimits(1.453, 1.749, 0.985, 0.992, 0.592, 1.0, 1.0, 4.0, 0.403),
    (7, 7): NullLimits(1.446, 1.832, 0.985, 0.991, 0.386, 1.0, 1.0, 8.0, 0.265),
    (10, 10): NullLimits(1.334, 1.665, 0.984, 0.991, 0.299, 1.0, 1.0, 14.0, 0.197),
    (14, 14): NullLimits(1.246, 1.461, 0.985, 0.991, 0.251, 1.0, 1.0, 24.0, 0.138),
    (28, 28): NullLimits(1.132, 1.274, 0.985, 0.991, 0.189, 1.0, 1.0, 75.0, 0.06),
    (56, 56): NullLimits(1.060, 1.125, 0.986, 0.991, 0.185, 1.0, 1.0, 250.0, 0.023),
    (2, 2, 2): NullLimits(1.01, 1.01, 0.988, 0.994, 0.762, 2.0, 2.0, 2.0, 0.557),
    (1, 7, 7): NullLimits(1.232, 1.467, 0.987, 0.992, 0.391, 1.0, 1.0, 8.0, 0.258),
    (2, 4, 4): NullLimits(1.161, 1.280, 0.988, 0.993, 0.493, 1.749, 2.0, 5.0, 0.346),
    (2, 7, 7): NullLimits(1.164, 1.289, 0.989, 0.993, 0.302, 1.407, 1.696, 12.0, 0.238),
    (4, 4, 4): NullLimits(1.179, 1.312, 0.988, 0.993, 0.360, 2.232, 3.472, 8.0, 0.277),
    (4, 7, 7): NullLimits(1.135, 1.249, 0.990, 0.994, 0.202, 1.657, 2.200, 20.0, 0.179),
    (7, 7, 7): NullLimits(1.118, 1.199, 0.991, 0.994, 0.167, 1.833, 2.375, 31.0, 0.143),
    (4, 14, 14): NullLimits(1.085, 1.158, 0.990, 0.994, 0.135, 1.319, 1.588, 56.0, 0.09),
    (8, 8, 8): NullLimits(1.108, 1.201, 0.992, 0.995, 0.144, 1.803, 2.465, 46.0, 0.115),
    (8, 14, 14): NullLimits(1.065, 1.131, 0.992, 0.995, 0.083, 1.440, 1.790, 102.0, 0.06),
    (16, 16, 16): NullLimits(1.048, 1.084, 0.992, 0.995, 0.094, 1.426, 1.675, 244.0, 0.032),
}
"""Limits by grid, axis 0 first; both in-plane orders of a grid are the same by symmetry."""


def limits_for(grid: Sequence[int]) -> NullLimits:
    """Return the limits for `grid`.

    A grid of the table gets its row. Between rows the limits are the mean of the three nearest rows of the same
    dimension, weighted by the inverse square of the distance in log2 of the cells per axis. Beyond the table the
    weights tend to those of the outermost rows, so finer grids get limits that are rather too lenient.

    >>> limits_for((7, 7)).border_99
    1.832
    """
    ordered = (*grid[:-2], *sorted(grid[-2:]))
    if ordered in NULL_TABLE:
        return NULL_TABLE[ordered]
    rows = [row for row in NULL_TABLE if len(row) == len(ordered)]
    if not rows:
        raise ValueError(f"limits are known for grids of two or three axes, found {len(ordered)}")
    distances = {row: float(np.linalg.norm(np.log2(row) - np.log2(ordered))) for row in rows}
    nearest = sorted(rows, key=lambda row: distances[row])[:3]
    weights = np.asarray([distances[row] ** -2 for row in nearest])
    weights /= weights.sum()
    return NullLimits(
        *(float(weights @ [getattr(NULL_TABLE[row], one.name) for row in nearest]) for one in fields(NullLimits))
    )
