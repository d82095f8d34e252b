"""The records of a DICOMDIR, walked in one pass without building data sets, so that a hostile one costs no time.

Only the few elements that are wanted are kept; everything nested is stepped over without recursion.
References: DICOM PS3.5, 7.1 (elements), 7.5 (sequences), 10.1; PS3.10, 7.1 and 8.6; PS3.3, F.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from audit_pipeline.errors import HeaderError, LimitError

MOST_RECORDS = 200_000
LOWER_OFFSET, IN_USE, RECORD_TYPE, FILE_ID, SOP_UID, STUDY_UID = (
    0x00041420,
    0x00041410,
    0x00041430,
    0x00041500,
    0x00041511,
    0x0020000D,
)
_WANTED = frozenset({LOWER_OFFSET, IN_USE, RECORD_TYPE, FILE_ID, SOP_UID, STUDY_UID})
_RECORDS = 0x00041220
_TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_META_START = 132


@dataclass(frozen=True, slots=True)
class Record:
    """One directory record.

    Attributes
    ----------
    offset : of its item in the file, as other records refer to it
    values : raw values of the wanted elements by tag
    is_little : byte order of its numbers
    """

    offset: int
    values: Mapping[int, bytes]
    is_little: bool

    def text(self, tag: int) -> str:
        """Return a value as text without padding, "" when it is absent."""
        return self.values.get(tag, b"").decode("utf-8", "surrogateescape").strip(" \0")

    def number(self, tag: int, absent: int) -> int:
        """Return a value as a whole number without sign."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value, "little" if self.is_little else "big") if value else absent


def records_of(content: bytes) -> tuple[Record, ...]:
    """Return the records of a DICOMDIR in the order in which they stand in the file; one that is cut off has fewer.

    Parameters
    ----------
    content : the whole file, with preamble

    Raises
    ------
    HeaderError
        The file is no DICOMDIR, or its records do not follow each other.
    LimitError
        There are more records than `MOST_RECORDS`.
    """
    try:
        reader, place = _after_meta(content)
        for tag, start, length in reader.elements(place, len(content)):
            if tag == _RECORDS:
                return tuple(reader.records(start, min(start + length, len(content))))
            if tag > _RECORDS:
                break
    except struct.error as error:
        raise HeaderError("the DICOMDIR is cut off; copy it again") from error
    return ()


def _after_meta(content: bytes) -> tuple[_Reader, int]:
    """Return a reader for the data set and where that begins; file meta information is explicit little endian."""
    place, syntax = _META_START, b""
    meta = _Reader(content, is_little=True, is_explicit=True)
    for tag, start, length in meta.elements(_META_START, len(content)):
        if tag >> 16 != 2:
            break
        if tag == _TRANSFER_SYNTAX:
            syntax = content[start : start + length].strip(b" \0")
        place = start + length
    return _Reader(
        content, is_little=syntax != b"1.2.840.10008.1.2.2", is_explicit=syntax != b"1.2.840.10008.1.2"
    ), place


@dataclass(frozen=True, slots=True)
class _Reader:
    """Elements of one encoding."""

    content: bytes
    is_little: bool
    is_explicit: bool

    def elements(self, place: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (tag, start of the value, length) up to `end` or the end mark of an item, which comes last."""
        while place < end:
            tag, start, length = self._head(place)
            yield tag, start, length
            if tag == _ITEM_END:
                return
            place = self._behind(start) if length == _UNDEFINED else start + length

    def records(self, place: int, end: int) -> Iterator[Record]:
        """Yield the items of a sequence."""
        for _ in range(MOST_RECORDS):
            if place >= end:
                return
            tag, start, length = self._head(place)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise HeaderError("the records of the DICOMDIR are damaged; copy it again")
            values, behind = {}, start
            for inner, value, size in self.elements(start, min(end, start + length)):
                behind = value + size
                if inner in _WANTED and size != _UNDEFINED:
                    values[inner] = self.content[value : value + size]
            yield Record(place, values, self.is_little)
            place = behind if length == _UNDEFINED else start + length
        raise LimitError(f"the DICOMDIR has more than {MOST_RECORDS} records")

    def _head(self, place: int) -> tuple[int, int, int]:
        """Return the tag, the start of the value and the length of the element at `place`."""
        order = "<" if self.is_little else ">"
        group, element, length = struct.unpack_from(f"{order}HHI", self.content, place)
        tag = group << 16 | element
        if not self.is_explicit or group == 0xFFFE:
            return tag, place + 8, length
        if self.content[place + 4 : place + 6] in _LONG_VRS:
            (length,) = struct.unpack_from(f"{order}I", self.content, place + 8)
            return tag, place + 12, length
        (length,) = struct.unpack_from(f"{order}H", self.content, place + 6)
        return tag, place + 8, length

    def _behind(self, place: int) -> int:
        """Return the place behind a value of undefined length, which is a sequence of any depth."""
        depth = 1
        while depth:
            tag, place, length = self._head(place)
            if tag in {_ITEM_END, _SEQUENCE_END}:
                depth -= 1
            elif length == _UNDEFINED:
                depth += 1
            elif tag != _ITEM:
                place += length
        return place
