"""Regions of an image: the body on the prepared grid, border and centre, lungs and mediastinum of a chest view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, generate_binary_structure, label

from audit_pipeline.checks.grids import on_input
from audit_pipeline.checks.map_measures import border_band
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.checks.text_mask import text_mask
from audit_pipeline.records import Floats, Image, Mask, Matrix, Prepared

BINS = 256
NOISE_REACH, LEAST_REACH = 4.0, 0.04
"""Air reaches this many standard deviations above its level, and at least this share of the grey range."""

FLATNESS = 0.20
"""Air is flat: it reaches at most this share of the grey range above its level."""

DARKNESS = 0.15
"""Air is the darkest there is: its level lies at most this share of the grey range above the lowest."""

LEAST_FILLING, FILLING_GAP = 0.01, 0.15
"""A filling covers at least this share of the image, and lies below everything else by this share of the range."""

BRIDGE = 16
"""Half the thickness of a bridge between the body and what is no part of it is at most one of so many of the frame."""

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
    padding = ~prepared.inside | on_input(padding_of(image), prepared)
    text = text_mask(image, prepared)
    border = border_band(prepared.inside.shape)
    for mask in (padding, text, border):
        mask.setflags(write=False)
    inside = ~padding
    inside.setflags(write=False)
    body = body_mask(replace(prepared, inside=inside))
    return Masks(body=body, padding=padding, border=border, text=text)


def padding_of(image: Image) -> Mask:
    """Return what is no measurement on the source: what it marks as invalid, a filling, and a frame of one value.

    A filling lies outside the circle that a scanner reconstructs: the lowest value, repeated and far below all others.
    A frame is what a viewer or a converter adds: whole rows, columns or slices from an edge on that hold one and the
    same value, the lowest or the highest of the image.
    """
    invalid = np.zeros(image.shape, dtype=np.bool_) if image.invalid is None else image.invalid.copy()
    grey = grey_of(image)
    invalid |= _filling(grey)
    for level in (grey.min(), grey.max()):
        filled = (grey == level) | invalid
        for axis in range(filled.ndim):
            others = tuple(other for other in range(filled.ndim) if other != axis)
            whole = filled.all(axis=others)
            if whole.all():
                return invalid
            before, after = int(whole.argmin()), int(whole[::-1].argmin())
            frame = np.zeros(whole.shape, dtype=np.bool_)
            frame[:before], frame[whole.size - after :] = True, True
            invalid |= frame.reshape([-1 if place == axis else 1 for place in range(filled.ndim)])
    return invalid


def _filling(grey: Floats) -> Mask:
    lowest = grey == grey.min()
    share = float(lowest.mean())
    if not LEAST_FILLING < share < 1:
        return np.zeros(grey.shape, dtype=np.bool_)
    above = float(grey[~lowest].min() - grey.min())
    is_apart = above > FILLING_GAP * float(grey.max() - grey.min())
    return lowest if is_apart else np.zeros(grey.shape, dtype=np.bool_)


def body_mask(prepared: Prepared) -> Mask | None:
    """Return where the patient is on the prepared grid, or None when patient and background cannot be told apart.

    Air is the darkest, flat and connected to a corner of the frame. What is dark is found by Otsu's threshold on the
    histogram clipped at its 0.5th and 99.5th percentile, padding excluded; among the dark, fat is told from air by the
    level and the noise of the dark pixels at the edge of the frame. The body is the largest component of what is
    neither air nor padding, without what hangs on it from the edge of the frame by a thin bridge, and with its holes
    filled in the volume and slice-wise along axis 0, so that lungs and airways belong to it. A frame without such air
    in its corners, such as a radiograph filled by the chest, is body everywhere.

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
    """Return the air (empty when the frame is filled), or None when a volume's dark corners are no air."""
    filled = np.zeros_like(inside)
    dark = _at_corners((scaled <= otsu(scaled[inside])) | ~inside) & inside
    edge = dark & border_and_centre(scaled.shape)[0]
    edge = edge if edge.any() else dark
    if dark.sum() < LEAST_AIR * inside.sum() or not edge.any():
        return filled
    level = float(np.median(scaled[edge]))
    noise = 1.4826 * float(np.median(np.abs(scaled[edge] - level)))
    reach = max(NOISE_REACH * noise, LEAST_REACH)
    if reach > FLATNESS or level > DARKNESS:
        return None if scaled.ndim == 3 else filled
    air = _at_corners((dark & (scaled <= level + reach)) | ~inside) & inside
    return air if air.sum() >= LEAST_AIR * inside.sum() else filled


