"""Whether the model card allows this kind of image (A21), and such a patient and acquisition (A22)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.wording import sentence
from audit_pipeline.disclosure import age_band
from audit_pipeline.evidence import Evidence, IntendedUse
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Image, Scalar
from audit_pipeline.wording import counted, shown

YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
"""Units of DICOM age strings in years (PS3.5 section 6.2, value representation AS)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One restriction of the model card against the header: `found` is None when the header does not tell."""

    name: str
    found: str | None
    allowed: str
    is_allowed: bool


@check(
    "A21",
    title="Not the intended input",
    family="A",
    sentence="The image is not of the kind the model is meant for: modality, body part, view, phase or sequence.",
    severity=(5, 3, 4),
    provenance="dom",
    reference="The model card, key allowed",
    advice="Reject the study, or mark the use as outside the intended one.",
    version=2,
)
def wrong_input(evidence: Evidence) -> Result:
    """Compare the header with the allow-lists of the model card; texts regardless of case.

    Another modality is critical; another body part, view or listed header field is flagged. An empty list allows
    everything. A restricted field that the header leaves open is never a pass: it is a note beside fields that fit,
    and not evaluable when there are none.
    """
    return _judged(tuple(_kinds(evidence.image, evidence.intended)), "The model card allows every kind of input.")


@check(
    "A22",
    title="Out of the labelled range",
    family="A",
    sentence="Patient or acquisition lie outside the range that the model is labelled for: age, spacing, exposure.",
    severity=(4, 3, 4),
    provenance="std",
    reference="The model card, keys allowed.age, allowed.spacing_mm and allowed.ranges (labelling)",
    advice="Mark the use as off-label, and do not rely on the stated performance.",
)
def out_of_range(evidence: Evidence) -> Result:
    """Compare age, spacing and numbers of the header with the closed ranges of the model card.

    Anything outside is flagged. What the header leaves open is treated as in A21.
    """
    return _judged(
        tuple(_ranges(evidence.image, evidence.intended)), "The model card allows every age and acquisition."
    )


def _judged(fields: tuple[Field, ...], unrestricted: str) -> Result:
    if not fields:
        return Result(Outcome.PASS, unrestricted)
    wrong = [one for one in fields if one.found is not None and not one.is_allowed]
    open_fields = ", ".join(one.name for one in fields if one.found is None)
    number = float(len(wrong))
    if wrong:
        text = sentence(*(f"the {one.name} is {one.found}, and {one.allowed} is allowed" for one in wrong))
        outcome = Outcome.CRITICAL if any(one.name == "modality" for one in wrong) else Outcome.FLAG
        return Result(outcome, text, number, 0.0, "fields")
    if not open_fields:
        text = f"{counted(len(fields), 'restricted field')} of the model card, all fitting the header."
        return Result(Outcome.PASS, text, number, 0.0, "fields")
    text = f"The header does not tell: {open_fields}; the model card restricts this."
    fitting = any(one.found is not None for one in fields)
    return Result(Outcome.NOTE, text, number, 0.0, "fields") if fitting else Result(Outcome.NOT_EVALUABLE, text)


def _kinds(image: Image, intended: IntendedUse) -> Iterator[Field]:
    header = image.metadata
    yield from _listed("modality", image.modality, intended.modality)
    yield from _listed("body part", header.get("BodyPartExamined"), intended.body_part)
    yield from _listed("view", header.get("ViewPosition"), intended.view)
    for keyword, texts in sorted(intended.header.items()):
        yield from _listed(_words(keyword), header.get(keyword), texts)


def _ranges(image: Image, intended: IntendedUse) -> Iterator[Field]:
    header = image.metadata
    if intended.age is not None:
        years = age_years(header.get("PatientAge"))
        yield Field("age", _age_text(years), f"{_span(intended.age)} years", _within(years, intended.age))
    if intended.spacing_mm is not None:
        yield _spacing(image, intended.spacing_mm)
    for keyword, bounds in sorted(intended.ranges.items()):
        number = _number(header.get(keyword))
        found = None if number is None else shown(number)
        yield Field(_words(keyword), found, _span(bounds), _within(number, bounds))


def _number(value: Scalar) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except ValueError:
        return None


def _words(keyword: str) -> str:
    """Return a DICOM keyword as words.

    >>> _words("SliceThickness"), _words("KVP")
    ('slice thickness', 'KVP')
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+", keyword)
    return " ".join(word if word.isupper() else word.lower() for word in words)


def _listed(name: str, value: object, allowed: tuple[str, ...]) -> Iterator[Field]:
    text = "" if value is None else str(value).strip()
    if allowed:
        fits = text.casefold() in {one.strip().casefold() for one in allowed}
        yield Field(name, text or None, " or ".join(allowed), fits)


def _spacing(image: Image, bounds: tuple[float, float]) -> Field:
    known = [spacing for spacing in image.spacing_mm if spacing is not None]
    text = " x ".join(shown(spacing) for spacing in known) + " mm" if len(known) == len(image.spacing_mm) else None
    fits = all(_within(spacing, bounds) for spacing in known)
    if not fits:
        text = " x ".join(shown(spacing) for spacing in known) + " mm"
    return Field("spacing", text, f"{_span(bounds)} mm", fits)


def _span(bounds: tuple[float, float]) -> str:
    return f"{shown(bounds[0])} to {shown(bounds[1])}"


def _within(value: float | None, bounds: tuple[float, float]) -> bool:
    return value is not None and bounds[0] - 1e-6 <= value <= bounds[1] + 1e-6


def _age_text(years: float | None) -> str | None:
    """Return the band of an age: the age itself may identify and is compared, never printed."""
    return None if years is None else f"in the band {age_band(years)} years"


def age_years(value: object) -> float | None:
    """Return an age in years from a DICOM age string or a number of years; None when it cannot be read.

    >>> age_years("045Y"), age_years("006M"), age_years(31), age_years("unknown")
    (45.0, 0.5, 31.0, None)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([YMWD]?)\s*", str(value).upper())
    return float(match[1]) * YEARS[match[2] or "Y"] if match else None
