"""The source image as the checks read it: grey values, and a sample of slices where a volume is large."""

from __future__ import annotations

import numpy as np

from audit_pipeline.records import Floats, Image, Mask, Matrix


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
