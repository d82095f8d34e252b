"""To which study and series a DICOM file belongs, read from its first bytes and nothing else.

Sorting a million files into studies needs five text elements of each. Where those stand in the first bytes in little
endian, with lengths that fit, this scan takes a tenth of the time of a parser; every other file is left to the parser.
Reference: DICOM PS3.5, 7.1 (data elements).
"""

from __future__ import annotations

import struct
from pathlib import Path

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from audit_pipeline.errors import LoadError
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_index import read_header
from audit_pipeline.load.files import open_file
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import has_preamble

_SCANNED_BYTES = 8192
_SYNTAX, _META_GROUP = 0x00020010, 0x0002
_PATIENT_ID, _ISSUER, _BIRTH_DATE = 0x00100020, 0x00100021, 0x00100030
_STUDY_UID, _SERIES_UID = 0x0020000D, 0x0020000E
_WANTED = frozenset((_SYNTAX, _PATIENT_ID, _ISSUER, _BIRTH_DATE, _STUDY_UID, _SERIES_UID))
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_OTHER_SYNTAXES = ("", ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def read_identity(path: Path, settings: LoadSettings) -> Header:
    """Return the header of a DICOM file with no more than path, UIDs of study and series, and patient filled in.

    A file that does not tell both UIDs at its beginning is read by `dicom_index.read_header`.
    """
    try:
        with open_file(path) as stream:
            head = stream.read(_SCANNED_BYTES)
        found = _scan(head) if has_preamble(head) else {}
    except (OSError, LoadError, struct.error):
        found = {}
    if not (found.get(_STUDY_UID) and found.get(_SERIES_UID)):
        return read_header(path, settings)
    return Header(
        path=path,
        study_uid=found[_STUDY_UID],
        series_uid=found[_SERIES_UID],
        identity=(found.get(_ISSUER, ""), found.get(_PATIENT_ID, ""), found.get(_BIRTH_DATE, "")),
    )


def _scan(head: bytes) -> dict[int, str]:
    """Return the text of the wanted elements; {} where anything is out of the ordinary.

    Raises
    ------
    struct.error
        The elements go on behind the bytes.
    """
    found: dict[int, str] = {}
    offset, last, is_implicit = 132, 0, False
    while last < _SERIES_UID:
        group, element = struct.unpack_from("<HH", head, offset)
        tag = group << 16 | element
        if group != _META_GROUP and last >> 16 == _META_GROUP:
            if found.get(_SYNTAX, "") in _OTHER_SYNTAXES:
                return {}
            is_implicit = found[_SYNTAX] == ImplicitVRLittleEndian
        start, length = _value_place(head, offset, is_implicit=is_implicit)
        if tag <= last or start + length > len(head):
            return {}
        if tag in _WANTED:
            found[tag] = head[start : start + length].decode("ascii", errors="backslashreplace").strip(" \0\r\n\t")
        offset, last = start + length, tag
    return found


def _value_place(head: bytes, offset: int, *, is_implicit: bool) -> tuple[int, int]:
    """Return where the value of the element at `offset` begins, and its length."""
    if is_implicit:
        return offset + 8, int(struct.unpack_from("<I", head, offset + 4)[0])
    if head[offset + 4 : offset + 6] in _LONG_VRS:
        return offset + 12, int(struct.unpack_from("<I", head, offset + 8)[0])
    return offset + 8, int(struct.unpack_from("<H", head, offset + 6)[0])
