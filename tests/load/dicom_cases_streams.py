"""Damaged and unusual compressed streams: fragments, offsets, sizes, truncation, unknown syntaxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from dicom_bench import Bench, plant, save
from dicom_cases_codecs import compress, jpeg_2000, lossless_jpeg, rle
from dicom_cases_encoding import relabel
from dicom_cases_register import Truth, case
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    MPEG4HP41,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

_DAMAGED = "IncompleteSeriesError PixelDataError CodecError"


def one_changed(
    change: Callable[[Dataset, np.ndarray], None], number: int = 2, dtype: str = "u2"
) -> Callable[[Path], Truth]:
    """Return a case of JPEG-LS slices, one of which `change` compresses in its own way."""

    def write(folder: Path) -> Truth:
        slices = Bench().slices()
        for place, data in enumerate(slices):
            stored = plant(data, dtype=dtype)
            if place == number:
                change(data, stored)
            else:
                compress(data, imagecodecs.jpegls_encode(stored), JPEGLSLossless)
        save(folder, slices)
        return Truth(tolerance=0.101)

    return write


def cut(share: float) -> Callable[[Dataset, np.ndarray], None]:
    """Return a change that keeps a share of a JPEG-LS stream."""

    def change(data: Dataset, stored: np.ndarray) -> None:
        stream = bytes(imagecodecs.jpegls_encode(stored))
        compress(data, stream[: int(len(stream) * share) // 2 * 2], JPEGLSLossless)

    return change


def _fragments(data: Dataset, streams: list[bytes], count: int, *, has_offsets: bool) -> None:
    data.PixelData = encapsulate(streams, fragments_per_frame=count, has_bot=has_offsets)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True


def _in_fragments(*, has_offsets: bool) -> Callable[[Dataset, np.ndarray], None]:
    def change(data: Dataset, stored: np.ndarray) -> None:
        stream = jpeg_2000(stored)
        compress(data, stream, JPEG2000Lossless)
        _fragments(data, [stream], 4, has_offsets=has_offsets)

    return change


def _extended(data: Dataset, stored: np.ndarray) -> None:
    stream = jpeg_2000(stored)
    compress(data, stream, JPEG2000Lossless)
    data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended([stream])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True


def _shallow(data: Dataset) -> None:
    stored = plant(data, dtype="u2", slope=0.2)
    data.RescaleSlope = "0.2"
    compress(data, jpeg_2000(stored.astype("u1")), JPEG2000Lossless)


def _no_delimiter(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        compress(data, rle(plant(data, dtype="u2")), RLELossless)
    for path in save(folder, slices):
        content = path.read_bytes()
        assert content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
        path.write_bytes(content[:-8])
    return Truth()


case("a frame in four fragments with an offset table")(one_changed(_in_fragments(has_offsets=True)))
case("a frame in four fragments without an offset table")(one_changed(_in_fragments(has_offsets=False)))
case("a frame with an extended offset table")(one_changed(_extended))
case(
    "no delimiter behind the last fragment", right=True, flagged="A29", refused=_DAMAGED + " NotAStudyError HeaderError"
)(_no_delimiter)
case("a JPEG-LS stream cut in the middle", refused="IncompleteSeriesError", answerable=False)(one_changed(cut(0.5)))
case("a JPEG-LS stream cut behind its header", refused="IncompleteSeriesError", answerable=False)(one_changed(cut(0.4)))
case("a JPEG-LS stream without its end marker", refused="IncompleteSeriesError", right=True, flagged="A29")(
    one_changed(lambda data, stored: compress(data, bytes(imagecodecs.jpegls_encode(stored))[:-2], JPEGLSLossless))
)
case("a JPEG 2000 stream cut in the middle", refused="IncompleteSeriesError", answerable=False)(
    one_changed(
        lambda data, stored: compress(data, jpeg_2000(stored)[: len(jpeg_2000(stored)) * 3 // 4], JPEG2000Lossless)
    )
)
case("a lossless JPEG stream cut in the middle", refused="IncompleteSeriesError", answerable=False)(
    one_changed(
        lambda data, stored: compress(
            data, lossless_jpeg(stored)[: len(lossless_jpeg(stored)) * 3 // 4], JPEGLosslessSV1
        )
    )
)
case("a run-length frame cut in its last segment", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, rle(stored)[:-20], RLELossless))
)
case("a run-length frame with one segment too few", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, rle((stored >> 8).astype("u1")), RLELossless))
)
case("a run-length frame with one segment too many", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, rle(stored.astype("u4")), RLELossless))
)
case("an empty frame", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, _: compress(data, b"\0\0", JPEGLSLossless))
)
case("no frame at all", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, _: compress(data, [], JPEGLSLossless, has_offsets=False))
)
case("random bytes for a frame", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, _: compress(data, np.random.default_rng(1).bytes(200), JPEGLSLossless))
)
case("a frame of another size", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, imagecodecs.jpegls_encode(stored[:-1]), JPEGLSLossless))
)
case("a frame with rows and columns exchanged", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, jpeg_2000(np.ascontiguousarray(stored.T)), JPEG2000Lossless))
)
case("a frame of three samples where one is announced", refused="IncompleteSeriesError", answerable=False)(
    one_changed(lambda data, stored: compress(data, jpeg_2000(np.dstack([stored] * 3)), JPEG2000Lossless))
)
case(
    "a frame of 8 bits where 16 are announced",
    refused="IncompleteSeriesError MissingSlicesError",
    right=True,
    flagged="A29",
)(one_changed(lambda data, _: _shallow(data)))
case("two frames where one is announced", refused="IncompleteSeriesError", flagged="A29", answerable=False)(
    one_changed(
        lambda data, stored: compress(
            data,
            [bytes(imagecodecs.jpegls_encode(stored)), bytes(imagecodecs.jpegls_encode(stored + 999))],
            JPEGLSLossless,
        )
    )
)
case(
    "a JPEG-LS stream under the name of JPEG 2000",
    refused="IncompleteSeriesError",
    answerable=False,
    right=True,
    flagged="A29",
)(one_changed(lambda data, stored: compress(data, imagecodecs.jpegls_encode(stored), JPEG2000Lossless)))
case(
    "a lossless JPEG stream under the name of baseline",
    refused="IncompleteSeriesError CodecError",
    answerable=False,
    right=True,
    flagged="A29 A35",
)(one_changed(lambda data, stored: compress(data, lossless_jpeg(stored), JPEGBaseline8Bit)))


@case(
    "native pixels under the name of JPEG-LS",
    refused=_DAMAGED + " HeaderError",
    answerable=False,
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    relabel(save(folder, Bench().slices())[2], ExplicitVRLittleEndian, JPEGLSLossless)
    return Truth()


@case(
    "compressed pixels under the name of explicit little endian",
    refused=_DAMAGED + " HeaderError",
    answerable=False,
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    compress(slices[2], imagecodecs.jpegls_encode(plant(slices[2], dtype="i2").view("u2")), JPEGLSLossless)
    relabel(save(folder, slices)[2], JPEGLSLossless, ExplicitVRLittleEndian)
    return Truth()


def _native_name(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        compress(data, imagecodecs.jpegls_encode(plant(data, dtype="u2")), JPEGLSLossless)
    for path in save(folder, slices):
        content = path.read_bytes()
        # JPEG-LS to a private syntax of the same length
        path.write_bytes(content.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.9.99"))
    return Truth()


case("an unknown transfer syntax", refused="CodecError", answerable=False)(_native_name)


@case(
    "a video syntax in a series of slices",
    refused="CodecError MultiFrameError IncompleteSeriesError SeriesChoiceError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        compress(data, b"\0\0\1\xba" * 20, MPEG4HP41)
    save(folder, slices)
    return Truth()


@case(
    "a run-length frame that announces 100,000 frames",
    70,
    refused=_DAMAGED + " LimitError MultiFrameError SeriesChoiceError NotAStudyError HeaderError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    compress(data, rle(plant(data, dtype="u2")), RLELossless)
    data.NumberOfFrames = 100_000
    save(folder, [data])
    return Truth()


@case(
    "a JPEG 2000 header that announces 60,000 x 60,000 pixels",
    refused="LimitError PixelDataError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    stream = bytearray(jpeg_2000(plant(data, dtype="u2")))
    start = stream.index(b"\xff\x51") + 6
    stream[start : start + 8] = (60_000).to_bytes(4, "big") * 2
    compress(data, bytes(stream), JPEG2000Lossless)
    data.Rows = data.Columns = 60_000
    save(folder, [data])
    return Truth()
