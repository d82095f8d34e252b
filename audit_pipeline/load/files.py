"""How the bytes of a file are reached, whether it lies in a folder or in an archive.

A file in an archive has the path of the archive with its own name below it, as if the archive were a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENAMETOOLONG, ENOTDIR
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from audit_pipeline.errors import LoadError
from audit_pipeline.load.archive import archive_around, member_size, open_member

_BLOCK_BYTES = 2**20
_MAYBE_INSIDE = (ENOTDIR, ENAMETOOLONG)
"""What the system answers to a path that goes on below a file."""


def open_file(path: Path) -> BinaryIO:
    """Return the file, opened for reading bytes, seekable.

    Raises
    ------
    OSError
        It cannot be opened.
    LoadError
        It lies in an archive that is refused, or is damaged there; reading may raise the latter too.
    """
    try:
        return path.open("rb")
    except OSError as error:
        if error.errno not in _MAYBE_INSIDE:
            raise
    return open_member(path)


def read_bytes(path: Path) -> bytes:
    """Return the whole content of a file; raises as `open_file`."""
    with open_file(path) as stream:
        return stream.read()


def blocks_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file piece by piece; raises as `open_file`."""
    with open_file(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; raises as `open_file`."""
    try:
        return path.stat().st_size
    except OSError as error:
        if error.errno not in _MAYBE_INSIDE:
            raise
    return member_size(path)


def is_member(path: Path) -> bool:
    """Return whether a path leads into an archive."""
    try:
        os.stat(path)  # noqa: PTH116 - pathlib hides which error it was
    except OSError as error:
        return error.errno in _MAYBE_INSIDE and archive_around(path) is not None
    return False


def is_file(path: Path) -> bool:
    """Return whether there is a regular file with this path, in a folder or in an archive."""
    try:
        return S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - pathlib hides which error it was
    except OSError as error:
        if error.errno not in _MAYBE_INSIDE or archive_around(path) is None:
            return False
    except ValueError:
        return False
    try:
        return member_size(path) >= 0
    except (OSError, LoadError):
        return False
