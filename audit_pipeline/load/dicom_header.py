"""The header of one DICOM image as the loader uses it, whether the image fills a file or is one of its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from audit_pipeline.errors import LoadError

NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the loader needs of one DICOM file before its pixels.

    Attributes
    ----------
    identity : (issuer of patient ID, patient ID, birth date), for comparison only
    bits : (allocated, stored, high bit); is_signed : PixelRepresentation 1
    position : ImagePositionPatient in mm, LPS+; orientation : the two direction cosines; both None when absent
    pixel_spacing : (distance between rows, distance between columns) in mm
    pixel_vr : value representation of the pixel data, "" in implicit files
    pixel_bytes : declared length of the pixel data, None when undefined (encapsulated) or absent
    pixel_start : where the value of the pixel data begins, in the file or, when it is deflated, in the inflated one
    frame : which frame of its file this is, from 0; see `dicom_frames`
    dataset : the elements before the pixel data
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
    pixel_vr: str = ""
    pixel_bytes: int | None = None
    pixel_start: int = 0
    frame: int = 0
    dataset: pydicom.Dataset = field(default_factory=pydicom.Dataset, repr=False, compare=False)
    repairs: tuple[str, ...] = ()
    damage: LoadError | None = None

    @property
    def is_native(self) -> bool:
        """Whether the pixel data is not compressed."""
        return self.transfer_syntax in NATIVE_SYNTAXES

    @property
    def is_deflated(self) -> bool:
        """Whether the whole data set is compressed."""
        return self.transfer_syntax == str(DeflatedExplicitVRLittleEndian)

    @property
    def is_big(self) -> bool:
        """Whether numbers are stored with their high byte first."""
        return self.transfer_syntax == str(ExplicitVRBigEndian)

    @property
    def plain_syntax(self) -> str:
        """The transfer syntax of the data set once it is inflated."""
        return str(ExplicitVRLittleEndian) if self.is_deflated else self.transfer_syntax


def frame_bytes(header: Header) -> int:
    """Return the bytes of one uncompressed frame, rounded up (PS3.5, 8.1.1; PS3.3, C.7.6.3.1.2)."""
    samples = 2 if header.photometric == "YBR_FULL_422" and header.is_native else header.samples
    return math.ceil(header.rows * header.columns * samples * header.bits[0] / 8)


def pixel_bytes(header: Header) -> int:
    """Return the bytes of the uncompressed pixel data of all frames; single bits are packed without gaps."""
    if header.bits[0] == 1:
        return math.ceil(header.rows * header.columns * header.samples * header.frames / 8)
    return frame_bytes(header) * header.frames
