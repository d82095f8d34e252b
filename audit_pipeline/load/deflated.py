"""Deflated DICOM files, turned into plain ones in memory and under a limit.

pydicom inflates a whole data set in one piece, whatever its size, even where only the header is wanted.
Reference: DICOM PS3.5, A.5 (Deflated Explicit VR Little Endian).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from audit_pipeline.errors import HeaderError, LimitError
from audit_pipeline.load.settings import LoadSettings

_META_START = 132
_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI(..)" + re.escape(DeflatedExplicitVRLittleEndian.encode()), re.DOTALL)
_STEP, _SLICE = 2**20, 2**16


def is_deflated(head: bytes) -> bool:
    """Return whether the file meta information in the first bytes of a file names the deflated transfer syntax."""
    return _SYNTAX.search(head, 0, meta_end(head)) is not None


def inflated(content: bytes, settings: LoadSettings) -> bytes:
    """Return a deflated file as the explicit little endian file with the same elements.

    Raises
    ------
    LimitError
        The data set grows beyond the limits for a file of this size.
    HeaderError
        The compressed data is damaged.
    """
    end = meta_end(content)
    plain = ExplicitVRLittleEndian.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")
    meta = _SYNTAX.sub(lambda found: b"\x02\x00\x10\x00UI" + found[1] + plain, content[:end])
    limit = settings.inflated_limit(len(content))
    parts, grown = [meta], 0
    try:
        for part in _grown(memoryview(content)[end:]):
            parts.append(part)
            grown += len(part)
            if grown > limit:
                raise LimitError(f"the deflated data set grows beyond {limit} bytes; check where the file comes from")
    except zlib.error as error:
        raise HeaderError("the deflated data set is damaged; transfer the file again") from error
    return b"".join(parts)


def _grown(packed: memoryview) -> Iterator[bytes]:
    """Yield what `packed` becomes in blocks; it is fed in slices, because zlib copies all that it has not yet used."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for start in range(0, len(packed), _SLICE):
        rest: bytes | memoryview = packed[start : start + _SLICE]
        while rest and not inflater.eof:
            yield inflater.decompress(rest, _STEP)
            rest = inflater.unconsumed_tail
        if inflater.eof:
            return
    yield inflater.flush()


def meta_end(head: bytes) -> int:
    """Return where the file meta information ends: its first element holds its length (PS3.10, 7.1)."""
    if head[128:132] != b"DICM" or head[_META_START : _META_START + 6] != b"\x02\x00\x00\x00UL":
        return 0
    (length,) = struct.unpack_from("<I", head.ljust(_META_START + 12, b"\0"), _META_START + 8)
    return int(_META_START + 12 + length)
