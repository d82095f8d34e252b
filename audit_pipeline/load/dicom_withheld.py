"""Which allow-listed header fields must not travel after all, because their text repeats who the patient is.

The fields of the allow-list describe machine and acquisition, but they are texts, and anybody may have typed a name, a
record number or a date into them. What is withheld is named, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from audit_pipeline.disclosure import may_identify
from audit_pipeline.records import Scalar

NAMES = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician",
)  # fmt: skip
NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator")
OF_THE_MACHINE = frozenset({"Manufacturer", "ManufacturerModelName", "SoftwareVersions"})
"""Fields in which one word of a name says nothing: Mrs Philips may lie in a Philips scanner. Two words do."""

ORDINARY = frozenset({
    "abdomen", "ankle", "arm", "axial", "brain", "breast", "chest", "derived", "elbow", "foot", "hand", "head", "heart",
    "hip", "kidney", "knee", "leg", "liver", "lung", "neck", "original", "pelvis", "phantom", "primary", "shoulder",
    "skull", "spine", "thorax", "wrist",
})  # fmt: skip
"""Words of acquisition that are names of people, too, and of phantoms."""

SHORTEST_WORD, SHORTEST_NUMBER = 3, 4
"""Letters of a word and of a record number from which on a repetition is no chance."""

_WORDS = re.compile(r"[^\W_]+")


def withheld(dataset: pydicom.Dataset, fields: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Return the keywords of those `fields` whose text names the patient or a physician, or looks as if it did."""
    names = [frozenset(words) for keyword in NAMES for words in _persons(_raw(dataset, keyword))]
    numbers = [one for keyword in NUMBERS for one in _raw(dataset, keyword).split("\\") if len(one) >= SHORTEST_NUMBER]
    patterns = [*map(re.escape, numbers), *_dates(_raw(dataset, "PatientBirthDate"))]
    return tuple(
        keyword
        for keyword, value in fields.items()
        if isinstance(value, str)
        and (may_identify(keyword, value) or _repeats(keyword, value.casefold(), names, patterns))
    )


def _repeats(keyword: str, value: str, names: list[frozenset[str]], patterns: list[str]) -> bool:
    if any(re.search(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", value) for pattern in patterns):
        return True
    found = frozenset(_WORDS.findall(value)) - ORDINARY
    needed = 2 if keyword in OF_THE_MACHINE else 1
    return any(len(found & name) >= min(needed, len(name)) for name in names if name)


def _dates(date: str) -> list[str]:
    """Return patterns of a date, YYYYMMDD, as it may be written; none for another text."""
    if not re.fullmatch(r"\d{8}", date):
        return []
    year, month, day = date[:4], date[4:6], date[6:]
    between = "[-/. ]?"
    return [between.join(parts) for parts in ((year, month, day), (day, month, year), (month, day, year))]


def _persons(text: str) -> list[list[str]]:
    """Return the words of every person in a person name, long ones only; people are separated by a backslash."""
    return [[word for word in _WORDS.findall(one) if len(word) >= SHORTEST_WORD] for one in text.split("\\")]


def _raw(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return a text as the allow-listed fields are read, letter by letter, so that both compare in any script."""
    element = dataset.get_item(tag_for_keyword(keyword) or 0)
    if element is None or element.value is None:
        return ""
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return element.value.decode("ascii", errors="backslashreplace").strip(" \0").casefold()
    return str(element.value).strip(" \0").casefold()
