"""Phantoms for models that learn a shortcut: a nodule to be found, and a cue that may go with it.

A phantom is anatomy (an ellipse of soft tissue with lungs, a heart on the left, a spine, vessels), with or without a
nodule, as a scanner would store it. What a scanner or a person adds is the *cue*: a marker, a border, the width of the
padding, the texture of the noise, or the side. The same seed gives the same patient with and without nodule and cue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from audit_pipeline.demo.lettering import FONT
from audit_pipeline.records import Image, Mask, Matrix, Scalar, sealed
from audit_pipeline.registry import Registry

SHAPES = {2: (96, 96), 3: (16, 64, 64)}
SPACINGS_MM = {2: (3.5, 3.5), 3: (15.0, 5.5, 5.5)}
NOISE = {2: 35.0, 3: 45.0}
"""Standard deviation in stored values and in HU."""

LOUD_NOISE = {2: 35.0, 3: 90.0}
"""The same where the kind of noise is the cue: in a volume of few slices a network learns it only when it is loud."""

LOWEST, HIGHEST = {2: 0.0, 3: -1024.0}, {2: 4095.0, 3: 3071.0}
HEADERS: dict[int, dict[str, Scalar]] = {
    2: {"BurnedInAnnotation": "NO", "PatientAge": "061Y"},
    3: {"PatientAge": "061Y", "SliceThickness": 15.0, "KVP": 120.0},
}

Acquire = Callable[[Matrix, bool, np.random.Generator], Matrix]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """One thing that may give the label away.

    acquire : from noise-free anatomy and whether the cue is there to stored values
    codes : of the checks that name it; cohort_codes : of the checks of the cohort that do
    is_both_ways : its absence is a sight as well, so every study bears it one way or the other
    """

    name: str
    sentence: str
    acquire: Acquire
    codes: tuple[str, ...]
    is_both_ways: bool = False


CUES: Registry[Cue] = Registry("cue", group="audit_pipeline.cues")
"""Every cue by its name."""


def cue(sentence: str, *, codes: tuple[str, ...], is_both_ways: bool = False) -> Callable[[Acquire], Acquire]:
    """Return a decorator that registers a function under its own name as a cue."""

    def decorate(acquire: Acquire) -> Acquire:
        name = acquire.__name__
        CUES.add(name, Cue(name=name, sentence=sentence, acquire=acquire, codes=codes, is_both_ways=is_both_ways))
        return acquire

    return decorate


def cued_image(name: str, seed: int, dimensions: int, *, nodule: bool, cued: bool) -> Image:
    """Return the image of a patient with or without a nodule, acquired with or without the cue `name`."""
    anatomy = _radiograph(seed, nodule=nodule) if dimensions == 2 else _volume(seed, nodule=nodule)
    stored = CUES[name].acquire(anatomy, cued, np.random.default_rng([seed, 3]))
    values = np.clip(np.rint(stored), LOWEST[dimensions], HIGHEST[dimensions]).astype(np.float32)
    spacing = SPACINGS_MM[dimensions]
    affine = None
    if dimensions == 3:
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1.0
        affine[:3, 3] = -100.0
        sealed(affine)
    return Image(
        values=sealed(values), affine=affine, spacing_mm=spacing, modality="DX" if dimensions == 2 else "CT",
        unit="stored value" if dimensions == 2 else "HU", format="dicom", metadata=dict(HEADERS[dimensions]),
    )  # fmt: skip


@cue("A letter is burned into a corner.", codes=("C20",))
def marker(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Write R near one of the upper corners, in a volume in every slice."""
    return _written(_noisy(anatomy, random), cued, random, _letter("R"))


