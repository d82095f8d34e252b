"""How the files are written: native transfer syntaxes, truncation, padding, preambles (rows 57, 60 to 67)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dicom_bench import Bench, plant, save
from dicom_cases_register import Truth, case
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)


def swapped(data: Dataset) -> None:
    """Make a slice big endian; pydicom writes the elements, the pixels are turned here."""
    pixels = np.frombuffer(data.PixelData, f"<u{data.BitsAllocated // 8}")[: data.Rows * data.Columns]
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


def bare(folder: Path, slices: list[Dataset], syntax: str) -> list[Path]:
    """Write slices without preamble and file meta information."""
    paths = []
    for number, data in enumerate(slices):
        path = folder / f"{number:03d}"
        data.remove_private_tags()
        del data.file_meta
        dcmwrite(
            path,
            data,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            enforce_file_format=False,
        )
        paths.append(path)
    return paths


def relabel(path: Path, written: str, stated: str) -> None:
    """Write another transfer syntax into the file meta information of a file and leave all else as it is."""
    content = path.read_bytes()
    old, new = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (written, stated))
    start = content.index(struct.pack("<H", len(old)) + old, 132)
    content = content[:start] + struct.pack("<H", len(new)) + new + content[start + 2 + len(old) :]
    (group,) = struct.unpack_from("<I", content, 140)
    path.write_bytes(content[:140] + struct.pack("<I", group + len(new) - len(old)) + content[144:])


def cut(kept: Callable[[bytes], int], number: int = 2) -> Callable[[Path], Truth]:
    """Return a case whose slice `number` ends after some of its bytes."""

    def write(folder: Path) -> Truth:
        path = save(folder, Bench().slices())[number]
        content = path.read_bytes()
        path.write_bytes(content[: kept(content)])
        return Truth()

    return write


def _all_in(syntax: str) -> Callable[[Path], Truth]:
    def write(folder: Path) -> Truth:
        slices = Bench().slices()
        for data in slices:
            data.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                swapped(data)
        save(folder, slices)
        return Truth()

    return write


case("implicit VR little endian")(_all_in(ImplicitVRLittleEndian))
case("deflated", 60)(_all_in(DeflatedExplicitVRLittleEndian))
case("explicit VR big endian", 61)(_all_in(ExplicitVRBigEndian))


@case("big endian with 32 bits")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, dtype="i4", slope=0.0001)
        swapped(data)
    save(folder, slices)
    return Truth()


@case("big endian with 8 bits in words")
def _(folder: Path) -> Truth:
    slices = Bench(columns=8).slices()
    for data in slices:
        stored = plant(data, dtype="u1", slope=0.2)
        data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        data.PixelData = stored.view("<u2").astype(">u2").tobytes()
        data["PixelData"].VR = "OW"
    save(folder, slices)
    return Truth(shapes=((6, 7, 8),), tolerance=0.101)


@case("three transfer syntaxes in one series", 57)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data, syntax in zip(slices, (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian) * 3, strict=True):
        data.file_meta.TransferSyntaxUID = syntax
    slices[0].file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    swapped(slices[3])
    save(folder, slices)
    return Truth()


@case("no preamble and no file meta, implicit VR", 66, flagged="A29")
def _(folder: Path) -> Truth:
    bare(folder, Bench().slices(), ImplicitVRLittleEndian)
    return Truth()


@case("no preamble and no file meta, explicit VR", 66, flagged="A29")
def _(folder: Path) -> Truth:
    bare(folder, Bench().slices(), ExplicitVRLittleEndian)
    return Truth()


@case("no preamble and no file meta, big endian", 66, right=True, flagged="A29", refused="NotAStudyError HeaderError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        swapped(data)
    bare(folder, slices, ExplicitVRBigEndian)
    return Truth()


@case("file meta without a preamble", flagged="A29")
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        path.write_bytes(path.read_bytes()[132:])
    return Truth()


@case("a preamble that starts like a TIFF", right=True)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        path.write_bytes(b"II*\x00" + path.read_bytes()[4:])
    return Truth()


@case("a preamble that starts like a program", flagged="A29")
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        path.write_bytes(b"MZ\x90\x00" + path.read_bytes()[4:])
    return Truth()


@case("a preamble that starts like a NIfTI header", right=True)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        path.write_bytes(struct.pack("<i", 348) + path.read_bytes()[4:])
    return Truth()


@case(
    "explicit little endian data under an implicit transfer syntax",
    refused="HeaderError NotAStudyError",
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    _relabel(folder, ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    return Truth()


@case(
    "implicit data under an explicit transfer syntax",
    refused="HeaderError NotAStudyError PixelDataError",
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    _relabel(folder, ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    return Truth()


def _relabel(folder: Path, written: str, stated: str) -> None:
    slices = Bench().slices()
    for data in slices:
        data.file_meta.TransferSyntaxUID = written
    for path in save(folder, slices):
        relabel(path, written, stated)


case("one slice ends in the middle of its pixels", 63, refused="IncompleteSeriesError", answerable=False)(
    cut(lambda content: len(content) - 60)
)
case("one slice lacks its last byte", 63, refused="IncompleteSeriesError", answerable=False)(
    cut(lambda content: len(content) - 1)
)
case("one slice ends in the middle of its header", 64, refused="IncompleteSeriesError", answerable=False)(
    cut(lambda content: content.index(b"BENCH^ONE") + 3)
)
case("one slice ends between two elements of its header", 64, refused="IncompleteSeriesError", answerable=False)(
    cut(lambda content: content.index(b"\x20\x00\x32\x00DS"))
)
case("one slice ends behind its file meta", 64, refused="IncompleteSeriesError", answerable=False)(
    cut(lambda content: content.index(b"\x08\x00\x08\x00CS"))
)
case("one slice ends inside its file meta", 64, refused="IncompleteSeriesError", answerable=False)(cut(lambda _: 180))
case("one slice ends inside its preamble", 64, refused="IncompleteSeriesError MissingSlicesError", answerable=False)(
    cut(lambda _: 60)
)
case(
    "the last slice ends inside its file meta, where no gap betrays it",
    64,
    refused="IncompleteSeriesError",
    answerable=False,
)(cut(lambda _: 180, 5))
case(
    "the first slice ends behind its SOP class, where no gap betrays it",
    64,
    refused="IncompleteSeriesError",
    answerable=False,
)(cut(lambda content: content.index(b"\x20\x00\x0d\x00UI"), 0))
case(
    "the last slice ends behind its series UID, before its position",
    64,
    refused="IncompleteSeriesError",
    answerable=False,
)(cut(lambda content: content.index(b"\x20\x00\x13\x00IS"), 5))


@case(
    "the last slice is empty, nought bytes", refused="IncompleteSeriesError", right=True, flagged="A30", objective=False
)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())[5].write_bytes(b"")
    return Truth(shapes=((5, 7, 9),))


@case(
    "the last slice was overwritten with zeros",
    refused="IncompleteSeriesError",
    right=True,
    flagged="A30",
    objective=False,
)
def _(folder: Path) -> Truth:
    path = save(folder, Bench().slices())[5]
    path.write_bytes(bytes(path.stat().st_size))
    return Truth(shapes=((5, 7, 9),))


@case("one slice without PixelData", 65, refused="IncompleteSeriesError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    del slices[5].PixelData
    save(folder, slices)
    return Truth(shapes=None)


@case("one slice with PixelData of no length", 65, refused="IncompleteSeriesError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[5].PixelData = b""
    save(folder, slices)
    return Truth(shapes=None)


@case("no slice has PixelData", 65, refused="PixelDataError IncompleteSeriesError NotAStudyError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.PixelData
    save(folder, slices)
    return Truth(shapes=None)


@case("2.5 MB of zeros behind the pixels of one slice", 67, right=True, flagged="A29")
def _(folder: Path) -> Truth:
    path = save(folder, Bench().slices())[0]
    with path.open("ab") as stream:
        stream.write(bytes(2_500_000))
    return Truth()


@case("300 bytes too many inside the pixel data")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[1].PixelData += b"\xff" * 300
    save(folder, slices)
    return Truth()


@case("3,000 bytes too many inside the pixel data", flagged="A29")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[1].PixelData += b"\xff" * 3000
    save(folder, slices)
    return Truth()


@case("data set trailing padding behind the pixels")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.add_new(0xFFFCFFFC, "OB", bytes(200))
    save(folder, slices)
    return Truth()


@case(
    "twice as many rows announced as there are",
    refused="PixelDataError NotAStudyError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.Rows = 14
    save(folder, slices)
    return Truth(shapes=None)


@case("half as many rows announced as there are", refused="PixelDataError", answerable=False, right=True, flagged="A29")
def _(folder: Path) -> Truth:
    slices = Bench(rows=8).slices()
    for data in slices:
        data.Rows = 4
    save(folder, slices)
    return Truth(shapes=((6, 4, 9),))


@case("no Rows in the header", refused="HeaderError PixelDataError NotAStudyError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.Rows
    save(folder, slices)
    return Truth(shapes=None)


@case("no BitsAllocated in the header", refused="HeaderError PixelDataError NotAStudyError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.BitsAllocated
    save(folder, slices)
    return Truth(shapes=None)


@case(
    "no PixelRepresentation in the header",
    refused="HeaderError PixelDataError NotAStudyError IncompleteSeriesError",
    answerable=False,
    right=True,
    flagged="A29",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, dtype="u2")
        del data.PixelRepresentation
    save(folder, slices)
    return Truth()


@case(
    "negative values and no PixelRepresentation in the header",
    refused="HeaderError PixelDataError NotAStudyError IncompleteSeriesError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, intercept=200.0)
        del data.PixelRepresentation
    save(folder, slices)
    return Truth(shapes=None)


@case("sequences of undefined length in every slice")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        item = Dataset()
        item.CodeValue, item.CodeMeaning = "1", "x"
        data.ProcedureCodeSequence = Sequence([item, Dataset()])
        data["ProcedureCodeSequence"].is_undefined_length = True
        item.is_undefined_length_sequence_item = True
    save(folder, slices)
    return Truth()


@case("an icon image before the pixels")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        icon = Dataset()
        icon.Rows, icon.Columns, icon.BitsAllocated, icon.BitsStored, icon.HighBit = 2, 2, 8, 8, 7
        icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.PixelRepresentation = 1, "MONOCHROME2", 0
        icon.PixelData = b"\x01\x02\x03\x04"
        icon["PixelData"].VR = "OB"
        data.IconImageSequence = Sequence([icon])
    save(folder, slices)
    return Truth()
