"""Seeded chest CT phantoms in HU, about half of them with one solid nodule of known place and size.

The same seed gives the same bytes. Anatomy, noise and nodule draw from separate streams, so `phantom(seed,
nodule=True)` and `phantom(seed, nodule=False)` are the same patient with and without the nodule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from audit_pipeline.demo.phantom_anatomy import (
    AIR_HU,
    Anatomy,
    add_bones,
    draw_anatomy,
    lung_distance,
    share_inside,
    soft_tissue,
)
from audit_pipeline.demo.phantom_tubes import airways, hilum_mm, lung_vessels, tube_share
from audit_pipeline.geometry import index_map
from audit_pipeline.records import Floats, Mask, Matrix, sealed

PIXELS = 128
LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0
"""What 12 bits hold with the usual intercept of -1024."""

NODULE_DIAMETERS_MM = (6.0, 20.0)
PLEURA_MARGIN_MM = 2.0
HILUM_MARGIN_MM = 28.0
"""Nodules keep away from the hilum, where vessels are as thick as small nodules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phantom:
    """One synthetic chest CT.

    Attributes
    ----------
    values : (D, H, W) float32, whole HU; axes toward Head, Posterior and the patient's Left
    affine : (4, 4) float64, index -> mm in LPS+
    label : whether there is a nodule
    nodule_mask : (D, H, W) bool, voxels whose centre lies in the nodule
    lung_mask : (D, H, W) bool, voxels at least half filled by lung, the nodule included
    nodule_center_mm : LPS+; None without a nodule
    nodule_diameter_mm : None without a nodule
    """

    values: Floats
    affine: Matrix
    label: bool
    nodule_mask: Mask
    lung_mask: Mask
    nodule_center_mm: tuple[float, float, float] | None
    nodule_diameter_mm: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Where the grid lies: `origin_mm` (x, y, z) of voxel 0 in the anatomy's centre, before the patient is tilted.

    rotation : (3, 3), anatomy -> grid frame; world_mm : LPS+ position of the anatomy's centre
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: Matrix
    rotation: Matrix
    world_mm: Matrix

    @property
    def affine(self) -> Matrix:
        """Index -> mm in LPS+: axis 0 along z, axis 1 along y, axis 2 along x."""
        matrix = index_map((1, 1, 1), (0, 0, 0))
        matrix[:3, :3] = 0
        for axis, world in ((0, 2), (1, 1), (2, 0)):
            matrix[world, axis] = self.spacing_mm[axis]
        matrix[:3, 3] = self.origin_mm + self.world_mm
        return matrix

    def anatomy_positions(self) -> tuple[Floats, Floats, Floats]:
        """Return x, y and z of every voxel in the anatomy's frame, (D, H, W) float32 each."""
        z, y, x = (
            (np.arange(size) * step + start).astype(np.float32)
            for size, step, start in zip(self.shape, self.spacing_mm, self.origin_mm[::-1], strict=True)
        )
        turn = self.rotation.T.astype(np.float32)
        flat = (z[:, None, None], y[None, :, None], x[None, None, :])
        rows = [turn[row, 2] * flat[0] + turn[row, 1] * flat[1] + turn[row, 0] * flat[2] for row in range(3)]
        return rows[0], rows[1], rows[2]


def phantom(seed: int, *, nodule: bool | None = None, heart: float = 1.0) -> Phantom:
    """Return the phantom of a seed.

    Parameters
    ----------
    seed : int
        Zero or more.
    nodule : bool, optional
        Whether there is a nodule; None lets the seed decide, half and half.
    heart : float
        How many times as wide, deep and high as usual the heart is; everything else stays where it was.

    Examples
    --------
    >>> one = phantom(7, nodule=False)
    >>> one.values.shape[1:], one.label, one.nodule_center_mm
    ((128, 128), False, None)
    """
    patient, noise, lesion = (np.random.default_rng([seed, stream]) for stream in range(3))
    label = bool(lesion.random() < 0.5) if nodule is None else nodule
    coverage = patient.uniform(262, 306)
    anatomy = draw_anatomy(patient, coverage)
    across, deep, high = anatomy.heart_radii_mm
    anatomy = replace(anatomy, heart_radii_mm=(heart * across, heart * deep, heart * high))
    frame = _frame(patient, anatomy, coverage)
    values, lung = _draw(anatomy, frame, patient)
    mask, center, diameter = np.zeros(frame.shape, dtype=bool), None, None
    if label:
        mask, place, diameter = _add_nodule(values, anatomy, frame, lesion)
        center = (float(place[0]), float(place[1]), float(place[2]))
    return Phantom(
        values=sealed(_acquired(values, noise)),
        affine=sealed(frame.affine),
        label=label,
        nodule_mask=sealed(mask),
        lung_mask=sealed(lung),
        nodule_center_mm=center,
        nodule_diameter_mm=diameter,
    )


