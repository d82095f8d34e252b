"""Files that ask for too much, and limits the caller sets (section 4 of hostile input, as far as DICOM goes)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from dicom_bench import Bench, plant, save
from dicom_cases_codecs import compress, rle
from dicom_cases_register import Truth, case
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless


@case("65,535 x 65,535 pixels announced by a small native file", refused="PixelDataError LimitError", answerable=False)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    data.Rows = data.Columns = 65_535
    save(folder, [data])
    return Truth(shapes=None)


@case(
    "8,000 x 8,000 pixels announced by a small run-length frame",
    refused="PixelDataError LimitError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    compress(data, rle(plant(data, dtype="u2")), RLELossless)
    data.Rows = data.Columns = 8_000
    save(folder, [data])
    return Truth(shapes=None)


@case(
    "a run-length frame that packs many times its size",
    refused="PixelDataError LimitError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    # each pair of bytes repeats one byte 128 times: far more than the frame holds
    compress(data, struct.pack("<16I", 2, 64, 64 + 40_000, *[0] * 13) + b"\x81\x07" * 40_000, RLELossless)
    save(folder, [data])
    return Truth(shapes=None)


@case(
    "a deflated data set that grows a thousand times",
    refused="LimitError NotAStudyError HeaderError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (path,) = save(folder, [data])
    content = path.read_bytes()
    start = content.index(b"DICM") + 4 + 12 + struct.unpack_from("<I", content, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 100_000_000)
    body = packer.compress(head) + b"".join(packer.compress(bytes(10_000_000)) for _ in range(10)) + packer.flush()
    path.write_bytes(content[:start] + body)
    return Truth(shapes=None)


@case("more voxels than the caller allows", refused="LimitError", answerable=True, objective=False, voxels=300)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    return Truth()


@case(
    "more files in a series than the caller allows",
    refused="LimitError",
    answerable=True,
    objective=False,
    series_files=5,
)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    return Truth()


@case(
    "a frame with more pixels than the caller allows",
    refused="LimitError IncompleteSeriesError",
    answerable=True,
    objective=False,
    frame_pixels=50,
)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    return Truth()


@case(
    "a file larger than the caller allows",
    refused="LimitError NotAStudyError IncompleteSeriesError",
    answerable=True,
    objective=False,
    file_bytes=700,
)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    return Truth()


@case(
    "a header of more elements than the caller allows",
    refused="LimitError NotAStudyError IncompleteSeriesError",
    answerable=True,
    objective=False,
    elements=20,
)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    return Truth()


@case(
    "no pixels at all: nought rows",
    refused="HeaderError PixelDataError NotAStudyError",
    answerable=False,
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.Rows = 0
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "positions beyond all patients, 10 to the 300",
    refused="OrientationError LimitError NoGeometryError VariableSpacingError HeaderError MissingSlicesError",
    answerable=False,
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.ImagePositionPatient = ["0", "0", f"{number + 1}e300"]
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "one position beyond all patients among sound ones",
    refused="LimitError NoGeometryError VariableSpacingError HeaderError MissingSlicesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[3].ImagePositionPatient = ["-20", "-15", "1e9"]
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "gaps to be filled that ask for a million slices",
    refused="LimitError MissingSlicesError VariableSpacingError",
    answerable=False,
    objective=False,
    gaps="fill",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[5].ImagePositionPatient = ["-20", "-15", str(7 + 2.5 * 10**6)]
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "uneven slices whose resampling would ask for a thousand million",
    refused="LimitError VariableSpacingError",
    answerable=False,
    objective=False,
    uneven="resample",
)
def _(folder: Path) -> Truth:
    bench = Bench()
    heights = (0.0, 0.02, 3.0, 7.0, 1e6, 9e6)
    slices = [bench.slice_at(np.array([-20.0, -15.0, 7.0]), number) for number in range(6)]
    for data, height in zip(slices, heights, strict=True):
        data.ImagePositionPatient = [-20.0, -15.0, height]
    save(folder, slices)
    return Truth(shapes=None)
