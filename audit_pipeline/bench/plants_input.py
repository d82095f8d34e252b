"""Planted faults of family A in values: stack, scale, compression, sharpness, artefacts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import convolve, gaussian_filter

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.plants import plant
from audit_pipeline.card import read_card
from audit_pipeline.geometry import index_map
from audit_pipeline.records import Floats, Image, Matrix, sealed

LUMINANCE = np.asarray([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=np.float64)  # fmt: skip
"""Quantisation of luminance, ITU-T T.81 table K.1."""

LAST = 5


def with_values(case: Case, values: Floats | Matrix, **changes: Any) -> Case:
    """Return the case with other values on the source."""
    image = replace(case.image, values=sealed(np.ascontiguousarray(values, dtype=np.float32)), **changes)
    return replace(case, image=image)


def grey_range(image: Image) -> tuple[float, float]:
    """Return the 0.5th and the 99.5th percentile."""
    low, high = np.percentile(image.values, (0.5, 99.5))
    return float(low), float(high)


def _in_slices(values: Floats, change: Any) -> Matrix:
    planes = values if values.ndim == 3 else values[None]
    changed = np.stack([change(plane.astype(np.float64)) for plane in planes])
    return np.asarray(changed if values.ndim == 3 else changed[0])


@plant("A01", sentence="Inner slices are missing from the stack.", dimensions=(3,), accompanied=("A15",))
def missing_slices(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Mark 1 to 10 % of the inner slices as not measured, as a loader does that fills gaps."""
    count = max(1, round((0.01, 0.02, 0.03, 0.06, 0.10)[severity - 1] * case.image.shape[0]))
    gone = random.choice(np.arange(2, case.image.shape[0] - 2), size=count, replace=False)
    invalid = np.zeros(case.image.shape, dtype=np.bool_)
    invalid[gone] = True
    values = case.image.values.copy()
    values[gone] = values.min()
    return with_values(case, values, invalid=sealed(invalid))


