"""Carrying masks between the source image and the model input through the index map of `records.Prepared`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit_pipeline.geometry import inverse
from audit_pipeline.records import Mask, Matrix, Prepared

SLAB = 1 << 20
"""Places that are looked up at once where axes are not merely exchanged and scaled."""


def nearest(mask: Mask, to_mask: Matrix, shape: Sequence[int]) -> Mask:
    """Return `mask` on another grid of `shape`, looked up at the nearest index; False beyond its edge.

    Parameters
    ----------
    mask : bool, n axes; to_mask : (n + 1, n + 1), index on the other grid -> index of `mask`
    """
    linear = to_mask[:-1, :-1]
    if (np.count_nonzero(linear, axis=0) == 1).all() and (np.count_nonzero(linear, axis=1) == 1).all():
        return _axis_by_axis(mask, to_mask, shape)
    found = np.zeros(int(np.prod(shape)), dtype=np.bool_)
    limits = np.asarray(mask.shape)[:, None]
    for start in range(0, found.size, SLAB):
        places = np.asarray(np.unravel_index(np.arange(start, min(start + SLAB, found.size)), tuple(shape)))
        index = np.rint(linear @ places + to_mask[:-1, -1:]).astype(int)
        within = ((index >= 0) & (index < limits)).all(axis=0)
        found[start : start + SLAB][within] = mask[tuple(index[:, within])]
    return found.reshape(tuple(shape))


def _axis_by_axis(mask: Mask, to_mask: Matrix, shape: Sequence[int]) -> Mask:
    order = [int(np.flatnonzero(row)[0]) for row in to_mask[:-1, :-1]]
    found = mask
    for axis, other in enumerate(order):
        index = np.rint(to_mask[axis, other] * np.arange(shape[other]) + to_mask[axis, -1]).astype(int)
        within = (index >= 0) & (index < mask.shape[axis])
        found = np.take(found, np.clip(index, 0, mask.shape[axis] - 1), axis=axis)
        found = found & within.reshape([-1 if place == axis else 1 for place in range(found.ndim)])
    return np.ascontiguousarray(np.transpose(found, np.argsort(order)))


def on_input(mask: Mask, prepared: Prepared) -> Mask:
    """Return a mask of the source on the model input, (*S): each voxel takes the nearest source voxel."""
    return nearest(mask, prepared.to_source, prepared.inside.shape)


def on_source(mask: Mask, prepared: Prepared, shape: Sequence[int]) -> Mask:
    """Return a mask of the model input on the source grid of `shape`; False where the model does not look."""
    return nearest(mask, inverse(prepared.to_source), shape)


def touched(mask: Mask, prepared: Prepared, to_source: Matrix | None = None) -> Mask:
    """Return every voxel of the model input that a marked voxel falls into or is nearest to, (*S).

    Where the input is coarser than the mask a stroke of one pixel still marks the cell that it was averaged into.

    Parameters
    ----------
    to_source : (n + 1, n + 1), index of the mask -> index of the source; None for a mask on the grid of the source
    """
    to_mask, back = prepared.to_source, inverse(prepared.to_source)
    if to_source is not None:
        to_mask, back = inverse(to_source) @ to_mask, back @ to_source
    found = nearest(mask, to_mask, prepared.inside.shape)
    index = np.rint(np.argwhere(mask) @ back[:-1, :-1].T + back[:-1, -1]).astype(int)
    index = index[((index >= 0) & (index < np.asarray(found.shape))).all(axis=1)]
    found[tuple(index.T)] = True
    return found


def resampled(mask: Mask, prepared: Prepared, to_source: Matrix) -> Mask:
    """Return a mask of any grid on the model input, (*S): each voxel takes the nearest voxel of the mask.

    A region smaller than a voxel of the input, which this would lose, marks the voxels it falls into.

    Parameters
    ----------
    to_source : (n + 1, n + 1), index of the mask -> index of the source
    """
    found = nearest(mask, inverse(to_source) @ prepared.to_source, prepared.inside.shape)
    return found if found.any() else touched(mask, prepared, to_source)
