"""Archives that act as folders: their members have paths below the path of the archive and are never extracted.

``open_member(Path("in/batch.zip/study/001"))`` reads ``study/001`` out of ``in/batch.zip``. Nothing is ever written
under the name of a member. An opened archive stays open for the next member, until others push it out; when the file
behind it changes it is opened anew.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from audit_pipeline.errors import ArchiveError, LoadError
from audit_pipeline.load.archive_format import TAR_SUFFIXES, ArchiveFormat, format_of, probe_bytes
from audit_pipeline.load.archive_stream import Handle, Packed, member_stream
from audit_pipeline.load.archive_tar import inflated_tar, tar_members
from audit_pipeline.load.archive_zip import ZipMember, zip_members
from audit_pipeline.load.settings import LoadSettings

ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".tar", ".zip")
_MOST_OPEN = 32
_MOST_INFLATED_BYTES = 8 * 2**30
"""Archives kept open besides the newest, and the temporary space they may take together."""
_HEAD_BYTES = 4096
_DOCUMENT_MARKS = ("[Content_Types].xml", "META-INF/MANIFEST.MF", "mimetype")
"""Members of office files, e-books and programs, which are zip archives in form only (ECMA-376-2; ODF 1.3, part 2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An open archive.

    Attributes
    ----------
    members : files by name, with forward slashes and relative
    links : links, devices and pipes among the members; they are not followed and are no files
    handle : the file that `members` point into
    inflated_bytes : temporary space it takes
    """

    members: Mapping[str, ZipMember | Packed]
    links: int
    handle: Handle
    inflated_bytes: int = 0

    @property
    def is_document(self) -> bool:
        """Whether this is an office file, an e-book or a program, and no folder of files."""
        return any(mark in self.members for mark in _DOCUMENT_MARKS)

    def open(self, name: str) -> BinaryIO:
        """Return a member, opened for reading bytes.

        Raises
        ------
        CorruptFileError
            The member is damaged; reading may raise it too.
        """
        member = self.members[name]
        packed = member.packed(self.handle) if isinstance(member, ZipMember) else member
        return member_stream(self.handle, packed)


def archive_at(path: Path, settings: LoadSettings) -> Archive:
    """Return the archive in the file `path`, from the cache or opened under the limits of `settings`.

    Raises
    ------
    LoadError
        The archive is refused; the type says why.
    OSError
        The file cannot be opened.
    """
    return _CACHE.get(path, settings)


def open_member(path: Path) -> BinaryIO:
    """Return the member with this path, opened for reading bytes.

    Raises
    ------
    FileNotFoundError
        There is no such member.
    LoadError
        The archive is refused, or the member is damaged; reading may raise the latter too.
    """
    archive, name = _located(path)
    return archive.open(name)


def member_size(path: Path) -> int:
    """Return the unpacked size of the member with this path in bytes, as stated; it never reads as longer.

    Raises
    ------
    FileNotFoundError
        There is no such member.
    LoadError
        The archive is refused.
    """
    archive, name = _located(path)
    return archive.members[name].size


def refusal_of(path: Path, settings: LoadSettings) -> LoadError | None:
    """Return why the file `path`, which `sniff.kind_of` calls an archive, delivers nothing; None when it is no refusal.

    An archive inside an archive is not opened and not refused, and neither is an office file: they are no images.
    """
    try:
        archive = archive_at(path, settings)
    except LoadError as error:
        return error
    except OSError:
        return None
    return None if archive.members else ArchiveError("the archive holds no file")


def archive_around(path: Path) -> tuple[Path, str] | None:
    """Return the archive file that `path` leads into and the name inside it; None when no ancestor is a file."""
    inner: list[str] = []
    place = path
    while place != place.parent:
        try:
            mode = place.stat().st_mode
        except OSError:
            inner.append(place.name)
            place = place.parent
            continue
        return (place, "/".join(reversed(inner))) if S_ISREG(mode) and inner else None
    return None


def _located(path: Path) -> tuple[Archive, str]:
    found = archive_around(path)
    if found is None:
        raise FileNotFoundError("there is no such file")
    archive = _CACHE.get(found[0], None)
    if found[1] not in archive.members:
        raise FileNotFoundError("the archive holds no such file")
    return archive, found[1]


def _opened(path: Path, settings: LoadSettings) -> Archive:
    handle = Handle.of(path)
    head = handle.read_at(0, _HEAD_BYTES)
    head = handle.read_at(0, probe_bytes(head)) or head
    found = format_of(head, path.name)
    if found is None or found is ArchiveFormat.UNREAD:
        raise ArchiveError("the archive is of a kind that is not read; unpack it, or pack it as zip or tar.gz")
    if found is ArchiveFormat.ZIP:
        members, links = zip_members(handle, settings)
        return Archive(members=members, links=links, handle=handle)
    plain = handle if found is ArchiveFormat.TAR else inflated_tar(handle, found, settings)
    files, links = tar_members(plain, settings)
    return Archive(members=files, links=links, handle=plain, inflated_bytes=0 if plain is handle else plain.bytes)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What came of opening an archive: it, or the type and message of its refusal."""

    stamp: tuple[int, ...]
    settings: LoadSettings
    archive: Archive | None
    refusal: tuple[type[LoadError], str] | None = None

    @property
    def inflated_bytes(self) -> int:
        return self.archive.inflated_bytes if self.archive else 0


class _Cache:
    """The archives opened last. One lock: two threads must not unpack the same archive at once."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._settings: dict[Path, LoadSettings] = {}
        self.renew()

    def renew(self) -> None:
        """Take a new lock: the old one may be held by a thread that a forked process does not have."""
        self._lock = threading.RLock()

    def get(self, path: Path, settings: LoadSettings | None) -> Archive:
        """Return the archive; without `settings` those it was last opened with hold."""
        status = path.stat()
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            wanted = settings or self._settings.get(path) or LoadSettings()
            entry = self._entries.get(path)
            if entry is None or entry.stamp != stamp or _limits(entry.settings) != _limits(wanted):
                self._entries.pop(path, None)
                entry = self._entries[path] = self._open(path, stamp, wanted)
                self._settings[path] = wanted
                self._make_room()
            self._entries.move_to_end(path)
        if entry.archive is None:
            kind, message = entry.refusal or (ArchiveError, "the archive cannot be read")
            raise kind(message, (path,))
        return entry.archive

    @staticmethod
    def _open(path: Path, stamp: tuple[int, ...], settings: LoadSettings) -> _Entry:
        try:
            return _Entry(stamp, settings, _opened(path, settings))
        except LoadError as error:
            # a kept exception would keep its frames, and with them the open file
            return _Entry(stamp, settings, None, (type(error), str(error)))

    def _make_room(self) -> None:
        while len(self._entries) > 1 and (
            len(self._entries) > _MOST_OPEN
            or sum(entry.inflated_bytes for entry in self._entries.values()) > _MOST_INFLATED_BYTES
        ):
            self._entries.popitem(last=False)


def _limits(settings: LoadSettings) -> tuple[int, ...]:
    return (
        settings.archive_members,
        settings.archive_bytes,
        settings.inflate_ratio,
        settings.inflate_free_bytes,
    )


_CACHE = _Cache()
os.register_at_fork(after_in_child=_CACHE.renew)