def _at_corners(dark: Mask) -> Mask:
    """Return the components of `dark` that reach an in-plane corner, in any slice of a volume."""
    components, _ = label(dark)
    touched = {int(number) for corner in product((0, -1), repeat=2) for number in np.ravel(components[..., *corner])}
    return np.isin(components, sorted(touched - {0}))


def _solid(tissue: Mask) -> Mask:
    body = binary_fill_holes(_largest(tissue & ~_hung_on(tissue)))
    if body.ndim == 3:
        body = np.stack([binary_fill_holes(plane) for plane in body])
    return np.asarray(body, dtype=np.bool_)


def _hung_on(tissue: Mask) -> Mask:
    """Return what reaches the in-plane edge of the frame, and hangs on the body by less than its own thickness.

    The bridge is thinner, within the slices, than an eighth of the frame; erosion takes it away and leaves the cores of
    what it joined.
    """
    cross = generate_binary_structure(2, 1).reshape([1] * (tissue.ndim - 2) + [3, 3])
    steps = max(1, min(tissue.shape[-2:]) // BRIDGE)
    cores = binary_erosion(tissue, cross, steps, border_value=1)
    body = _largest(cores)
    components, _ = label(cores & ~body)
    edges = (components[..., (0, -1), :], components[..., :, (0, -1)])
    touched = np.unique(np.concatenate([edge.ravel() for edge in edges]))
    pieces = np.isin(components, touched[touched > 0])
    if not pieces.any():
        return pieces
    return np.asarray(binary_dilation(pieces, cross, steps) & ~binary_dilation(body, cross, steps), dtype=np.bool_)


def _largest(mask: Mask) -> Mask:
    """Return the largest component, of voxels that share a face."""
    components, count = label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.asarray(components == int(sizes.argmax()))


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


def border_and_centre(shape: Sequence[int]) -> tuple[Mask, Mask]:
    """Return the outer twentieth of every slice and its central half (half of each in-plane axis)."""
    distance = _from_middle(shape)
    border, centre = distance > 0.45, distance < 0.25
    return np.broadcast_to(border, shape).copy(), np.broadcast_to(centre, shape).copy()


def inner_border(shape: Sequence[int]) -> Mask:
    """Return the twentieth of every slice inside the outer one of `border_and_centre`."""
    distance = _from_middle(shape)
    return np.broadcast_to((distance > 0.40) & (distance <= 0.45), shape).copy()


def _from_middle(shape: Sequence[int]) -> Matrix:
    """Return how far every place of a slice lies from its middle, 0 to 0.5, along the axis where that is more."""
    rows, columns = (np.abs((np.arange(size) + 0.5) / size - 0.5) for size in shape[-2:])
    return np.maximum(rows[:, None], columns[None, :])


def chest_regions(shape: Sequence[int]) -> tuple[Mask, Mask]:
    """Return where the mediastinum and the two lungs lie in a frontal chest radiograph that fills the frame."""
    rows, columns = ((np.arange(size) + 0.5) / size for size in shape[-2:])
    high = ((rows > 0.25) & (rows < 0.60))[:, None]
    middle = (np.abs(columns - 0.5) < 0.06)[None, :]
    sides = ((np.abs(columns - 0.5) > 0.14) & (np.abs(columns - 0.5) < 0.30))[None, :]
    return np.broadcast_to(high & middle, shape).copy(), np.broadcast_to(high & sides, shape).copy()
