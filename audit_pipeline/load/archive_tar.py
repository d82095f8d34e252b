"""The table of contents of a tar archive, and the way from a compressed tar to a plain one.

Python's ``tarfile`` takes a damaged header, or the end of a truncated file, for the end of the archive and says
nothing; here both are refused, because slices would be missing. Reference: POSIX.1-2017, pax, "ustar Interchange
Format" and "pax Interchange Format"; GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import lzma
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from audit_pipeline.errors import ArchiveError, CorruptFileError, LimitError
from audit_pipeline.load.archive_format import (
    BLOCK_BYTES,
    INFLATE_ERRORS,
    ArchiveFormat,
    Inflater,
    has_valid_checksum,
    inflater_for,
)
from audit_pipeline.load.archive_names import Names
from audit_pipeline.load.archive_stream import Handle, Packed
from audit_pipeline.load.settings import LoadSettings

_CHUNK = 2**20
_EXTENDED_BYTES = 2**20
"""An extended header names one member; a larger one is no name."""
_REGULAR = frozenset(b"0\x007")
_LINKS_AND_DEVICES = frozenset(b"12346")
_FOLDERS = frozenset(b"5D")
_EXTENDED = frozenset(b"xXgLK")
_LABEL = ord("V")
_ZEROS = bytes(BLOCK_BYTES)
_CUT = "the tar archive ends early; transfer it again"
_DAMAGED = "a header of the tar archive is damaged; transfer it again"


@dataclass(slots=True)
class _Extension:
    """What extended headers say about the member that follows them."""

    name: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    """One member: kind of entry, name, and where its data lies."""

    kind: int
    name: str
    offset: int
    size: int


def tar_members(handle: Handle, settings: LoadSettings) -> tuple[dict[str, Packed], int]:
    """Return the files of a plain tar archive by name, and how many links and devices it holds.

    Raises
    ------
    ArchiveError
        Damaged, truncated, sparse, or with names that lead outside or are not unique.
    LimitError
        More members or bytes than the settings allow.
    """
    names, members, links, total = Names(), {}, 0, 0
    for header in _headers(handle, settings.archive_members):
        if header.kind in _FOLDERS or (header.size == 0 and header.name.endswith("/")):
            names.add_folder(header.name)
            continue
        cleaned = names.add(header.name)
        if header.kind in _LINKS_AND_DEVICES:
            links += 1
            continue
        total += header.size
        if total > settings.archive_bytes:
            raise LimitError(f"the archive unpacks to more than {settings.archive_bytes} bytes; pack it in parts")
        members[cleaned] = Packed(offset=header.offset, packed_bytes=header.size, size=header.size)
    names.finish()
    return members, links


def _headers(handle: Handle, most: int) -> Iterator[_Header]:
    """Yield the members in order; at least one block of zeros must end the archive."""
    place, extension = 0, _Extension()
    for _ in range(most + 1):
        block = handle.read_at(place, BLOCK_BYTES)
        if block == _ZEROS:
            return
        kind, name, size = _fields(block)
        place += BLOCK_BYTES
        if kind in _EXTENDED:
            _extend(extension, kind, _extended_text(handle, place, size))
            place += _padded(size)
            continue
        if kind == _LABEL:
            continue
        size = size if extension.size is None else extension.size
        header = _Header(kind, name if extension.name is None else extension.name, place, size)
        extension = _Extension()
        # links, devices and folders have no data, whatever size they state
        if kind not in _LINKS_AND_DEVICES and kind not in _FOLDERS:
            place += _padded(size)
            if header.offset + size > handle.bytes:
                raise ArchiveError(_CUT)
        yield header
    raise LimitError(f"the archive holds more than {most} members; pack it in parts")


def _fields(block: bytes) -> tuple[int, str, int]:
    """Return type flag, name and size of a header block."""
    if len(block) < BLOCK_BYTES:
        raise ArchiveError(_CUT)
    if not has_valid_checksum(block):
        raise ArchiveError(_DAMAGED)
    kind = block[156]
    if kind in b"SM":
        what = "sparse files" if kind == ord("S") else "part of a file that began in another archive"
        raise ArchiveError(f"the tar archive holds {what}, which is not read; pack it again as whole files")
    raw = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return kind, _text(prefix + b"/" + raw if prefix else raw), _number(block[124:136])


def _number(field: bytes) -> int:
    """Return a size: octal digits, or base 256 when the first bit is set (GNU)."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise ArchiveError(_DAMAGED)
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise ArchiveError(_DAMAGED)
    return int(digits, 8)


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _extended_text(handle: Handle, offset: int, size: int) -> bytes:
    if size > _EXTENDED_BYTES:
        raise LimitError(f"an extended header of the tar archive has {size} bytes; at most {_EXTENDED_BYTES} are read")
    text = handle.read_at(offset, size)
    if len(text) < size:
        raise ArchiveError(_CUT)
    return text