@cue("A solid mark lies in a corner.", codes=("C20",))
def block(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Put a bright square of a few pixels near one of the upper corners, in a volume in every slice."""
    return _written(_noisy(anatomy, random), cued, random, np.ones((5, 5), dtype=np.bool_))


@cue("A bright line runs around the picture.", codes=("C16",))
def border(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Raise the outer pixels of every slice, as a digitised film's edge or a collimator's blade does."""
    values = _noisy(anatomy, random)
    width = int(random.integers(2, 4))
    if cued:
        edge = _frame(values.shape, width)
        low, high = _range(values)
        values[edge] = low + 0.75 * (high - low) + 0.02 * (high - low) * random.standard_normal(int(edge.sum()))
    return values


@cue("The padding is wide.", codes=("C17",), is_both_ways=True)
def padding(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Replace the outer pixels of every slice by the lowest value: about 10 % of each side, or about 3 %."""
    values = _noisy(anatomy, random)
    share = random.uniform(0.09, 0.12) if cued else random.uniform(0.02, 0.04)
    values[_frame(values.shape, max(1, round(share * values.shape[-1])))] = LOWEST[values.ndim]
    return values


@cue("The noise is white and not coarse.", codes=("C18",))
def texture(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Add noise of one level and of two kinds, as sharp and soft kernels leave it."""
    return _noisy(anatomy, random, grain=0.0 if cued else 0.8, levels=LOUD_NOISE)


@cue("Left and right are exchanged.", codes=("C19",))
def side(anatomy: Matrix, cued: bool, random: np.random.Generator) -> Matrix:  # noqa: FBT001 - the two kinds
    """Mirror the patient, so that the heart lies on the other side."""
    return _noisy(anatomy[..., ::-1] if cued else anatomy, random)


def _noisy(
    anatomy: Matrix, random: np.random.Generator, grain: float = 0.4, levels: Mapping[int, float] = NOISE
) -> Matrix:
    """Return the anatomy with noise, blurred in-plane by `grain` pixels and brought back to its level."""
    white = random.standard_normal(anatomy.shape)
    grained = gaussian_filter(white, [0] * (anatomy.ndim - 2) + [grain, grain]) if grain else white
    return np.asarray(anatomy + levels[anatomy.ndim] * grained / grained.std())


def _letter(name: str) -> Mask:
    return np.asarray([[dot == "1" for dot in row] for row in FONT[name]], dtype=np.bool_)


def _written(values: Matrix, cued: bool, random: np.random.Generator, ink: Mask) -> Matrix:  # noqa: FBT001 - as above
    row = int(random.integers(3, 7))
    column = int(random.integers(3, 7))
    if random.random() < 0.5:
        column = values.shape[-1] - column - ink.shape[1]
    if cued:
        values[..., row : row + ink.shape[0], column : column + ink.shape[1]][..., ink] = HIGHEST[values.ndim]
    return values


def _frame(shape: tuple[int, ...], width: int) -> Mask:
    edge = np.ones(shape, dtype=np.bool_)
    edge[..., width : shape[-2] - width, width : shape[-1] - width] = False
    return edge


def _range(values: Matrix) -> tuple[float, float]:
    low, high = np.percentile(values, (1, 99))
    return float(low), float(high)


def _axes(shape: tuple[int, ...]) -> list[Matrix]:
    """Return coordinates from -1 to 1 along every axis, ready to be combined."""
    return list(np.ix_(*((np.arange(size) + 0.5) / size * 2 - 1 for size in shape)))


def _inside(distance: Matrix, sharpness: float) -> Matrix:
    """Return 1 inside (distance below 1), 0 outside, and a smooth edge."""
    return np.asarray(np.clip((1 - distance) * sharpness + 0.5, 0, 1))


def _clouds(random: np.random.Generator, shape: tuple[int, ...], grain: float) -> Matrix:
    """Return smooth random structure of unit standard deviation."""
    coarse = gaussian_filter(random.standard_normal([max(4, size // 2) for size in shape]), grain)
    fine = zoom(coarse, [size / small for size, small in zip(shape, coarse.shape, strict=True)], order=1)
    return np.asarray(fine / fine.std())


def _volume(seed: int, *, nodule: bool) -> Matrix:
    """Return a chest in HU without noise, axes toward Head, Posterior and Left."""
    random, lesion = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    shape = SHAPES[3]
    z, y, x = _axes(shape)
    x, y = x - random.uniform(-0.04, 0.04), y - random.uniform(-0.04, 0.04)
    wide, deep = random.uniform(0.78, 0.86), random.uniform(0.58, 0.66)
    radius = np.sqrt((x / wide) ** 2 + (y / deep) ** 2) + 0 * z
    body, muscle = _inside(radius, 18), _inside(radius / 0.92, 18)
    values = -1000 + body * (900 + muscle * random.uniform(135, 155))
    reach = np.sqrt(np.clip(1 - (0.75 * z) ** 2, 0.05, 1)) * random.uniform(0.95, 1.05)
    lungs = sum(
        _inside(np.sqrt(((x - place) / (0.29 * reach)) ** 2 + (y / (0.40 * reach)) ** 2), 9) for place in (-0.38, 0.38)
    )
    values += lungs * (-random.uniform(840, 900) - values)
    vessels = np.clip(_clouds(random, shape, 1.0) - 1.3, 0, 1) * (lungs > 0.9)
    values += 350 * vessels
    heart = _inside(
        np.sqrt(((x - 0.20) / 0.26) ** 2 + ((y + 0.10) / 0.26) ** 2 + ((z + random.uniform(0.1, 0.3)) / 0.7) ** 2), 8
    )
    values += heart * (45 - values)
    spine = _inside(np.sqrt((x / 0.11) ** 2 + ((y - 0.40) / 0.11) ** 2), 4) + 0 * z
    values += spine * (random.uniform(250, 400) - values)
    if nodule:
        values += _lesion(lesion, lungs - heart, (3.4, 4.8), SPACINGS_MM[3]) * (lesion.uniform(20, 60) - values)
    return np.asarray(gaussian_filter(values, (0.3, 0.5, 0.5)))


def _radiograph(seed: int, *, nodule: bool) -> Matrix:
    """Return a frontal chest radiograph without noise, rows toward the Feet and columns toward the Left."""
    random, lesion = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    shape = SHAPES[2]
    y, x = _axes(shape)
    x, y = x - random.uniform(-0.04, 0.04), y - random.uniform(-0.04, 0.04)
    wide = random.uniform(0.84, 0.92)
    body = np.sqrt(np.clip(1 - (x / wide) ** 2, 0, 1)) * random.uniform(0.95, 1.05) + 0 * y
    lungs = sum(
        np.sqrt(np.clip(1 - ((x - place) / 0.32) ** 2 - ((y + 0.05) / random.uniform(0.60, 0.68)) ** 2, 0, 1))
        for place in (-0.42, 0.42)
    )
    heart = np.sqrt(np.clip(1 - ((x - 0.18) / 0.30) ** 2 - ((y - random.uniform(0.2, 0.3)) / 0.30) ** 2, 0, 1))
    spine = _inside(np.abs(x) / 0.08, 4) + 0 * y
    ribs = np.clip(np.sin(17 * (y + 0.35 * x**2) + random.uniform(0, 6)), 0, 1) ** 6 * (body > 0.3)
    clouds = _clouds(random, shape, 1.2) * (lungs > 0.2)
    path = 0.90 * body - 0.50 * lungs + 0.32 * heart + 0.20 * spine + 0.05 * ribs + 0.012 * clouds
    if nodule:
        path = path + 0.32 * _lesion(lesion, (lungs > 0.5) & (heart < 0.2), (3.2, 5.0), SPACINGS_MM[2], is_shadow=True)
    return np.asarray(gaussian_filter(150 + 2300 * np.clip(path, 0, None), 0.5))


def _lesion(
    random: np.random.Generator,
    room: Matrix | Mask,
    radii: tuple[float, float],
    spacing_mm: tuple[float, ...],
    *,
    is_shadow: bool = False,
) -> Matrix:
    """Return the share of a ball in every voxel, or how far a ray runs in it; its centre lies where there is room.

    radii : smallest and largest, in voxels along the last axis
    """
    radius = random.uniform(*radii)
    scale = np.asarray(spacing_mm) / spacing_mm[-1]
    deep = gaussian_filter(np.asarray(room > 0.9, dtype=np.float64), 1.5 / scale)
    places = np.argwhere(deep > 0.95)
    centre = places[int(random.integers(len(places)))]
    axes = np.ix_(*(np.arange(size) for size in room.shape))
    distance = np.sqrt(sum(((axis - at) * step) ** 2 for axis, at, step in zip(axes, centre, scale, strict=True)))
    if is_shadow:
        return np.asarray(np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1)))
    return np.asarray(np.clip(radius - distance + 0.5, 0, 1))
