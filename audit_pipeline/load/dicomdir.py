"""The DICOMDIR of a medium: a hint about which files should be there, and never more than a hint.

Nothing a DICOMDIR says decides what a file is or where it belongs; the files say that themselves. It is read for two
things: which files to load when it is named itself, and how many images it lists that are not there.
References: DICOM PS3.10, section 8 (file IDs, DICOMDIR); PS3.3, annex F (basic directory information object).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from audit_pipeline.errors import HeaderError, LoadError
from audit_pipeline.load.dicomdir_records import (
    FILE_ID,
    IN_USE,
    LOWER_OFFSET,
    RECORD_TYPE,
    SOP_UID,
    STUDY_UID,
    Record,
    records_of,
)
from audit_pipeline.load.files import open_file, read_bytes, size_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.sniff import HEAD_BYTES, has_dicomdir_class

MOST_BYTES = 128 * 2**20
"""A record takes half a kilobyte; a DICOMDIR larger than this is read by nobody."""
_LEVELS = {"PATIENT": 0, "STUDY": 1, "SERIES": 2}
_LEAF = 3
_IMAGE = "IMAGE"
_SEPARATORS = re.compile(r"[/\\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One file that a DICOMDIR lists.

    Attributes
    ----------
    parts : its place below the folder of the DICOMDIR
    study_uid : of the study record above it; "" when the order of the records does not tell
    sop_uid : of the object in it, "" when not stated
    is_image : whether its record is of type IMAGE
    """

    parts: tuple[str, ...]
    study_uid: str
    sop_uid: str
    is_image: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """What a DICOMDIR says: the files it lists, and how many references lead out of its folder and are ignored."""

    listed: tuple[Listed, ...] = ()
    ignored: int = 0


def is_dicomdir(path: Path) -> bool:
    """Return whether a file is a DICOMDIR, by its media storage class; one that cannot be read is none."""
    try:
        with open_file(path) as stream:
            return has_dicomdir_class(stream.read(HEAD_BYTES))
    except (OSError, LoadError):
        return False


def read_dicomdir(path: Path) -> Directory:
    """Return what the DICOMDIR lists; one that cannot be read, or is larger than any true one, lists nothing."""
    try:
        with translated(HeaderError, "the DICOMDIR cannot be parsed"):
            if size_of(path) > MOST_BYTES:
                return Directory()
            return _directory(records_of(read_bytes(path)))
    except LoadError:
        return Directory()


def _directory(records: Sequence[Record]) -> Directory:
    listed, ignored = [], 0
    is_ordered = _is_ordered(records)
    study_uid = ""
    for record in records:
        kind = record.text(RECORD_TYPE)
        if _LEVELS.get(kind, _LEAF) < _LEVELS["SERIES"]:
            study_uid = record.text(STUDY_UID) if is_ordered and kind == "STUDY" else ""
        # 0 marks a record that was deleted (PS3.3, F.3.2.2)
        file_id = record.text(FILE_ID) if record.number(IN_USE, 0xFFFF) else ""
        parts = tuple(part.strip() for part in file_id.split("\\")) if file_id else ()
        if not all(_is_confined(part) for part in parts):
            ignored += 1
        elif parts:
            sop_uid = record.text(SOP_UID)
            listed.append(Listed(parts=parts, study_uid=study_uid, sop_uid=sop_uid, is_image=kind == _IMAGE))
    return Directory(listed=tuple(listed), ignored=ignored)


def _is_confined(part: str) -> bool:
    """Return whether one component of a file ID is a plain name; longer and lower-case names than allowed are."""
    return part not in {"", ".", ".."} and not _SEPARATORS.search(part) and "\0" not in part and ":" not in part


def _is_ordered(records: Sequence[Record]) -> bool:
    """Return whether the records stand in the order of their tree, so that a study precedes what it holds.

    Each level may go down by one step at a time, and a record that has lower ones must be followed by the first of
    them. The offsets that form the tree are only compared and never followed.
    """
    before = 0  # a study may be the first record: media without patient records exist
    for record in records:
        level = _LEVELS.get(record.text(RECORD_TYPE), _LEAF)
        if level > before + 1:
            return False
        before = level
    return all(record.number(LOWER_OFFSET, 0) in {0, following.offset} for record, following in pairwise(records))
