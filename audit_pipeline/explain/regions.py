r"""From a map to regions: thresholds, weakly supervised masks, connected parts, boxes, and sizes in the patient.

A mask here is weakly supervised: nobody drew it, it is where the evidence of an image-level class lies. It is a
pointer for a reader and a rough size, not a segmentation.

All functions take any number of axes. A voxel covers -0.5 ... +0.5 around its index, so the box of one voxel is one
voxel wide, and a corner in mm is the corner of the voxel, not its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit_pipeline.errors import ExplainError
from audit_pipeline.geometry import transform_points
from audit_pipeline.records import Floats, Mask, Matrix

Map = Floats | Matrix
Labels = NDArray[np.int32]
Box = tuple[tuple[int, int], ...]
"""Per axis the first index and the one after the last, in voxels."""

MASS_SHARE = 0.5
"""Share of the positive mass that a mask encloses unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """One connected part of a mask.

    Attributes
    ----------
    voxels : their number
    box : per axis (first, last + 1), in voxels
    corners_mm : (2^n, 3) or (2^n, n) float64, the corners of the box in the frame of the affine (LPS+), in the order of
        the binary numbers with axis 0 as the highest digit; None without an affine
    centre_index : mean index of its voxels weighted by the positive map; peak_value : largest value of the map in it
    mass_share : share of the positive mass of the whole map that it holds; None when the map has none
    volume_ml : voxels times |det| of the affine over 1000, in mL; area_mm2 : the same in a 2D image, in mm^2; None
        where the number of axes or a missing affine says so
    """

    voxels: int
    box: Box
    corners_mm: Matrix | None
    centre_index: tuple[float, ...]
    peak_value: float
    mass_share: float | None
    volume_ml: float | None
    area_mm2: float | None


def require_map(values: Map, what: str = "the map") -> None:
    """Refuse a map that is empty or not finite.

    Raises
    ------
    ExplainError
        The map has no voxel, or a value that is not finite.
    """
    if values.size == 0 or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ExplainError(
            f"{what} must have finite values only, found {bad} of {values.size} that are not; "
            "look for an overflow in the model or another method"
        )


def otsu_threshold(values: Map) -> float | None:
    r"""Return the threshold that splits the values into two classes with the largest variance between them.

    Over all splits of the sorted values between different neighbours, :math:`\omega_0 \omega_1 (\mu_1 - \mu_0)^2` is
    largest; the threshold lies midway between the neighbours, and the upper class is ``values > threshold``. No
    histogram is made, so the result does not depend on bins. None when all values are equal.

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, 1979, doi:10.1109/TSMC.1979.4310076, equation 14.
    """
    require_map(values)
    levels, counts = np.unique(values.astype(np.float64), return_counts=True)
    if levels.size == 1:
        return None
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    centred = (levels - levels[0]) / (levels[-1] - levels[0])
    sums = np.cumsum(centred * counts)
    between = below * above * ((sums[-1] - sums[:-1]) / above - sums[:-1] / below) ** 2
    best = int(np.argmax(between))
    return float((levels[best] + levels[best + 1]) / 2)


def mass_threshold(values: Map, share: float = MASS_SHARE) -> float | None:
    """Return the highest level whose voxels at or above it hold at least `share` of the positive mass.

    Voxels tied at the level belong to the set, so it may hold more. None when the map has no positive value.

    Raises
    ------
    ExplainError
        The share is not above 0 and at most 1, or the map is not finite.
    """
    require_map(values)
    if not 0 < share <= 1:
        raise ExplainError(f"the share of mass must be above 0 and at most 1, found {share}")
    positive = np.sort(values[values > 0].astype(np.float64))[::-1]
    if positive.size == 0:
        return None
    mass = np.cumsum(positive)
    first = int(np.searchsorted(mass, share * mass[-1] * (1 - 1e-12)))
    return float(positive[min(first, positive.size - 1)])


def otsu_mask(values: Map) -> Mask:
    """Return where the positive part of the map is above its Otsu threshold; empty when nothing is positive.

    The positive part, not the signed map, is split: evidence against a class is no part of where it is seen, and this
    is what published figures do (Saporta et al. 2022, on rectified maps). A map that is constant and positive has no
    two classes and gives an empty mask too.
    """
    positive = np.maximum(values, 0)
    threshold = otsu_threshold(positive)
    return np.zeros(values.shape, dtype=np.bool_) if threshold is None else np.asarray(positive > threshold)


def mass_mask(values: Map, share: float = MASS_SHARE) -> Mask:
    """Return the strongest voxels that hold `share` of the positive mass; empty when nothing is positive."""
    level = mass_threshold(values, share)
    return np.zeros(values.shape, dtype=np.bool_) if level is None else np.asarray(values >= level)


