"""Whether CT values are Hounsfield units (A06): air and soft tissue have known values, whatever the patient."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.source_slices import sampled
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix
from audit_pipeline.wording import shown

AIR_HU, TISSUE_HU = (-1060.0, -880.0), (-160.0, 180.0)
"""Where the peaks of air and of soft tissue (fat to enhanced organs) lie: the catalogue's limits with scanner
tolerance for air (-1050 to -900), and blood with contrast medium for tissue."""

BINS, LEAST_PEAK = 400, 0.05
"""Bins over the range of the values; a peak is a mode that stands out by this share of the highest one."""

FILLING_GAP_HU = 200.0
"""Values outside the circle that a scanner reconstructs lie apart from air by more than this."""

LEAST_AIR = 0.15
"""With this share of the input outside the body, air or lung has a peak of its own."""

LUNG_HU = -550.0
"""Without air around the patient the lowest peak may be that of the lungs, up to here."""


@check(
    "A06",
    title="Hounsfield scale wrong",
    family="A",
    sentence="Air or soft tissue of a CT do not have their Hounsfield values: rescale missing, wrong or applied twice.",
    severity=(5, 2, 4),
    provenance="std",
    reference="DICOM PS3.3 C.11.1, Modality LUT; the Hounsfield scale: air -1000, water 0",
    advice="Fix the reader: slope and intercept must be applied exactly once.",
    version=2,
)
def wrong_hounsfield(evidence: Evidence) -> Result:
    """Find the peaks of the histogram of a CT and compare the lowest and the highest with those of air and tissue.

    Value: the highest peak in HU, which is that of soft tissue in every part of the body. It must lie in
    `TISSUE_HU`; the lowest must lie in `AIR_HU`, be that of lungs, or be that of tissue where no air is in view.
    """
    image, allowed = evidence.image, evidence.intended.modality
    is_ct = image.modality == "CT" or (not image.modality and allowed == ("CT",))
    if not is_ct or image.is_colour:
        return not_evaluable("Only CT has Hounsfield units.")
    values, valid = sampled(image)
    known = _without_filling(values[valid])
    peaks, wrong = _peaks_of(evidence, known)
    if wrong:
        # what is cut off at the lowest value piles up there, and hides the peaks of everything else
        others, still = _peaks_of(evidence, known[known > known.min()])
        peaks, wrong = (peaks, wrong) if still or not others.size else (others, still)
    if not peaks.size:
        return not_evaluable("The histogram has no peak, see A15.")
    lowest, highest = float(peaks[0]), float(peaks[-1])
    if wrong:
        return Result(Outcome.FLAG, sentence(*wrong), highest, TISSUE_HU[1], "HU")
    if image.unit != "HU":
        text = f"The unit of the values is not stated, but they lie as Hounsfield units do: peaks from {shown(lowest)} "
        return Result(Outcome.NOTE, f"{text}to {shown(highest)}.", highest, TISSUE_HU[1], "HU")
    text = f"The histogram peaks from {shown(lowest)} to {shown(highest)} HU, as air and soft tissue do."
    return Result(Outcome.PASS, text, highest, TISSUE_HU[1], "HU")


def _peaks_of(evidence: Evidence, values: Matrix) -> tuple[Matrix, list[str]]:
    """Return the peaks of the histogram, and which of the lowest and the highest is not where it must be, in words."""
    peaks = histogram_peaks(values)
    wrong: list[str] = []
    if not peaks.size:
        return peaks, wrong
    lowest, highest = float(peaks[0]), float(peaks[-1])
    if not TISSUE_HU[0] <= highest <= TISSUE_HU[1]:
        wrong.append(f"soft tissue peaks at {shown(highest)} ({_span(TISSUE_HU)} is expected)")
    if not _is_dark_right(lowest, is_air_in_view=_is_air_in_view(evidence)):
        wrong.append(f"the darkest material peaks at {shown(lowest)} (air: {_span(AIR_HU)})")
    return peaks, wrong


def _is_air_in_view(evidence: Evidence) -> bool:
    if evidence.body is None:
        return False
    return float((evidence.prepared.inside & ~evidence.body).mean()) > LEAST_AIR


def _is_dark_right(lowest: float, *, is_air_in_view: bool) -> bool:
    if AIR_HU[0] <= lowest <= LUNG_HU:
        return True
    return not is_air_in_view and TISSUE_HU[0] <= lowest <= TISSUE_HU[1]


def _without_filling(values: Matrix) -> Matrix:
    """Return the values without one that fills the outside of the field of view, far below all others."""
    if not values.size:
        return values
    others = values[values > values.min()]
    is_filling = others.size and values.size - others.size > 0.01 * values.size
    return others if is_filling and float(others.min() - values.min()) > FILLING_GAP_HU else values


def histogram_peaks(values: Matrix) -> Matrix:
    """Return the centres of the modes of a histogram, in ascending order.

    The range is cut at the 0.1st and 99.9th percentile and widened by a tenth, so that modes at its ends count.
    """
    if not values.size:
        return np.zeros(0)
    low, high = (float(level) for level in np.percentile(values, (0.1, 99.9)))
    if not high > low:
        return np.zeros(0)
    margin = 0.1 * (high - low)
    counts, edges = np.histogram(values, bins=BINS, range=(low - margin, high + margin))
    smooth = gaussian_filter1d(counts.astype(np.float64), 1.5)
    places, _ = find_peaks(smooth, prominence=LEAST_PEAK * smooth.max())
    return np.asarray((edges[places] + edges[places + 1]) / 2)


def _span(bounds: tuple[float, float]) -> str:
    return f"{shown(bounds[0])} to {shown(bounds[1])} HU"
