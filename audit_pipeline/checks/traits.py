"""What a study looked like to the model, in few numbers: quantiles inside the body, and a thumbnail of the input."""

from __future__ import annotations

import numpy as np

from audit_pipeline.records import Floats, Mask, Prepared

QUANTILES = 64
THUMBNAIL = {2: 24, 3: 12}
"""Cells per axis of a thumbnail, at most, by the number of spatial axes."""


def quantiles_of(prepared: Prepared, body: Mask | None) -> Floats:
    """Return the quantiles of the model input inside the body at probabilities (i + 1/2) / 64, (64,).

    Where the body is not known, everything that is not padding counts; without such voxels the quantiles are 0.
    """
    region = prepared.inside if body is None or not body.any() else body
    values = prepared.values[:, region]
    if values.size == 0:
        return np.zeros(QUANTILES, dtype=np.float32)
    probabilities = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.quantile(values, probabilities).astype(np.float32)


def thumbnail_of(prepared: Prepared) -> Floats:
    """Return the model input averaged over channels and over blocks, flattened.

    The blocks divide every axis into equal parts as far as whole voxels allow, at most 24 in 2D and 12 in 3D.
    """
    values = prepared.values.mean(axis=0, dtype=np.float64)
    most = THUMBNAIL[values.ndim]
    for axis, size in enumerate(values.shape):
        edges = np.linspace(0, size, min(most, size) + 1).round().astype(int)
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        widths = np.diff(edges).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
        values = sums / widths
    return np.asarray(values.ravel(), dtype=np.float32)
