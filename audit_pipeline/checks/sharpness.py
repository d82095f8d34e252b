"""Whether fine detail is there and is the patient's: blur and motion (A16), noise (A17)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.grids import on_source
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Mask, Matrix
from audit_pipeline.wording import counted, listed, percent, shown

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Row and column steps along which detail is measured; motion has a direction."""

LAGS = (1, 2, 4)
"""Distances of the second difference; what is sharp differs as much at one pixel as at four."""

LEAST_PIXELS = 400
MOST_PIXELS = 1024
"""A larger slice is judged in its central part of so many pixels per axis."""

KEPT = 0.90
"""Share of the body whose differences count: those across bones and skin would drown all others."""


@check(
    "A16",
    title="Blur or motion",
    family="A",
    sentence="Fine detail is missing, in every direction or in one: the image is blurred, or the patient moved.",
    severity=(3, 4, 3),
    provenance="dom",
    reference="J. Pech-Pacheco et al., 2000, doi:10.1109/ICPR.2000.903548 (variance of the Laplacian)",
    advice="Look at edges of bones and vessels; repeat the scan if they are doubled or wide.",
    direction="below",
)
def blurred_image(evidence: Evidence, *, limit: float = -1.90, drop: float = 0.25) -> Result:
    """Compare second differences (a directional Laplacian) at one pixel with those at two and four, inside the body.

    Value: ``log10(v1 / v2) + log10(v1 / v4) / 2`` with v the variance of the second difference at so many pixels, in
    the direction where it is lowest; 0 for white noise, -2.41 for what is smooth at four pixels. It does not depend on
    contrast, unit or exposure. For a volume it is the median over slices; single slices that lie below the limit and
    `drop` below the median are named and flagged too. The tenth of the body with the largest differences at four
    pixels is left out.
    """
    found = dict(_detail(evidence))
    if not found:
        raise Unanswered("There is too little body to measure detail in.")
    value = float(np.median(list(found.values())))
    blurred = tuple(index for index, one in found.items() if one < limit and one < value - drop)
    text = f"Detail at one pixel against two and four is {shown(value)} (limit {shown(limit)})"
    if value < limit:
        return Result(Outcome.FLAG, f"{text}: less than a sharp image has.", value, limit, "log10 ratio")
    if blurred and len(evidence.image.shape) == 3:
        worst = min(found[index] for index in blurred)
        text = f"{text}, but {counted(len(blurred), 'slice')} reach {shown(worst)}: {listed(blurred)}."
        return Result(Outcome.FLAG, text, worst, limit, "log10 ratio", blurred)
    return Result(Outcome.PASS, f"{text}.", value, limit, "log10 ratio")


def _detail(evidence: Evidence) -> Iterator[tuple[int, float]]:
    """Yield index and value of every slice with enough body."""
    for index, plane, body in _planes(evidence):
        value = _sharpness(plane, body)
        if value is not None:
            yield index, value


def _planes(evidence: Evidence) -> Iterator[tuple[int, Matrix, Mask]]:
    """Yield the slices of the source, cut to their central part where they are large, with the body in them."""
    image = evidence.image
    if evidence.body is None:
        raise Unanswered("The body was not found on the model input.")
    grey = grey_of(image)
    body = on_source(evidence.body, evidence.prepared, image.shape)
    if image.invalid is not None:
        body = body & ~image.invalid
    if evidence.text is not None and evidence.text.any():
        text = on_source(evidence.text, evidence.prepared, image.shape)
        reach = np.ones((1,) * (text.ndim - 2) + (3, 3), dtype=np.bool_)
        body = body & ~binary_dilation(text, reach, iterations=max(LAGS))
    place = tuple(
        slice(max(0, (size - MOST_PIXELS) // 2), max(0, (size - MOST_PIXELS) // 2) + MOST_PIXELS)
        for size in grey.shape[-2:]
    )
    for index in range(grey.shape[0] if grey.ndim == 3 else 1):
        plane, inside = (grey[index], body[index]) if grey.ndim == 3 else (grey, body)
        yield index, np.nan_to_num(plane[place].astype(np.float64)), inside[place]


def _sharpness(plane: Matrix, body: Mask) -> float | None:
    margin = max(LAGS)
    if min(plane.shape) <= 2 * margin:
        return None
    inside = body[margin:-margin, margin:-margin]
    if int(inside.sum()) < LEAST_PIXELS:
        return None
    values = []
    for step in DIRECTIONS:
        found = [_second_difference(plane, step, lag)[inside] for lag in LAGS]
        usual = np.abs(found[-1]) <= np.quantile(np.abs(found[-1]), KEPT)
        spread = [float(one[usual].var()) for one in found]
        if min(spread) <= 0:
            return None
        values.append(np.log10(spread[0] / spread[1]) + np.log10(spread[0] / spread[2]) / 2)
    return float(min(values))


def _second_difference(plane: Matrix, step: tuple[int, int], lag: int) -> Matrix:
    margin = max(LAGS)
    rows, columns = plane.shape

    def moved(sign: int) -> Matrix:
        down, right = (margin + sign * lag * part for part in step)
        return plane[down : down + rows - 2 * margin, right : right + columns - 2 * margin]

    return moved(1) + moved(-1) - 2 * moved(0)


@check(
    "A17",
    title="Noise",
    family="A",
    sentence="Noise is a large part of the contrast, so faint structures drown and the model may read the noise.",
    severity=(3, 4, 3),
    provenance="dom",
    reference="D. Donoho, 1995, doi:10.1109/18.382009 (noise by the median of diagonal detail)",
    advice="State the limit, or repeat the acquisition with more signal.",
    direction="above",
)
def noisy_image(evidence: Evidence, *, limit: float = 0.06) -> Result:
    """Estimate the standard deviation of noise from diagonal detail inside the body.

    Value: ``median |x00 + x11 - x01 - x10| / (2 * 0.6745)`` over 2 x 2 pixels, divided by the range of the image from
    the 0.5th to the 99.5th percentile; the median over slices.
    """
    sigmas, samples = [], []
    for _, plane, body in _planes(evidence):
        if int(body.sum()) < LEAST_PIXELS:
            continue
        diagonal = plane[1:, 1:] + plane[:-1, :-1] - plane[1:, :-1] - plane[:-1, 1:]
        whole = body[1:, 1:] & body[:-1, :-1] & body[1:, :-1] & body[:-1, 1:]
        sigmas.append(float(np.median(np.abs(diagonal[whole]))) / (2 * 0.6745) if whole.any() else 0.0)
        samples.append(plane.ravel()[:: max(1, plane.size // 20_000)])
    if not sigmas:
        raise Unanswered("There is too little body to measure noise in.")
    low, high = (float(level) for level in np.percentile(np.concatenate(samples), (0.5, 99.5)))
    if not high > low:
        raise Unanswered("The image is constant, see A15.")
    value = float(np.median(sigmas)) / (high - low)
    text = f"The standard deviation of noise is {percent(value)} of the grey range (limit {percent(limit)})."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "share of the grey range")
