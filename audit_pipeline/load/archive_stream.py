"""The bytes of one member of an archive, read by place and never by a shared position, so that threads may share it."""

from __future__ import annotations

import io
import os
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from audit_pipeline.errors import CorruptFileError
from audit_pipeline.load.archive_format import INFLATE_ERRORS, Inflater

_SMALL, _LARGE = 2**13, 2**18
"""Most openings only want a header: little is read and unpacked ahead, unless much is asked for at once."""
_LARGEST_READ = 2**26


class Handle:
    """An open file that closes itself when the last stream or archive using it is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of(cls, path: Path) -> Handle:
        """Return an open handle on a file of the file system."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def read_at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer only at the end of the file."""
        found = os.pread(self._descriptor, count, offset)
        while (
            found
            and len(found) < count
            and (more := os.pread(self._descriptor, count - len(found), offset + len(found)))
        ):
            found += more
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Where the bytes of a member lie, and how they are packed.

    Attributes
    ----------
    offset, packed_bytes : the range in the file of the archive
    size : bytes of the member when unpacked
    checksum : CRC-32 of the unpacked bytes; None when the archive keeps none
    inflater : makes the decompressor; None when the bytes are stored as they are
    """

    offset: int
    packed_bytes: int
    size: int
    checksum: int | None = None
    inflater: Callable[[], Inflater] | None = None


def member_stream(handle: Handle, packed: Packed) -> BinaryIO:
    """Return the unpacked bytes of a member as a seekable stream.

    Reading raises ``CorruptFileError`` as soon as the member is seen to be longer or shorter than stated, or to fail
    its checksum; the checksum is verified when the last byte is read, without waiting for an attempt to read more.
    Nothing beyond the stated size is ever unpacked. Seeking back starts over.
    """
    return cast("BinaryIO", io.BufferedReader(_MemberIO(handle, packed), _SMALL))


class _MemberIO(io.RawIOBase):
    """Unbuffered member; `_place` is where the caller is, `_done` how much was unpacked and summed."""

    name = None  # pydicom asks a buffered reader for the name of its file

    def __init__(self, handle: Handle, packed: Packed) -> None:
        self._handle, self._packed = handle, packed
        self._place = 0
        self._restart()

    def _restart(self) -> None:
        self._inflater = self._packed.inflater() if self._packed.inflater else None
        self._done = self._taken = self._sum = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._packed.size}[whence]
        if start + offset < 0:
            raise OSError(f"a position below the start of the file was asked for: {start + offset}")
        self._place = start + offset
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._place >= self._packed.size or not len(buffer):
            return 0
        self._skip()
        block = self._next(len(buffer))
        buffer[: len(block)] = block
        self._place = self._done
        return len(block)

    def readall(self) -> bytes:
        blocks = []
        while self._place < self._packed.size:
            self._skip()
            blocks.append(self._next(2**20))
            self._place = self._done
        return b"".join(blocks)

    def _skip(self) -> None:
        """Unpack up to the place of the caller; what has no checksum and is stored is jumped over."""
        if self._inflater is None and self._packed.checksum is None:
            self._done = self._taken = self._place
            return
        if self._place < self._done:
            self._restart()
        while self._done < self._place:
            self._next(min(self._place - self._done, 2**20))

    def _next(self, most: int) -> bytes:
        """Return at least one byte from `_done` on, and verify the member when that was its last."""
        most = min(most, self._packed.size - self._done)
        block = self._fed(most) if self._inflater is None else self._inflated(self._inflater, most)
        if not block:
            raise CorruptFileError("a file of the archive is shorter than the archive states; transfer it again")
        self._done += len(block)
        if self._packed.checksum is not None:
            self._sum = zlib.crc32(block, self._sum)
        if self._done == self._packed.size:
            self._verify()
        return block

    def _fed(self, most: int) -> bytes:
        block = self._handle.read_at(
            self._packed.offset + self._taken, min(most, self._packed.packed_bytes - self._taken)
        )
        self._taken += len(block)
        return block

    def _inflated(self, inflater: Inflater, most: int) -> bytes:
        try:
            while not inflater.eof:
                is_hungry = inflater.needs_input
                fed = self._fed(min(max(most, _SMALL), _LARGE)) if is_hungry else b""
                block = inflater.decompress(fed, most)
                if block or (is_hungry and not fed):
                    return block
        except INFLATE_ERRORS as error:
            raise CorruptFileError("a file of the archive cannot be unpacked; transfer the archive again") from error
        return b""

    def _verify(self) -> None:
        if self._inflater is not None and self._inflated(self._inflater, 1):
            raise CorruptFileError("a file of the archive is longer than the archive states; transfer it again")
        # a jump over stored bytes is only possible where there is no checksum
        if self._packed.checksum is not None and self._sum != self._packed.checksum:
            raise CorruptFileError("a file of the archive fails its checksum; transfer the archive again")
