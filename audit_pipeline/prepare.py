"""Stage 2: from a delivered image to the model input, keeping the index map back to the source.

The prepared grid follows the image's own array axes (permuted and reversed to the card's orientation), so resampling is
separable and never rotates: an oblique acquisition stays oblique, and a heatmap computed on this grid goes back to the
patient through one affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from audit_pipeline.card import InputCard, Intensity, ModelCard
from audit_pipeline.errors import ColourError, ModelError, OrientationError
from audit_pipeline.geometry import axis_codes, flip_map, follow, index_map, permutation_map
from audit_pipeline.records import Floats, Image, Mask, Matrix, Prepared, sealed

SYNONYMS = str.maketrans({"S": "H", "I": "F"})
"""Superior and inferior are the DICOM letters H (head) and F (feet)."""

SMALLEST_WINDOW = 1e-3
"""Averaging over less than this share of a voxel is plain interpolation."""


@dataclass(frozen=True, slots=True)
class Oriented:
    """The source seen along the card's axes: a view of the values, and the index map back."""

    values: Floats
    invalid: Mask | None
    to_source: Matrix
    spacing: tuple[float | None, ...]
    step: str


def prepare(image: Image, card: ModelCard) -> Prepared:
    """Return the model input for one image.

    Orientation first, then one linear resampling (averaged over the target cell where it shrinks) that pads or crops
    around the centre, then intensity. A card with ``input.slices`` takes volumes whose slices stay as they are: only
    their plane is resampled. With ``input.windows`` and no size the grid is as large as the image, at least a window.

    Parameters
    ----------
    image : Image, volume or 2D
    card : ModelCard with the input the network expects

    Raises
    ------
    ModelError
        The image has the wrong number of dimensions, or the card needs a spacing that the image does not have.
    ColourError
        Colour offered to a model of one channel.
    """
    _require_fit(image, card)
    oriented = _orient(image, card.input)
    scale, spacing, size, step = _scale(oriented, card)
    source_shape = oriented.values.shape[: len(size)]
    offset = [
        _start(n, m, s, is_grown=card.input.size is None) for n, m, s in zip(source_shape, size, scale, strict=True)
    ]
    weights = [
        _axis_weights(source, target, ratio, start)
        for source, target, ratio, start in zip(source_shape, size, scale, offset, strict=True)
    ]
    covered = [
        np.abs(s * np.arange(m) + o - (n - 1) / 2) <= n / 2
        for n, m, s, o in zip(source_shape, size, scale, offset, strict=True)
    ]
    inside = _outer_and(covered)
    values, inside = _resample(oriented, weights, inside)
    scaled, window, intensity_step = _intensity(values, inside, card.input)
    to_source = oriented.to_source @ index_map(scale, offset)
    return Prepared(
        values=sealed(_channels(scaled, card)),
        to_source=sealed(to_source),
        affine=_sealed_or_none(follow(image.affine, to_source)),
        spacing_mm=spacing,
        inside=sealed(inside),
        steps=(oriented.step, step, intensity_step),
        display_window=window,
    )


def _require_fit(image: Image, card: ModelCard) -> None:
    dimensions = len(image.shape)
    if dimensions != card.image_dims:
        kinds = {2: "2D images", 3: "volumes"}
        found = "a 2D image" if dimensions == 2 else f"a volume of {image.shape[0]} slices"
        takes = "volumes, slice by slice" if card.input.slices else kinds[card.image_dims]
        more = ", or let the model card read its slices with input.slices" if dimensions > card.image_dims else ""
        raise ModelError(
            f"the model takes {takes}, the study delivers {found}; choose another image with input.select or another "
            f"model{more}"
        )
    if card.input.slices != "stack" and card.channels not in {1, 3}:
        raise ModelError(f"inputs of 1 or 3 channels can be prepared, the model card asks for {card.channels}")
    if image.is_colour and (card.channels == 1 or card.input.slices == "stack"):
        raise ColourError("the model takes one grey channel, the image is in colour; convert it or use an RGB model")


