"""The factor from PET activity to the standardised uptake value by body weight; a missing tag is a refusal.

References: DICOM PS3.3, C.8.9.1 and C.8.9.2 (PET series and isotope); QIBA, SUV calculation from vendor-neutral DICOM.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence

import pydicom

from audit_pipeline.errors import SuvError
from audit_pipeline.load.dicom_elements import exactly, text, words
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.guard import translated

LONGEST_UPTAKE_S = {"dated": 14 * 86_400.0, "undated": 12 * 3600.0}
"""Longest time between injection and scan: slow tracers are imaged after days, which a bare time of day cannot say."""
HEAVIEST_KG = 600.0
LEAST_DOSE_BQ, MOST_DOSE_BQ = 1e5, 1e11
"""Outside of this a dose is not in Bq: some senders write MBq."""
MOST_HALF_LIVES = 30.0
"""Of a dose that decayed longer than this nothing is left that a scanner could count."""
_UNITS = ("CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "PROPCPS", "PROPCNTS", "MLMINML", "MLMING", "MLG", "1CM",
          "UMOLML", "UMOLMIN", "MGMINML", "STDDEV", "DIMENSIONLESS")  # fmt: skip
"""Terms of Units that a message may name (PS3.3, C.8.9.1.1.3); other text in a header may identify."""
_PHILIPS, _PHILIPS_FACTOR = "Philips PET Private Group", 0x00


def body_weight_factor(headers: Sequence[Header]) -> float:
    """Return by what the real values of a PET series are multiplied to give SUV by body weight, g/mL.

    Activity in Bq/mL is divided by the dose at the start of the scan and multiplied by the weight in grams; values that
    are uptake already (Units GML) are kept; counts of Philips scanners use the factor that the scanner stored.

    Raises
    ------
    SuvError
        A tag is missing or contradictory.
    """
    first = headers[0].dataset
    units = {text(one.dataset, "Units").upper() for one in headers}
    if headers[0].modality != "PT" or len(units) != 1:
        raise SuvError("uptake values need a PET series with one unit; unset suv, or choose the PET series")
    (unit,) = units
    if unit == "GML":
        return 1.0
    if unit == "CNTS":
        return _philips_factor(first)
    if unit != "BQML":
        raise SuvError(f"uptake values need activity in BQML, found {_named(unit, _UNITS)}; unset suv to keep it")
    corrected = {word.upper() for word in words(first, "CorrectedImage") or ()}
    if not {"ATTN", "DECY"} <= corrected:
        raise SuvError("uptake values need an image corrected for attenuation and decay (ATTN, DECY); unset suv")
    return 1000.0 * _weight_kg(first) / _dose_at_reference_bq(headers)


def _weight_kg(dataset: pydicom.Dataset) -> float:
    weight = exactly(dataset, "PatientWeight", 1)
    if not weight or not 0 < weight[0] <= HEAVIEST_KG:
        raise SuvError("uptake values need the patient's weight in kg, which is missing or impossible; unset suv")
    return weight[0]


def _dose_at_reference_bq(headers: Sequence[Header]) -> float:
    """Return the dose at the time to which the activity was corrected."""
    first = headers[0].dataset
    items = _radiopharmaceuticals(first)
    if len(items) != 1:
        raise SuvError(f"uptake values need one radiopharmaceutical, found {len(items)}; unset suv")
    dose, half_life = (exactly(items[0], keyword, 1) for keyword in ("RadionuclideTotalDose", "RadionuclideHalfLife"))
    if not dose or not half_life or not LEAST_DOSE_BQ < dose[0] < MOST_DOSE_BQ or half_life[0] <= 0:
        raise SuvError("uptake values need the injected dose in Bq and its half-life in seconds; unset suv")
    correction = text(first, "DecayCorrection").upper()
    if correction == "ADMIN":
        return dose[0]
    if correction != "START":
        raise SuvError(
            f"uptake values need DecayCorrection START or ADMIN, found {_named(correction, ('NONE',))}; unset suv"
        )
    elapsed_s = _uptake_seconds(headers, items[0])
    if not elapsed_s <= MOST_HALF_LIVES * half_life[0]:
        raise SuvError(
            f"the dose would have decayed for more than {MOST_HALF_LIVES:.0f} half-lives before the scan, which cannot "
            "be; unset suv, or correct half-life and times"
        )
    return dose[0] * math.pow(2.0, -elapsed_s / half_life[0])


def _radiopharmaceuticals(dataset: pydicom.Dataset) -> Sequence[pydicom.Dataset]:
    with translated(SuvError, "uptake values need the radiopharmaceutical, which cannot be read; unset suv"):
        items = dataset.get("RadiopharmaceuticalInformationSequence")
    if items is not None and not isinstance(items, pydicom.Sequence):
        raise SuvError("uptake values need the radiopharmaceutical, which is no sequence; unset suv")
    return items or ()


def _named(term: str, known: Sequence[str]) -> str:
    """Return a term of the standard as it stands, and no other text of a header."""
    return term if term in known else "another term" if term else "none"


def _uptake_seconds(headers: Sequence[Header], item: pydicom.Dataset) -> float:
    """Return the time from injection to the start of the scan, which the series time is unless it was rewritten."""
    first = headers[0].dataset
    series = _moment(text(first, "SeriesDate"), text(first, "SeriesTime"))
    acquired = [_moment(text(one.dataset, "AcquisitionDate"), text(one.dataset, "AcquisitionTime")) for one in headers]
    known = [one for one in acquired if one is not None]
    if len(known) < len(headers) or not known:
        raise SuvError("uptake values need date and time of acquisition of every slice; unset suv")
    start = min(known)
    if series is not None and series <= start:
        start = series
    injected, kind = _injected(item, start)
    elapsed_s = (start - injected).total_seconds()
    if not 0 <= elapsed_s <= LONGEST_UPTAKE_S[kind]:
        raise SuvError(
            f"the scan would start {elapsed_s / 3600:.1f} hours after the injection, which cannot be; unset suv, or "
            "correct the times"
        )
    return elapsed_s


def _injected(item: pydicom.Dataset, start: dt.datetime) -> tuple[dt.datetime, str]:
    """Return the moment of injection, and whether the header dates it."""
    whole = text(item, "RadiopharmaceuticalStartDateTime")
    dated = _moment(whole[:8], re.split(r"[+-]", whole[8:])[0])
    if dated is not None:
        return dated, "dated"
    found = _moment(start.strftime("%Y%m%d"), text(item, "RadiopharmaceuticalStartTime"))
    if found is None:
        raise SuvError("uptake values need the time of injection; unset suv")
    # later than the scan: injected before midnight
    return (found - dt.timedelta(days=1) if found > start else found), "undated"


def _moment(date: str, time: str) -> dt.datetime | None:
    """Return a DICOM date and time (PS3.5, 6.2: DA, TM); None when either is absent or impossible."""
    match = re.fullmatch(r"(\d{2})(\d{2})(\d{2})?(?:\.(\d{1,6}))?", time)
    if match is None or not re.fullmatch(r"\d{8}", date):
        return None
    hour, minute, second, fraction = match.groups()
    try:
        return dt.datetime(  # noqa: DTZ001 - DICOM times are local, and only differences are used
            int(date[:4]), int(date[4:6]), int(date[6:]), int(hour), int(minute), int(second or 0),
            int((fraction or "0").ljust(6, "0")),
        )  # fmt: skip
    except ValueError:
        return None


def _philips_factor(dataset: pydicom.Dataset) -> float:
    """Return the SUV scale factor of a Philips scanner, one of the few private elements that are read."""
    try:
        value = float(dataset.private_block(0x7053, _PHILIPS)[_PHILIPS_FACTOR].value)
    except (KeyError, TypeError, ValueError):
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise SuvError("uptake values of counts need the scanner's own factor, which is missing; unset suv")
    return value
