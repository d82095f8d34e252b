"""Chest radiographs of the phantoms: the same patient, projected from back to front onto a flat detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from audit_pipeline.demo.phantom import Phantom
from audit_pipeline.geometry import spacing_of
from audit_pipeline.records import Floats, Mask, sealed

WATER_PER_MM = 0.0185
"""Linear attenuation of water near 75 keV, the mean energy of a chest exposure (NIST XCOM: 0.185 per cm)."""

BONE_EXCESS = 1.25
"""Calcium attenuates more than its HU at CT energies suggest."""

CALCIFICATION_HU = 1000.0
"""Added to the nodule in the projection: a soft one of 6 mm would hide behind ribs and vessels."""

COLUMNS = 256
STORED_MAX = 4095
AIR_STORED = 150.0
"""Stored value of unattenuated exposure: above zero, so that quantum noise in air is not cut off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Radiograph:
    """One synthetic frontal chest radiograph, posteroanterior.

    Attributes
    ----------
    values : (H, W) float32, whole stored values 0 to 4095, bright where dense (MONOCHROME2); rows toward the Feet,
        columns toward the patient's Left, so the patient's right is on the left of the picture
    spacing_mm : (row, column) distance between pixels in the plane of the patient
    mask : (H, W) bool, the projected nodule
    label : whether there is a nodule
    """

    values: Floats
    spacing_mm: tuple[float, float]
    mask: Mask
    label: bool


def radiograph(phantom: Phantom, seed: int) -> Radiograph:
    """Return the radiograph of a phantom, its nodule calcified; `seed` draws exposure, scatter and quantum noise.

    The rays are parallel, the detector is logarithmic and as high as the phantom, so nothing is extrapolated.

    References
    ----------
    Beer-Lambert law: the exposure behind the patient is ``exp(-sum(attenuation * path))`` of the exposure before.
    """
    random = np.random.default_rng([seed, 11])
    step, deep, across = spacing_of(phantom.affine)
    values = phantom.values + np.float32(CALCIFICATION_HU) * phantom.nodule_mask
    relative = np.maximum(1 + values / np.float32(1000), 0)
    relative += np.float32(BONE_EXCESS - 1) * np.maximum(values - 150, 0) / 1000
    lines = relative.sum(axis=1, dtype=np.float32)[::-1] * np.float32(deep * WATER_PER_MM)
    pixel = round(float(random.uniform(1.25, 1.4)), 3)
    shape = (int(lines.shape[0] * step / pixel), COLUMNS)
    optical = np.maximum(_onto_detector(lines, (step, across), pixel, shape, order=3), 0)
    shadow = np.asarray(phantom.nodule_mask.any(axis=1))[::-1]
    nodule = _onto_detector(shadow, (step, across), pixel, shape, order=1)
    return Radiograph(
        values=sealed(_detected(optical, random)),
        spacing_mm=(pixel, pixel),
        mask=sealed(nodule >= 0.5),
        label=phantom.label,
    )


def _onto_detector(
    lines: Floats | Mask, spacing_mm: tuple[float, float], pixel_mm: float, shape: tuple[int, int], *, order: int
) -> Floats:
    """Return the projection on a detector with the same centre; beyond the phantom is air."""
    places = [
        (np.arange(size) - (size - 1) / 2) * (pixel_mm / step) + (given - 1) / 2
        for size, step, given in zip(shape, spacing_mm, lines.shape, strict=True)
    ]
    places[0] = np.clip(places[0], 0, lines.shape[0] - 1)
    grid = np.meshgrid(*places, indexing="ij")
    given = lines.astype(np.float32)
    return np.asarray(ndimage.map_coordinates(given, grid, order=order, mode="constant"), dtype=np.float32)


def _detected(optical: Floats, random: np.random.Generator) -> Floats:
    """Return stored values of a logarithmic detector: scatter, unsharpness, quantum noise, 12 bits."""
    primary = np.exp(-optical)
    scatter = ndimage.gaussian_filter(primary, 18) * random.uniform(0.10, 0.25)
    exposure = ndimage.gaussian_filter(primary + scatter, random.uniform(0.35, 0.6))
    quanta = random.uniform(1.5e5, 4e5)
    counts = np.maximum(random.normal(exposure * quanta, np.sqrt(exposure * quanta)), 1.0)
    depth = -np.log(counts / (quanta * 1.18))
    gain = random.uniform(620, 720)
    return np.asarray(np.clip(np.rint(AIR_STORED + gain * depth), 0, STORED_MAX), dtype=np.float32)