def _orient(image: Image, card: InputCard) -> Oriented:
    dimensions = len(image.shape)
    order = tuple(range(dimensions))
    flips = (False,) * dimensions
    step = "axes kept as stored"
    if dimensions == 3 and card.orientation is not None:
        if image.affine is None and card.laterality_sensitive:
            raise OrientationError(
                "the model tells left from right and the orientation of the volume is unknown; export it with its "
                "geometry (NIfTI: set qform or sform)"
            )
        if image.affine is None:
            step = f"orientation unknown: axes kept as stored, although the model expects {card.orientation}"
        else:
            found, wanted = axis_codes(image.affine), card.orientation.translate(SYNONYMS)
            order, flips = _reorder(found, wanted)
            step = f"axes {found} brought to {wanted}"
    extra = (dimensions,) if image.is_colour else ()
    reverse = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    shape = [image.shape[axis] for axis in order]
    return Oriented(
        values=image.values.transpose(order + extra)[reverse],
        invalid=None if image.invalid is None else image.invalid.transpose(order)[reverse],
        to_source=permutation_map(order) @ flip_map(shape, flips),
        spacing=tuple(image.spacing_mm[axis] for axis in order),
        step=step,
    )


def _reorder(found: str, wanted: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    pairs = {"L": "LR", "R": "LR", "A": "AP", "P": "AP", "H": "FH", "F": "FH"}
    axes = [pairs[letter] for letter in found]
    if len({pairs[letter] for letter in wanted}) != 3:
        raise ModelError(f"input.orientation {wanted!r} must name each of the directions L/R, A/P and H/F once")
    order = tuple(axes.index(pairs[letter]) for letter in wanted)
    return order, tuple(found[axis] != letter for axis, letter in zip(order, wanted, strict=True))


def _scale(oriented: Oriented, card: ModelCard) -> tuple[list[float], tuple[float | None, ...], tuple[int, ...], str]:
    """Return source indices per target index on each axis, the target spacing and size, and the step in words."""
    shape = oriented.values.shape[: card.image_dims]
    if card.input.slices is None:
        return _scale_axes(shape, oriented.spacing, card.input)
    scale, spacing, size, step = _scale_axes(shape[1:], oriented.spacing[1:], card.input)
    words = f"{shape[0]} {'slice' if shape[0] == 1 else 'slices'} kept as stored; in their plane {step}"
    return [1.0, *scale], (oriented.spacing[0], *spacing), (shape[0], *size), words


def _scale_axes(
    shape: tuple[int, ...], have: tuple[float | None, ...], card: InputCard
) -> tuple[list[float], tuple[float | None, ...], tuple[int, ...], str]:
    known = [value for value in have if value is not None]
    if card.spacing_mm is not None:
        if len(known) != len(shape):
            raise ModelError(
                f"the model needs {_by(card.spacing_mm)} mm per voxel, but the spacing of the image is unknown; "
                "re-export it with its geometry or use a model that scales by size"
            )
        scale = [wanted / side for wanted, side in zip(card.spacing_mm, known, strict=True)]
        size, fitting = _size(shape, scale, card)
        return scale, tuple(card.spacing_mm), size, f"resampled to {_by(card.spacing_mm)} mm, {fitting}"
    if card.size is None:
        size, fitting = _size(shape, [1.0] * len(shape), card)
        return [1.0] * len(shape), have, size, f"voxels kept as stored, {fitting}"
    sides = known if len(known) == len(shape) else [1.0] * len(shape)
    cell = max(n * side / m for n, side, m in zip(shape, sides, card.size, strict=True))
    step = f"scaled to fit {_by(card.size)}, aspect kept, centred"
    spacing = tuple(cell if len(known) == len(shape) else None for _ in shape)
    return [cell / side for side in sides], spacing, tuple(card.size), step


def _size(shape: tuple[int, ...], scale: list[float], card: InputCard) -> tuple[tuple[int, ...], str]:
    """Return the size of the target and how the image is fitted into it, in words."""
    if card.size is not None:
        return tuple(card.size), f"cropped or padded to {_by(card.size)} around the centre"
    assert card.windows is not None
    size = []
    for have, ratio, window, step in zip(shape, scale, card.windows.size, card.windows.step, strict=True):
        size.append(window + step * max(0, ceil((ceil(round(have / ratio, 6)) - window) / step)))
    return tuple(size), f"padded to {_by(size)} around the centre, for windows of {_by(card.windows.size)}"


def _start(source: int, target: int, ratio: float, *, is_grown: bool) -> float:
    """Return the source index of the first target voxel: both grids share their centre.

    A grid that grew beyond the image for its windows shares the image's first edge with a voxel of its own instead, so
    that values are not interpolated half a voxel away from where they were measured.
    """
    if not is_grown:
        return (source - 1) / 2 - ratio * (target - 1) / 2
    before = (target - ceil(round(source / ratio, 6))) // 2
    return (ratio - 1) / 2 - ratio * before


def _axis_weights(source: int, target: int, ratio: float, start: float) -> Floats:
    """Return the (target, source) matrix that reads linear interpolation averaged over the target cell.

    Where the target is as fine as the source this is linear interpolation; where it is coarser, the interpolant is
    averaged over a window of sqrt(ratio^2 - 1) voxels, which removes aliasing, adds nothing at ratio 1, and keeps every
    linear function exactly in place. Positions beyond the edge take the edge value.
    """
    positions = np.clip(start + ratio * np.arange(target), 0, source - 1)[:, None] - np.arange(source)[None, :]
    window = float(np.sqrt(max(0.0, ratio * ratio - 1)))
    if window < SMALLEST_WINDOW:
        weights = np.maximum(0.0, 1.0 - np.abs(positions))
    else:
        weights = (_hat_integral(positions + window / 2) - _hat_integral(positions - window / 2)) / window
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _hat_integral(ends: Matrix) -> Matrix:
    """Return the integral of the hat function max(0, 1 - |t|) from minus infinity to each end."""
    inner = np.clip(ends, -1.0, 1.0)
    return np.where(inner < 0, (inner + 1) ** 2 / 2, 1 - (1 - inner) ** 2 / 2)


def _outer_and(covered: list[Mask]) -> Mask:
    inside = np.ones((), dtype=bool)
    for axis in covered:
        inside = inside[..., None] & axis
    return inside


def _resample(oriented: Oriented, weights: list[Floats], inside: Mask) -> tuple[Floats, Mask]:
    values = oriented.values
    if oriented.invalid is not None and oriented.invalid.any():
        valid = ~oriented.invalid
        lowest = values[valid].min() if valid.any() else np.float32(0)
        values = np.where(valid if values.ndim == valid.ndim else valid[..., None], values, lowest)
        inside = inside & (_apply(valid.astype(np.float32), weights) > 0.5)
    with np.errstate(invalid="ignore"):
        if not np.isfinite(values.sum(dtype=np.float64)):
            raise ModelError("the image holds values that are not finite and not marked as invalid; re-export it")
    return _apply(values, weights), inside


def _apply(values: Floats, weights: list[Floats]) -> Floats:
    shrinking_first = sorted(range(len(weights)), key=lambda axis: weights[axis].shape[0] / weights[axis].shape[1])
    for axis in shrinking_first:
        values = np.moveaxis(np.tensordot(weights[axis], values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _intensity(values: Floats, inside: Mask, card: InputCard) -> tuple[Floats, tuple[float, float], str]:
    known = values[inside] if inside.any() else values.reshape(-1)
    low, high, step = _window(known, card.intensity)
    fill = card.fill if card.fill is not None else min(low, float(known.min())) if card.intensity.zscore else low
    filled = np.where(inside if values.ndim == inside.ndim else inside[..., None], values, np.float32(fill))
    if card.intensity.zscore is not None:
        mean, deviation = float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64))
        scaled = (filled - mean) / (deviation if deviation > 0 else 1.0)
        return scaled.astype(np.float32), (low, high), f"z-score of mean {mean:.4g} and deviation {deviation:.4g}"
    span = high - low if high > low else 1.0
    return np.clip((filled - low) / span, 0, 1).astype(np.float32), (low, high), step


def _window(known: Floats, intensity: Intensity) -> tuple[float, float, str]:
    """Return the values that become 0 and 1, and the step in words."""
    if intensity.window is not None:
        low, high = (intensity.window.center + side * intensity.window.width / 2 for side in (-1, 1))
        return low, high, f"window {low:g} to {high:g} mapped to 0 ... 1, clipped"
    if intensity.range is not None:
        low, high = intensity.range.low, intensity.range.high
        return low, high, f"range {low:g} to {high:g} mapped to 0 ... 1, clipped"
    percentiles = (intensity.percentile.low, intensity.percentile.high) if intensity.percentile else (1.0, 99.0)
    low, high = (float(value) for value in np.percentile(known, percentiles))
    return low, high, f"percentiles {percentiles[0]:g} and {percentiles[1]:g} ({low:.4g}, {high:.4g}) mapped to 0 ... 1"


def _channels(values: Floats, card: ModelCard) -> Floats:
    """Return (C, *S): colour moved to the front, grey repeated where the network takes three channels.

    A stack of slices keeps one channel: the network that reads it takes the neighbours of each slice itself.
    """
    if values.ndim == card.image_dims + 1:
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))
    channels = 1 if card.input.slices == "stack" else card.channels
    return np.ascontiguousarray(np.broadcast_to(values, (channels, *values.shape)))


def _by(numbers: list[float] | list[int]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _sealed_or_none(matrix: Matrix | None) -> Matrix | None:
    return None if matrix is None else sealed(matrix)
