"""The pixel data of one file, frame by frame and still encoded, with the digest of the file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.encaps import generate_frames

from audit_pipeline.errors import HeaderError, PixelDataError
from audit_pipeline.load.deflated import inflated
from audit_pipeline.load.dicom_header import Header, frame_bytes
from audit_pipeline.load.files import blocks_of, is_member, open_file, read_bytes
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings

_ITEM_BYTES = 8
"""Tag and length before each fragment (PS3.5, A.4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelFile:
    """An opened file: its SHA-256, and its encoded frames where they are held in memory.

    frames : encoded bytes of each frame; empty when they are read from the file one by one
    """

    digest: str
    frames: Sequence[bytes | memoryview] = ()


def open_pixels(header: Header, settings: LoadSettings) -> PixelFile:
    """Return the pixel data of the file of `header`.

    Native frames of a file with several are left in the file, so that it is never in memory beside its volume.

    Raises
    ------
    HeaderError
        The file cannot be read a second time.
    PixelDataError
        There are not as many frames as announced.
    """
    with translated(HeaderError, "the file cannot be read a second time; check the disk"):
        if _stays_in_file(header):
            return PixelFile(digest=_digest(header.path))
        content = read_bytes(header.path)
    digest = hashlib.sha256(content).hexdigest()
    if header.is_native:
        plain = memoryview(inflated(content, settings) if header.is_deflated else content)
        size = frame_bytes(header)
        if header.frames == 1:
            # the padding byte of an odd length counts where bytes are swapped in pairs
            return PixelFile(digest=digest, frames=(plain[header.pixel_start : header.pixel_start + size + size % 2],))
        starts = (header.pixel_start + number * size for number in range(header.frames))
        return PixelFile(digest=digest, frames=tuple(plain[start : start + size] for start in starts))
    with translated(PixelDataError, "the compressed frames cannot be told apart; transfer the file again"):
        frames = tuple(_encapsulated(content, header))
    if len(frames) != header.frames:
        raise PixelDataError(
            f"{header.frames} {'frame is' if header.frames == 1 else 'frames are'} announced and {len(frames)} found; "
            "export the file again"
        )
    return PixelFile(digest=digest, frames=frames)


def encoded_frame(header: Header, file: PixelFile) -> bytes | memoryview:
    """Return the bytes of one frame as the file has them.

    Raises
    ------
    PixelDataError
        The file ends before the frame does.
    """
    if file.frames:
        frame = file.frames[header.frame]
    else:
        size = frame_bytes(header)
        with (
            translated(HeaderError, "the file cannot be read a second time; check the disk"),
            open_file(header.path) as stream,
        ):
            stream.seek(header.pixel_start + header.frame * size)
            frame = stream.read(size)
    if header.is_native and len(frame) < frame_bytes(header):
        raise PixelDataError("the file ends before its pixels do; transfer it again")
    return frame


def _stays_in_file(header: Header) -> bool:
    # going back and forth in a member of an archive would unpack it again and again
    return header.frames > 1 and header.is_native and not header.is_deflated and not is_member(header.path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for block in blocks_of(path):
        digest.update(block)
    return digest.hexdigest()


def _encapsulated(content: bytes, header: Header) -> Sequence[bytes]:
    """Return the frames of encapsulated pixel data (PS3.5, A.4), by their offset table where there is one."""
    buffer = BytesIO(content)
    buffer.seek(header.pixel_start)
    offsets = header.dataset.get("ExtendedOffsetTable"), header.dataset.get("ExtendedOffsetTableLengths")
    extended = offsets if all(offsets) else None
    if extended:
        _refuse_overlaps(*extended, len(content) - header.pixel_start)
    frames, left = [], len(content) - header.pixel_start
    for frame in generate_frames(buffer, number_of_frames=header.frames, extended_offsets=extended):
        frames.append(frame)
        left -= len(frame)
        if left < 0:
            raise PixelDataError("the frames are larger together than the file that holds them; export it again")
    return frames


def _refuse_overlaps(offsets: bytes, lengths: bytes, held: int) -> None:
    """Refuse an extended offset table whose frames share bytes or leave the element (PS3.3, C.7.6.3.1.8)."""
    starts, sizes = (np.frombuffer(table, dtype="<u8") for table in (offsets, lengths))
    is_inside = starts.size == sizes.size and max(starts.max(), sizes.max()) <= held
    if is_inside:
        order = np.argsort(starts, kind="stable")
        ends = starts[order] + sizes[order] + _ITEM_BYTES
        is_inside = bool((ends[:-1] <= starts[order][1:]).all() and ends[-1] <= held)
    if not is_inside:
        raise PixelDataError(
            "the extended offset table names frames that overlap or lie outside; export the file again"
        )


class PixelFiles:
    """The files of one image, each opened once, whichever thread asks first."""

    def __init__(self, settings: LoadSettings) -> None:
        self._settings = settings
        self._files: dict[Path, PixelFile] = {}
        self._lock = threading.Lock()

    def of(self, header: Header) -> PixelFile:
        """Return the opened file of `header`; one that holds a single frame is not kept."""
        if header.frames == 1:
            return open_pixels(header, self._settings)
        with self._lock:
            if header.path not in self._files:
                self._files[header.path] = open_pixels(header, self._settings)
            return self._files[header.path]
