"""Files of the kinds that broke other readers, or that were made to break this one: each a function over a folder.

`CASES` says how each must end; all of them within `SECONDS` of processor time and half a gibibyte. Sources: the
threats that peers met (path traversal, bombs, recursion, polyglots), and what fuzzing this loader found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from dicom_bench import Bench, put_pixels, raw, save
from dicom_cases_codecs import compress, jpeg_2000, rle
from dicom_cases_register import as_is
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)

from tests.fuzz.invariants import SECONDS

NOBODY = "QZXQZX"
"""Stands for a name that may not appear in a message, see `tests.fuzz.invariants`."""
DELIVERED = "delivered"
UNDEFINED = 0xFFFFFFFF
_ROWS_OF_CT = struct.pack("<HH", 0x0028, 0x0002)


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One folder.

    ends : how it may end: the code of a refusal, or "delivered"
    seconds : of processor time it may take
    """

    sentence: str
    write: Callable[[Path], None]
    ends: frozenset[str]
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = SECONDS


CASES: list[Hostile] = []


def hostile(sentence: str, ends: str, *, seconds: float = SECONDS, **settings: Any):
    """Register a function that writes a folder."""

    def register(write: Callable[[Path], None]) -> Callable[[Path], None]:
        def quietly(folder: Path) -> None:
            with as_is():
                write(folder)

        CASES.append(
            Hostile(
                sentence=sentence,
                write=quietly,
                ends=frozenset(ends.split()),
                settings=settings,
                seconds=seconds,
            )
        )
        return write

    return register


def one_slice(**changes: Any) -> Dataset:
    """Return a sound slice with some fields changed."""
    (data,) = Bench(count=1).slices()
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    return data


def with_raw(
    keyword: str, value: bytes, vr: str, *, is_implicit: bool = False, **changes: Any
) -> Callable[[Path], None]:
    """Return a function that writes one slice with one element as it should not be."""

    def write(folder: Path) -> None:
        data = one_slice(**changes)
        if is_implicit:
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        raw(data, keyword, value, _AS_WRITTEN.get(vr, vr))
        put_vr(save(folder, [data]), keyword, vr)

    return write


_AS_WRITTEN = {"SQ": "OB", "UV": "OB", "FD": "LO"}
"""pydicom does not write what it cannot read; these have the same layout, and are renamed in the file."""


def put_vr(paths: list[Path], keyword: str, vr: str) -> None:
    """Give an element of written files the value representation that it was to have."""
    if vr in _AS_WRITTEN:
        head = struct.pack("<HH", *divmod(tag_for_keyword(keyword), 2**16))
        for path in paths:
            content = path.read_bytes()
            assert head + _AS_WRITTEN[vr].encode() in content
            path.write_bytes(content.replace(head + _AS_WRITTEN[vr].encode(), head + vr.encode()))


def with_bytes(inserted: bytes) -> Callable[[Path], None]:
    """Return a function that writes one slice with bytes between its elements."""

    def write(folder: Path) -> None:
        (path,) = save(folder, [one_slice()])
        content = path.read_bytes()
        at = content.index(_ROWS_OF_CT)
        path.write_bytes(content[:at] + inserted + content[at:])

    return write


