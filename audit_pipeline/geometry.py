"""Affines, anatomical directions and grids: pure NumPy, no file formats.

Conventions
-----------
* World coordinates are millimetres in LPS+: x grows to the patient's Left, y to the Posterior, z to the Head
  (superior), as in DICOM (PS3.3, C.7.6.2.1.1).
* An affine maps an array index ``(axis 0, axis 1, axis 2, 1)`` to ``(x, y, z, 1)``. Index 0 is the centre of the first
  voxel, so a voxel covers -0.5 ... +0.5 in index units.
* An index map is a homogeneous ``(n + 1, n + 1)`` matrix between two index spaces of the same n axes. Grids that tile
  the same field of view are related by the half-pixel rule: ``fine = (coarse + 0.5) * factor - 0.5``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

LPS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""Letters for the negative and the positive direction of the x, y and z axis."""

OBLIQUE_COSINE = 0.20
"""A direction component below this cosine (11.5 degrees off axis) is not spelled out in compound letters."""

PLANES = ("sagittal", "coronal", "axial")
"""Plane whose normal is closest to the world x, y and z axis."""


def direction_letters(vector: ArrayLike) -> str:
    """Return the anatomical letters toward which `vector` points, largest component first.

    Parameters
    ----------
    vector : (3,) array_like
        Direction in LPS+; its length does not matter.

    Examples
    --------
    >>> direction_letters((1, 0, 0)), direction_letters((-1, -0.9, 0)), direction_letters((0, 0.1, -1))
    ('L', 'RA', 'F')
    """
    direction = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if not np.isfinite(length) or length == 0:
        raise ValueError(f"a direction needs a finite length above zero, got {direction.tolist()}")
    cosines = direction / length
    order = sorted(range(3), key=lambda axis: (-abs(cosines[axis]), axis))
    return "".join(LPS_LETTERS[axis][int(cosines[axis] > 0)] for axis in order if abs(cosines[axis]) > OBLIQUE_COSINE)


def opposite_letters(letters: str) -> str:
    """Return the letters of the opposite direction.

    >>> opposite_letters("RA")
    'LP'
    """
    pairs = {one: other for pair in LPS_LETTERS for one, other in (pair, pair[::-1])}
    return "".join(pairs[letter] for letter in letters)


def closest_axes(affine: Matrix) -> tuple[tuple[int, int], ...]:
    """Return, for each array axis, the closest world axis and the sign of travel along it.

    The assignment is the permutation with the largest sum of absolute cosines, so every world axis is used once also
    for 45 degree obliques; ties go to the permutation that comes first in lexical order.

    Parameters
    ----------
    affine : (4, 4) float64, index -> mm
    """
    columns = affine[:3, :3]
    cosines = columns / np.linalg.norm(columns, axis=0)
    best = max(permutations(range(3)), key=lambda worlds: sum(abs(cosines[w, a]) for a, w in enumerate(worlds)))
    return tuple((world, 1 if cosines[world, axis] >= 0 else -1) for axis, world in enumerate(best))


def axis_codes(affine: Matrix) -> str:
    """Return one letter per array axis: the direction in which its index grows.

    >>> axis_codes(np.diag([1.0, 1.0, 2.0, 1.0]))
    'LPH'
    """
    return "".join(LPS_LETTERS[world][int(sign > 0)] for world, sign in closest_axes(affine))


def plane_name(normal: ArrayLike) -> str:
    """Return ``axial``, ``coronal`` or ``sagittal``, whichever is closest, for a plane with this normal."""
    return PLANES[int(np.argmax(np.abs(np.asarray(normal, dtype=np.float64))))]


def spacing_of(affine: Matrix) -> tuple[float, float, float]:
    """Return the distance in mm between neighbouring samples along each array axis."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return (float(lengths[0]), float(lengths[1]), float(lengths[2]))


def transform_points(matrix: Matrix, points: ArrayLike) -> Matrix:
    """Apply a homogeneous ``(n + 1, n + 1)`` matrix to points of shape (..., n)."""
    given = np.asarray(points, dtype=np.float64)
    return np.asarray(given @ matrix[:-1, :-1].T + matrix[:-1, -1])


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of an affine or index map."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def index_map(scale: Sequence[float], offset: Sequence[float]) -> Matrix:
    """Return the homogeneous matrix of ``target = scale * source + offset`` per axis."""
    matrix = np.diag([*scale, 1.0]).astype(np.float64)
    matrix[:-1, -1] = offset
    return matrix


def half_pixel_map(shape_from: Sequence[int], shape_to: Sequence[int]) -> Matrix:
    """Return the index map between two grids that tile the same field of view.

    Examples
    --------
    The first of 4 cells over 32 voxels has its centre at voxel 3.5:

    >>> half_pixel_map((4,), (32,)) @ [0, 1]
    array([3.5, 1. ])
    """
    factors = [to / of for of, to in zip(shape_from, shape_to, strict=True)]
    return index_map(factors, [0.5 * factor - 0.5 for factor in factors])


def flip_map(shape: Sequence[int], flipped: Sequence[bool]) -> Matrix:
    """Return the index map of reversing the marked axes of a grid (its own inverse)."""
    return index_map(
        [-1.0 if flip else 1.0 for flip in flipped],
        [float(size - 1) if flip else 0.0 for size, flip in zip(shape, flipped, strict=True)],
    )


def permutation_map(order: Sequence[int]) -> Matrix:
    """Return the index map from a transposed array to its original: new axis i is old axis ``order[i]``."""
    matrix = np.zeros((len(order) + 1, len(order) + 1))
    for new, old in enumerate(order):
        matrix[old, new] = 1.0
    matrix[-1, -1] = 1.0
    return matrix


def lps_to_ras(affine: Matrix) -> Matrix:
    """Return the affine with world x and y negated; the same function converts back (NIfTI is RAS+)."""
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def lift(matrix: Matrix) -> Matrix:
    """Return a two-axis index map as a (4, 4) one that leaves the third axis alone; a (4, 4) one unchanged."""
    if matrix.shape == (4, 4):
        return matrix
    lifted = np.eye(4)
    lifted[:2, :2] = matrix[:2, :2]
    lifted[:2, 3] = matrix[:2, 2]
    return lifted


def follow(affine: Matrix | None, to_source: Matrix) -> Matrix | None:
    """Return the affine of a grid whose indices `to_source` maps into a grid with `affine`; None stays None."""
    return None if affine is None else np.asarray(affine @ lift(to_source))
