"""What the DICOM parser may read of a file: so many bytes, elements and items, and never all of the rest at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pydicom
from pydicom.dataelem import RawDataElement

from audit_pipeline.errors import HeaderError, LimitError, LoadError
from audit_pipeline.load.settings import LoadSettings

LARGE_BYTES = 2**16
"""Longer values are passed over while the header is parsed; those of `READ_GROUPS` are fetched afterwards."""
READ_GROUPS = frozenset((0x0002, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x0054, 0x5200, 0x7FE0))
"""Groups with elements of any length that are read: identity, tables and palettes, functional groups, frame offsets."""
PER_FRAME = 512
"""Elements and items that the description of one frame may have beyond the limit on the header."""
_HEAD_BYTES = 8
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_MAY_NEST = ("SQ", "UN", None)
_FRAMES_TAG, _FRAMES_BYTES = 0x00280008, 16


class BoundedStream:
    """A file for pydicom to parse, which refuses to be read further than a header may reach.

    pydicom reads a deflated data set in one piece and inflates it without a limit, wherever it believes that there is
    one; it asks for no other read without a size. It reads the first eight bytes of every element and of every item
    of a sequence by themselves, which counts them; a value of eight bytes counts as well.
    """

    def __init__(self, stream: BinaryIO, end: int, settings: LoadSettings, most_bytes: int | None = None) -> None:
        self._stream, self._end, self._settings = stream, end, settings
        self._most_bytes = settings.header_bytes if most_bytes is None else most_bytes
        self._left_bytes, self._left_heads = self._most_bytes, settings.elements
        self._is_frames_next = False
        self._refusal: LoadError | None = None
        # not wrapped: pydicom asks for the position more often than for bytes
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes.

        Raises
        ------
        HeaderError
            The size is not given.
        LimitError
            The header is longer or has more elements and items than the limits allow.
        """
        try:
            return self._read(size)
        except LoadError as error:
            self._refusal = error
            raise

    @contextmanager
    def parsing(self) -> Iterator[None]:
        """Let a refusal through as it is: pydicom turns some exceptions of a stream into its own."""
        try:
            yield
        except OSError:
            if self._refusal is None:
                raise
            raise self._refusal from None

    def _read(self, size: int) -> bytes:
        if size < 0:
            raise HeaderError(
                "the file meta information hides that the data set is deflated; export the file without compression"
            )
        if size == _HEAD_BYTES:
            self._left_heads -= 1
            self._refuse_many(0)
        if size > LARGE_BYTES:
            self._refuse_long(min(size, self._end - self.tell()))
        content = self._stream.read(size)
        self._left_bytes -= len(content)
        self._refuse_long(0)
        if self._is_frames_next:
            self._is_frames_next = False
            frames = content.strip(b" \0")
            if frames.isdigit():
                self._left_heads += PER_FRAME * min(int(frames), self._settings.series_files)
        return content

    def _refuse_many(self, wanted: int) -> None:
        if wanted > self._left_heads:
            raise LimitError(
                f"the header has more elements and items than are read (limit {self._settings.elements} elements); "
                "export the file without what the image does not need"
            )

    def _refuse_long(self, wanted: int) -> None:
        if wanted > self._left_bytes:
            raise LimitError(
                f"the header has more than {self._most_bytes} bytes before the pixels; export the file without what "
                "the image does not need"
            )

    def announce(self, tag: int, length: int) -> None:
        """Take note of the element at the top whose value comes next; more frames may have more elements."""
        self._is_frames_next = tag == _FRAMES_TAG and 0 < length <= _FRAMES_BYTES

    def settle_large(self, dataset: pydicom.Dataset) -> None:
        """Fetch the large values that pydicom passed over and that may be read; drop the others from the data set.

        Raises
        ------
        HeaderError
            The file ends inside of one of them.
        LimitError
            They are larger together than a header may be.
        """
        passed_over = [
            element
            for element in dataset.values()
            if isinstance(element, RawDataElement) and element.value is None and element.length > LARGE_BYTES
        ]
        for element in passed_over:
            held = self._end - element.value_tell
            if element.length > held:
                raise HeaderError(
                    f"the header ends inside its last element: {element.length} bytes announced, {max(held, 0)} found; "
                    "transfer the file again"
                )
            del dataset[element.tag]
            if element.tag.group in READ_GROUPS:
                self.seek(element.value_tell)
                dataset[element.tag] = element._replace(value=self.read(element.length))
        self._refuse_items(dataset)

    def _refuse_items(self, dataset: pydicom.Dataset) -> None:
        """Count the items of sequences of known length by their tags: they are parsed only when they are asked for."""
        for element in dataset.values():
            if isinstance(element, RawDataElement) and element.VR in _MAY_NEST and element.value:
                self._refuse_many(sum(element.value.count(tag) for tag in _ITEM_TAGS))
