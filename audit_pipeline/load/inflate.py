"""The content of one file, plain or gzip: read once, in order, hashed and verified on the way, never trusted to end.

ISA-L inflates about twice as fast as zlib and verifies checksum and length of each member at its end, as zlib does.
libdeflate would be faster still, but wants the whole file and the whole result in memory at once.

References: RFC 1952 (gzip), sections 2.2 and 2.3.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip_lib

from audit_pipeline.errors import CorruptFileError, LimitError
from audit_pipeline.load.files import open_file, size_of
from audit_pipeline.load.settings import LoadSettings

GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 2**18
_INFLATED_BYTES = 2**18
"""One step of inflating stays in the cache of a core, and is all that a bomb can gain before it is counted."""
_DAMAGED = cast("type[Exception]", igzip_lib.IsalError)
"""The stub of the library calls this class an instance."""


class Content:
    """The content of a file as a sequence of bytes that is read from front to back, once.

    Parameters
    ----------
    stream : BinaryIO
        The file at its first byte; only ``read`` is called, so a member of an archive will do.
    size : int
        Bytes of the file as it is stored.
    settings : LoadSettings
        Limits on file and inflated size.

    Attributes
    ----------
    is_zipped : whether the file is gzip, told by its first bytes
    position : bytes of content taken so far
    stray_bytes : bytes behind the last gzip member that are not zero padding; known after `finish`

    Raises
    ------
    LimitError
        The file is larger than the limit.
    """

    def __init__(self, stream: BinaryIO, size: int, settings: LoadSettings) -> None:
        if size > settings.file_bytes:
            raise LimitError(
                f"the file has {size} bytes, at most {settings.file_bytes} are read; raise the limit file_bytes if it "
                "is a true image"
            )
        self._stream, self._size = stream, size
        self._limit = settings.inflated_limit(size)
        self._digest = hashlib.sha256()
        first = self._start(b"")
        self.is_zipped = first.startswith(GZIP_MAGIC)
        self._blocks = self._inflated(first) if self.is_zipped else self._plain(first)
        self._held = memoryview(b"")
        self.position = 0
        self.stray_bytes = 0

    def expect(self, end: int) -> None:
        """Refuse content that cannot or must not have `end` bytes, before memory is asked for.

        Raises
        ------
        CorruptFileError
            A plain file is shorter than `end`.
        LimitError
            A compressed file would have to grow beyond the limits.
        """
        if not self.is_zipped and end > self._size:
            raise CorruptFileError(ends_early(end, self._size))
        if self.is_zipped and end > self._limit:
            raise LimitError(
                f"the header announces {counted(end)} bytes in a compressed file of {self._size}; at most "
                f"{self._limit} are inflated. {_RAISE_LIMITS}"
            )

    def fill(self, target: memoryview) -> int:
        """Copy the next bytes of content into `target`; return how many there were, fewer only at the end."""
        filled = 0
        while filled < len(target) and self._hold():
            part = self._held[: len(target) - filled]
            target[filled : filled + len(part)] = part
            self._held = self._held[len(part) :]
            filled += len(part)
        self.position += filled
        return filled

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes of content, fewer only at the end."""
        target = bytearray(count)
        return bytes(target[: self.fill(memoryview(target))])

    def skip(self, count: int) -> int:
        """Pass over `count` bytes of content; return how many there were."""
        skipped = 0
        while skipped < count and self._hold():
            part = min(len(self._held), count - skipped)
            self._held = self._held[part:]
            skipped += part
        self.position += skipped
        return skipped

    def finish(self) -> int:
        """Read to the end of the file, so that every checksum is verified; return the bytes of content passed over."""
        before = self.position
        while self._hold():
            self.position += len(self._held)
            self._held = memoryview(b"")
        return self.position - before

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of the file as it is stored; complete after `finish`."""
        return self._digest.hexdigest()

    def _hold(self) -> bool:
        """Have bytes at hand; False at the end of the content."""
        if not self._held:
            self._held = memoryview(next(self._blocks, b""))
        return bool(self._held)

    def _read(self) -> bytes:
        block = self._stream.read(_READ_BYTES)
        self._digest.update(block)
        return block

    def _start(self, block: bytes) -> bytes:
        """Return `block` with enough of the file behind it to tell whether a gzip member starts."""
        while len(block) < len(GZIP_MAGIC) and (more := self._read()):
            block += more
        return block

    def _plain(self, block: bytes) -> Iterator[bytes]:
        while block:
            yield block
            block = self._read()

    def _inflated(self, block: bytes) -> Iterator[bytes]:
        """Yield the content of all members; what follows the last one is only counted."""
        grown = 0
        while block.startswith(GZIP_MAGIC):
            member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            while not member.eof:
                try:
                    grew = member.decompress(block, _INFLATED_BYTES)
                except _DAMAGED as error:
                    raise CorruptFileError(
                        "the compressed file fails its checksum, so some of its bytes changed; copy it again from "
                        "where it came from"
                    ) from error
                grown += len(grew)
                self._check_growth(grown)
                if grew:
                    yield grew
                block = b"" if member.eof else self._more(member)
            block = self._start(member.unused_data)
        self._pass_over(block)

    def _more(self, member: igzip_lib.IgzipDecompressor) -> bytes:
        """Return the next bytes for a member that has not ended, none while it still holds some."""
        if not member.needs_input:
            return b""
        block = self._read()
        if not block:
            raise CorruptFileError(
                "the compressed file ends early, part of it is missing; copy it again from where it came from"
            )
        return block

    def _check_growth(self, grown: int) -> None:
        if grown > self._limit:
            raise LimitError(f"the compressed file of {self._size} bytes grows beyond {self._limit}. {_RAISE_LIMITS}")

    def _pass_over(self, block: bytes) -> None:
        """Count what follows the last member; zeros are padding, as tapes and archives leave it."""
        while block:
            self.stray_bytes += len(block) if self.stray_bytes else len(block.lstrip(b"\0"))
            block = self._read()


_RAISE_LIMITS = (
    "Few true images do that, bombs do: if you know where it comes from, raise inflate_ratio, inflate_free_bytes or "
    "inflate_bytes, or unpack it first"
)


def ends_early(expected: int, found: int) -> str:
    """Return the sentence about a file whose content is shorter than its header says."""
    return (
        f"the file ends early: {counted(expected)} bytes expected by its header, {found} found; copy it again from its "
        "source"
    )


def counted(number: int) -> str:
    """Return a count as a message prints it: a damaged header may multiply to more digits than anybody reads.

    Examples
    --------
    >>> counted(352), counted(2**120)
    ('352', '1.33e+36')
    """
    return str(number) if number < 10**15 else f"{number:.3g}"


@contextmanager
def opened(path: Path, settings: LoadSettings) -> Iterator[Content]:
    """Open a file for one reading of its content.

    Raises
    ------
    LimitError
        The file is larger than the limit.
    OSError
        It cannot be opened.
    """
    with open_file(path) as stream:
        yield Content(stream, size_of(path), settings)
