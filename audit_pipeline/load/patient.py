"""Who was examined, read from the header for the clinical profile and for nothing else."""

from __future__ import annotations

import re
from typing import Final

import pydicom

from audit_pipeline.load.dicom_index import read_header
from audit_pipeline.load.dicom_metadata import printable
from audit_pipeline.load.discover import StudySource
from audit_pipeline.load.guard import quiet
from audit_pipeline.load.settings import LoadSettings

PATIENT_FIELDS: Final = {
    "patient_name": "PatientName", "patient_id": "PatientID", "birth_date": "PatientBirthDate", "sex": "PatientSex",
    "accession": "AccessionNumber", "study_date": "StudyDate",
}  # fmt: skip
"""Column of the linkage -> header field (PS3.3, C.7.1.1 and C.7.2.1)."""


def patient_of(source: StudySource, settings: LoadSettings | None = None) -> dict[str, str]:
    """Return the fields of the first readable DICOM file; "" where it does not tell, and for other formats."""
    if source.kind == "dicom":
        for path in source.files:
            header = read_header(path, settings or LoadSettings())
            if header.study_uid:
                with quiet():
                    return {name: _text(header.dataset, keyword) for name, keyword in PATIENT_FIELDS.items()}
    return dict.fromkeys(PATIENT_FIELDS, "")


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return a value in the letters of its character set; "" where it cannot be read."""
    try:
        value = dataset[keyword].value
    except Exception:  # noqa: BLE001 - a third-party reader; an unreadable name is no name
        return ""
    return "" if value is None else _as_written(keyword, printable(str(value), 256))


def _as_written(keyword: str, value: str) -> str:
    """Return a person name with its groups of components, and a date, as people write them (PS3.5, 6.2).

    >>> _as_written("PatientName", "Yamada^Tarou=Y^T")
    'Yamada, Tarou (Y, T)'
    >>> _as_written("StudyDate", "19580314"), _as_written("PatientID", "19580314")
    ('1958-03-14', '19580314')
    """
    if keyword.endswith("Date") and re.fullmatch(r"\d{8}", value):
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    if not keyword.endswith("Name"):
        return value
    groups = [", ".join(filter(None, (one.strip() for one in group.split("^")))) for group in value.split("=")]
    first, *others = [group for group in groups if group] or [""]
    return f"{first} ({'; '.join(others)})" if others else first
