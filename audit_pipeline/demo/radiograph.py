"""Frontal chest radiographs of the phantoms: line integrals of attenuation on a detector, bright where dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from audit_pipeline.demo.phantom import Phantom
from audit_pipeline.records import Floats, Mask, sealed

SIDE = 256
PIXEL_MM = 1.3
WATER_PER_MM = 0.018
"""Linear attenuation of water at the effective energy of a chest radiograph (about 80 keV), per mm."""

PHOTONS = 6.0e4
"""Photons per detector pixel without a patient; sets the quantum noise."""

STORED_PER_ATTENUATION = 820.0
HIGHEST_STORED = 4095


@dataclass(frozen=True, kw_only=True, slots=True)
class Radiograph:
    """One PA radiograph: image left is the patient's right, the head is up.

    Attributes
    ----------
    values : (H, W) float32, whole stored values 0 to 4095, proportional to the attenuation along the ray
    spacing_mm : distance between rows and between columns, in the plane of the patient
    mask : (H, W) bool, rays that pass through the nodule
    label : whether there is a nodule
    """

    values: Floats
    spacing_mm: tuple[float, float]
    mask: Mask
    label: bool


def radiograph(phantom: Phantom, seed: int) -> Radiograph:
    """Return the radiograph of a phantom; the seed draws the noise."""
    step, depth_mm, pixel = (float(np.abs(phantom.affine[world, axis])) for world, axis in ((2, 0), (1, 1), (0, 2)))
    water = np.maximum(1 + phantom.values / np.float32(1000), np.float32(0))
    attenuation = _on_detector(water.sum(axis=1) * (WATER_PER_MM * depth_mm), step, pixel, order=1)
    shadow = _on_detector(np.asarray(phantom.nodule_mask.any(axis=1), dtype=np.float32), step, pixel, order=0)
    random = np.random.default_rng([seed, 3])
    noise = random.standard_normal(attenuation.shape) * np.sqrt(np.exp(np.minimum(attenuation, 12)) / PHOTONS)
    seen = ndimage.gaussian_filter(attenuation, 0.6) + ndimage.gaussian_filter(noise, 0.5)
    stored = np.clip(np.rint(seen * STORED_PER_ATTENUATION), 0, HIGHEST_STORED).astype(np.float32)
    return Radiograph(
        values=sealed(stored),
        spacing_mm=(PIXEL_MM, PIXEL_MM),
        mask=sealed(shadow > 0.5),
        label=phantom.label,
    )


def _on_detector(projection: Floats, step_mm: float, pixel_mm: float, *, order: int) -> Floats:
    """Return a projection (slices toward the head, columns toward the left) on the detector, head up, centred."""
    rows, columns = projection.shape
    matrix = np.array([-PIXEL_MM / step_mm, PIXEL_MM / pixel_mm])
    middle = np.array([(rows - 1) / 2, (columns - 1) / 2])
    offset = middle - matrix * (SIDE - 1) / 2
    return np.asarray(ndimage.affine_transform(projection, matrix, offset, (SIDE, SIDE), order=order, mode="nearest"))
