"""Label-preserving changes of the model input, each with the way back for a map made from the changed input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform, map_coordinates

from audit_pipeline.geometry import half_pixel_map, index_map, inverse, transform_points
from audit_pipeline.records import Floats, Mask, Matrix

SHIFT = 0.02
"""Largest shift in-plane, as a share of the length of the axis."""

TURN_DEGREES = 3.0
GAMMA = 0.05
COUNT = 10
"""Changes a study is asked about, in two and in three dimensions."""

EDGE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Benign:
    """One change that leaves the label as it is.

    sentence : what it does; to_original : (n + 1, n + 1), index of the changed input -> index of the original
    gamma : exponent of the grey values scaled to their own range
    kind, amount, unit : what changes and by how much; a shift in the plane counts by its length, one along the slices
        and a turn by their sign
    """

    sentence: str
    to_original: Matrix
    kind: str
    amount: float
    unit: str
    gamma: float = 1.0

    def changed(self, values: Floats) -> Floats:
        """Return the changed input (C, *S); beyond the edge the edge value is kept."""
        return np.stack([_powered(_moved(channel, self.to_original), self.gamma) for channel in values])

    def undone(self, values: Floats, shape: Sequence[int]) -> tuple[Floats, Mask]:
        """Return a map of the changed input in the frame of the original, and which cells the changed input showed.

        Parameters
        ----------
        values : (*grid), on a grid that tiles the input evenly
        shape : spatial shape of the input
        """
        to_input = half_pixel_map(values.shape, shape)
        to_cell = inverse(to_input) @ inverse(self.to_original) @ to_input
        cells = np.stack(np.meshgrid(*(np.arange(size) for size in values.shape), indexing="ij"), axis=-1)
        places = np.moveaxis(transform_points(to_cell, cells), -1, 0)
        back = map_coordinates(values.astype(np.float64), places, order=1, mode="nearest")
        limits = np.asarray(values.shape).reshape(-1, *[1] * values.ndim)
        is_seen = np.asarray(((places >= -0.5 - EDGE) & (places <= limits - 0.5 + EDGE)).all(axis=0))
        return np.asarray(back, dtype=np.float32), is_seen


def benign_changes(shape: Sequence[int]) -> tuple[Benign, ...]:
    """Return the `COUNT` changes for an input of spatial shape `shape`.

    Shifts of at most 2 % and of a single voxel (which is what aliasing strides respond to), turns in-plane of at most
    3 degrees, gamma of 5 %, and in a volume one slice up and down.
    """
    rows, columns = (max(1, int(SHIFT * size)) for size in shape[-2:])
    shifts = [(rows, 0), (0, -columns), (1, 1)]
    shifts += [(-rows, 0), (0, columns)] if len(shape) == 2 else []
    changes = [_shift(shape, (0,) * (len(shape) - 2) + offset) for offset in shifts]
    if len(shape) == 3:
        changes += [_shift(shape, (step, 0, 0)) for step in (1, -1)]
    changes += [_turn(shape, degrees) for degrees in (TURN_DEGREES, -TURN_DEGREES, 0.5 * TURN_DEGREES)]
    still = np.eye(len(shape) + 1)
    changes += [
        Benign(
            sentence=f"gamma {gamma:.2f}", to_original=still, kind="gamma", amount=gamma, unit="exponent", gamma=gamma
        )
        for gamma in (1 - GAMMA, 1 + GAMMA)
    ]
    return tuple(changes)


def _offset(offset: Sequence[int]) -> str:
    """Return an offset in words.

    >>> _offset((0, 2, 0)), _offset((5, -1))
    ('(0, 2, 0) voxels', '5 rows, -1 column')
    """
    if len(offset) == 3:
        return f"({', '.join(str(part) for part in offset)}) voxels"
    moved = [
        f"{part} {noun}{'' if abs(part) == 1 else 's'}" for part, noun in zip(offset, ("row", "column"), strict=True)
    ]
    return ", ".join(one for one, part in zip(moved, offset, strict=True) if part) or "nothing"


def _shift(shape: Sequence[int], offset: Sequence[int]) -> Benign:
    to_original = index_map([1.0] * len(shape), [-float(part) for part in offset])
    is_along_slices = len(offset) == 3 and offset[0] != 0
    noun = "voxels" if len(shape) == 3 else "pixels"
    return Benign(
        sentence=f"shifted by {_offset(offset)}",
        to_original=to_original,
        kind="shift along the slices" if is_along_slices else "shift in the plane",
        amount=float(offset[0]) if is_along_slices else math.hypot(*offset[-2:]),
        unit=noun,
    )


def _turn(shape: Sequence[int], degrees: float) -> Benign:
    """Return a turn in the plane of the last two axes about the centre of the input."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(len(shape) + 1)
    plane = [len(shape) - 2, len(shape) - 1]
    matrix[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = (np.asarray(shape, dtype=np.float64) - 1) / 2
    matrix[:-1, -1] = centre - matrix[:-1, :-1] @ centre
    sentence = f"turned by {degrees:.1f} degrees"
    return Benign(sentence=sentence, to_original=matrix, kind="turn in the plane", amount=degrees, unit="degrees")


def _moved(values: Floats, to_original: Matrix) -> Floats:
    if np.array_equal(to_original, np.eye(len(to_original))):
        return values
    moved = affine_transform(values, to_original[:-1, :-1], to_original[:-1, -1], order=1, mode="nearest")
    return np.asarray(moved, dtype=np.float32)


def _powered(values: Floats, gamma: float) -> Floats:
    low, high = float(values.min()), float(values.max())
    if gamma == 1.0 or not high > low:
        return values
    scaled = ((values - low) / (high - low)) ** gamma
    return np.asarray(low + (high - low) * scaled, dtype=np.float32)
