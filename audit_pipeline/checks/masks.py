"""Regions of an image: the body on the prepared grid, border and centre, lungs and mediastinum of a chest view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.ndimage import binary_fill_holes, generate_binary_structure, label

from audit_pipeline.checks.map_measures import border_band
from audit_pipeline.records import Floats, Image, Mask, Matrix, Prepared

BINS = 256
NOISE_REACH, LEAST_REACH = 4.0, 0.04
"""Air reaches this many standard deviations above its level, and at least this share of the grey range."""

FLATNESS = 0.20
"""Air is flat: it reaches at most this share of the grey range above its level."""

LEAST_BODY, LEAST_AIR = 0.02, 0.005
"""A body fills at least this share of the input, and air at least this one; else neither is believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """Regions of the model input, (*S) bool each; see `evidence.Evidence`."""

    body: Mask | None
    padding: Mask
    border: Mask
    text: Mask


def masks_of(image: Image, prepared: Prepared) -> Masks:
    """Return the patient, the padding, the border band and the letters, each on the prepared grid."""
    padding = ~prepared.inside | invalid_on_input(image, prepared)
    text = np.zeros_like(padding)
    border = border_band(prepared.inside.shape)
    for mask in (padding, text, border):
        mask.setflags(write=False)
    return Masks(body=body_mask(prepared), padding=padding, border=border, text=text)


def invalid_on_input(image: Image, prepared: Prepared) -> Mask:
    """Return where the source voxel nearest to a voxel of the model input is marked as invalid, (*S)."""
    shape = prepared.inside.shape
    if image.invalid is None or not image.invalid.any():
        return np.zeros(shape, dtype=np.bool_)
    places = np.indices(shape).reshape(len(shape), -1)
    source = prepared.to_source[:-1, :-1] @ places + prepared.to_source[:-1, -1:]
    nearest = np.rint(source).astype(int)
    limits = np.asarray(image.shape)[:, None]
    inside = ((nearest >= 0) & (nearest < limits)).all(axis=0)
    found = np.zeros(places.shape[1], dtype=np.bool_)
    found[inside] = image.invalid[tuple(nearest[:, inside])]
    return found.reshape(shape)


def body_mask(prepared: Prepared) -> Mask | None:
    """Return where the patient is on the prepared grid, or None when patient and background cannot be told apart.

    Air is dark, flat and connected to a corner of the frame. What is dark is found by Otsu's threshold on the
    histogram clipped at its 0.5th and 99.5th percentile, padding excluded; among the dark, fat is told from air by the
    level and the noise of the dark pixels at the edge of the frame. The body is the largest component of what is
    neither air nor padding, with its holes filled in the volume and slice-wise along axis 0, so that lungs and airways
    belong to it. A frame without such air in its corners, such as a radiograph filled by the chest, is body everywhere.

    Parameters
    ----------
    prepared : values (C, *S), the mean over channels is used; `inside` marks padding

    Returns
    -------
    (*S) bool, read-only; None for a constant or non-finite input, or when air and body are not credible

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, 1979, doi:10.1109/TSMC.1979.4310076.
    """
    values, inside = prepared.values.mean(axis=0, dtype=np.float64), prepared.inside
    if not inside.any() or not np.isfinite(values).all():
        return None
    low, high = (float(level) for level in np.percentile(values[inside], (0.5, 99.5)))
    if not high > low:
        return None
    frame = _frame(inside)
    scaled = np.clip((values[frame] - low) / (high - low), 0, 1)
    air = _corner_air(scaled, inside[frame])
    if air is None:
        return None
    body = np.zeros_like(inside)
    body[frame] = _solid(inside[frame] & ~air)
    if float(body.mean()) < LEAST_BODY:
        return None
    body.setflags(write=False)
    return body


def _frame(inside: Mask) -> tuple[slice, ...]:
    """Return the smallest box that holds everything that is not padding."""
    ends = []
    for axis in range(inside.ndim):
        covered = np.flatnonzero(inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)))
        ends.append(slice(int(covered[0]), int(covered[-1]) + 1))
    return tuple(ends)