def peak_share_mask(values: Map, share: float) -> Mask:
    """Return the voxels that reach `share` of the highest value; empty when nothing is positive."""
    require_map(values)
    highest = float(values.max())
    return np.asarray(values >= share * highest) & (values > 0) if highest > 0 else np.zeros(values.shape, np.bool_)


def connected(mask: Mask) -> tuple[Labels, int]:
    """Return the number of the part of each voxel, 0 outside the mask, and how many parts there are.

    Voxels that share a face, an edge or a corner are connected.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return np.asarray(labels, dtype=np.int32), int(count)


def boxes(mask: Mask) -> tuple[Box, ...]:
    """Return the box of every connected part, the part with the most voxels first, ties in array order."""
    labels, count = connected(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    found = ndimage.find_objects(labels)
    return tuple(
        tuple((int(along.start), int(along.stop)) for along in found[part])
        for part in np.argsort(-sizes, kind="stable")
    )


def box_overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes.

    >>> box_overlap(((0, 4), (0, 4)), ((2, 4), (0, 4)))
    0.5
    """
    shared = np.prod([max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in zip(one, other, strict=True)])
    sizes = [np.prod([last - first for first, last in box]) for box in (one, other)]
    return float(shared / (sum(sizes) - shared))


def box_corners_mm(box: Box, affine: Matrix) -> Matrix:
    """Return the corners of a box through an affine, exact for oblique ones.

    Parameters
    ----------
    affine : (4, 4) index -> mm, of which a 2D box uses the first two axes, or (n + 1, n + 1)

    Returns
    -------
    (2^n, 3) or (2^n, n) float64, mm
    """
    corners = np.array(list(product(*((first - 0.5, last - 0.5) for first, last in box))))
    missing = affine.shape[0] - 1 - len(box)
    return transform_points(affine, np.pad(corners, ((0, 0), (0, missing))))


def cell_size(affine: Matrix, axes: int) -> float:
    """Return the volume, area or length in mm^axes of one cell: the square root of the Gram determinant.

    With as many axes as the affine has, that is |det|; of a 2D image in space it is the area of its pixel.
    """
    edges = affine[:-1, :axes]
    return float(np.sqrt(max(0.0, np.linalg.det(edges.T @ edges))))


def regions(values: Map, mask: Mask, affine: Matrix | None) -> tuple[Region, ...]:
    r"""Return the connected parts of a mask with their sizes and places, the largest first.

    Parameters
    ----------
    values : (\*S) raw signed map
    mask : (\*S) bool, from one of the rules above
    affine : (4, 4) or (n + 1, n + 1) index -> mm, or None when the place is unknown

    Raises
    ------
    ExplainError
        The shapes differ, the map is not finite, or the affine collapses a voxel to nothing.
    """
    require_map(values)
    if values.shape != mask.shape:
        raise ExplainError(f"map and mask must have one shape, found {values.shape} and {mask.shape}")
    size = None if affine is None else cell_size(affine, mask.ndim)
    if size is not None and not size > 0:
        raise ExplainError("the affine gives a voxel no extent; correct the geometry of the image or pass None")
    labels, _ = connected(mask)
    positive = np.maximum(values.astype(np.float64), 0)
    parts = [
        _region(values[window], positive[window], labels[window] == number, window, (affine, size, positive.sum()))
        for number, window in enumerate(ndimage.find_objects(labels), start=1)
    ]
    return tuple(sorted(parts, key=lambda one: -one.voxels))


def _region(
    values: Map,
    positive: Matrix,
    part: Mask,
    window: tuple[slice, ...],
    known: tuple[Matrix | None, float | None, float],
) -> Region:
    """Return one part from what lies in its window; `known` is the affine, the size of a voxel and the whole mass."""
    affine, size, total = known
    voxels = int(part.sum())
    box = tuple((int(along.start), int(along.stop)) for along in window)
    own = positive * part
    measure = None if size is None else voxels * size
    centre = ndimage.center_of_mass(own if own.any() else part)
    return Region(
        voxels=voxels,
        box=box,
        corners_mm=None if affine is None else box_corners_mm(box, affine),
        centre_index=tuple(float(place + along.start) for place, along in zip(centre, window, strict=True)),
        peak_value=float(values[part].max()),
        mass_share=float(own.sum() / total) if total > 0 else None,
        volume_ml=measure / 1000 if measure is not None and part.ndim == 3 else None,
        area_mm2=measure if part.ndim == 2 else None,
    )


def total_volume_ml(found: Sequence[Region]) -> float | None:
    """Return the sum of the volumes in mL; None when one of them is unknown, 0 when there is no region."""
    volumes = [one.volume_ml for one in found]
    return None if None in volumes else float(sum(volume for volume in volumes if volume is not None))
