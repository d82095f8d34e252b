"""Whether the values are an image of a patient: inverted polarity (A07), blank or impossible values (A15)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.masks import border_and_centre, chest_regions, inner_border
from audit_pipeline.checks.source_slices import grey_of, sampled
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Image, Mask, Matrix
from audit_pipeline.wording import counted, listed, percent, shown

PROJECTION = frozenset({"CR", "DX", "DR", "RG", "MG", "PX", "IO", "RF", "XA"})
"""Modalities that project X-rays: air is dark and bone bright once MONOCHROME1 is handled."""

AIR_BELOW_HU = -700.0
"""Below this HU lies air, and padding."""

DENSE_HU, MOST_DENSE = 700.0, 0.10
"""Above this HU lies at most this share of an image; inverted air lies here."""

EXTREME = 0.06
"""Within this share of the range from its end a pixel counts as extreme: collimated, or exposed directly."""

COARSE, LEAST_EDGE = 256, 0.05
"""Collimation is looked for at about this many pixels per axis, and covers at least this share of an edge."""


@check(
    "A07",
    title="Inverted polarity",
    family="A",
    sentence="Bright and dark are exchanged, as when MONOCHROME1 is not handled.",
    severity=(4, 2, 3),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.3.1.2, Photometric Interpretation",
    advice="Fix the reader: MONOCHROME1 must be inverted exactly once.",
    version=2,
)
def inverted_polarity(evidence: Evidence, *, limit: float = 0.0, tolerance: float = 0.02) -> Result:
    """Compare the brightness of the body with that of what surrounds it, on the source image.

    Value: (mean of the body - mean of the surroundings) / (99th - 1st percentile), flagged when it is below `limit` by
    more than `tolerance`. For a frontal chest radiograph the body is the mediastinum and the surroundings are the
    lungs; else the body is the central half of the frame and the surroundings its outer twentieth, or the twentieth
    inside that where it is darker: a line around the picture surrounds nothing. The edge of a collimated radiograph
    does not tell. CT whose darkest part is air in HU has the right polarity whatever its edge
    shows.
    """
    image = evidence.image
    if image.is_colour or image.modality not in PROJECTION | {"CT"}:
        stated = "" if image.modality else "The modality is not stated. "
        return not_evaluable(f"{stated}Polarity is defined for grey X-ray images: radiographs and CT.")
    values, valid = sampled(image)
    if not valid.any():
        return not_evaluable("The image has no valid value, see A15.")
    low, high = (float(level) for level in np.percentile(values[valid], (1, 99)))
    if not high > low:
        return not_evaluable("The image is constant, see A15.")
    if image.modality == "CT" and image.unit == "HU":
        level, dense = float(np.percentile(values[valid], 5)), float((values[valid] > DENSE_HU).mean())
        if level < AIR_BELOW_HU and dense < MOST_DENSE:
            text = f"The darkest part is air: the 5th percentile is {shown(level)} HU (limit {shown(AIR_BELOW_HU)} HU)."
            return Result(Outcome.PASS, text, level, AIR_BELOW_HU, "HU")
    scaled = np.clip((values - low) / (high - low), 0, 1)
    contrast, body, surroundings = _contrast(image, scaled, valid)
    if contrast is None:
        return not_evaluable("The image is collimated, so its edge does not tell polarity.")
    outcome = Outcome.FLAG if contrast < limit - tolerance else Outcome.PASS
    darker = "darker" if contrast < 0 else "brighter"
    text = (
        f"The {body} is {percent(abs(contrast))} of the grey range {darker} than the {surroundings} "
        f"(limit {percent(limit - tolerance)})."
    )
    return Result(outcome, text, value=contrast, limit=limit - tolerance, unit="share of the grey range")


def _contrast(image: Image, scaled: Matrix, valid: Mask) -> tuple[float | None, str, str]:
    if _is_frontal_chest(image):
        midline, lungs = chest_regions(scaled.shape)
        return _difference(scaled, midline & valid, lungs & valid), "mediastinum", "lungs"
    border, centre = border_and_centre(scaled.shape)
    border, centre = border & valid, centre & valid
    if not (border.any() and centre.any()):
        return None, "", ""
    if image.modality != "CT" and _is_collimated(scaled, border):
        return None, "", ""
    rings = (border, inner_border(scaled.shape) & valid)
    found = [one for ring in rings if (one := _difference(scaled, centre, ring)) is not None]
    return max(found), "centre", "border"


def _is_collimated(scaled: Matrix, border: Mask) -> bool:
    """Tell whether a collimator hides part of the edge.

    A collimator's shadow is bright where direct exposure is dark, or the reverse when inverted. So either both
    extremes are on the edge, or the bright edge borders directly on the dark extreme; between bright air and the dark
    bone of an inverted image there is always tissue.
    """
    if min(float((scaled[border] < EXTREME).mean()), float((scaled[border] > 1 - EXTREME).mean())) > LEAST_EDGE:
        return True
    step = max(1, max(scaled.shape[-2:]) // COARSE)
    coarse, edge = scaled[..., ::step, ::step], border[..., ::step, ::step]
    bright = coarse > 1 - EXTREME
    if float(bright[edge].mean()) < LEAST_EDGE:
        return False
    in_plane = np.ones((1,) * (coarse.ndim - 2) + (3, 3), dtype=np.bool_)
    beside = binary_dilation(bright, in_plane, iterations=6) & ~bright
    return bool(beside.any() and float((coarse[beside] < EXTREME).mean()) > LEAST_EDGE)


def _is_frontal_chest(image: Image) -> bool:
    part = str(image.metadata.get("BodyPartExamined") or "").upper()
    view = str(image.metadata.get("ViewPosition") or "").upper()
    return image.modality in PROJECTION and "CHEST" in part and view in {"PA", "AP", ""}


def _difference(scaled: Matrix, body: Mask, surroundings: Mask) -> float | None:
    if not (body.any() and surroundings.any()):
        return None
    return float(scaled[body].mean() - scaled[surroundings].mean())


@check(
    "A15",
    title="Blank or impossible values",
    family="A",
    sentence="The image is blank, holds values that are no numbers, or more than its bits can store.",
    severity=(5, 2, 2),
    provenance="std",
    reference="DICOM PS3.3 C.7.6.3, Bits Stored and Pixel Representation",
    advice="Reject the image and request it again.",
)
def blank_image(evidence: Evidence, *, same_share: float = 0.95, invalid_limit: float = 0.50) -> Result:
    """Look for blank and impossible values, the most serious first.

    Critical: values that are not finite; no valid value; one value everywhere; stored values that need more than
    BitsStored bits. Flagged: a constant slice between others that are not; more than `invalid_limit` of the image
    invalid (padding); more than `same_share` of the valid values the same. Constant slices at the ends are a note.
    """
    image = evidence.image
    finite = np.isfinite(image.values)
    if not finite.all():
        bad = 1 - float(finite.mean())
        return Result(Outcome.CRITICAL, f"{percent(bad)} of the values are not finite.", bad, 0.0, "share of values")
    grey = grey_of(image)
    valid = np.ones(image.shape, dtype=np.bool_) if image.invalid is None else ~image.invalid
    if not valid.any():
        return Result(Outcome.CRITICAL, "The image has no valid value at all.", 1.0, invalid_limit, "share of values")
    lowest, highest = float(grey[valid].min()), float(grey[valid].max())
    if lowest == highest and not image.is_colour:
        text = f"Every valid value is {shown(lowest)} {image.unit}".rstrip() + "."
        return Result(Outcome.CRITICAL, text, 1.0, same_share, "share of values")
    return (
        _beyond_bits(image, lowest, highest)
        or _constant_slices(grey, valid)
        or _shares(grey, valid, same_share, invalid_limit)
    )


def _beyond_bits(image: Image, lowest: float, highest: float) -> Result | None:
    bits = _number(image, "BitsStored")
    slope, intercept = _number(image, "RescaleSlope"), _number(image, "RescaleIntercept")
    if slope is None and intercept is None and image.unit == "stored value" and image.modality not in PROJECTION:
        slope, intercept = 1.0, 0.0  # projection images may have passed through a table instead
    if bits is None or slope is None or intercept is None or slope == 0:
        return None
    signed = _number(image, "PixelRepresentation") == 1
    floor, ceiling = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0.0, 2**bits - 1)
    ends = sorted(((lowest - intercept) / slope, (highest - intercept) / slope))
    room = 0.5 + 1e-6 * (ceiling - floor)
    if ends[0] >= floor - room and ends[1] <= ceiling + room:
        return None
    text = f"Stored values run from {shown(ends[0])} to {shown(ends[1])}, beyond the {bits:.0f} bits stored "
    text += f"({shown(floor)} to {shown(ceiling)})."
    is_above = ends[1] > ceiling + room
    value, limit = (ends[1], ceiling) if is_above else (ends[0], floor)
    return Result(Outcome.CRITICAL, text, value, limit, "stored value")


def _number(image: Image, keyword: str) -> float | None:
    value = image.metadata.get(keyword)
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _constant_slices(grey: Floats, valid: Mask) -> Result | None:
    if grey.ndim == 2:
        return None
    spreads = np.asarray(
        [np.ptp(plane[inside]) if inside.any() else 0 for plane, inside in zip(grey, valid, strict=True)]
    )
    constant = np.flatnonzero((spreads == 0) & valid.any(axis=(1, 2)))
    if not constant.size:
        return None
    living = np.flatnonzero(spreads > 0)
    inner = constant[(constant > living[0]) & (constant < living[-1])] if living.size else constant
    named = tuple(int(index) for index in (inner if inner.size else constant))
    where = "between others" if inner.size else "at the ends"
    verb = "hold" if len(named) > 1 else "holds"
    text = f"{counted(len(named), 'slice')} {where} {verb} one value only (limit 0): {listed(named)}."
    return Result(Outcome.FLAG if inner.size else Outcome.NOTE, text, len(named), 0, "slices", named)


def _shares(grey: Floats, valid: Mask, same_share: float, invalid_limit: float) -> Result:
    invalid = 1 - float(valid.mean())
    if invalid > invalid_limit:
        text = f"{percent(invalid)} of the image is padding or invalid (limit {percent(invalid_limit)})."
        return Result(Outcome.FLAG, text, invalid, invalid_limit, "share of values")
    values = grey[valid]
    values = values[:: max(1, values.size // 500_000)]
    same = float(np.unique(values, return_counts=True)[1].max() / values.size)
    outcome = Outcome.FLAG if same > same_share else Outcome.PASS
    text = f"The most frequent value fills {percent(same)} of the image (limit {percent(same_share)})."
    return Result(outcome, text, same, same_share, "share of values")