@plant("A02", sentence="Slices of two phases alternate in one stack.", dimensions=(3,), accompanied=("A06",))
def alternating_phases(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Enhance the soft tissue of every other slice, and let it move by breathing from severity 3 on."""
    enhancement = (8, 20, 60, 90, 130)[severity - 1]
    values = case.image.values.copy()
    start = int(random.integers(0, 2))
    other = values[start::2]
    other += enhancement * ((other > 0) & (other < 300))
    if severity > 2:
        other[:] = np.roll(other, severity - 2, axis=1)
    return with_values(case, values)


@plant("A02", sentence="Slices of the stack repeat.", dimensions=(3,))
def repeated_slices(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Put copies of slices in the place of the next ones."""
    values = case.image.values.copy()
    for place in random.choice(np.arange(4, len(values) - 4), size=severity, replace=False):
        values[place] = values[place - 1]
    return with_values(case, values)


@plant("A03", sentence="A localiser stands among the slices.", dimensions=(3,), accompanied=("A02", "A16", "A07"))
def localiser_in_stack(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Replace inner slices by a projection from the front, as a scout is."""
    values = case.image.values.copy()
    scout = case.image.values.mean(axis=1)
    rows = np.linspace(0, len(scout) - 1, values.shape[1]).astype(int)
    scout = 3 * (scout[rows] + 700)
    for place in random.choice(np.arange(6, len(values) - 6), size=max(1, severity - 2), replace=False):
        share = (0.15, 0.4, 1.0, 1.0, 1.0)[severity - 1]
        values[place] = share * scout + (1 - share) * values[place]
    return with_values(case, values)


@plant(
    "A06",
    sentence="The rescale of a CT is missing, applied twice or wrong.",
    dimensions=(3,),
    has_severity=False,
    accompanied=("A08", "A09", "A13"),
)
def wrong_rescale(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Leave the rescale out, apply it twice, drop the intercept, or take a wrong slope."""
    stored = case.image.values + 1024
    kinds = (stored, case.image.values - 1024, stored * 0.5 - 1024, stored * 2 - 1024, stored + 0.0)
    return with_values(case, kinds[(severity + int(random.integers(0, len(kinds)))) % len(kinds)])


@plant(
    "A07",
    sentence="Bright and dark are exchanged.",
    has_severity=False,
    accompanied=("A05", "A06", "A08", "A09", "A13"),
)
def inverted(case: Case, _severity: int, _random: np.random.Generator) -> Case:
    """Invert every value within the range."""
    return with_values(case, case.image.values.max() + case.image.values.min() - case.image.values)


@plant("A09", sentence="The window is too narrow for the body.", accompanied=("A08", "A10"))
def narrow_window(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Let the model card map a part of the range to 0 and 1."""
    card = case.card.model_dump(mode="json")
    if len(case.image.shape) == 2:
        low = (8, 15, 25, 32, 40)[severity - 1]
        card["input"]["intensity"] = {"percentile": {"low": low, "high": 100 - low}}
    else:
        width = 1300 * (0.8, 0.6, 0.35, 0.25, 0.12)[severity - 1]
        card["input"]["intensity"] = {"window": {"center": -350, "width": width}}
    return replace(case, card=read_card(card))


@plant("A10", sentence="The image was reduced to few grey levels.", accompanied=("A06", "A11"))
def quantised(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Round to 2^7 ... 2^3 levels over the range, and keep the scale."""
    low, high = float(case.image.values.min()), float(case.image.values.max())
    step = (high - low) / (2 ** (8 - severity) - 1)
    return with_values(case, np.rint(low + np.rint((case.image.values - low) / step) * step))


@plant("A11", sentence="The image went through lossy compression.", accompanied=("A16",))
def block_compression(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Quantise the cosine transform of eight by eight blocks as JPEG does, at quality 50 to 7."""
    quality = (50, 35, 20, 12, 7)[severity - 1]
    table = np.maximum(np.floor((LUMINANCE * (5000 / quality if quality < 50 else 200 - 2 * quality) + 50) / 100), 1)
    low, high = grey_range(case.image)
    offset = tuple(int(part) for part in random.integers(0, 8, size=2))

    def compressed(plane: Matrix) -> Matrix:
        grey = np.clip(np.rint(255 * (plane - low) / (high - low)), 0, 255) - 128
        after = [offset[axis] + (-(plane.shape[axis] + offset[axis])) % 8 - offset[axis] for axis in (0, 1)]
        wide = np.pad(grey, [(offset[axis], after[axis]) for axis in (0, 1)], mode="edge")
        blocks = wide.reshape(wide.shape[0] // 8, 8, wide.shape[1] // 8, 8)
        waves = np.rint(dctn(blocks, axes=(1, 3), norm="ortho") / table[None, :, None, :]) * table[None, :, None, :]
        back = np.clip(np.rint(idctn(waves, axes=(1, 3), norm="ortho").reshape(wide.shape)), -128, 127) + 128
        inner = back[offset[0] : offset[0] + plane.shape[0], offset[1] : offset[1] + plane.shape[1]]
        return np.asarray(np.rint(low + inner * (high - low) / 255))

    return with_values(case, _in_slices(case.image.values, compressed))


@plant(
    "A15",
    sentence="The image is blank in whole slices or throughout.",
    has_severity=False,
    accompanied=("A03", "A08", "A14"),
)
def blank(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Zero a slice between others, or set the whole image to one value."""
    values = case.image.values.copy()
    if values.ndim == 3 and severity < LAST:
        values[int(random.integers(4, len(values) - 4))] = 0
    else:
        values[:] = np.float32(np.median(values))
        values.ravel()[0] += 1
    return with_values(case, values)


@plant("A16", sentence="The image is out of focus.", accompanied=("A13",))
def defocused(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Blur every slice with a Gaussian of 0.5 to 2.3 pixels, MedMNIST-C's 3 to 13 pixel kernels."""
    sigma = (0.5, 0.8, 1.3, 1.8, 2.3)[severity - 1]
    return with_values(case, np.rint(_in_slices(case.image.values, lambda plane: gaussian_filter(plane, sigma))))


@plant("A16", sentence="The patient moved along a line during the exposure.", accompanied=("A13",))
def moved(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Average every slice along a path of 5 to 17 pixels in a random direction."""
    length = (5, 8, 11, 14, 17)[severity - 1]
    angle = float(random.uniform(0, np.pi))
    kernel = np.zeros((length + 2, length + 2))
    middle = (length + 1) / 2
    for step in np.linspace(-(length - 1) / 2, (length - 1) / 2, 16 * length):
        row, column = middle + step * np.sin(angle), middle + step * np.cos(angle)
        top, left = int(row), int(column)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = (1 - abs(row - top - down)) * (1 - abs(column - left - right))
            kernel[top + down, left + right] += weight
    kernel /= kernel.sum()
    return with_values(
        case, np.rint(_in_slices(case.image.values, lambda plane: convolve(plane, kernel, mode="nearest")))
    )


@plant("A17", sentence="Noise lies over the image.", accompanied=("A06", "A13"))
def noise_added(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Add Gaussian noise of 4 to 26 % of the grey range, MedMNIST-C's levels."""
    low, high = grey_range(case.image)
    sigma = (0.04, 0.08, 0.12, 0.18, 0.26)[severity - 1] * (high - low)
    return with_values(case, np.rint(case.image.values + random.normal(0, sigma, case.image.values.shape)))


@plant("A18", sentence="Metal lies in the body and throws streaks.", dimensions=(3,), accompanied=("A02", "A03"))
def metal(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Put a rod of 8000 HU, stored as 3071, through some slices near the middle, with streaks that fade outwards."""
    values = case.image.values.astype(np.float64)
    depth, rows, columns = values.shape
    radius = (1.0, 1.5, 2.5, 3.5, 5.0)[severity - 1]
    length = max(3, int((0.05, 0.1, 0.3, 0.4, 0.5)[severity - 1] * depth))
    row, column = (0.5 * rows + random.uniform(-6, 6), 0.5 * columns + random.uniform(-15, 15))
    down, right = np.indices((rows, columns))
    distance = np.hypot(down - row, right - column)
    angle = np.arctan2(down - row, right - column)
    streaks = 40.0 * severity * np.cos(12 * angle) / (1 + distance / 8)
    start = int(random.integers(depth // 4, depth // 3))
    values[start : start + length] += streaks
    values[start : start + length, distance <= radius] = 8000
    return with_values(case, np.clip(np.rint(values), -1024, 3071))


@plant("A18", sentence="A ghost of the patient lies half a field away in an MR.", accompanied=("A04", "A08", "A13"))
def ghost(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Turn the image into a magnitude image with Rician noise, and add itself, moved by half the field."""
    values = case.image.values.astype(np.float64)
    low, high = grey_range(case.image)
    signal = np.clip((values - low) / (high - low), 0, None) * 1000
    margins = [(0, 0)] * (signal.ndim - 2) + [(size // 4, size // 4) for size in signal.shape[-2:]]
    signal = np.pad(signal, margins)
    axis = signal.ndim - 1 - int(random.integers(0, 2))
    weight = (0.01, 0.03, 0.08, 0.12, 0.20)[severity - 1]
    signal = signal + weight * np.roll(signal, signal.shape[axis] // 2, axis=axis)
    noise = random.normal(0, 8, (2, *signal.shape))
    changed = np.rint(np.hypot(signal + noise[0], noise[1]))
    card = case.card.model_dump(mode="json")
    card["input"]["intensity"] = {"percentile": {"low": 1, "high": 99}}
    card["allowed"]["modality"] = ["MR"]
    affine = case.image.affine
    if affine is not None:
        affine = sealed(affine @ index_map([1.0] * signal.ndim, [-float(before) for before, _ in margins]))
    other = replace(case, card=read_card(card))
    return with_values(other, changed, modality="MR", unit="stored value", affine=affine)
