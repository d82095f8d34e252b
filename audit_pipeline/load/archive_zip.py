"""The table of contents of a zip archive, read with nothing taken on trust (PKWARE APPNOTE 6.3.10).

The central directory decides; local headers are compared with it when a member is opened.
"""

from __future__ import annotations

import bz2
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from audit_pipeline.errors import ArchiveError, CorruptFileError, LimitError
from audit_pipeline.load.archive_format import Inflater, raw_inflater
from audit_pipeline.load.archive_names import Names
from audit_pipeline.load.archive_stream import Handle, Packed
from audit_pipeline.load.settings import LoadSettings

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16
_ENTRY_BYTES_ALLOWED = 512
"""The directory may take this much per allowed member, so that long names cannot fill the memory."""
_IS_ENCRYPTED = 0x2041
"""Bits 0, 6 and 13: encrypted, strongly encrypted, encrypted directory (4.4.4)."""
_IS_UTF8 = 0x0800
_UNIX_SYSTEMS = (3, 19)
"""Hosts whose external attributes hold a Unix mode (4.4.2.2)."""
_NO_FILES = (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_INFLATERS: dict[int, Callable[[], Inflater] | None] = {0: None, 8: raw_inflater, 12: bz2.BZ2Decompressor}
"""By compression method (4.4.5): stored, deflate, bzip2."""
_CUT = "the zip archive ends early or its table of contents is missing; transfer it again"
_DAMAGED = "the table of contents of the zip archive is damaged; transfer it again"


@dataclass(frozen=True, kw_only=True, slots=True)
class ZipMember:
    """One file of a zip archive; `end` is where the next header begins, which its data must not reach over."""

    raw_name: bytes
    header_offset: int
    packed_bytes: int
    size: int
    checksum: int
    method: int
    end: int = 0

    def packed(self, handle: Handle) -> Packed:
        """Return where the data lies, after comparing the local header with the directory.

        Raises
        ------
        CorruptFileError
            The two disagree, or the data of two members overlap.
        """
        head = handle.read_at(self.header_offset, _LOCAL.size + len(self.raw_name))
        if len(head) < _LOCAL.size + len(self.raw_name):
            raise CorruptFileError(_CUT)
        signature, _, flags, method, *_, name_bytes, extra_bytes = _LOCAL.unpack_from(head)
        start = self.header_offset + _LOCAL.size + name_bytes + extra_bytes
        agrees = signature == b"PK\x03\x04" and method == self.method and not flags & _IS_ENCRYPTED
        if not agrees or head[_LOCAL.size : _LOCAL.size + name_bytes] != self.raw_name:
            raise CorruptFileError("the zip archive states two things about one file; transfer it again")
        if start + self.packed_bytes > self.end:
            raise CorruptFileError("two files of the zip archive share data; do not trust where it comes from")
        return Packed(
            offset=start,
            packed_bytes=self.packed_bytes,
            size=self.size,
            checksum=self.checksum,
            inflater=_INFLATERS[self.method],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Directory:
    """Where the central directory lies: `start` in the file, and the shift of every stated offset."""

    start: int
    bytes: int
    shift: int
    count: int
    is_exact: bool


def zip_members(handle: Handle, settings: LoadSettings) -> tuple[dict[str, ZipMember], int]:
    """Return the files of a zip archive by name, and how many links and special files it holds.

    Raises
    ------
    ArchiveError
        Damaged, encrypted, split, packed by a method that is not read, with names that lead outside or are not
        unique, or with members that share data.
    LimitError
        More members or bytes than the settings allow; decided before anything is unpacked.
    """
    directory = _directory(handle, settings)
    table = handle.read_at(directory.start, directory.bytes)
    _refuse_too_many(table, directory, settings)
    names, members, links, total = Names(), {}, 0, 0
    for entry in _entries(table, directory.shift):
        name = _decoded(entry.raw_name, entry.flags)
        if entry.size == 0 and (name.endswith("/") or stat.S_ISDIR(entry.mode)):
            names.add_folder(name)
            continue
        cleaned = names.add(name)
        if stat.S_IFMT(entry.mode) in _NO_FILES:
            links += 1
            continue
        members[cleaned] = entry.member()
        total += members[cleaned].size
    names.finish()
    _refuse_too_large(total, handle.bytes, settings)
    return _apart(members, directory.start), links


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    raw_name: bytes
    flags: int
    method: int
    checksum: int
    packed_bytes: int
    size: int
    mode: int
    offset: int

    def member(self) -> ZipMember:
        """Return the file of this entry.

        Raises
        ------
        ArchiveError
            It is encrypted, or packed in a way that is not read.
        """
        if self.flags & _IS_ENCRYPTED:
            raise ArchiveError("the zip archive is encrypted; unpack it, or pack it again without a password")
        if self.method not in _INFLATERS:
            raise ArchiveError(
                f"the zip archive uses compression method {self.method}, which is not read; pack it again with deflate"
            )
        if self.method == 0 and self.packed_bytes != self.size:
            raise ArchiveError(_DAMAGED)
        return ZipMember(
            raw_name=self.raw_name,
            header_offset=self.offset,
            packed_bytes=self.packed_bytes,
            size=self.size,
            checksum=self.checksum,
            method=self.method,
        )


def _directory(handle: Handle, settings: LoadSettings) -> _Directory:
    tail_start = max(0, handle.bytes - _LONGEST_COMMENT - _END.size)
    tail = handle.read_at(tail_start, handle.bytes - tail_start)
    place = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    if place < 0:
        raise ArchiveError(_CUT)
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack_from(tail, place)
    end, is_exact = tail_start + place, False
    locator = tail[place - _END64_PLACE.size : place] if place >= _END64_PLACE.size else b""
    if locator.startswith(b"PK\x06\x07"):
        end = _END64_PLACE.unpack(locator)[2]
        record = handle.read_at(end, _END64.size)
        if len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
            raise ArchiveError(_DAMAGED)
        _, _, _, _, disk, first_disk, here, count, size, offset = _END64.unpack(record)
        is_exact = True
    if disk or first_disk or here != count:
        raise ArchiveError("the zip archive is one part of several; join the parts first")
    if size > settings.archive_members * _ENTRY_BYTES_ALLOWED:
        raise LimitError(f"the table of contents of the zip archive has {size} bytes, more than its members may need")
    start = end - size
    if start < offset:
        raise ArchiveError(_DAMAGED)
    return _Directory(start=start, bytes=size, shift=start - offset, count=count, is_exact=is_exact)


def _refuse_too_many(table: bytes, directory: _Directory, settings: LoadSettings) -> None:
    """Count the entries of the directory itself, whatever number the archive states."""
    found = place = 0
    while place < len(table):
        if len(table) < place + _ENTRY.size or table[place : place + 4] != b"PK\x01\x02":
            raise ArchiveError(_DAMAGED)
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<3H", table, place + 28)
        place += _ENTRY.size + name_bytes + extra_bytes + comment_bytes
        found += 1
        if found > settings.archive_members:
            raise LimitError(f"the archive holds more than {settings.archive_members} members; pack it in parts")
    # without the 64-bit record the number is kept modulo 2 ** 16 by packers that do not know better
    if place != len(table) or (found if directory.is_exact else found % 2**16) != directory.count:
        raise ArchiveError(_DAMAGED)


def _entries(table: bytes, shift: int) -> Iterator[_Entry]:
    place = 0
    while place < len(table):
        fields = _ENTRY.unpack_from(table, place)
        _, made_by, _, flags, method, _, _, checksum, packed, size, name_bytes, extra_bytes, comment_bytes = fields[:13]
        disk, _, attributes, offset = fields[13:]
        name_end = place + _ENTRY.size + name_bytes
        if _FULL32 in {packed, size, offset} or disk == _FULL16:
            extra = table[name_end : name_end + extra_bytes]
            size, packed, offset = _wide(extra, (size, packed, offset))
        elif disk:
            raise ArchiveError("the zip archive is one part of several; join the parts first")
        yield _Entry(
            raw_name=table[place + _ENTRY.size : name_end],
            flags=flags,
            method=method,
            checksum=checksum,
            packed_bytes=packed,
            size=size,
            mode=attributes >> 16 if made_by >> 8 in _UNIX_SYSTEMS else 0,
            offset=offset + shift,
        )
        place = name_end + extra_bytes + comment_bytes


def _wide(extra: bytes, narrow: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return size, packed size and offset with those at their maximum replaced from the 64-bit field (4.5.3)."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            wide = list(
                struct.unpack_from(f"<{length // 8}Q", extra[place + 4 : place + 4 + length // 8 * 8].ljust(length))
            )
            found = [wide.pop(0) if one == _FULL32 and wide else one for one in narrow]
            return found[0], found[1], found[2]
        place += 4 + length
    return narrow


def _decoded(raw: bytes, flags: int) -> str:
    r"""Return a name as text; packers that set no flag write UTF-8 as often as code page 437 (4.4.4, appendix D).

    Backslashes are separators written by old packers on Windows, as no file of a zip archive may have one (4.4.17).
    """
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if flags & _IS_UTF8:
            raise ArchiveError("the zip archive holds a name that is not the UTF-8 it claims; pack it again") from error
        name = raw.decode("cp437")
    return name.replace("\\", "/")


def _refuse_too_large(total: int, archive_bytes: int, settings: LoadSettings) -> None:
    limit = min(max(settings.inflate_ratio * archive_bytes, settings.inflate_free_bytes), settings.archive_bytes)
    if total > limit:
        raise LimitError(
            f"the archive of {archive_bytes} bytes states to unpack to {total}; at most {limit} are unpacked, "
            "check where it comes from"
        )


def _apart(members: dict[str, ZipMember], directory_start: int) -> dict[str, ZipMember]:
    """Return the members with the place where each must end; data quoted by several members is how bombs are built."""
    order = sorted(members, key=lambda name: members[name].header_offset)
    starts = [*(members[name].header_offset for name in order), directory_start]
    for (start, end), name in zip(pairwise(starts), order, strict=True):
        if start + _LOCAL.size + len(members[name].raw_name) + members[name].packed_bytes > end:
            raise ArchiveError("members of the zip archive overlap; do not trust where it comes from")
    ends = dict(zip(order, starts[1:], strict=True))
    return {name: replace(member, end=ends[name]) for name, member in members.items()}
