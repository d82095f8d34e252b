"""Which kind of archive the first bytes of a file belong to; its name is asked only where they cannot tell.

References: PKWARE APPNOTE 6.3.10 (zip); POSIX.1-2017, pax, "ustar Interchange Format" (tar); RFC 1952 (gzip).
"""

from __future__ import annotations

import bz2
import lzma
from enum import StrEnum
from typing import Protocol, cast

from isal import igzip_lib

BLOCK_BYTES = 512
"""A tar archive is a row of blocks of this size."""
_PROBE_BYTES = 2**20
_BZIP2_BLOCK = b"1AY&SY"
_XZ_MEMORY_BYTES = 2**28
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_UNREAD_STARTS = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
INFLATE_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    lzma.LZMAError,
    cast("type[Exception]", igzip_lib.IsalError),
)
"""What the decompressors raise on damaged data."""
TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
_ZSTD_START = b"\x28\xb5\x2f\xfd"


class ArchiveFormat(StrEnum):
    """How an archive is packed; ``UNREAD`` formats are recognised so that they are refused by their kind."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZIP = "tar.gz"
    TAR_BZIP2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    UNREAD = "unread"


class Inflater(Protocol):
    """What the decompressors of ``bz2``, ``lzma`` and ``isal`` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was reached and its checksum held."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before more is put in."""

    @property
    def unused_data(self) -> bytes:
        """What was put in beyond the end of the compressed stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Put `data` in and take at most `max_length` bytes out."""


def raw_inflater() -> Inflater:
    """Return a fresh decompressor for deflate without a frame, as zip uses it."""
    return cast("Inflater", igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE))


def inflater_for(archive: ArchiveFormat) -> Inflater:
    """Return a fresh decompressor for a compressed tar archive."""
    if archive is ArchiveFormat.TAR_GZIP:
        return cast("Inflater", igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP))
    if archive is ArchiveFormat.TAR_BZIP2:
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


def probe_bytes(head: bytes) -> int:
    """Return how much of a file `format_of` wants to see; bzip2 says nothing before its first block is complete."""
    return _PROBE_BYTES if head.startswith(b"BZh") and head[4:10] == _BZIP2_BLOCK else 0


def format_of(head: bytes, name: str = "") -> ArchiveFormat | None:
    """Return the format of an archive by its first bytes, None when they belong to something else.

    Parameters
    ----------
    head : at least the first 4096 bytes of the file, or as many as `probe_bytes` asks for
    name : name of the file; it decides only where the content cannot be looked into, because its compression is
        damaged or not read here, so that the file is refused by name and not passed over
    """
    if head.startswith(_ZIP_STARTS):
        return ArchiveFormat.ZIP
    if head.startswith(_UNREAD_STARTS):
        return ArchiveFormat.UNREAD
    if head.startswith(_ZSTD_START):
        return ArchiveFormat.UNREAD if name.lower().endswith((".tar.zst", ".tzst")) else None
    if is_tar_header(head[:BLOCK_BYTES]):
        return ArchiveFormat.TAR
    packed = _packing_of(head)
    if packed and (name.lower().endswith(TAR_SUFFIXES) or is_tar_header(_start_of(head, packed))):
        return packed
    return None


def _packing_of(head: bytes) -> ArchiveFormat | None:
    if head.startswith(b"\x1f\x8b"):
        return ArchiveFormat.TAR_GZIP
    if probe_bytes(head):
        return ArchiveFormat.TAR_BZIP2
    return ArchiveFormat.TAR_XZ if head.startswith(b"\xfd7zXZ\x00") else None


def _start_of(head: bytes, packed: ArchiveFormat) -> bytes:
    try:
        return inflater_for(packed).decompress(head, BLOCK_BYTES)
    except INFLATE_ERRORS:
        return b""


def is_tar_header(block: bytes) -> bool:
    """Return whether a block of 512 bytes is the header of a tar member: the ustar magic, or a valid checksum.

    A damaged header still has its magic, so that it is refused as a damaged archive and not passed over.
    """
    return len(block) == BLOCK_BYTES and (block[257:262] == b"ustar" or has_valid_checksum(block))


def has_valid_checksum(block: bytes) -> bool:
    """Return whether the checksum of a tar header holds; old archives summed signed characters."""
    try:
        stated = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    rest = block[:148] + block[156:BLOCK_BYTES]
    unsigned = sum(rest) + 8 * 0x20
    return stated == unsigned or stated == unsigned - 256 * sum(byte > 127 for byte in rest)