def _corner_air(scaled: Matrix, inside: Mask) -> Mask | None:
    """Return the air (empty when the frame is filled), or None when a volume's dark corners are not flat enough."""
    filled = np.zeros_like(inside)
    dark = _at_corners(inside & (scaled <= otsu(scaled[inside])))
    edge = dark & border_and_centre(scaled.shape)[0]
    if dark.sum() < LEAST_AIR * inside.sum() or not edge.any():
        return filled
    level = float(np.median(scaled[edge]))
    noise = 1.4826 * float(np.median(np.abs(scaled[edge] - level)))
    reach = max(NOISE_REACH * noise, LEAST_REACH)
    if reach > FLATNESS:
        return None if scaled.ndim == 3 else filled
    air = _at_corners(dark & (scaled <= level + reach))
    return air if air.sum() >= LEAST_AIR * inside.sum() else filled


def _at_corners(dark: Mask) -> Mask:
    """Return the components of `dark` that reach an in-plane corner, in any slice of a volume."""
    components, _ = label(dark)
    touched = {int(number) for corner in product((0, -1), repeat=2) for number in np.ravel(components[..., *corner])}
    return np.isin(components, sorted(touched - {0}))


def _solid(tissue: Mask) -> Mask:
    components, count = label(tissue, generate_binary_structure(tissue.ndim, 1))
    if count == 0:
        return tissue
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    body = binary_fill_holes(components == int(sizes.argmax()))
    if body.ndim == 3:
        body = np.stack([binary_fill_holes(plane) for plane in body])
    return np.asarray(body, dtype=np.bool_)


def otsu(values: Matrix) -> float:
    """Return the threshold that maximises the variance between the two classes it makes.

    values : in [0, 1]; the middle of the best bins when several are equally good
    """
    counts, edges = np.histogram(values, bins=BINS, range=(0, 1))
    centres = 0.5 * (edges[:-1] + edges[1:])
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[:-1] / below, (sums[-1] - sums[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * (means[0] - means[1]) ** 2, 0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1:-1][best].mean())


def grey_of(image: Image) -> Floats:
    """Return the values, for colour the brightest of the three channels."""
    return np.asarray(image.values.max(axis=-1) if image.is_colour else image.values)


def sampled(image: Image, most_slices: int = 24) -> tuple[Matrix, Mask]:
    """Return at most about `most_slices` evenly chosen slices and where they are valid and finite."""
    values = grey_of(image).astype(np.float64) if image.values.ndim == 2 else grey_of(image)
    invalid = np.zeros(image.shape, dtype=np.bool_) if image.invalid is None else image.invalid
    if values.ndim == 3:
        step = max(1, values.shape[0] // most_slices)
        values, invalid = values[::step].astype(np.float64), invalid[::step]
    valid = ~invalid & np.isfinite(values)
    return np.where(valid, values, 0.0), valid


def border_and_centre(shape: Sequence[int]) -> tuple[Mask, Mask]:
    """Return the outer twentieth of every slice and its central half (half of each in-plane axis)."""
    places = [np.abs((np.arange(size) + 0.5) / size - 0.5) for size in shape[-2:]]
    distance = np.maximum(places[0][:, None], places[1][None, :])
    border, centre = distance > 0.45, distance < 0.25
    return np.broadcast_to(border, shape).copy(), np.broadcast_to(centre, shape).copy()


def chest_regions(shape: Sequence[int]) -> tuple[Mask, Mask]:
    """Return where the mediastinum and the two lungs lie in a frontal chest radiograph that fills the frame."""
    rows, columns = ((np.arange(size) + 0.5) / size for size in shape[-2:])
    high = ((rows > 0.25) & (rows < 0.60))[:, None]
    middle = (np.abs(columns - 0.5) < 0.06)[None, :]
    sides = ((np.abs(columns - 0.5) > 0.14) & (np.abs(columns - 0.5) < 0.30))[None, :]
    return np.broadcast_to(high & middle, shape).copy(), np.broadcast_to(high & sides, shape).copy()
