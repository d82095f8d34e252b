"""The index of a DICOM study: one `Header` per file, read without the pixels.

`read_header` never gives up on a file that says at least where it belongs: what is wrong with it travels in
``Header.damage``, so that a damaged slice makes its series incomplete and is never silently left out.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from audit_pipeline.errors import HeaderError, LimitError, LoadError, PixelDataError
from audit_pipeline.load.dicom_elements import exactly, text, whole
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.sniff import HEAD_BYTES, has_preamble

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_PROGRAM_STARTS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!", b"PK\x03\x04")
"""First bytes that make a DICOM file a program or an archive as well (CVE-2019-11687); TIFF is a legal use."""
UNDEFINED_LENGTH = 0xFFFFFFFF
TRAILING_BYTES_NOTED = 1024
"""More bytes than this behind native pixel data are worth a note."""

STACK_ATTRIBUTES = (
    ("EchoNumbers",),
    ("EchoTime",),
    ("TemporalPositionIdentifier",),
    ("TemporalPositionIndex",),
    ("AcquisitionNumber",),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    ("TriggerTime",),
    ("NominalPercentageOfCardiacPhase",),
    ("ContrastBolusAgent",),
    ("ContentTime",),
    ("AcquisitionTime",),
    ("ImageType",),
    ("ConvolutionKernel",),
)
"""Attributes that tell several images of one position apart, in the order in which they are tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the loader needs of one DICOM file before its pixels.

    Attributes
    ----------
    identity : (issuer of patient ID, patient ID, birth date), for comparison only
    bits : (allocated, stored, high bit); is_signed : PixelRepresentation 1
    position : ImagePositionPatient in mm, LPS+; orientation : the two direction cosines; both None when absent
    pixel_spacing : (distance between rows, distance between columns) in mm
    pixel_bytes : declared length of the pixel data, None when undefined (encapsulated) or absent
    attributes : text of `STACK_ATTRIBUTES`
    repairs : what was read with a repair, as phrases
    damage : why the file cannot be used, None when it can
    """

    path: Path
    file_bytes: int = 0
    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_uid: str = ""
    identity: tuple[str, str, str] = ("", "", "")
    modality: str = ""
    image_type: tuple[str, ...] = ()
    transfer_syntax: str = ""
    rows: int = 0
    columns: int = 0
    samples: int = 1
    frames: int = 1
    photometric: str = ""
    bits: tuple[int, int, int] = (0, 0, 0)
    is_signed: bool = False
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    pixel_spacing: tuple[float, ...] | None = None
    has_functional_groups: bool = False
    pixel_keyword: str = ""
    pixel_bytes: int | None = None
    attributes: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    damage: LoadError | None = None

    @property
    def is_native(self) -> bool:
        """Whether the pixel data is not compressed."""
        return self.transfer_syntax in NATIVE_SYNTAXES


@dataclass(slots=True)
class _PixelElement:
    """Where the pixel data begins; filled by the stop condition of the parser."""

    keyword: str = ""
    length: int | None = None

    def stop(self, tag: int, _vr: str | None, length: int) -> bool:
        # pydicom asks twice; the first time, before it decides about the encoding, with a length of 0
        if tag not in PIXEL_TAGS:
            return False
        self.keyword = PIXEL_TAGS[tag]
        self.length = None if length == UNDEFINED_LENGTH else length
        return True


def read_header(path: Path, settings: LoadSettings) -> Header:
    """Return the header of a file that `sniff.kind_of` calls DICOM; see ``Header.damage`` for what is wrong."""
    file_bytes = 0
    try:
        with translated(HeaderError, "the DICOM header cannot be parsed; export the file again"):
            file_bytes = path.stat().st_size
            dataset, pixels, start = _parse(path, file_bytes, settings)
            return _header(path, file_bytes, dataset, pixels, start)
    except LoadError as error:
        return Header(path=path, file_bytes=file_bytes, damage=error)


def _parse(path: Path, file_bytes: int, settings: LoadSettings) -> tuple[pydicom.FileDataset, _PixelElement, int]:
    if file_bytes > settings.file_bytes:
        raise LimitError(f"the file has {file_bytes} bytes; at most {settings.file_bytes} are read")
    pixels = _PixelElement()
    with path.open("rb") as stream:
        _limit_inflation(stream, file_bytes, settings)
        dataset = read_partial(stream, stop_when=pixels.stop, force=True)
        start = stream.tell()
    if len(dataset) > settings.elements:
        raise LimitError(f"the header has {len(dataset)} elements; at most {settings.elements} are read")
    return dataset, pixels, start


def _limit_inflation(stream: BinaryIO, file_bytes: int, settings: LoadSettings) -> None:
    """Refuse a deflated data set that would grow beyond the limit, before pydicom inflates it in one piece."""
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    # PS3.10, 7.1: the length of the file meta information is the value of its first element
    meta = pydicom.filereader.read_file_meta_info(stream.name)
    stream.seek(144 + int(meta.FileMetaInformationGroupLength))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limit, grown = settings.inflated_limit(file_bytes), 0
    while chunk := inflater.unconsumed_tail or stream.read(2**16):
        grown += len(inflater.decompress(chunk, 2**20))
        if grown > limit:
            raise LimitError(f"the deflated data set grows beyond {limit} bytes; check where the file comes from")
        if inflater.eof:
            break
    stream.seek(0)


def _header(path: Path, file_bytes: int, dataset: pydicom.FileDataset, pixels: _PixelElement, start: int) -> Header:
    syntax, repairs = _transfer_syntax(path, dataset)
    header = Header(
        path=path,
        file_bytes=file_bytes,
        sop_class=text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        frame_uid=text(dataset, "FrameOfReferenceUID"),
        identity=(text(dataset, "IssuerOfPatientID"), text(dataset, "PatientID"), text(dataset, "PatientBirthDate")),
        modality=text(dataset, "Modality"),
        image_type=tuple(text(dataset, "ImageType").split("\\")),
        transfer_syntax=syntax,
        photometric=text(dataset, "PhotometricInterpretation"),
        position=exactly(dataset, "ImagePositionPatient", 3),
        orientation=exactly(dataset, "ImageOrientationPatient", 6),
        pixel_spacing=exactly(dataset, "PixelSpacing", 2),
        has_functional_groups="SharedFunctionalGroupsSequence" in dataset,
        pixel_keyword=pixels.keyword,
        pixel_bytes=pixels.length,
        attributes={
            keywords: "|".join(text(dataset, keyword) for keyword in keywords) for keywords in STACK_ATTRIBUTES
        },
        repairs=repairs,
    )
    try:
        _refuse_truncated(dataset, pixels)
        header = replace(header, **_pixel_format(dataset))
        return replace(header, repairs=repairs + _pixel_length_repairs(header, start))
    except LoadError as error:
        return replace(header, damage=error)


def _transfer_syntax(path: Path, dataset: pydicom.FileDataset) -> tuple[str, tuple[str, ...]]:
    """Return the transfer syntax and what had to be assumed for it."""
    with path.open("rb") as stream:
        head = stream.read(132)
    repairs: tuple[str, ...] = () if has_preamble(head) else ("no preamble",)
    if has_preamble(head) and head.startswith(_PROGRAM_STARTS):
        repairs = ("a preamble that is a program or an archive",)
    stated = text(dataset.file_meta, "TransferSyntaxUID")
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


def _pixel_format(dataset: pydicom.FileDataset) -> dict[str, Any]:
    try:
        allocated = whole(dataset, "BitsAllocated", 0)
        stored = whole(dataset, "BitsStored", allocated)
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


def _pixel_length_repairs(header: Header, start: int) -> tuple[str, ...]:
    """Compare the announced length of native pixel data with what the header needs and what the file holds."""
    if not header.pixel_keyword or not header.is_native:
        return ()
    if header.pixel_bytes is None:
        raise PixelDataError("the transfer syntax is native but the pixel data is encapsulated; export the file again")
    expected = expected_bytes(header)
    held = header.pixel_bytes
    if header.transfer_syntax != DeflatedExplicitVRLittleEndian:
        element_head = 8 if header.transfer_syntax == ImplicitVRLittleEndian else 12
        held = min(held, header.file_bytes - start - element_head)
    if held < expected:
        raise PixelDataError(f"the pixel data is truncated: {expected} bytes expected, {held} found; transfer it again")
    return ("trailing bytes behind the pixels",) if held - expected > TRAILING_BYTES_NOTED else ()


def expected_bytes(header: Header) -> int:
    """Return the bytes of the uncompressed pixel data of all frames (PS3.5, 8.1.1; PS3.3, C.7.6.3.1.2)."""
    samples = 2 if header.photometric == "YBR_FULL_422" and header.is_native else header.samples
    return math.ceil(header.rows * header.columns * samples * header.frames * header.bits[0] / 8)
