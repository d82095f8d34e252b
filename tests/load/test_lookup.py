"""Segmented palettes are measured before they are expanded."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from audit_pipeline.errors import PixelDataError
from audit_pipeline.load.lookup import MOST_ENTRIES, refuse_long_segments


def palette(segments: bytes, bits: int = 16) -> Dataset:
    data = Dataset()
    data.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", segments)
    data.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return data


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


RAMP = words(0, 1, 0, 1, 127, 65_535)
"""One discrete entry and a line: 128 entries."""


@pytest.mark.parametrize(
    ("segments", "bits"),
    [
        (RAMP + words(1, 128, 0), 16),
        (RAMP + words(2, 2, 0, 0), 16),
        (bytes((0, 1, 0, 1, 127, 255, 1, 128, 0, 0)), 8),
        (bytes((0, 1, 0, 1, 127, 255, 2, 2, 0, 0, 0, 0)), 8),
    ],
)
def test_palettes_of_256_entries_are_expanded_as_ever(segments, bits):
    data = palette(segments, bits)
    refuse_long_segments(data)
    found = apply_color_lut(np.array([[0, 127, 128]], "u2"), data)
    assert found[0, 1, 0] == (1 << bits) - 1


@pytest.mark.parametrize(
    "segments",
    [
        words(0, 1, 5) + words(1, 65_535, 7) * 2,
        words(0, 1, 5) + words(1, 30_000, 7) + words(2, 2, 0, 0) * 3,
        words(0, 1, 5) + words(2, 0, 3, 0) * 5,
        words(0, 1, 5) + words(1, 0, 5) * 200_000,
    ],
    ids=["long lines", "quotes", "quotes of themselves", "empty segments"],
)
def test_segments_that_become_too_many_entries_are_refused(segments):
    with pytest.raises(PixelDataError, match=str(MOST_ENTRIES)):
        refuse_long_segments(palette(segments))
