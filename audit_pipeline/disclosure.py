"""What may be told of a patient: ages in bands, and no text that may be a name, a date, a record number or an address.

Reference: the de-identification of DICOM PS3.15 annex E, and 45 CFR 164.514(b)(2)(i), which pools ages from 90 on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

ValueT = TypeVar("ValueT")

POOLED_AGE, AGE_BAND = 90, 10
NAME = re.compile(r"\w\^\w|\b(dr|prof|mr|mrs|ms)\. *[^\W\d]", re.IGNORECASE)
"""Person names as DICOM writes them (PS3.5, 6.2.1), or behind a title with its point: MR alone is a modality."""

DATE_OR_NUMBER = re.compile(
    r"\b(18|19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d\b|\b[0-3]?\d[./][01]?\d[./](18|19|20)\d\d\b|\d{7,}"
)
"""Dates, and numbers as long as those of a patient or a visit."""

ADDRESS = re.compile(r"[\w.]+@[\w.]+\.\w+|\b\d{3}-\d{2}-\d{4}\b")

LIKE_NUMBERS = frozenset({"SoftwareVersions", "TransferSyntaxUID", "VOIWindows", "ManufacturerModelName"})
"""Header fields that hold long numbers and dates of releases, not of patients."""

AGE_FIELD = "PatientAge"
WITHHELD = "Withheld"
"""Key that stands beside the header fields of an image and names those that were left out because of their text."""


def may_identify(keyword: str, value: object) -> bool:
    """Return whether the text of a header field looks like a name, a date, a long number or an address.

    >>> may_identify("BodyPartExamined", "DOE^JANE"), may_identify("SoftwareVersions", "20240101")
    (True, False)
    """
    text = value if isinstance(value, str) else ""
    if ADDRESS.search(text) or NAME.search(text):
        return True
    return keyword not in LIKE_NUMBERS and DATE_OR_NUMBER.search(text) is not None


def age_band(years: float) -> str:
    """Return an age as its band of ten years, 90 and above pooled.

    >>> age_band(0), age_band(47.9), age_band(90), age_band(104)
    ('0-9', '40-49', '90+', '90+')
    """
    low = int(years) // AGE_BAND * AGE_BAND
    return f"{POOLED_AGE}+" if low >= POOLED_AGE else f"{low}-{low + AGE_BAND - 1}"


def disclosed(header: Mapping[str, ValueT]) -> dict[str, ValueT | str]:
    """Return the header fields of an image as they may be kept: the age as its band."""
    return {
        keyword: age_band(value)
        if keyword == AGE_FIELD and isinstance(value, int | float) and not isinstance(value, bool)
        else value
        for keyword, value in header.items()
    }
