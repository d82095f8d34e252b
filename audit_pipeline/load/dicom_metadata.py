"""The header fields that travel with an image: an allow-list by keyword, cleaned, nothing that may identify."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from audit_pipeline.disclosure import POOLED_AGE, WITHHELD
from audit_pipeline.load.dicom_elements import exactly, numbers, text, uid_name
from audit_pipeline.load.dicom_withheld import withheld
from audit_pipeline.records import Scalar

LONGEST_TEXT = 64

TEXT_FIELDS: Final = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "ConvolutionKernel",
    "ScanningSequence",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "PhotometricInterpretation",
    "RescaleType",
    "PresentationLUTShape",
    "ImageType",
)
NUMBER_FIELDS: Final = (
    "KVP",
    "SliceThickness",
    "SpacingBetweenSlices",
    "EchoTime",
    "RepetitionTime",
    "MagneticFieldStrength",
    "BitsStored",
    "BitsAllocated",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
)
FIRST_NUMBER_FIELDS: Final = ("WindowCenter", "WindowWidth", "LossyImageCompressionRatio")
_WHOLE: Final = ("BitsStored", "BitsAllocated", "PixelRepresentation")
_READ_ELSEWHERE: Final = ("ImagerPixelSpacing", "PatientAge", "ContrastBolusAgent")
_TAGS: Final = tuple(
    tag_for_keyword(keyword) or 0 for keyword in (*TEXT_FIELDS, *NUMBER_FIELDS, *FIRST_NUMBER_FIELDS, *_READ_ELSEWHERE)
)


def metadata_of(dataset: pydicom.Dataset, transfer_syntax: str) -> dict[str, Scalar]:
    """Return the allow-listed fields of one file that are present, readable and name nobody.

    The fields left out because of their text are listed under `disclosure.WITHHELD`.
    """
    found: dict[str, Scalar] = {keyword: printable(text(dataset, keyword)) for keyword in TEXT_FIELDS}
    for keyword in NUMBER_FIELDS:
        single = exactly(dataset, keyword, 1)
        found[keyword] = (int(single[0]) if keyword in _WHOLE else single[0]) if single else None
    for keyword in FIRST_NUMBER_FIELDS:
        found[keyword] = _first(text(dataset, keyword))
    found["VOIWindows"] = _windows(dataset)
    detector = exactly(dataset, "ImagerPixelSpacing", 2)
    found["ImagerPixelSpacing"] = "\\".join(f"{one:g}" for one in detector) if detector else None
    found["PatientAge"] = age_years(text(dataset, "PatientAge"))
    found["ContrastBolusAgent"] = "yes" if text(dataset, "ContrastBolusAgent") else "no"
    found["TransferSyntaxUID"] = uid_name(transfer_syntax) or "private"
    given = {keyword: value for keyword, value in found.items() if value not in (None, "")}
    left_out = withheld(dataset, given)
    kept: dict[str, Scalar] = {keyword: value for keyword, value in given.items() if keyword not in left_out}
    return kept | ({WITHHELD: ", ".join(sorted(left_out))} if left_out else {})


def in_common(every: Sequence[tuple[pydicom.Dataset, str]]) -> dict[str, Scalar]:
    """Return the fields that all slices, data sets with their transfer syntax, share with one value.

    None marks a field whose value differs. Slices that hold the same bytes are read once.
    """
    distinct: dict[tuple[object, ...], Mapping[str, Scalar]] = {}
    for dataset, syntax in every:
        key = (syntax, *(_raw(dataset, tag) for tag in _TAGS))
        if key not in distinct:
            distinct[key] = metadata_of(dataset, syntax)
    first, *others = distinct.values()
    shared = {
        keyword: value if all(other.get(keyword) == value for other in others) else None
        for keyword, value in first.items()
    }
    left_out = {one for found in distinct.values() for one in str(found.get(WITHHELD) or "").split(", ") if one}
    return {**shared, WITHHELD: ", ".join(sorted(left_out))} if left_out else shared


def _raw(dataset: pydicom.Dataset, tag: int) -> object:
    element = dataset.get_item(tag)
    if element is None or isinstance(element, RawDataElement):
        return None if element is None else element.value
    return str(element.value)


def is_calibrated(dataset: pydicom.Dataset) -> bool:
    """Whether PixelSpacing of a projection image is a size in the patient and not at the detector (PS3.3, 10.7.1.3)."""
    detector = exactly(dataset, "ImagerPixelSpacing", 2)
    is_stated = bool(text(dataset, "PixelSpacingCalibrationType"))
    return detector is None or is_stated or detector != exactly(dataset, "PixelSpacing", 2)


def printable(value: str, longest: int = LONGEST_TEXT) -> str:
    """Return text with everything that does not print as a question mark, cut to `longest` characters."""
    return "".join(one if one.isprintable() else "?" for one in value[:longest]).strip()


def age_years(value: str) -> int | None:
    """Return whole years of an Age String (PS3.5, 6.2), pooled from 90; None when it is not one.

    Examples
    --------
    >>> age_years("045Y"), age_years("018M"), age_years("003W"), age_years("101Y"), age_years("old")
    (45, 1, 0, 90, None)
    """
    match = re.fullmatch(r"(\d{1,3})([DWMY])", value.strip())
    if match is None:
        return None
    per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[match[2]]
    return min(int(int(match[1]) / per_year), POOLED_AGE)


def _windows(dataset: pydicom.Dataset) -> str | None:
    """Return every display window, centre / width, when there is more than one; no value is ever changed by them."""
    try:
        centres, widths = numbers(dataset, "WindowCenter") or (), numbers(dataset, "WindowWidth") or ()
    except ValueError:
        return None
    pairs = [f"{centre:g} / {width:g}" for centre, width in zip(centres, widths, strict=False)]
    return printable("; ".join(pairs)) if len(pairs) > 1 else None


def _first(value: str) -> float | None:
    try:
        number = float(value.split("\\", maxsplit=1)[0])
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
