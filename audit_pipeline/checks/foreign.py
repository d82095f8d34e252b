"""Changed inputs for what is not the patient: the grain of the noise, the width of the padding, solid marks.

Letters, border, padding and body are taken away by `panel`; what is here changes the rest that a model may read.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter

from audit_pipeline.checks.variants import variant
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.records import Floats, Mask, Matrix

NOISE_REACH = 3.0
"""Detail within this many standard deviations of the noise of its octave counts as noise, the rest as structure."""

SPLINE = np.asarray([1, 4, 6, 4, 1]) / 16
"""Smoothing of one octave: the B3 spline."""

SOFT_VOXELS = 1.5
"""Blur of softened noise, as a standard deviation: beyond that of the softest kernel against the sharpest."""

WIDER = 0.08
"""By this share of a side the padding grows where there is some."""

LEAST_NOISE = 1e-6


@variant(
    count=1, sentence="The noise is softened, and what stands out of the noise stays as it is.", group="falsification"
)
def grained(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the input as a softer kernel would show it: only the noise is blurred in-plane, not the patient.

    Nothing is added at any scale, so that nothing can be hidden or made up. Noise of another texture would be the other
    half of the question; at a level that tells textures apart it also hides findings, so it is not asked.
    """
    values, inside = evidence.prepared.values, _seen(evidence)
    parts = [split_noise(channel.astype(np.float64), inside) for channel in values]
    structure, rest = (np.stack(part) for part in zip(*parts, strict=True))
    level = float(np.abs(rest[:, inside]).mean()) if inside.any() else 0.0
    if not level > LEAST_NOISE * max(float(np.ptp(values)), LEAST_NOISE):
        raise Unanswered("The input has no noise to soften.")
    soft = np.stack([_in_plane(one, SOFT_VOXELS) for one in rest])
    limited = np.clip(structure + soft, values.min(), values.max())
    return np.where(inside, limited, values)[None].astype(np.float32)


def _seen(evidence: Evidence) -> Mask:
    """Return where there is a picture: neither padding nor drawn letters, which have no noise of their own."""
    inside = evidence.prepared.inside
    for drawn in (evidence.padding, evidence.text):
        inside = inside if drawn is None else inside & ~drawn
    return np.asarray(inside)


def _in_plane(values: Matrix, width: float) -> Matrix:
    return np.asarray(gaussian_filter(values, [0.0] * (values.ndim - 2) + [width, width]))


def split_noise(values: Matrix, region: Mask) -> tuple[Matrix, Matrix]:
    """Return structure and noise of a channel (*S), which sum to it.

    Noise is what the finest octave of the undecimated spline wavelet transform holds in-plane, up to `NOISE_REACH` of
    its deviation in `region`, that of the median coefficient. Nine tenths of white noise lie there, and few findings.

    References
    ----------
    J.-L. Starck, F. Murtagh, 1998, doi:10.1086/316124 (a trous transform, noise by k-sigma in each octave).
    """
    detail = values - _smoothed(values)
    sigma = 1.4826 * float(np.median(np.abs(detail[region]))) if region.any() else 0.0
    noise = np.where(np.abs(detail) <= NOISE_REACH * sigma, detail, 0.0)
    return values - noise, noise


def _smoothed(values: Matrix) -> Matrix:
    for axis in (-2, -1):
        values = convolve1d(values, SPLINE, axis=axis, mode="nearest")
    return values


@variant(count=1, sentence="The padding along the sides is wider by a twelfth of the picture.", group="falsification")
def padding_widened(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Lay the value of the padding over what lies next to it, along every side that has some.

    The picture is neither moved nor scaled, and only its edge is lost.
    """
    padding, values = evidence.padding, evidence.prepared.values
    if padding is None or padding.all():
        raise Unanswered("There is no padding along a side that could be wider.")
    wider = np.zeros_like(padding)
    for axis in (-2, -1):
        others = tuple(other for other in range(padding.ndim) if other != axis % padding.ndim)
        whole: Mask = np.atleast_1d(padding.all(axis=others))
        step = max(1, round(WIDER * whole.size))
        before, after = int(whole.argmin()), int(whole[::-1].argmin())
        ends = np.zeros_like(whole)
        ends[: before + step if before else 0] = True
        ends[whole.size - (after + step if after else 0) :] = True
        wider |= ends[:, None] if axis == -2 else ends
    if not (wider & ~padding).any() or wider.all():
        raise Unanswered("There is no padding along a side that could be wider.")
    filler = np.asarray([np.median(channel[padding]) for channel in values]).reshape(-1, *[1] * padding.ndim)
    return np.where(wider, filler, values)[None].astype(np.float32)