def _extend(extension: _Extension, kind: int, text: bytes) -> None:
    if kind == ord("L"):
        extension.name = _text(text.split(b"\0", 1)[0])
    elif kind in b"xXg":
        records = _records(text)
        if any(key.startswith(b"GNU.sparse.") for key in records):
            raise ArchiveError("the tar archive holds sparse files, which are not read; pack it again as whole files")
        if kind == ord("g"):
            if b"path" in records or b"size" in records:
                raise ArchiveError("the tar archive gives all of its members one name or size; pack it again")
            return
        if b"path" in records:
            extension.name = _text(records[b"path"])
        if b"size" in records:
            extension.size = _decimal(records[b"size"])


def _decimal(raw: bytes) -> int:
    if not raw.isdigit() or len(raw) > 20:
        raise ArchiveError(_DAMAGED)
    return int(raw)


def _records(text: bytes) -> dict[bytes, bytes]:
    """Return the records ``length key=value`` of a pax extended header."""
    records, place = {}, 0
    while place < len(text):
        length, _, _ = text[place : place + 21].partition(b" ")
        end = place + _decimal(length)
        record = text[place + len(length) + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(text) or not equals or not record.endswith(b"\n"):
            raise ArchiveError(_DAMAGED)
        records[key] = value[:-1]
        place = end
    return records


def inflated_tar(handle: Handle, archive: ArchiveFormat, settings: LoadSettings) -> Handle:
    """Return a handle on the unpacked tar: a file without a name, gone when it is closed.

    It lies in the folder for temporary files (``TMPDIR``) and only its owner could read it. The compressed stream is
    read to its end, so that its checksums are verified.

    Raises
    ------
    CorruptFileError
        The compressed stream ends early or fails its checksum.
    LimitError
        It grows beyond the limits of the settings.
    ArchiveError
        There is no room for it.
    """
    limit = min(max(settings.inflate_ratio * handle.bytes, settings.inflate_free_bytes), settings.archive_bytes)
    with tempfile.TemporaryFile(buffering=0) as spool:
        grown = 0
        for block in _unpacked(handle, archive):
            grown += len(block)
            if grown > limit:
                raise LimitError(
                    f"the archive of {handle.bytes} bytes grows beyond {limit} bytes; check where it comes from"
                )
            _write(spool.fileno(), block)
        return Handle(os.dup(spool.fileno()))


def _write(descriptor: int, block: bytes) -> None:
    try:
        while block:
            block = block[os.write(descriptor, block) :]
    except OSError as error:
        raise ArchiveError(
            "there is no room to unpack the archive; set TMPDIR to a folder on a larger disk, or unpack it yourself"
        ) from error


def _unpacked(handle: Handle, archive: ArchiveFormat) -> Iterator[bytes]:
    """Yield the unpacked bytes; several streams may follow each other, and zeros may pad the last."""
    place, rest = 0, b""
    inflater: Inflater | None = None
    while True:
        if not rest and (inflater is None or inflater.needs_input or inflater.eof):
            rest = handle.read_at(place, _CHUNK)
            place += len(rest)
            if not rest:
                break
        if inflater is None or inflater.eof:
            rest = rest.lstrip(b"\0")
            if not rest:
                continue
            inflater = inflater_for(archive)
        block = _tried(inflater, rest)
        rest = inflater.unused_data if inflater.eof else b""
        if block:
            yield block
    if inflater is not None and not inflater.eof:
        raise CorruptFileError("the compressed archive ends early; transfer it again")


def _tried(inflater: Inflater, fed: bytes) -> bytes:
    try:
        return inflater.decompress(fed, _CHUNK)
    except lzma.LZMAError as error:
        if "memory" in str(error).lower():
            raise LimitError("the archive asks for more memory than unpacking may take; pack it again") from error
        raise CorruptFileError("the compressed archive is damaged; transfer it again") from error
    except INFLATE_ERRORS as error:
        raise CorruptFileError("the compressed archive fails its checksum; transfer it again") from error
