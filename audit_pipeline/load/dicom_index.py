"""The index of a DICOM study: one `Header` per file, read without the pixels.

`read_header` never gives up on a file that says at least where it belongs: what is wrong with it travels in
``Header.damage``, so that a damaged slice makes its series incomplete and is never silently left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from audit_pipeline.errors import HeaderError, LimitError, LoadError, PixelDataError
from audit_pipeline.load.deflated import inflated, is_deflated, meta_end
from audit_pipeline.load.dicom_elements import exactly, text, whole, words
from audit_pipeline.load.dicom_header import Header, frame_bytes, pixel_bytes
from audit_pipeline.load.dicom_stream import LARGE_BYTES, BoundedStream
from audit_pipeline.load.files import open_file, size_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import HEAD_BYTES, has_preamble

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_PROGRAM_STARTS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!", b"PK\x03\x04")
"""First bytes that make a DICOM file a program or an archive as well (CVE-2019-11687); TIFF is a legal use."""
UNDEFINED_LENGTH = 0xFFFFFFFF
TRAILING_BYTES_NOTED = 1024
"""More bytes than this behind native pixel data are worth a note."""


@dataclass(kw_only=True, slots=True)
class _PixelElement:
    """Where the pixel data begins; filled by the stop condition of the parser."""

    keyword: str = ""
    vr: str = ""
    length: int | None = None
    stream: BoundedStream

    def stop(self, tag: int, vr: str | None, length: int) -> bool:
        # pydicom asks twice; the first time, before it decides about the encoding, with a length of 0
        self.stream.announce(tag, length)
        if tag not in PIXEL_TAGS:
            return False
        self.keyword, self.vr = PIXEL_TAGS[tag], vr or ""
        self.length = None if length == UNDEFINED_LENGTH else length
        return True


def read_header(path: Path, settings: LoadSettings) -> Header:
    """Return the header of a file that `sniff.kind_of` calls DICOM; see ``Header.damage`` for what is wrong."""
    file_bytes = 0
    try:
        with translated(HeaderError, "the DICOM header cannot be parsed; export the file again"):
            file_bytes = size_of(path)
            dataset, head, pixels, start = _parse(path, file_bytes, settings)
            return _header(path, file_bytes, dataset, head, pixels, start)
    except LoadError as error:
        return Header(path=path, file_bytes=file_bytes, damage=error)


def _plain_stream(path: Path, file_bytes: int, settings: LoadSettings) -> tuple[BinaryIO, int, bytes]:
    """Return the file as an uncompressed stream, its length, and its first bytes."""
    if file_bytes > settings.file_bytes:
        raise LimitError(f"the file has {file_bytes} bytes; at most {settings.file_bytes} are read")
    stream = open_file(path)
    try:
        head = stream.read(HEAD_BYTES)
        if is_deflated(head):
            content = head + stream.read()
            stream.close()
            plain = inflated(content, settings)
            return BytesIO(plain), len(plain), head
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream, file_bytes, head


def _parse(
    path: Path, file_bytes: int, settings: LoadSettings
) -> tuple[pydicom.FileDataset, bytes, _PixelElement, int]:
    stream, end, head = _plain_stream(path, file_bytes, settings)
    with stream:
        bounded = BoundedStream(stream, end, settings)
        pixels = _PixelElement(stream=bounded)
        with bounded.parsing():
            dataset = read_partial(cast("BinaryIO", bounded), pixels.stop, LARGE_BYTES, force=True)
        start = stream.tell()
        bounded.settle_large(dataset)
        dataset.buffer = None
    if len(dataset) > settings.elements:
        raise LimitError(f"the header has {len(dataset)} elements; at most {settings.elements} are read")
    return dataset, head, pixels, start


def _header(
    path: Path, file_bytes: int, dataset: pydicom.FileDataset, head: bytes, pixels: _PixelElement, start: int
) -> Header:
    if meta_end(head) > file_bytes:
        raise HeaderError("the file ends inside its file meta information; transfer it again")
    syntax, repairs = _transfer_syntax(head, dataset)
    header = Header(
        path=path,
        file_bytes=file_bytes,
        sop_class=text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        modality=text(dataset, "Modality"),
        transfer_syntax=syntax,
        photometric=text(dataset, "PhotometricInterpretation"),
        has_functional_groups="SharedFunctionalGroupsSequence" in dataset,
        pixel_keyword=pixels.keyword,
        pixel_vr=pixels.vr,
        pixel_bytes=pixels.length,
        # tag, representation where there is one, and length (PS3.5, 7.1); some explicit files slip into implicit here
        pixel_start=start + (12 if pixels.vr else 8),
        repairs=repairs,
        dataset=dataset,
        **_identity(dataset),
        **place_of(dataset),
    )
    try:
        _refuse_truncated(dataset, pixels)
        header = replace(header, **_pixel_format(dataset, pixels.keyword))
        return replace(header, repairs=repairs + _pixel_length_repairs(header))
    except LoadError as error:
        return replace(header, damage=error)


def _identity(dataset: pydicom.Dataset) -> dict[str, Any]:
    return {
        "study_uid": text(dataset, "StudyInstanceUID"),
        "series_uid": text(dataset, "SeriesInstanceUID"),
        "identity": (text(dataset, "IssuerOfPatientID"), text(dataset, "PatientID"), text(dataset, "PatientBirthDate")),
    }


def place_of(dataset: pydicom.Dataset) -> dict[str, Any]:
    """Return the fields of `Header` that may differ between the frames of one file."""
    return {
        "frame_uid": text(dataset, "FrameOfReferenceUID"),
        "image_type": tuple(text(dataset, "ImageType").split("\\")),
        "position": exactly(dataset, "ImagePositionPatient", 3),
        "orientation": exactly(dataset, "ImageOrientationPatient", 6),
        "pixel_spacing": exactly(dataset, "PixelSpacing", 2),
    }


def _transfer_syntax(head: bytes, dataset: pydicom.FileDataset) -> tuple[str, tuple[str, ...]]:
    """Return the transfer syntax and what had to be assumed for it."""
    repairs: tuple[str, ...] = () if has_preamble(head) else ("no preamble",)
    if has_preamble(head) and head.startswith(_PROGRAM_STARTS):
        repairs = ("a preamble that is a program or an archive",)
    stated = text(dataset.file_meta, "TransferSyntaxUID")
    if is_deflated(head):
        return str(DeflatedExplicitVRLittleEndian), repairs
    if stated:
        return stated, repairs
    implicit, little = dataset.original_encoding
    if not little:
        raise HeaderError("the file states no transfer syntax and is not little endian; add the file meta information")
    assumed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return str(assumed), (*repairs, "no transfer syntax")


def _refuse_truncated(dataset: pydicom.FileDataset, pixels: _PixelElement) -> None:
    """Refuse a header that ends inside an element; pydicom keeps what is left of it without a word."""
    tags = list(dataset.keys())
    last = dataset.get_item(tags[-1]) if tags and not pixels.keyword else None
    if isinstance(last, RawDataElement) and last.length != UNDEFINED_LENGTH and len(last.value or b"") < last.length:
        raise HeaderError(
            f"the header ends inside its last element: {last.length} bytes announced, {len(last.value or b'')} found; "
            "transfer the file again"
        )


def _pixel_format(dataset: pydicom.Dataset, keyword: str) -> dict[str, Any]:
    try:
        allocated = whole(dataset, "BitsAllocated", 0)
        stored = whole(dataset, "BitsStored", allocated)
        if keyword == "PixelData" and allocated > 8:
            _refuse_unknown_sign(dataset)
        found = {
            "rows": whole(dataset, "Rows", 0),
            "columns": whole(dataset, "Columns", 0),
            "samples": whole(dataset, "SamplesPerPixel", 1),
            "frames": whole(dataset, "NumberOfFrames", 1),
            "bits": (allocated, stored, whole(dataset, "HighBit", stored - 1)),
            "is_signed": whole(dataset, "PixelRepresentation", 0) == 1,
        }
    except ValueError as error:
        raise HeaderError(f"{error}; the image format cannot be known, export the file again") from error
    return found


def _refuse_unknown_sign(dataset: pydicom.Dataset) -> None:
    """Refuse grey words that may be signed or not, or of which it is not known how many bits count."""
    lacking = [keyword for keyword in ("PixelRepresentation", "BitsStored") if not words(dataset, keyword)]
    if lacking:
        raise HeaderError(
            f"{' and '.join(lacking)} is missing, so the values have no known sign or range; export again"
        )


def _pixel_length_repairs(header: Header) -> tuple[str, ...]:
    """Compare the announced length of native pixel data with what the header needs and what the file holds."""
    if not header.pixel_keyword or not header.is_native:
        return ()
    if header.pixel_bytes is None:
        raise PixelDataError("the transfer syntax is native but the pixel data is encapsulated; export the file again")
    expected = pixel_bytes(header)
    held = header.pixel_bytes
    if not header.is_deflated:
        held = min(held, header.file_bytes - header.pixel_start)
    if held < expected:
        raise PixelDataError(f"the pixel data is truncated: {expected} bytes expected, {held} found; transfer it again")
    if header.frames > 1 and held - expected >= frame_bytes(header):
        raise PixelDataError(f"the pixel data holds more than the {header.frames} frames announced; export it again")
    return ("trailing bytes behind the pixels",) if held - expected > TRAILING_BYTES_NOTED else ()
