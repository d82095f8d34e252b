"""Compressed pixels: run length, JPEG, JPEG-LS, JPEG 2000, HTJ2K, lossless and lossy (rows 44, 57 to 59, 62)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from dicom_bench import Bench, plant, put_pixels, save
from dicom_cases_register import ROUNDING, Truth, case
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

Encoder = Callable[[np.ndarray], bytes]


def rle(stored: np.ndarray) -> bytes:
    """Return a DICOM run-length frame: byte planes from the highest, each row packed by itself (PS3.5, annex G)."""
    planes = stored.astype(stored.dtype.newbyteorder(">"), copy=False)
    planes = planes.reshape(*stored.shape, 1).view("u1")
    if stored.ndim == 3:
        planes = planes.reshape(*stored.shape[:2], -1)
    segments = []
    for number in range(planes.shape[-1]):
        packed = b"".join(imagecodecs.packbits_encode(np.ascontiguousarray(row[:, number])) for row in planes)
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(len(one) for one in segments[:number]) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def jpeg_2000(stored: np.ndarray, *, lossy_level: float = 0, bits: int | None = None) -> bytes:
    """Return a JPEG 2000 codestream; `lossy_level` 0 is reversible, else a signal-to-noise ratio in dB."""
    return bytes(
        imagecodecs.jpeg2k_encode(
            stored, codecformat="j2k", reversible=not lossy_level, level=lossy_level, bitspersample=bits
        )
    )


def jpeg(stored: np.ndarray, *, bits: int = 8, level: int = 100) -> bytes:
    """Return a lossy JPEG frame, baseline at 8 bits, extended at 12."""
    return bytes(imagecodecs.jpeg8_encode(stored, level=level, bitspersample=bits))


def lossless_jpeg(stored: np.ndarray, *, predictor: int = 1, bits: int = 16) -> bytes:
    """Return a lossless JPEG frame (process 14)."""
    return bytes(imagecodecs.jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=bits))


def compress(data: Dataset, streams: bytes | list[bytes], syntax: str, *, has_offsets: bool = True) -> None:
    """Replace the pixels of a slice by compressed frames."""
    frames = [streams] if isinstance(streams, bytes) else streams
    data.PixelData = encapsulate(frames, has_bot=has_offsets)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax


def all_compressed(
    encode: Encoder,
    syntax: str,
    *,
    bench: Bench | None = None,
    dtype: str = "i2",
    bits_stored: int | None = None,
    slope: float = 0.02,
    intercept: float = 10.0,
    **changes: Any,
) -> Callable[[Path], Truth]:
    """Return a case in which every slice is compressed."""

    def write(folder: Path) -> Truth:
        chosen = bench or Bench()
        slices = chosen.slices()
        for data in slices:
            stored = plant(data, dtype=dtype, bits_stored=bits_stored, slope=slope, intercept=intercept)
            compress(data, encode(stored), syntax)
        save(folder, slices)
        return Truth(**({"shapes": ((chosen.count, chosen.rows, chosen.columns),)} | changes))

    return write


case("run-length coded 16-bit pixels", 57)(all_compressed(rle, RLELossless))
case("run-length coded signed pixels below zero")(all_compressed(rle, RLELossless, intercept=30.0))
case("run-length coded 8-bit pixels of odd number")(
    all_compressed(rle, RLELossless, dtype="u1", slope=0.2, tolerance=0.101)
)
case("run-length coded 32-bit pixels")(all_compressed(rle, RLELossless, dtype="u4", slope=0.00001))
case("JPEG-LS without loss", 57)(all_compressed(imagecodecs.jpegls_encode, JPEGLSLossless, dtype="u2"))
case("JPEG-LS of 8 bits")(
    all_compressed(imagecodecs.jpegls_encode, JPEGLSLossless, dtype="u1", slope=0.2, tolerance=0.101)
)
case("JPEG-LS with a loss of at most three steps", flagged="A35")(
    all_compressed(
        lambda stored: imagecodecs.jpegls_encode(stored, level=3),
        JPEGLSNearLossless,
        dtype="u2",
        tolerance=ROUNDING + 3 * 0.02,
    )
)
case("JPEG-LS near-lossless by name, without loss in fact", right=True, flagged="A35")(
    all_compressed(imagecodecs.jpegls_encode, JPEGLSNearLossless, dtype="u2")
)
case("JPEG 2000 without loss", 58)(all_compressed(jpeg_2000, JPEG2000Lossless, dtype="u2"))
case("JPEG 2000 without loss, signed below zero")(all_compressed(jpeg_2000, JPEG2000Lossless, intercept=30.0))
case("JPEG 2000 without loss, signed 12 bits")(
    all_compressed(lambda stored: jpeg_2000(stored, bits=12), JPEG2000Lossless, intercept=30.0, bits_stored=12)
)
case("JPEG 2000 without loss under the syntax that allows loss", right=True, flagged="A35")(
    all_compressed(jpeg_2000, JPEG2000, dtype="u2")
)
case("JPEG 2000 with loss", flagged="A35")(
    all_compressed(
        lambda stored: jpeg_2000(stored, lossy_level=84),
        JPEG2000,
        dtype="u2",
        bench=Bench(rows=32, columns=32, spacing=(0.3, 0.3), count=3),
        tolerance=1.0,
    )
)
case("JPEG 2000 in a JP2 container")(
    all_compressed(
        lambda stored: bytes(imagecodecs.jpeg2k_encode(stored, codecformat="jp2", reversible=True, level=0)),
        JPEG2000Lossless,
        dtype="u2",
    )
)
case("JPEG 2000 of 8 bits")(all_compressed(jpeg_2000, JPEG2000Lossless, dtype="u1", slope=0.2, tolerance=0.101))
case("HTJ2K without loss", 62)(
    all_compressed(lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)), HTJ2KLossless, dtype="u2")
)
case("HTJ2K without loss, signed below zero", 62)(
    all_compressed(
        lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)), HTJ2KLosslessRPCL, intercept=30.0
    )
)
case("HTJ2K that may lose, without loss in fact", right=True, flagged="A35")(
    all_compressed(lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)), HTJ2K, dtype="u2")
)
case("JPEG lossless with first-order prediction", 58)(all_compressed(lossless_jpeg, JPEGLosslessSV1, dtype="u2"))
case("JPEG lossless of 12 bits", 58)(
    all_compressed(lambda stored: lossless_jpeg(stored, bits=12), JPEGLosslessSV1, dtype="u2", bits_stored=12)
)
case("JPEG lossless of signed pixels below zero")(
    all_compressed(lambda stored: lossless_jpeg(stored.view("u2")), JPEGLosslessSV1, intercept=30.0)
)
case("JPEG lossless with prediction six")(
    all_compressed(lambda stored: lossless_jpeg(stored, predictor=6), JPEGLossless, dtype="u2")
)
case("JPEG lossless by another encoder")(
    all_compressed(
        lambda stored: bytes(imagecodecs.ljpeg_encode(stored, bitspersample=12)),
        JPEGLossless,
        dtype="u2",
        bits_stored=12,
    )
)
case("JPEG baseline", flagged="A35")(all_compressed(jpeg, JPEGBaseline8Bit, dtype="u1", slope=0.25, tolerance=0.8))
case("JPEG extended with 12 bits", 59, flagged="A35")(
    all_compressed(lambda stored: jpeg(stored, bits=12), JPEGExtended12Bit, dtype="u2", bits_stored=12, tolerance=0.1)
)
case("JPEG extended with 8 bits", flagged="A35")(
    all_compressed(jpeg, JPEGExtended12Bit, dtype="u1", slope=0.25, tolerance=0.8)
)


def _deep(encode: Encoder, syntax: str) -> Callable[[Path], Truth]:
    """Return a case whose streams carry 16 bits where 12 are stored, with rubbish in the others."""

    def write(folder: Path) -> Truth:
        slices = Bench().slices()
        for data in slices:
            stored = plant(data, dtype="u2", bits_stored=12)
            compress(data, encode(stored | 0xA000), syntax)
        save(folder, slices)
        return Truth()

    return write


case("rubbish above 12 bits inside a JPEG 2000 stream of 16", 44)(_deep(jpeg_2000, JPEG2000Lossless))
case("rubbish above 12 bits inside a JPEG-LS stream of 16", 44)(_deep(imagecodecs.jpegls_encode, JPEGLSLossless))
case("rubbish above 12 bits inside a lossless JPEG stream of 16", 44)(_deep(lossless_jpeg, JPEGLosslessSV1))
case("rubbish above 12 bits inside a HTJ2K stream of 16", 44)(
    _deep(lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)), HTJ2KLossless)
)
case("rubbish above 12 bits in run-length coding", 44)(_deep(rle, RLELossless))


def _signed_in_unsigned(encode: Encoder, syntax: str, bits: int = 12) -> Callable[[Path], Truth]:
    """Return a case whose signed pixels are compressed as the unsigned words that hold them."""

    def write(folder: Path) -> Truth:
        slices = Bench().slices()
        for data in slices:
            stored = plant(data, intercept=30.0, bits_stored=bits)
            compress(data, encode(stored.view("u2") & np.uint16((1 << bits) - 1)), syntax)
        save(folder, slices)
        return Truth()

    return write


case("signed 12 bits as unsigned words in JPEG-LS", 44)(_signed_in_unsigned(imagecodecs.jpegls_encode, JPEGLSLossless))
case("signed 12 bits as unsigned words in lossless JPEG", 44)(_signed_in_unsigned(lossless_jpeg, JPEGLosslessSV1))
case("signed 12 bits as unsigned words in run-length coding")(_signed_in_unsigned(rle, RLELossless))
case(
    "signed pixels by the header, unsigned by the JPEG 2000 stream",
    flagged="A29",
    right=True,
    refused="PixelDataError IncompleteSeriesError",
    objective=False,
)(_signed_in_unsigned(lambda stored: jpeg_2000(stored, bits=16), JPEG2000Lossless, bits=16))


@case("unsigned pixels by the header, signed by the JPEG 2000 stream", flagged="A29")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        stored = plant(data, intercept=30.0)
        data.PixelRepresentation = 0
        compress(data, jpeg_2000(stored), JPEG2000Lossless)
    save(folder, slices)
    return Truth()


@case("ten compressions in one series", 57, right=True, flagged="A35")
def _(folder: Path) -> Truth:
    bench = Bench(count=10)
    slices = bench.slices()
    ways = itertools.cycle(
        (
            (rle, RLELossless),
            (imagecodecs.jpegls_encode, JPEGLSLossless),
            (jpeg_2000, JPEG2000Lossless),
            (lossless_jpeg, JPEGLosslessSV1),
            (lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)), HTJ2KLossless),
        )
    )
    for data, (encode, syntax) in zip(slices[1:], ways, strict=False):
        compress(data, encode(plant(data, dtype="u2")), syntax)
    plant(slices[0], dtype="u2")
    save(folder, slices)
    return Truth(shapes=((10, 7, 9),))


@case("another rescale in every slice of a JPEG-LS series")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        stored = plant(data, dtype="u2", slope=0.01 + 0.003 * number)
        compress(data, imagecodecs.jpegls_encode(stored), JPEGLSLossless)
    save(folder, slices)
    return Truth(tolerance=0.014)


@case("padding inside a JPEG-LS series", right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        stored = plant(data)
        stored[0] = -2000
        put_pixels(data, stored)
        data.PixelPaddingValue = -2000
        data["PixelPaddingValue"].VR = "SS"
        compress(data, jpeg_2000(stored), JPEG2000Lossless)
    save(folder, slices)
    return Truth(invalid=1 / 7 + 1e-6)


@case("one slice once lossy and marked as such, stored without compression now", right=True, flagged="A35")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.LossyImageCompression, data.LossyImageCompressionRatio = "01", "12.5"
        data.LossyImageCompressionMethod = "ISO_10918_1"
    save(folder, slices)
    return Truth()
