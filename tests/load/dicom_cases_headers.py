"""Odd headers around sound pixels: private elements, character sets, wrong types, odd texts, nesting (rows 68, 69)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dicom_bench import Bench, raw, save
from dicom_cases_register import Truth, case
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian

_FIRST_ELEMENT = b"\x08\x00\x08\x00CS"
"""ImageType, the first element of a slice of the bench."""


def each(change: Callable[[Dataset], Any], syntax: str = "") -> Callable[[Path], Truth]:
    """Return a case that changes every slice."""

    def write(folder: Path) -> Truth:
        slices = Bench().slices()
        for data in slices:
            change(data)
            if syntax:
                data.file_meta.TransferSyntaxUID = syntax
        save(folder, slices)
        return Truth()

    return write


def inserted(before: bytes, extra: bytes) -> Callable[[Path], Truth]:
    """Return a case that puts bytes before an element of every file."""

    def write(folder: Path) -> Truth:
        for path in save(folder, Bench().slices()):
            content = path.read_bytes()
            start = content.index(before, 200)
            path.write_bytes(content[:start] + extra + content[start:])
        return Truth()

    return write


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Return an explicit little endian element with a short length."""
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


case("a group length element before every group")(
    inserted(_FIRST_ELEMENT, element(0x0008, 0x0000, b"UL", struct.pack("<I", 999)))
)
case("private elements before group 8")(
    inserted(
        _FIRST_ELEMENT,
        element(0x0003, 0x0010, b"LO", b"BENCH PRIVATE ") + element(0x0003, 0x1001, b"LO", b"anything"),
    )
)
case("a private element that looks like pixel data")(
    inserted(
        b"\x10\x00\x10\x00PN",
        element(0x0009, 0x0010, b"LO", b"X ")
        + element(0x0009, 0x1010, b"OW", b"")[:6]
        + b"\0\0"
        + struct.pack("<I", 8)
        + b"\xe0\x7f\x10\x00OW\0\0",
    )
)
case(
    "an element of a type that does not exist",
    right=True,
    flagged="A29",
    refused="HeaderError NotAStudyError IncompleteSeriesError",
)(inserted(b"\x10\x00\x10\x00PN", element(0x0009, 0x1011, b"ZZ", b"abcd")))
case("an unknown character set", 68)(each(lambda data: setattr(data, "SpecificCharacterSet", "KLINGON_1")))
case("a character set that is no text", right=True, refused="HeaderError NotAStudyError")(
    inserted(_FIRST_ELEMENT, element(0x0008, 0x0005, b"CS", b"\xff\xfe\x00\x01"))
)


def _bytes_in_name(data: Dataset) -> None:
    data.SpecificCharacterSet = "ISO_IR 6"
    raw(data, "PatientName", b"BENCH^\x8e\xff\xfe\x1b$B\x00", "PN")


case("a patient name that does not fit its character set")(each(_bytes_in_name))
case("a patient name of ten thousand characters")(each(lambda data: raw(data, "PatientName", b"BENCH" * 2000, "PN")))
case("texts with markup, quotes and line breaks")(
    each(lambda data: raw(data, "StudyDescription", b"</script><script>alert(1)</script>\r\n=cmd|' /C'!A0", "LO"))
)


def _private(data: Dataset) -> None:
    for group in (0x0009, 0x0029, 0x7FE1):
        block = data.private_block(group, "BENCH", create=True)
        block.add_new(0x01, "UN", bytes(range(256)) * 2)
        block.add_new(0x02, "OB", b"\0" * 300)


case("private blocks before and behind the pixels")(each(_private))
case("private blocks in implicit VR")(each(_private, ImplicitVRLittleEndian))


def _unknown_vr(data: Dataset) -> None:
    for keyword in (
        "ImagePositionPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "ImageOrientationPatient",
    ):
        value = data[keyword].value
        words = (
            [str(one) for one in value] if hasattr(value, "__iter__") and not isinstance(value, str) else [str(value)]
        )
        raw(data, keyword, "\\".join(words).encode(), "UN")


case("geometry and rescale as elements of unknown type")(each(_unknown_vr))


def _texts_for_numbers(data: Dataset) -> None:
    for keyword in ("ImagePositionPatient", "PixelSpacing"):
        raw(data, keyword, "\\".join(str(one) for one in data[keyword].value).encode(), "LO")


case("geometry as text instead of decimal strings", right=True, refused="NoGeometryError HeaderError")(
    each(_texts_for_numbers)
)


def _signed_rows(data: Dataset) -> None:
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        raw(data, keyword, struct.pack("<h", int(data[keyword].value)), "SS")


case("Rows and Columns as signed numbers", right=True, refused="HeaderError NotAStudyError")(each(_signed_rows))
case("InstanceNumber is no number")(each(lambda data: raw(data, "InstanceNumber", b"IM-3", "IS")))
case("InstanceNumber is a fraction")(each(lambda data: raw(data, "InstanceNumber", b"3.5", "IS")))
case("dates and times in old and in impossible forms")(
    each(
        lambda data: (
            raw(data, "StudyDate", b"1999.13.77", "DA"),
            raw(data, "StudyTime", b"25:99", "TM"),
            raw(data, "PatientAge", b"45", "AS"),
        )
    )
)
case("UIDs with letters and leading zeros")(
    each(
        lambda data: (
            setattr(data, "StudyInstanceUID", "1.2.03.abc"),
            setattr(data, "FrameOfReferenceUID", "frame of reference"),
        )
    )
)
case("UIDs of a hundred characters")(
    each(lambda data: setattr(data, "SeriesInstanceUID", "1." + "234567890." * 9 + "1"))
)