def element(group: int, number: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    """Return an explicit element with a long length."""
    return struct.pack("<HH2sHI", group, number, vr, 0, length) + value


ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
SEQUENCE = element(0x0018, 0x9346, b"SQ", UNDEFINED)


def compressed(stream: bytes, syntax: str, **changes: Any) -> Callable[[Path], None]:
    """Return a function that writes one slice with a compressed frame."""

    def write(folder: Path) -> None:
        data = one_slice()
        compress(data, stream, syntax)
        for keyword, value in changes.items():
            setattr(data, keyword, value)
        save(folder, [data])

    return write


# sizes that are announced and not there


@hostile("65,535 x 65,535 pixels over four kilobytes", "PixelDataError LimitError")
def _(folder: Path) -> None:
    data = one_slice(Rows=65_535, Columns=65_535)
    data.PixelData = bytes(4096)
    save(folder, [data])


def huge_jpeg_2000(size: int) -> bytes:
    """Return a JPEG 2000 frame of some 160 bytes that announces `size` x `size` pixels."""
    content = bytearray(jpeg_2000(np.zeros((16, 16), "u2")))
    struct.pack_into(">8I", content, 8, size, size, 0, 0, size, size, 0, 0)
    return bytes(content)


hostile("a short JPEG 2000 frame of 8,192 x 8,192, as its header says", "LimitError")(
    compressed(huge_jpeg_2000(8192), JPEG2000Lossless, Rows=8192, Columns=8192)
)
hostile("a short JPEG 2000 frame of 8,192 x 8,192 below a small header", "PixelDataError")(
    compressed(huge_jpeg_2000(8192), JPEG2000Lossless)
)
hostile("a short JPEG 2000 frame of 60,000 x 60,000, as its header says", "LimitError")(
    compressed(huge_jpeg_2000(60_000), JPEG2000Lossless, Rows=60_000, Columns=60_000)
)
hostile("a short JPEG 2000 frame just below the limits", "PixelDataError")(
    compressed(huge_jpeg_2000(5_600), JPEG2000Lossless, Rows=5_600, Columns=5_600)
)


@hostile("a JP2 box with a small frame before the huge one", "PixelDataError")
def _(folder: Path) -> None:
    small, huge = jpeg_2000(np.zeros((7, 9), "u2")), huge_jpeg_2000(30_000)
    container = bytes(imagecodecs.jpeg2k_encode(np.zeros((16, 16), "u2"), codecformat="jp2"))
    head = bytearray(container[: container.index(b"jp2c") - 4])
    struct.pack_into(">II", head, head.index(b"ihdr") + 4, 30_000, 30_000)
    decoy = struct.pack(">I4s16s", 24 + len(small), b"uuid", bytes(16)) + small
    compressed(bytes(head) + decoy + struct.pack(">I4s", 8 + len(huge), b"jp2c") + huge, JPEG2000Lossless)(folder)


hostile("100,000 frames announced over one run-length frame", "LimitError MultiFrameError PixelDataError")(
    compressed(rle(np.zeros((7, 9), "u2")), RLELossless, NumberOfFrames="100000")
)
hostile("a run-length frame with segments beyond its end", "PixelDataError")(
    compressed(struct.pack("<16I", 2, 64, 0xFFFFFFF0, *[0] * 13) + bytes(50), RLELossless)
)
for keyword, value, vr in (
    *(("Rows", b"1e300", "DS"), ("NumberOfFrames", b"9" * 300, "IS"), ("BitsAllocated", b"1" + b"0" * 300, "IS")),
    *(("SamplesPerPixel", b"1e300", "DS"), ("Rows", b"-7", "IS"), ("Columns", b"0", "IS"), ("Rows", b"7.5", "DS")),
):
    hostile(
        f"{keyword} of {value[:8].decode()}",
        "PixelDataError HeaderError LimitError",
    )(with_raw(keyword, value, vr))

# bombs


@cache
def zeros_deflated() -> bytes:
    """Return 0.4 MB that become an element of 400 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(element(0x0009, 0x1001, b"OB", 400_000_000))
    return body + b"".join(packer.compress(bytes(10_000_000)) for _ in range(40)) + packer.flush()


def deflated_bomb(kind: str) -> Callable[[Path], None]:
    """Return a function that writes 0.4 MB of deflated data set that become 400 MB."""

    def write(folder: Path) -> None:
        data = one_slice()
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        (path,) = save(folder, [data])
        content = path.read_bytes()
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        body = zeros_deflated()
        meta = content[144:start]
        syntax = meta.index(b"\x02\x00\x10\x00UI")
        if kind == "large meta":
            meta = element(0x0002, 0x0001, b"OB", 6000, bytes(6000)) + meta[meta.index(b"\x02\x00\x02\x00UI") :]
        elif kind == "another representation":
            (length,) = struct.unpack_from("<H", meta, syntax + 6)
            meta = meta[:syntax] + element(0x0002, 0x0010, b"UN", length) + meta[syntax + 8 :]
        head = content[:140] + struct.pack("<I", len(meta))
        if kind == "no group length":
            head = content[:132]
        elif kind == "no preamble":
            head = content[132:140] + struct.pack("<I", len(meta))
        path.write_bytes(head + meta + body)

    return write


hostile("a deflated data set that grows a thousand times", "LimitError")(deflated_bomb("plain"))
for kind in ("no group length", "large meta", "another representation", "no preamble"):
    hostile(f"the same with {kind} of the file meta information", "LimitError HeaderError")(deflated_bomb(kind))


@hostile(
    "segments of a palette that quote each other",
    "PixelDataError LimitError",
)
def _(folder: Path) -> None:
    data = one_slice(PhotometricInterpretation="PALETTE COLOR", Modality="US")
    put_pixels(data, np.zeros((7, 9), "u1"))
    linear = struct.pack("<3H", 1, 65_535, 7)
    segments = struct.pack("<3H", 0, 1, 5) + linear * 500 + struct.pack("<4H", 2, 500, 6, 0) * 10
    for colour in ("Red", "Green", "Blue"):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        raw(data, f"Segmented{colour}PaletteColorLookupTableData", segments, "OW")
    save(folder, [data])


def enhanced(frames: int, **changes: Any) -> Dataset:
    """Return a multi-frame CT of 64 x 64 pixels without pixel data."""
    (data,) = Bench(count=1, rows=64, columns=64).slices()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames, data.SharedFunctionalGroupsSequence = frames, [Dataset()]
    groups = []
    for number in range(frames):
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, float(number)]
        group.PlanePositionSequence = [place]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    return data


@hostile(
    "2,000 frames that are all the same megabyte",
    "IncompleteSeriesError LimitError",
)
def _(folder: Path) -> None:
    count = 2000
    data = enhanced(count)
    compress(data, bytes(1_000_000), JPEG2000Lossless, has_offsets=False)
    data.ExtendedOffsetTable = struct.pack("<Q", 0) * count
    data.ExtendedOffsetTableLengths = struct.pack("<Q", 1_000_000) * count
    save(folder, [data])


@hostile(
    "thousands of frames of a header of thousands of elements",
    "LimitError HeaderError delivered",
)
def _(folder: Path) -> None:
    data = enhanced(1000, Rows=1, Columns=1)
    data.PixelData = bytes(2000)
    (path,) = save(folder, [data])
    content = path.read_bytes()
    at = content.index(_ROWS_OF_CT)
    many = b"".join(struct.pack("<HH2sH", 0x0019, 0x1000 + number, b"SH", 0) for number in range(20_000))
    path.write_bytes(content[:at] + many + content[at:])


# headers

hostile("sequences nested 20,000 deep", "LimitError")(with_bytes((SEQUENCE + ITEM) * 20_000))
hostile("a sequence without its end", "PixelDataError HeaderError")(with_bytes(SEQUENCE + ITEM))
hostile("a sequence that ends with the file", "PixelDataError HeaderError")(with_bytes(SEQUENCE))
hostile("an element of four gigabytes", "PixelDataError HeaderError LimitError")(
    with_bytes(element(0x0009, 0x1001, b"OB", 0xFFFFFFF0))
)
hostile("a short element that is longer than the file", "PixelDataError HeaderError")(
    with_bytes(struct.pack("<HH2sH", 0x0019, 0x0010, b"LO", 0xFFFE))
)
hostile("70,000 elements", "LimitError")(
    with_bytes(
        b"".join(
            struct.pack("<HH2sH", 0x0019 + 2 * (n // 57_344), 0x1000 + n % 57_344, b"SH", 0) for n in range(70_000)
        )
    )
)
hostile("a million elements", "LimitError")(
    with_bytes(
        b"".join(
            struct.pack("<HH2sH", 0x0019 + 2 * (n // 57_344), 0x1000 + n % 57_344, b"SH", 0) for n in range(1_000_000)
        )
    )
)
hostile("half a million items", "LimitError HeaderError")(with_bytes(SEQUENCE + EMPTY_ITEM * 500_000 + SEQUENCE_END))
hostile("half a million items in a sequence of known length", "LimitError")(
    with_bytes(element(0x0018, 0x9346, b"SQ", 4_000_000, EMPTY_ITEM * 500_000))
)


@hostile("a megabyte of a private kind in the header, which nobody reads", DELIVERED)
def _(folder: Path) -> None:
    with_bytes(element(0x0019, 0x1001, b"OB", 1_000_000, bytes(1_000_000)))(folder)


hostile("a hundred megabytes of a private kind in the header", DELIVERED)(
    with_bytes(element(0x0019, 0x1001, b"OB", 100_000_000, bytes(100_000_000)))
)
hostile("a hundred megabytes of overlay tables in the header", "LimitError")(
    with_bytes(element(0x0020, 0x9FFF, b"OB", 100_000_000, bytes(100_000_000)))
)
hostile("a large private value that is cut", "PixelDataError HeaderError")(
    with_bytes(element(0x0019, 0x1001, b"OB", 1_000_000, b""))
)
hostile("a value representation that does not exist", "delivered HeaderError PixelDataError")(
    with_bytes(struct.pack("<HH2sH", 0x0019, 0x0010, b"ZZ", 4) + b"abcd")
)
hostile("pixels only inside of a sequence", "PixelDataError")(
    lambda folder: save(folder, [_without_pixels(one_slice(), nested=True)]) and None
)


def _without_pixels(data: Dataset, *, nested: bool) -> Dataset:
    icon = Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.PixelData = 7, 9, 16, data.PixelData
    if nested:
        data.IconImageSequence = [icon]
    del data.PixelData
    return data


@hostile("private creators that claim one block", DELIVERED)
def _(folder: Path) -> None:
    block = b"".join(
        struct.pack("<HH2sH", 0x0019, number, b"LO", 4) + b"MINE" for number in range(0x10, 0x100)
    ) + b"".join(struct.pack("<HH2sH", 0x0019, number << 8 | 1, b"SQ", 0) + bytes(4) for number in range(0x10, 0x100))
    with_bytes(block)(folder)


hostile("a patient name of ten megabytes", DELIVERED)(
    with_raw("PatientName", NOBODY.encode() * 1_700_000, "PN", is_implicit=True)
)
for charset in (b"ISO_IR 999", b"ISO 2022 IR 87\\ISO_IR 192", b"\xff\xfe", NOBODY.encode() * 50, b"\\\\\\", b"utf-8"):
    hostile(f"the character set {charset[:20]!r}", DELIVERED)(
        with_raw("SpecificCharacterSet", charset, "CS", PatientName="\x1b$B\x1b$C")
    )
hostile("a number of a million digits", "delivered RescaleError")(
    with_raw("RescaleSlope", b"0." + b"1" * 1_000_000, "DS", is_implicit=True)
)
hostile("digits that end in a letter", "delivered RescaleError")(with_raw("SliceThickness", b"1" * 65_000 + b"x", "DS"))
hostile("a million digits that end in a letter", "RescaleError")(
    with_raw("RescaleSlope", b"1" * 1_000_000 + b"x", "DS", is_implicit=True)
)


@hostile(
    "slices at one place with a quarter of a million dimensions",
    "AmbiguousStackError LimitError",
)
def _(folder: Path) -> None:
    slices = Bench(count=2).slices()
    for data in slices:
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        data.ImagePositionPatient = [0, 0, 0]
        raw(data, "DimensionIndexValues", b"\1\0\0\0" * 250_000, "UL")
    save(folder, slices)


hostile("UIDs that are paths", DELIVERED)(
    lambda folder: (
        save(
            folder,
            [
                one_slice(
                    SOPInstanceUID="../../../tmp/x", StudyInstanceUID="/etc/passwd", SeriesInstanceUID="C:\\windows\\x"
                )
            ],
        )
        and None
    )
)
hostile("a UID of a megabyte", DELIVERED)(
    with_raw("SOPInstanceUID", b"1.2." + b"3" * 1_000_000, "UI", is_implicit=True)
)

# geometry and values

for spacing in ("1e-300", "1e-310", "1e300"):
    hostile(f"a pixel spacing of {spacing} mm", "NoGeometryError LimitError")(
        lambda folder, spacing=spacing: save(folder, [one_slice(PixelSpacing=[spacing, spacing])]) and None
    )


@hostile("positions at the end of all numbers, along an oblique normal", "NoGeometryError LimitError")
def _(folder: Path) -> None:
    right, normal = np.array([1.0, -1.0, 0.0]) / np.sqrt(2), np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    slices = Bench(count=2, right=tuple(right), down=tuple(np.cross(normal, right))).slices()
    for data, side in zip(slices, (-1, 1), strict=True):
        data.ImagePositionPatient = [f"{side * 0.8e308:.3e}"] * 3
    save(folder, slices)


def pet(**changes: Any) -> Callable[[Path], None]:
    """Return a function that writes a PET series with one field of its dose changed."""

    def write(folder: Path) -> None:
        slices = Bench(count=3).slices()
        for data in slices:
            data.Modality, data.SOPClassUID, data.Units = "PT", PositronEmissionTomographyImageStorage, "BQML"
            data.CorrectedImage, data.PatientWeight, data.DecayCorrection = ["ATTN", "DECY"], "70", "START"
            data.SeriesDate = data.AcquisitionDate = "20200102"
            data.SeriesTime = data.AcquisitionTime = "100000"
            dose = Dataset()
            dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "1e8", "6586"
            dose.RadiopharmaceuticalStartTime = "090000"
            for keyword, value in changes.items():
                setattr(dose if keyword.startswith("Radio") else data, keyword, value)
            data.RadiopharmaceuticalInformationSequence = [dose]
            if "sequence" in changes:
                value, vr = changes["sequence"]
                raw(data, "RadiopharmaceuticalInformationSequence", value, _AS_WRITTEN.get(vr, vr))
        paths = save(folder, slices)
        if "sequence" in changes:
            put_vr(paths, "RadiopharmaceuticalInformationSequence", changes["sequence"][1])

    return write


hostile("a PET series", DELIVERED, suv="body_weight")(pet())
hostile(
    "a half-life of a second",
    "SuvError",
    suv="body_weight",
)(pet(RadionuclideHalfLife="1"))
hostile("an injection before the first day of the calendar", "SuvError", suv="body_weight")(
    pet(SeriesDate="00010101", AcquisitionDate="00010101", RadiopharmaceuticalStartTime="110000")
)
for value, vr in ((b"\1\2\3\4", "UL"), (b"\xfe\xff\x00\xe0\x04", "SQ"), (b"12", "SS")):
    hostile(f"a dose that is {vr}", "SuvError HeaderError", suv="body_weight")(pet(sequence=(value, vr)))
hostile("a unit of PET that is a name", "SuvError", suv="body_weight")(pet(Units=NOBODY))
for keyword, value, vr in (("ImagerPixelSpacing", b"-1", "UV"), ("PixelSpacingCalibrationType", b"12345", "FD")):
    hostile(f"{keyword} of an impossible length", "delivered HeaderError")(
        with_raw(keyword, value, vr, Modality="CR", ImagerPixelSpacing=[1.5, 0.75])
    )


@hostile("a colour space that is a name", "ColourError")
def _(folder: Path) -> None:
    data = one_slice(SamplesPerPixel=3, PlanarConfiguration=0)
    put_pixels(data, np.zeros((7, 27), "u1"))
    data.Columns, data.PhotometricInterpretation = 9, NOBODY
    compress(data, bytes(imagecodecs.jpeg2k_encode(np.zeros((7, 9, 3), "u1"), codecformat="j2k")), JPEG2000Lossless)
    save(folder, [data])


@hostile("an object class that is a name", "NotAStudyError")
def _(folder: Path) -> None:
    (path,) = save(folder, [_without_pixels(one_slice(SOPClassUID="1.2.3.4.5.6.7"), nested=False)])
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4.5.6.7\0", f"\x0b{NOBODY} {NOBODY}".encode()))


# folders


@hostile("5,000 empty files", "NotAStudyError")
def _(folder: Path) -> None:
    for number in range(5_000):
        (folder / str(number)).touch()


@hostile("names that are options, commands and control characters", DELIVERED)
def _(folder: Path) -> None:
    names = ["-o", "--help", "; rm -rf x", "a\nb", "\x1b[2J", "$(id)", "%s%n", "\udcff\udcfe", "x" * 255]
    slices = Bench(count=len(names)).slices()
    save(folder, slices, names)


def series_of_one(
    count: int, folder: Path, *, series: Callable[[int], int] = int, objects: Callable[[int], int] = int
) -> None:
    """Write `count` slices, each a series and an object of its own, or those of a number."""
    (path,) = save(folder, [one_slice(SeriesInstanceUID="2.25.8.100000", SOPInstanceUID="2.25.9.100000")], ["0"])
    content = path.read_bytes()
    for number in range(count):
        one = content.replace(b"2.25.8.100000", b"2.25.8.%d" % (100_000 + series(number)))
        one = one.replace(b"2.25.9.100000", b"2.25.9.%d" % (100_000 + objects(number)))
        (folder / str(number)).write_bytes(one[:-2] + number.to_bytes(2, "little"))


def one_series(count: int, folder: Path, keyword: str, value: Callable[[int], Any]) -> None:
    """Write `count` slices of one series that differ in one field."""
    slices = [one_slice(SOPInstanceUID=f"2.25.9.{number}") for number in range(count)]
    for number, data in enumerate(slices):
        setattr(data, keyword, value(number))
    save(folder, slices)


hostile("300 series of one slice", DELIVERED)(lambda folder: series_of_one(300, folder))
hostile("300 series whose files come in contradicting pairs", "SopConflictError")(
    lambda folder: series_of_one(300, folder, objects=lambda number: number // 2)
)
hostile("300 grids in one series", DELIVERED)(
    lambda folder: one_series(300, folder, "PixelSpacing", lambda number: [1 + number / 1000, 1])
)
hostile("300 planes in one series", DELIVERED)(
    lambda folder: one_series(
        300,
        folder,
        "ImageOrientationPatient",
        lambda n: [1, 0, 0, 0, *(f"{one:.9f}" for one in (np.cos(n / 100), np.sin(n / 100)))],
    )
)
