"""Size and depth announced inside a compressed frame, read before a decoder sees it.

A tiny file may announce a huge picture; the header of the frame and the header of the file must agree first.
References: ISO/IEC 15444-1, A.5.1 (SIZ); ISO/IEC 10918-1, B.2.2 (SOF); ISO/IEC 14495-1, C.2.2 (SOF55).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_J2K_START = b"\xff\x4f\xff\x51"
_FRAME_MARKERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
_END = b"\xff\xd9"
_CODING_STYLE, _CODE_BLOCKS = 0x52, (0x90, 0x93)
MOST_TILES = 65_535
"""The index of a tile has 16 bits (ISO/IEC 15444-1, A.4.2)."""
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSize:
    """What a compressed frame announces.

    is_signed : None where the format does not say; is_reversible : whether a JPEG 2000 frame uses the wavelet without
    loss, None for other formats
    """

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool | None = None
    is_reversible: bool | None = None


def frame_size(stream: bytes) -> FrameSize | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame announces; None when it is none of them or damaged."""
    try:
        if stream.startswith((_JP2_SIGNATURE, _J2K_START)):
            return _jpeg_2000(stream)
        if stream.startswith(b"\xff\xd8"):
            return _jpeg(stream)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_2000(stream: bytes) -> FrameSize | None:
    start = stream.find(_J2K_START)
    if start < 0:
        return None
    grid = struct.unpack_from(">8I", stream, start + 8)
    if not _has_tiles(grid):
        return None
    right, bottom, left, top = grid[:4]
    (samples,) = struct.unpack_from(">H", stream, start + 40)
    depth = stream[start + 42]
    return FrameSize(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth >> 7),
        is_reversible=_is_reversible(stream, start + 2),
    )


def _has_tiles(grid: tuple[int, ...]) -> bool:
    """Return whether image and tiles of a JPEG 2000 frame are as ISO/IEC 15444-1, B.2 and B.3, want them.

    The first tile begins at or before the image and ends inside of it; decoders that take this for granted divide by
    zero or count tiles without end.
    """
    tiles = 1
    for end, begin, size, first in zip(*(grid[place : place + 2] for place in (0, 2, 4, 6)), strict=True):
        if not (begin < end and size > 0 and first <= begin < first + size):
            return False
        tiles *= -(-(end - first) // size)
    return tiles <= MOST_TILES


def _is_reversible(stream: bytes, offset: int) -> bool | None:
    """Return whether the coding style names the reversible wavelet (ISO/IEC 15444-1, A.6.1: last byte of SPcod)."""
    while stream[offset] == 0xFF and stream[offset + 1] not in _CODE_BLOCKS:
        (length,) = struct.unpack_from(">H", stream, offset + 2)
        if stream[offset + 1] == _CODING_STYLE:
            return stream[offset + 13] == 1
        offset += 2 + length
    return None


def is_whole(stream: bytes) -> bool:
    """Return whether a JPEG, JPEG-LS or JPEG 2000 frame has its end marker, which cannot occur in its compressed data.

    Decoders fill the rest of a frame that was cut with whatever they have.
    """
    return _END in stream


def _jpeg(stream: bytes) -> FrameSize | None:
    offset = 2
    while offset + 4 <= len(stream):
        if stream[offset] != 0xFF:
            return None
        marker = stream[offset + 1]
        if marker == 0xFF:
            offset += 1
        elif marker in _BARE_MARKERS:
            offset += 2
        elif marker in _FRAME_MARKERS:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", stream, offset + 4)
            return FrameSize(rows=rows, columns=columns, samples=samples, precision=precision)
        else:
            (length,) = struct.unpack_from(">H", stream, offset + 2)
            offset += 2 + length
    return None
