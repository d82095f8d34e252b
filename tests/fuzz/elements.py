"""DICOM files as trees of elements that may be written wrongly: what a mutator needs and no reader should do."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_VR

LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass
class Element:
    """One element; `value` is bytes, or the items of a sequence. `stated` overrides the length that is written."""

    tag: int
    vr: bytes
    value: bytes | list[list[Element]]
    is_undefined: bool = False
    stated: int | None = None


@dataclass
class File:
    """A file: preamble and meta as bytes, the data set as elements, and what follows it."""

    head: bytes
    is_explicit: bool
    is_little: bool
    elements: list[Element] = field(default_factory=list)
    tail: bytes = b""

    def written(self) -> bytes:
        """Return the bytes of the file."""
        return self.head + encoded(self.elements, self) + self.tail


def parsed(content: bytes) -> File:
    """Return a well-formed file with a preamble, taken apart; deflated data sets are not taken apart."""
    (length,) = struct.unpack_from("<I", content, 140)
    start = 144 + length
    head = content[:start]
    is_explicit = b"1.2.840.10008.1.2\0" not in head
    is_little = b"1.2.840.10008.1.2.2" not in head
    if b"1.2.840.10008.1.2.1.99" in head:
        return File(head, is_explicit=True, is_little=True, tail=content[start:])
    file = File(head, is_explicit, is_little)
    file.elements, _ = _elements(content, start, len(content), file)
    return file


def _elements(content: bytes, place: int, end: int, file: File) -> tuple[list[Element], int]:
    found = []
    while place < end:
        tag, vr, start, length = _header(content, place, file)
        if tag == ITEM_END:
            return found, start
        value: bytes | list[list[Element]]
        if vr == b"SQ":
            value, place = _items(content, start, end if length == UNDEFINED else start + length, file)
        elif length == UNDEFINED:
            place = content.index(struct.pack("<HHI" if file.is_little else ">HHI", 0xFFFE, 0xE0DD, 0), start) + 8
            value = content[start:place]
        else:
            value, place = content[start : start + length], start + length
        found.append(Element(tag, vr, value, is_undefined=length == UNDEFINED))
    return found, place


def _items(content: bytes, place: int, end: int, file: File) -> tuple[list[list[Element]], int]:
    items = []
    while place < end:
        tag, _, start, length = _header(content, place, file)
        if tag == SEQUENCE_END:
            return items, start
        item, place = _elements(content, start, end if length == UNDEFINED else start + length, file)
        items.append(item)
    return items, place


def _header(content: bytes, place: int, file: File) -> tuple[int, bytes, int, int]:
    order = "<" if file.is_little else ">"
    group, number = struct.unpack_from(f"{order}HH", content, place)
    tag = group << 16 | number
    if group == 0xFFFE or not file.is_explicit:
        (length,) = struct.unpack_from(f"{order}I", content, place + 4)
        return tag, b"" if group == 0xFFFE else _dictionary_vr(tag), place + 8, length
    vr = content[place + 4 : place + 6]
    if vr in LONG_VRS:
        return tag, vr, place + 12, struct.unpack_from(f"{order}I", content, place + 8)[0]
    return tag, vr, place + 8, struct.unpack_from(f"{order}H", content, place + 6)[0]


def _dictionary_vr(tag: int) -> bytes:
    try:
        return dictionary_VR(tag).encode()[:2]
    except KeyError:
        return b"UN"


def encoded(elements: list[Element], file: File) -> bytes:
    """Return the elements in the encoding of `file`; iterative where a mutator may nest without end."""
    return b"".join(_encoded(one, file) for one in elements)


def _encoded(one: Element, file: File) -> bytes:
    body = one.value if isinstance(one.value, bytes) else _sequence(one, one.value, file)
    length = UNDEFINED if one.is_undefined else len(body)
    return header(one.tag, one.vr, length if one.stated is None else one.stated, file) + body


def _sequence(one: Element, items: list[list[Element]], file: File) -> bytes:
    parts = []
    for item in items:
        body = encoded(item, file)
        if one.is_undefined:
            parts += [header(ITEM, b"", UNDEFINED, file), body, header(ITEM_END, b"", 0, file)]
        else:
            parts += [header(ITEM, b"", len(body), file), body]
    return b"".join(parts) + (header(SEQUENCE_END, b"", 0, file) if one.is_undefined else b"")


def header(tag: int, vr: bytes, length: int, file: File) -> bytes:
    """Return the head of an element; a length that does not fit its field is cut."""
    order = "<" if file.is_little else ">"
    start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if tag >> 16 == 0xFFFE or not file.is_explicit:
        return start + struct.pack(f"{order}I", length & 0xFFFFFFFF)
    if vr in LONG_VRS:
        return start + vr + b"\0\0" + struct.pack(f"{order}I", length & 0xFFFFFFFF)
    return start + vr + struct.pack(f"{order}H", length & 0xFFFF)
