"""The data of DICOM lookup tables: modality tables and palettes share one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom

from audit_pipeline.errors import PixelDataError
from audit_pipeline.records import Matrix


def table_entries(data: Any, length: int, *, is_little: bool) -> Matrix:
    r"""Return the first `length` entries of a lookup table, float64.

    Parameters
    ----------
    data : bytes of words, or of single bytes when there are too few for words (PS3.3, C.11.1.1.1); or numbers
    is_little : byte order of the file

    Raises
    ------
    ValueError
        There are fewer entries than announced.

    Examples
    --------
    >>> table_entries(b"\x01\x00\x02\x00", 2, is_little=True), table_entries(b"\x01\x02", 2, is_little=True)
    (array([1., 2.]), array([1., 2.]))
    """
    if isinstance(data, bytes):
        is_wide = len(data) >= 2 * length
        order = "<" if is_little else ">"
        entries = np.frombuffer(data[: 2 * length] if is_wide else data, dtype=f"{order}u2" if is_wide else "u1")
    else:
        entries = np.atleast_1d(np.asarray(data))
    if len(entries) < length:
        raise ValueError(f"the table announces {length} entries and holds {len(entries)}")
    return entries[:length].astype(np.float64)


MOST_ENTRIES, MOST_SEGMENTS, MOST_NESTED = 2**16, 2**17, 8
"""Of one palette: entries after expansion (its indices have 16 bits), segments passed on the way, and quotes in quotes.

Segments may quote others, so that a few words become any number of entries.
"""


def refuse_long_segments(dataset: pydicom.Dataset) -> None:
    """Walk through segmented palettes without expanding them (PS3.3, C.7.9.2).

    Raises
    ------
    PixelDataError
        The segments would become more entries than a palette can have.
    """
    for colour in ("Red", "Green", "Blue"):
        bits = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value[2]
        data = dataset[f"Segmented{colour}PaletteColorLookupTableData"].value
        order = "<" if dataset.original_encoding[1] else ">"
        words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2") if bits == 16 else np.frombuffer(data, "u1")
        _Walk(words.tolist(), is_wide=bits == 16, is_little=order == "<").segments(0, None, 0)


class _Walk:
    """Counts the entries and segments of one palette."""

    def __init__(self, words: Sequence[int], *, is_wide: bool, is_little: bool) -> None:
        self._words, self._is_wide, self._is_little = words, is_wide, is_little
        self._entries = self._passed = 0

    def segments(self, place: int, count: int | None, depth: int) -> None:
        """Pass `count` segments from a place on, all that there are for None or 0."""
        passed = 0
        self._refuse_large(depth)
        while place + 1 < len(self._words):
            kind, length = self._words[place : place + 2]
            place += 2
            if kind == 2:
                size = 2 if self._is_wide else 4
                self.segments(self._quoted(self._words[place : place + size]), length, depth + 1)
                place += size
            else:
                self._entries += length
                place += 1 if kind == 1 else length
            passed += 1
            self._passed += 1
            self._refuse_large(depth)
            if passed == count:
                return

    def _refuse_large(self, depth: int) -> None:
        if self._entries > MOST_ENTRIES or self._passed > MOST_SEGMENTS or depth > MOST_NESTED:
            raise PixelDataError(
                f"the segments of the palette become more than {MOST_ENTRIES} entries; export the image as RGB"
            )

    def _quoted(self, words: Sequence[int]) -> int:
        """Return the place that an indirect segment names, in the order of bytes that pydicom uses."""
        if self._is_wide:
            low, high = words
            return high << 16 | low
        first, second, third, fourth = words[::-1] if self._is_little else (words[2], words[3], words[0], words[1])
        return first << 24 | second << 16 | third << 8 | fourth
