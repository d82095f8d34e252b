"""Sizes announced inside compressed frames."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from audit_pipeline.load.codestream import FrameSize, frame_size

GREY = np.arange(6 * 10, dtype=np.uint16).reshape(6, 10)


@pytest.mark.parametrize(
    "encode",
    [
        imagecodecs.jpegls_encode,
        lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True),
        lambda values: imagecodecs.jpeg2k_encode(values, codecformat="jp2", reversible=True),
        imagecodecs.ljpeg_encode,
    ],
    ids=["JPEG-LS", "J2K", "JP2", "lossless JPEG"],
)
def test_sizes_and_precision_are_read(encode):
    size = frame_size(encode(GREY))
    assert (size.rows, size.columns, size.samples) == (6, 10, 1)
    assert size.precision in {6, 16}


def test_colour_jpeg_announces_three_samples():
    assert frame_size(imagecodecs.jpeg8_encode(np.zeros((6, 10, 3), np.uint8))) == FrameSize(
        rows=6, columns=10, samples=3, precision=8
    )


def test_jpeg_2000_tells_the_sign():
    signed = imagecodecs.jpeg2k_encode(GREY.astype(np.int16), codecformat="j2k", reversible=True)
    assert frame_size(signed).is_signed is True


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"nothing",
        b"\xff\xd8\x00",
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xc0\x00",
        b"\xff\x4f\xff\x51",
        b"\0\0\0\x0cjP  ",
    ],
)
def test_damaged_headers_have_no_size(stream):
    assert frame_size(stream) is None


def test_fill_bytes_and_bare_markers_are_passed_over():
    stream = imagecodecs.jpeg8_encode(np.zeros((6, 10), np.uint8))
    assert frame_size(stream[:2] + b"\xff\x01\xff\xff" + stream[3:]).rows == 6


def with_grid(*grid: int) -> bytes:
    """Return a frame with other sizes: Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz, XTOsiz, YTOsiz."""
    stream = bytearray(imagecodecs.jpeg2k_encode(GREY, codecformat="j2k", reversible=True))
    struct.pack_into(">8I", stream, 8, *grid)
    return bytes(stream)


@pytest.mark.parametrize(
    "grid",
    [
        (10, 6, 0, 0, 10, 6, 0, 0),
        (13, 9, 3, 3, 4, 4, 0, 0),
        (13, 9, 3, 3, 5, 5, 3, 3),
        (65_545, 6, 65_535, 0, 1, 6, 65_535, 0),
    ],
)
def test_tile_grids_that_cover_the_image_are_accepted(grid):
    size = frame_size(with_grid(*grid))
    assert (size.rows, size.columns) == (6, 10)


@pytest.mark.parametrize(
    "grid",
    [
        (10, 6, 0, 0, 0, 6, 0, 0),
        (10, 6, 0, 0, 10, 0, 0, 0),
        (10, 6, 0, 0, 10, 6, 1, 0),
        (13, 9, 3, 3, 3, 9, 0, 0),
        (10, 6, 10, 0, 10, 6, 10, 0),
        (1000, 1000, 0, 0, 1, 1, 0, 0),
        (65_536, 1, 0, 0, 1, 1, 0, 0),
        (10, 6, 0, 0, 65_542, 255, 0xFF00_0000, 0),
    ],
    ids=["no width", "no height", "after the image", "before the image", "no image", "a million", "65,536", "far away"],
)
def test_tile_grids_that_decoders_stumble_over_are_refused(grid):
    """OpenJPH 0.26.3 divides by a width of 0, and counts from a far first tile without end."""
    assert frame_size(with_grid(*grid)) is None
