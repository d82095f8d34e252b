"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

import struct
import zlib
from enum import StrEnum
from pathlib import Path

from audit_pipeline.errors import LoadError
from audit_pipeline.load.archive_format import format_of, probe_bytes
from audit_pipeline.load.files import open_file

HEAD_BYTES = 4096
NIFTI_NAMES = (".nii", ".nii.gz")
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_GZIP_MAGIC = b"\x1f\x8b"
_SHORT_VRS = (b"UI", b"CS", b"DA", b"TM", b"UL", b"DT", b"SH", b"LO")
"""Value representations with a two-byte length that the first elements of a data set have (PS3.5, 7.1.2)."""
_DICOMDIR_CLASS = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage (PS3.4, annex I; PS3.10, 8.6)."""
_APPLE_DOUBLE = (b"\x00\x05\x16\x07", b"\x00\x05\x16\x00")
"""What macOS writes beside each file on foreign file systems, ``._name`` (RFC 1740, appendix A and B)."""
_FOLDER_VIEWS = (b"\x00\x00\x00\x01Bud1",)
"""``.DS_Store``: how macOS last showed a folder."""
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1a\x1b")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class FileKind(StrEnum):
    """What a file claims to be; ``UNREADABLE`` cannot be opened, so it may be anything."""

    DICOM = "dicom"
    NIFTI = "nifti"
    ARCHIVE = "archive"
    UNREADABLE = "unreadable"
    OTHER = "other"


def kind_of(path: Path) -> FileKind:
    """Return what `path` claims to be.

    DICOM has ``DICM`` after a preamble of 128 bytes (PS3.10, 7.1), or starts with file meta information, or with an
    identifying group 0008 elements in little endian, which leaves one way to read it (PS3.5, 10.1). NIfTI
    starts with its own header size, 348 or 540, in either byte order, possibly inside gzip. Archives are zip, and tar
    with or without compression; 7z and RAR are named so that they can be refused. The names ``.nii`` and
    ``.nii.gz`` claim NIfTI too, so that a damaged file is refused by name and not passed over.
    """
    head = _head(path)
    if head is None:
        return FileKind.UNREADABLE
    if is_dicom(head):
        return FileKind.DICOM
    if not head or head.startswith(_APPLE_DOUBLE):
        return FileKind.OTHER
    if _is_nifti(_unzipped(head)):
        return FileKind.NIFTI
    probe = _head(path, probe_bytes(head)) if probe_bytes(head) else head
    if format_of(probe or head, path.name):
        return FileKind.ARCHIVE
    return FileKind.NIFTI if path.name.lower().endswith(NIFTI_NAMES) else FileKind.OTHER


def _head(path: Path, count: int = HEAD_BYTES) -> bytes | None:
    """Return the first bytes of a file, None when it cannot be read."""
    try:
        with open_file(path) as stream:
            return stream.read(count)
    except (OSError, LoadError):
        return None


def is_clutter(path: Path) -> bool:
    """Return whether a file is nothing that could hold an image: text, a DICOMDIR, or what a desktop leaves behind."""
    head = _head(path)
    if head is None:
        return False
    is_thumbs = head.startswith(_OLE_MAGIC) and path.name.lower() == "thumbs.db"
    return is_thumbs or has_dicomdir_class(head) or head.startswith((*_APPLE_DOUBLE, *_FOLDER_VIEWS)) or _is_text(head)


def is_text(path: Path) -> bool:
    """Return whether a file is empty or starts as text; a file that cannot be read is not text."""
    head = _head(path)
    return head is not None and _is_text(head)


def _is_text(head: bytes) -> bool:
    """Return whether bytes are UTF-8, UTF-16 with its mark, or 8-bit text without control characters."""
    if head.startswith(_UTF16_MARKS):
        return True
    if b"\x00" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= HEAD_BYTES - 4 or not any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)
    return True


def is_dicom(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a DICOM file, see `kind_of`."""
    return has_preamble(head) or _starts_with_meta(head) or _starts_identifying(head)


def has_preamble(head: bytes) -> bool:
    """Return whether ``DICM`` follows a preamble of 128 bytes."""
    return head[128:132] == b"DICM"


def has_dicomdir_class(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a DICOMDIR, by its media storage class (PS3.10, 7.1).

    File meta information is explicit little endian whatever the data set is.
    """
    place = head.find(b"\x02\x00\x02\x00UI", 132, 1024) if has_preamble(head) else -1
    if place < 0:
        return False
    length = int.from_bytes(head[place + 6 : place + 8], "little")
    return head[place + 8 : place + 8 + length].rstrip(b"\0 ") == _DICOMDIR_CLASS


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
