"""Phantoms that several tests look at, made once per process, and measures of them."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from audit_pipeline.demo.phantom import Phantom, phantom
from audit_pipeline.demo.radiograph import Radiograph, radiograph
from audit_pipeline.geometry import transform_points

SEEDS = (50_000, 50_001, 50_002, 50_003)
"""Above every seed of training, tuning, reference and held-out phantoms."""


@cache
def made(seed: int, *, nodule: bool | None = True) -> Phantom:
    """Return a phantom; tests share it, its arrays are sealed."""
    return phantom(seed, nodule=nodule)


@cache
def seen(seed: int, *, nodule: bool | None = True) -> Radiograph:
    """Return the radiograph of a shared phantom."""
    return radiograph(made(seed, nodule=nodule), seed)


def middle_mm(one: Phantom) -> np.ndarray:
    """Return the LPS+ position of the centre of the grid."""
    return transform_points(one.affine, (np.array(one.values.shape) - 1) / 2)


def midline_mm(one: Phantom) -> float:
    """Return x in LPS+ halfway between the right and the left skin."""
    columns = np.flatnonzero((one.values > -300).any(axis=(0, 1)))
    return float(transform_points(one.affine, (0, 0, (columns[0] + columns[-1]) / 2))[0])


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of the bytes of arrays, one after the other."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
