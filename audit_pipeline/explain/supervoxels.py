"""Compact connected pieces of an image or volume: the players of Shapley values and LIME.

Seeds lie on an even grid in millimetres; every voxel goes to the near seed that is closest in intensity and position
(simple linear iterative clustering); pieces that fell apart are then made connected. No random numbers are drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit_pipeline.errors import ExplainError
from audit_pipeline.records import Floats, Matrix

Labels = NDArray[np.int64]

ITERATIONS = 5
SMALLEST_SHARE = 0.25
"""Pieces below this share of the mean size (of the largest connected parts) are given to their neighbours."""

UNASSIGNED = -1


def supervoxels(
    values: Floats,
    n_segments: int,
    *,
    compactness: float = 0.5,
    spacing_mm: Sequence[float] | None = None,
) -> Labels:
    r"""Return a label for every voxel: 0, 1, ... without gaps, each label one face-connected piece.

    Parameters
    ----------
    values : (C, \*S) the image; intensities are divided by their standard deviation
    n_segments : about how many pieces; the seed grid decides, so the result can differ from it
    compactness : weight of position against intensity; large values give boxes, small ones follow edges
    spacing_mm : voxel size along each spatial axis; None means equal along all axes

    Returns
    -------
    labels : (\*S) int64

    Raises
    ------
    ExplainError
        `n_segments`, `compactness` or `spacing_mm` is impossible for this image.

    References
    ----------
    Achanta et al., SLIC superpixels, IEEE TPAMI 34(11), 2012, algorithm 1 and equation 3. doi:10.1109/TPAMI.2012.120
    """
    shape = values.shape[1:]
    spacing = np.ones(len(shape)) if spacing_mm is None else np.asarray(spacing_mm, dtype=np.float64)
    _require(shape, n_segments, compactness, spacing)
    counts = _seed_counts(shape, spacing, n_segments)
    steps_mm = np.asarray(shape) * spacing / counts
    features = _features(values)
    centres = _seeds(shape, counts)
    means = np.stack([features[:, *np.rint(centre).astype(int)] for centre in centres])
    labels = np.zeros(shape, dtype=np.int64)
    for _ in range(ITERATIONS):
        labels = _assigned(features, centres, means, spacing, steps_mm, compactness)
        centres, means = _updated(features, labels, centres, means)
    return _connected(labels, len(centres))


def _require(shape: tuple[int, ...], n_segments: int, compactness: float, spacing: Matrix) -> None:
    voxels = int(np.prod(shape))
    if isinstance(n_segments, bool) or not isinstance(n_segments, int) or not 2 <= n_segments <= voxels:
        raise ExplainError(f"n_segments must be a whole number from 2 to the {voxels} voxels, found {n_segments!r}")
    if not 0 < compactness < np.inf:
        raise ExplainError(f"compactness must be a number above zero, found {compactness!r}")
    if spacing.shape != (len(shape),) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ExplainError(f"spacing_mm must hold {len(shape)} numbers above zero, found {spacing.tolist()}")


def _seed_counts(shape: tuple[int, ...], spacing: Matrix, n_segments: int) -> Labels:
    """Seeds along each axis: cubes in mm as far as possible, their product as near `n_segments` as rounding allows."""
    extents = np.asarray(shape) * spacing
    is_thin = np.zeros(len(shape), dtype=bool)
    wanted = np.ones(len(shape))
    for _ in shape:
        wide = extents[~is_thin]
        wanted[~is_thin] = wide / (wide.prod() / n_segments) ** (1 / len(wide))
        is_thin |= wanted < 1
        wanted[is_thin] = 1.0
        if is_thin.all():
            break
    options = [
        sorted({min(max(int(count), 1), size) for count in (np.floor(ideal), np.ceil(ideal))})
        for ideal, size in zip(wanted, shape, strict=True)
    ]
    found = min(itertools.product(*options), key=lambda counts: abs(np.log(np.prod(counts) / n_segments)))
    return np.asarray(found, dtype=np.int64)


def _seeds(shape: tuple[int, ...], counts: Labels) -> Matrix:
    lines = [(np.arange(count) + 0.5) * size / count - 0.5 for size, count in zip(shape, counts, strict=True)]
    return np.stack([line.ravel() for line in np.meshgrid(*lines, indexing="ij")], axis=1)


def _features(values: Floats) -> Floats:
    scale = float(values.std(dtype=np.float64))
    return np.asarray(values / scale if scale > 0 else np.zeros_like(values), dtype=np.float32)


def _assigned(
    features: Floats, centres: Matrix, means: Floats, spacing: Matrix, steps_mm: Matrix, compactness: float
) -> Labels:
    """Give every voxel to the closest centre within one seed step; the first centre wins a tie."""
    shape = features.shape[1:]
    closest = np.full(shape, np.inf, dtype=np.float32)
    labels = np.full(shape, UNASSIGNED, dtype=np.int64)
    for label, (centre, mean) in enumerate(zip(centres, means, strict=True)):
        reach = steps_mm / spacing
        first = np.maximum(np.floor(centre - reach), 0).astype(int)
        last = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
        window = tuple(slice(start, stop) for start, stop in zip(first, last, strict=True))
        distance = ((features[:, *window] - mean.reshape(-1, *(1 for _ in shape))) ** 2).mean(axis=0)
        for axis, part in enumerate(window):
            offsets = (np.arange(part.start, part.stop) - centre[axis]) * spacing[axis] / steps_mm[axis]
            along = compactness * offsets.astype(np.float32) ** 2
            distance = distance + along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        is_closer = distance < closest[window]
        closest[window][is_closer] = distance[is_closer]
        labels[window][is_closer] = label
    return labels


def _updated(features: Floats, labels: Labels, centres: Matrix, means: Floats) -> tuple[Matrix, Floats]:
    """Return the mean position and intensity of every piece; an empty piece keeps its own."""
    flat = labels.ravel()
    inside = flat != UNASSIGNED
    sizes = np.bincount(flat[inside], minlength=len(centres))

    def mean_of(weights: Any) -> Matrix:
        sums = np.bincount(flat[inside], weights=weights.ravel()[inside], minlength=len(centres))
        return np.asarray(sums / np.maximum(sizes, 1))

    is_used = (sizes > 0)[:, None]
    positions = np.stack([mean_of(index) for index in np.indices(labels.shape)], axis=1)
    intensities = np.stack([mean_of(channel) for channel in features], axis=1).astype(np.float32)
    return np.where(is_used, positions, centres), np.where(is_used, intensities, means)


def _connected(labels: Labels, count: int) -> Labels:
    """Keep the largest part of every label, drop small ones, and grow what is left over the rest, face by face."""
    largest: list[tuple[tuple[slice, ...], NDArray[np.bool_], int]] = []
    for label, box in enumerate(ndimage.find_objects(labels + 1, max_label=count), start=1):
        if box is not None:
            parts, _ = ndimage.label(labels[box] == label - 1)
            sizes = np.bincount(parts.ravel())[1:]
            largest.append((box, parts == int(sizes.argmax()) + 1, int(sizes.max())))
    mean_size = sum(size for *_, size in largest) / len(largest)
    kept = np.full(labels.shape, UNASSIGNED, dtype=np.int64)
    for label, (box, part, _) in enumerate(one for one in largest if one[2] >= SMALLEST_SHARE * mean_size):
        kept[box][part] = label
    return _grown(kept)


def _grown(labels: Labels) -> Labels:
    """Give every unassigned voxel the label of a face neighbour, layer by layer, so that pieces stay connected."""
    while (labels == UNASSIGNED).any():
        before = labels.copy()
        for axis, step in itertools.product(range(labels.ndim), (1, -1)):
            target = np.moveaxis(labels, axis, 0)
            source = np.moveaxis(before, axis, 0)
            receiving, giving = (target[1:], source[:-1]) if step == 1 else (target[:-1], source[1:])
            free = (receiving == UNASSIGNED) & (giving != UNASSIGNED)
            receiving[free] = giving[free]
    return labels
