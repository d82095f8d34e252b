"""A map on a coarse grid, read at any place of a finer index space: half-pixel linear, zero outside the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from audit_pipeline.geometry import half_pixel_map, index_map, inverse, transform_points
from audit_pipeline.records import Explanation, Floats, Matrix, sealed

EDGE = 1e-6
"""Tolerance in cells for a point on the very edge of the grid."""


def sample_map(values: Floats, to_grid: Matrix, shape: Sequence[int]) -> Floats:
    """Return the map on the points of another grid.

    A cell covers -0.5 ... +0.5 around its index. Between cell centres the value is linear, in the outer half of an
    edge cell it is that cell's value (what ``align_corners=False`` interpolation does), outside the grid exactly 0.

    Parameters
    ----------
    values : (*grid) float32
    to_grid : (n + 1, m + 1) float64, target index (m axes, 1) -> grid index (n axes, 1)
    shape : the m sizes of the target

    Returns
    -------
    (*shape) float32
    """
    axes = np.meshgrid(*(np.arange(size, dtype=np.float64) for size in shape), indexing="ij", sparse=True)
    places = np.empty((values.ndim, *shape))
    for axis in range(values.ndim):
        places[axis] = to_grid[axis, -1]
        for source, steps in enumerate(axes):
            if to_grid[axis, source]:
                places[axis] += to_grid[axis, source] * steps
    sampled = ndimage.map_coordinates(values.astype(np.float64), places, order=1, mode="nearest")
    outside = np.zeros(tuple(shape), dtype=bool)
    for axis, size in enumerate(values.shape):
        outside |= (places[axis] < -0.5 - EDGE) | (places[axis] > size - 0.5 + EDGE)
    sampled[outside] = 0.0
    return np.asarray(sampled, dtype=np.float32)


def sample_placed(
    values: Floats, to_input: Matrix, input_shape: Sequence[int], from_target: Matrix, shape: Sequence[int]
) -> Floats:
    """Return the map on any grid: linear between cell centres, 0 outside the model input.

    Up to the border of the input the value beyond the outermost centres is that of the outermost cell, also where the
    cells, aligned by receptive field, do not reach the border. Under even tiling this is `sample_map`.

    Parameters
    ----------
    values : (*grid) float32
    to_input : grid index -> input index, scale and offset per axis
    from_target : (n + 1, m + 1), target index -> input index
    shape : the m sizes of the target
    """
    cells, sides = np.array(values.shape), np.array(input_shape, dtype=np.float64)
    first, last = transform_points(inverse(to_input), np.stack([np.full(values.ndim, -0.5), sides - 0.5]))
    if np.allclose(first, -0.5, atol=EDGE) and np.allclose(last, cells - 0.5, atol=EDGE):
        return sample_map(values, inverse(to_input) @ from_target, shape)
    before = np.maximum(0, np.ceil(-0.5 - first)).astype(int)
    after = np.maximum(0, np.ceil(last + 0.5 - cells)).astype(int)
    widened = np.pad(values, list(zip(before, after, strict=True)), mode="edge")
    to_widened = index_map([1.0] * values.ndim, [float(count) for count in before]) @ inverse(to_input)
    one_cell = np.ones((1,) * values.ndim, dtype=np.float32)
    is_inside = sample_map(one_cell, half_pixel_map(input_shape, one_cell.shape) @ from_target, shape) > 0
    return np.where(is_inside, sample_map(widened, to_widened @ from_target, shape), np.float32(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedMap:
    """A map on its own grid, and where its cells lie; all that is needed to draw it on any slice.

    values : (*grid) float32
    to_source : grid index -> source index; to_input : grid index -> index of the model input
    input_shape : spatial shape of the model input, outside which the map is 0
    """

    values: Floats
    to_source: Matrix
    to_input: Matrix
    input_shape: tuple[int, ...]

    def on(self, to_source: Matrix, shape: Sequence[int]) -> Floats:
        """Return the map on a grid of this shape; to_source : index of that grid -> source index."""
        from_target = self.to_input @ inverse(self.to_source) @ to_source
        return sample_placed(self.values, self.to_input, self.input_shape, from_target, shape)


def placed_map(explanation: Explanation) -> PlacedMap:
    """Return the grid of an explanation with its places."""
    input_shape, to_input = explanation.on_input.shape, explanation.to_input
    return PlacedMap(
        values=explanation.values,
        to_source=explanation.to_source,
        to_input=half_pixel_map(explanation.grid, input_shape) if to_input is None else to_input,
        input_shape=input_shape,
    )


def slice_maps(maps: Mapping[str, PlacedMap], to_source: Matrix, shape: Sequence[int]) -> dict[str, Floats]:
    """Return each map on the pixels of a slice.

    Parameters
    ----------
    to_source : (n + 1, 3), display (row, column, 1) -> source index
    shape : rows and columns of the slice
    """
    return {method: sealed(one.on(to_source, shape)) for method, one in maps.items()}
