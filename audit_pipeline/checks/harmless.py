"""Changed inputs that should not change the answer: label-preserving moves, mild corruption, and plain repetition."""

from __future__ import annotations

import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.benign import COUNT, benign_changes
from audit_pipeline.checks.inpaint import noise_level
from audit_pipeline.checks.variants import variant
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.records import Floats, Matrix

REPEATS = 2
NOISE = 0.5
"""Standard deviation of the added noise, as a share of that in the input: the total grows by an eighth."""

LEAST_NOISE = 1 / 255
"""Noise of an input whose own is smaller, as a share of its range."""

BLUR_VOXELS = 0.4
GAMMA = 1.1
BLOCK = 8
QUANTUM = 1.7
"""Step to which the coefficients of a block are rounded, in noise of the input: as much noise again as `NOISE` adds."""

CORRUPTIONS = ("noise", "blur", "gamma", "block quantisation")
"""What the inputs of `corrupted` suffer, in order."""


@variant(count=COUNT, sentence="Ten changes that leave the label as it is: shifts, turns and gamma.", is_explained=True)
def benign(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the input under every change of `benign.benign_changes`."""
    values = evidence.prepared.values
    return np.stack([change.changed(values) for change in benign_changes(values.shape[1:])])


@variant(count=len(CORRUPTIONS), sentence="Four mild corruptions: noise, blur, gamma and block quantisation.")
def corrupted(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Return the input with each of `CORRUPTIONS`, so mild that a reader hardly sees it."""
    values = evidence.prepared.values
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise Unanswered("The input is constant, so corruption has nothing to act on.")
    scaled = (values.astype(np.float64) - low) / (high - low)
    region = evidence.prepared.inside if evidence.body is None else evidence.body
    sigma = max(LEAST_NOISE, *(noise_level(channel, region) or 0.0 for channel in scaled))
    spoilt = (
        scaled + NOISE * sigma * random.standard_normal(values.shape),
        np.stack([gaussian_filter(channel, BLUR_VOXELS) for channel in scaled]),
        scaled**GAMMA,
        np.stack([quantised(channel, QUANTUM * sigma) for channel in scaled]),
    )
    return np.stack([low + (high - low) * np.clip(one, 0, 1) for one in spoilt]).astype(np.float32)


def quantised(values: Matrix, step: float) -> Matrix:
    """Return `values` with the cosine coefficients of in-plane blocks of 8 x 8 rounded to multiples of `step`."""
    rows, columns = values.shape[-2:]
    spare = [(0, 0)] * (values.ndim - 2) + [(0, -rows % BLOCK), (0, -columns % BLOCK)]
    padded = np.pad(values, spare, mode="edge")
    tall, wide = (size // BLOCK for size in padded.shape[-2:])
    blocks = padded.reshape(*padded.shape[:-2], tall, BLOCK, wide, BLOCK)
    coefficients = dctn(blocks, axes=(-3, -1), norm="ortho")
    back = idctn(np.round(coefficients / step) * step, axes=(-3, -1), norm="ortho")
    return np.asarray(back.reshape(padded.shape)[..., :rows, :columns])


@variant(count=REPEATS, sentence="The same input again, among others in a batch.")
def repeated(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the input as it is, twice."""
    values = evidence.prepared.values
    return np.ascontiguousarray(np.broadcast_to(values, (REPEATS, *values.shape)))