@case("UIDs padded with spaces in some files and with zeros in others")
def _(folder: Path) -> Truth:
    slices = Bench(series_uid="2.25.7.11", study_uid="2.25.71").slices()
    for number, data in enumerate(slices):
        pad = b" " if number % 2 else b"\0"
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            value = str(data[keyword].value).encode()
            tag = Tag(data[keyword].tag)
            value += pad * (2 - len(value) % 2)
            data[tag] = RawDataElement(tag, "UI", len(value), value, 0, False, True)
    save(folder, slices)
    return Truth()


case("numbers with leading and trailing blanks and zeros")(
    each(
        lambda data: (
            raw(data, "RescaleSlope", b"  0.02\0\0", "DS"),
            raw(data, "PixelSpacing", b" 1.5 \\ 0.750 ", "DS"),
            raw(data, "RescaleIntercept", b"+10.", "DS"),
        )
    )
)


def nested(depth: int) -> bytes:
    """Return sequences of undefined length inside one another, in explicit little endian."""
    start = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return start * depth + end * depth


case("sequences nested thirty deep")(inserted(b"\xe0\x7f\x10\x00", nested(30)))
case(
    "sequences nested a thousand deep",
    69,
    right=True,
    flagged="A29",
    refused="LimitError HeaderError NotAStudyError IncompleteSeriesError",
    objective=False,
)(inserted(b"\xe0\x7f\x10\x00", nested(1000)))
case(
    "sequences nested fifty thousand deep",
    69,
    right=True,
    flagged="A29",
    refused="LimitError HeaderError NotAStudyError IncompleteSeriesError",
    objective=False,
)(inserted(b"\xe0\x7f\x10\x00", nested(50_000)))


@case(
    "the elements are not in ascending order",
    right=True,
    flagged="A29",
    refused="HeaderError NotAStudyError IncompleteSeriesError",
)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        content = path.read_bytes()
        start = content.index(b"\x28\x00\x30\x00DS")
        (length,) = struct.unpack_from("<H", content, start + 6)
        moved = content[start : start + 8 + length]
        rest = content[:start] + content[start + 8 + length :]
        home = rest.index(b"\x08\x00\x60\x00CS")
        path.write_bytes(rest[:home] + moved + rest[home:])
    return Truth()


@case(
    "PixelSpacing twice in one header, with two values",
    refused="HeaderError NoGeometryError NotAStudyError IncompleteSeriesError",
    right=True,
    flagged="A29",
    objective=False,
)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        content = path.read_bytes()
        start = content.index(b"\x28\x00\x30\x00DS")
        wrong = element(0x0028, 0x0030, b"DS", b"9\\9 ")
        path.write_bytes(content[:start] + wrong + content[start:])
    return Truth()


@case(
    "elements behind the pixel data that contradict those before",
    right=True,
    flagged="A29",
    refused="HeaderError",
    objective=False,
)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        with path.open("ab") as stream:
            stream.write(element(0x0028, 0x1053, b"DS", b"7 ") + element(0x0028, 0x0030, b"DS", b"9\\9 "))
    return Truth()


@case(
    "an element that announces four gigabytes",
    refused="HeaderError NotAStudyError IncompleteSeriesError LimitError",
    answerable=False,
)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices()):
        content = path.read_bytes()
        start = content.index(b"\x10\x00\x10\x00PN")
        huge = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0xFFFFFFF0)
        path.write_bytes(content[:start] + huge + content[start:])
    return Truth(shapes=None)


@case("an empty Modality", right=True, flagged="A28")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.Modality = ""
    save(folder, slices)
    return Truth()


@case("no SOP class in the data set, only in the file meta")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.SOPClassUID
    save(folder, slices)
    return Truth()


@case("a private SOP class with pixels and geometry")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.3.4.5.6.7"
    save(folder, slices)
    return Truth()


@case(
    "two SOP classes in one series, CT and legacy secondary capture of it", right=True, flagged="A30", objective=False
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    capture = Bench(count=1, series_uid="2.25.7.1").slices()[0]
    capture.SOPInstanceUID, capture.SOPClassUID = "2.25.7.1.88", "1.2.840.10008.5.1.4.1.1.7"
    capture.file_meta.MediaStorageSOPClassUID = capture.SOPClassUID
    del capture.ImagePositionPatient, capture.ImageOrientationPatient, capture.FrameOfReferenceUID
    save(folder / "a", slices)
    save(folder / "b", [capture])
    return Truth(pictures=1)


@case("geometry inside a private sequence is not mistaken for the slice's own")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        item = Dataset()
        item.ImagePositionPatient, item.PixelSpacing, item.RescaleSlope = [9, 9, 9], [9, 9], "9"
        data.ReferencedImageSequence = Sequence([item])
    save(folder, slices)
    return Truth()