def _frame(random: np.random.Generator, anatomy: Anatomy, coverage_mm: float) -> Frame:
    step = random.uniform(2.9, 4.0)
    slices = int(np.clip(round(coverage_mm / step), 64, 100))
    pixel = float(np.clip(2 * (anatomy.half_width_mm + random.uniform(8, 22)) / PIXELS, 2.2, 2.8))
    tilts = np.deg2rad(random.normal(0, 2.2, 3).clip(-5, 5))
    offset = np.array([*random.normal(0, 4, 2).clip(-7, 7), random.normal(0, 5)])
    shape = (slices, PIXELS, PIXELS)
    spacing = (round(step, 2), round(pixel, 3), round(pixel, 3))
    half = np.array([(size - 1) / 2 * space for size, space in zip(shape[::-1], spacing[::-1], strict=True)])
    return Frame(
        shape=shape,
        spacing_mm=spacing,
        origin_mm=offset - half,
        rotation=_rotation(tilts),
        world_mm=np.round(np.array([*random.uniform(-20, 20, 2), random.uniform(-900, -200)]), 1),
    )


def _rotation(angles: Matrix) -> Matrix:
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        plane = [other for other in range(3) if other != axis]
        single = np.eye(3)
        single[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turned = turned @ single
    return turned


def _draw(anatomy: Anatomy, frame: Frame, random: np.random.Generator) -> tuple[Floats, Mask]:
    """Return the noise-free patient and the lung mask."""
    positions = frame.anatomy_positions()
    edge = frame.spacing_mm[1]
    values, body, lung = soft_tissue(anatomy, *positions, edge)
    add_bones(values, anatomy, positions, body)
    still = np.zeros(3)
    vessels = lung_vessels(anatomy, random).moved(frame.rotation, still)
    share = tube_share(vessels, frame.shape, frame.origin_mm, frame.spacing_mm) * lung
    values += share * (anatomy.blood_hu - values)
    tree = airways(anatomy, random).moved(frame.rotation, still)
    for tubes, density in ((tree.widened(1.3), anatomy.blood_hu), (tree, AIR_HU)):
        share = tube_share(tubes, frame.shape, frame.origin_mm, frame.spacing_mm) * share_inside(body + 8, edge)
        values += share * (np.float32(density) - values)
    return values, lung >= 0.5


def _add_nodule(
    values: Floats, anatomy: Anatomy, frame: Frame, random: np.random.Generator
) -> tuple[Mask, Matrix, float]:
    """Draw one solid nodule; return its mask, its centre in LPS+ and its mean diameter in mm."""
    diameter = float(random.uniform(*NODULE_DIAMETERS_MM))
    radii = diameter / 2 * random.uniform(0.9, 1.1, 3)
    radii *= diameter / 2 / np.cbrt(radii.prod())
    place = frame.rotation @ _place(anatomy, random, float(radii.max()))
    z, y, x = (
        (np.arange(size) * step + start - at).astype(np.float32)
        for size, step, start, at in zip(frame.shape, frame.spacing_mm, frame.origin_mm[::-1], place[::-1], strict=True)
    )
    radius = np.sqrt((z[:, None, None] / radii[2]) ** 2 + (y[:, None] / radii[1]) ** 2 + (x / radii[0]) ** 2)
    distance = ((radius - 1) * diameter / 2).astype(np.float32)
    share = share_inside(distance, frame.spacing_mm[1])
    values += share * (np.float32(random.uniform(20, 70)) - values)
    return radius <= 1, place + frame.world_mm, diameter


def _place(anatomy: Anatomy, random: np.random.Generator, radius_mm: float) -> Matrix:
    """Return a point of a lung (anatomy frame) around which the whole nodule fits, away from the hilum."""
    directions = random.normal(0, 1, (40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sphere = np.concatenate([np.zeros((1, 3)), directions]) * (radius_mm + PLEURA_MARGIN_MM)
    box = np.array([anatomy.half_width_mm, anatomy.half_depth_mm, 1.0])
    hila = np.stack([hilum_mm(anatomy, -1), hilum_mm(anatomy, 1)])
    while True:
        points = random.uniform(-1, 1, (256, 3)) * box
        points[:, 2] = random.uniform(anatomy.dome_mm - 40, anatomy.apex_mm, 256)
        x, y, z = (points[:, None] + sphere).astype(np.float32).transpose(2, 0, 1)
        fits = (lung_distance(anatomy, x, y, z) < 0).all(axis=1)
        fits &= np.linalg.norm(points[:, None] - hila, axis=2).min(axis=1) > HILUM_MARGIN_MM
        if fits.any():
            return np.asarray(points[int(np.argmax(fits))], dtype=np.float64)


def _acquired(values: Floats, random: np.random.Generator) -> Floats:
    """Return what a scanner would store: blurred by its point spread, with band-limited noise, in whole HU."""
    sharpness, level = random.uniform(0.35, 0.65), random.uniform(9, 24)
    blurred = ndimage.gaussian_filter(values, (0.3, sharpness, sharpness), truncate=3)
    white = random.standard_normal(values.shape, dtype=np.float32)
    fine = ndimage.gaussian_filter(white, (0.25, 0.7, 0.7), truncate=3)
    coarse = ndimage.uniform_filter(fine, (1, 5, 5))
    texture = fine - np.float32(0.7) * coarse
    dose = np.clip((blurred + 1000) / 1000, 0.35, 1.0)
    noisy = blurred + texture * dose * np.float32(level / texture.std())
    return np.asarray(np.clip(np.rint(noisy), LOWEST_HU, HIGHEST_HU), dtype=np.float32)
