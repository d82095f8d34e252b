"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

import struct
import zlib
from enum import StrEnum
from pathlib import Path

HEAD_BYTES = 4096
NIFTI_NAMES = (".nii", ".nii.gz")
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_GZIP_MAGIC = b"\x1f\x8b"
_SHORT_VRS = (b"UI", b"CS", b"DA", b"TM", b"UL", b"DT", b"SH", b"LO")
"""Value representations with a two-byte length that the first elements of a data set have (PS3.5, 7.1.2)."""


class FileKind(StrEnum):
    """What a file claims to be."""

    DICOM = "dicom"
    NIFTI = "nifti"
    OTHER = "other"


def kind_of(path: Path) -> FileKind:
    """Return what `path` claims to be; a file that cannot be read is ``OTHER``.

    DICOM has ``DICM`` after a preamble of 128 bytes (PS3.10, 7.1), or starts with file meta information, or with an
    identifying group 0008 elements in little endian, which leaves one way to read it (PS3.5, 10.1). NIfTI
    starts with its own header size, 348 or 540, in either byte order, possibly inside gzip. The names ``.nii`` and
    ``.nii.gz`` claim NIfTI too, so that a damaged file is refused by name and not passed over.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return FileKind.OTHER
    if is_dicom(head):
        return FileKind.DICOM
    named = path.name.lower().endswith(NIFTI_NAMES)
    return FileKind.NIFTI if head and (named or _is_nifti(_unzipped(head))) else FileKind.OTHER


def is_text(path: Path) -> bool:
    """Return whether a file is empty or starts as UTF-8 text; a file that cannot be read is not text."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= HEAD_BYTES - 4 and b"\x00" not in head
    except OSError:
        return False
    return b"\x00" not in head


def is_dicom(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a DICOM file, see `kind_of`."""
    return has_preamble(head) or _starts_with_meta(head) or _starts_identifying(head)


def has_preamble(head: bytes) -> bool:
    """Return whether ``DICM`` follows a preamble of 128 bytes."""
    return head[128:132] == b"DICM"


def _starts_with_meta(head: bytes) -> bool:
    return head[:6] == b"\x02\x00\x00\x00UL"


def _starts_identifying(head: bytes) -> bool:
    """Return whether the first two elements are of group 0008, with lengths that fit, in little endian."""
    offset = 0
    for _ in range(2):
        if len(head) < offset + 8:
            return False
        group, element, length = struct.unpack_from("<HHI", head, offset)
        if head[offset + 4 : offset + 6] in _SHORT_VRS:
            (length,) = struct.unpack_from("<H", head, offset + 6)
        if group != 0x0008 or element > 0x1200 or length > 1024:
            return False
        offset += 8 + length
    return True


def _unzipped(head: bytes) -> bytes:
    if not head.startswith(_GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _NIFTI2_BYTES)
    except zlib.error:
        return b""


def _is_nifti(head: bytes) -> bool:
    sizes = {_NIFTI1_BYTES.to_bytes(4, order) for order in ("little", "big")}
    sizes |= {_NIFTI2_BYTES.to_bytes(4, order) for order in ("little", "big")}
    # a compressed DICOM file may have anything in its preamble, the size of a NIfTI header among it
    return len(head) >= _NIFTI1_BYTES and head[:4] in sizes and not is_dicom(head)
