"""The NIfTI header: read by nibabel's field tables, checked here, never repaired by guessing.

References: NIfTI-1 (nifti1.h) and NIfTI-2 (nifti2.h), https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from audit_pipeline.errors import LimitError, NiftiHeaderError, RescaleError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load.guard import translated
from audit_pipeline.load.inflate import GZIP_MAGIC, counted
from audit_pipeline.load.nifti_placement import placement
from audit_pipeline.load.notes import REPAIRED_HEADER, noted
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Matrix

FIRST_HEADER_BYTES = 348
_HEADERS = {348: (1, Nifti1Header), 540: (2, Nifti2Header)}
_MAGIC = {(1, b"n+1\0"): False, (1, b"ni1\0"): True, (2, b"n+2\0\r\n\x1a\n"): False, (2, b"ni2\0\r\n\x1a\n"): True}
_REAL_CODES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COMPLEX_CODES = {32: "c8", 1792: "c16"}
_COLOUR_CODES = {128: 3, 2304: 4}
OPAQUE = 255
"""Fourth channel of a colour that hides what lies behind it; anything less is refused when the voxels are read."""
_NOT_READ = {1: "single bits", 1536: "128 bit floats", 2048: "complex numbers of 256 bits"}
_SHORTEST_EXTENSION = 16
_CONNECTIVITY_INTENTS = range(3000, 3100)
"""Intents of CIFTI-2: matrices over the brain's surface that use the NIfTI-2 container and hold no image grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NiftiHeader:
    """What a NIfTI header says, checked.

    Attributes
    ----------
    version : 1 or 2
    shape : sizes of the axes i, j, k
    trailing : sizes of the axes after them; their product is the number of volumes
    is_pair : the voxels are in an .img file
    data_offset : first byte of the voxels in their file
    data_type : NumPy type of one stored number, in the byte order of the file
    channels : numbers per voxel: 1, or 3 (RGB) or 4 (RGBA) bytes
    slope, intercept : None when values are not scaled
    affine : (4, 4), (i, j, k, 1) -> mm LPS+; None when neither transform is set
    affine_source : "sform", "qform" or "none"
    voxel_mm : size along i, j, k; None where the header has none
    codes : the numbers of the header that choose among meanings
    findings : what had to be assumed, converted or preferred
    """

    version: int
    shape: tuple[int, int, int]
    trailing: tuple[int, ...]
    is_pair: bool
    data_offset: int
    data_type: np.dtype[Any]
    channels: int
    slope: float | None
    intercept: float | None
    affine: Matrix | None
    affine_source: str
    voxel_mm: tuple[float | None, ...]
    codes: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def volumes(self) -> int:
        """Number of volumes over all trailing dimensions."""
        return math.prod(self.trailing)

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return math.prod(self.shape) * self.channels * int(self.data_type.itemsize)

    @property
    def data_end(self) -> int:
        """First byte behind the voxels of all volumes."""
        return self.data_offset + self.volumes * self.volume_bytes


def header_bytes(head: bytes) -> int:
    """Return the size of the header that starts with `head`, its first 348 bytes.

    Raises
    ------
    NiftiHeaderError
        It is no NIfTI header.
    """
    return _kind(head)[0]


def read_nifti_header(head: bytes, settings: LoadSettings) -> NiftiHeader:
    """Return the checked header in the first 348 (NIfTI-1) or 540 (NIfTI-2) bytes of the content of a file.

    Raises
    ------
    NiftiHeaderError
        Wrong magic, sizes, type, offset, unit, or a transform that is not finite or not invertible.
    LimitError
        More voxels than the limits allow.
    RescaleError
        A slope without a finite intercept.
    AffineConflictError
        sform and qform place the corners more than half a voxel apart.
    """
    raw, version = _fields(head)
    is_pair = _is_pair(head, version)
    shape, trailing = _shape(raw, settings)
    data_type, channels, type_findings = _data_type(raw)
    slope, intercept, scale_findings = (None, None, []) if channels > 1 else _scaling(raw)
    placed = placement(raw, shape, settings)
    names = ("sform_code", "qform_code", "xyzt_units", "datatype", "intent_code")
    return NiftiHeader(
        version=version,
        shape=shape,
        trailing=trailing,
        is_pair=is_pair,
        data_offset=_data_offset(raw, version, is_pair=is_pair),
        data_type=data_type,
        channels=channels,
        slope=slope,
        intercept=intercept,
        affine=placed.affine,
        affine_source=placed.source,
        voxel_mm=placed.voxel_mm,
        codes={name: int(raw[name]) for name in names},
        findings=(*placed.findings, *type_findings, *scale_findings),
    )


def extension_end(head: bytes, following: bytes) -> int | None:
    """Return where the header extensions end by their own sizes; None when there are none.

    Extensions without room, or with a size that is no positive multiple of 16, lead nowhere: the end is then behind all
    bytes there are (nifti1.h, nifti1_extension).

    Parameters
    ----------
    head : the header itself, for its byte order
    following : the bytes between the header and the voxels
    """
    if len(following) < 4 or not following[0]:
        return None
    _, order, _, _ = _kind(head)
    place, end = 4, len(following)
    if end - place < _SHORTEST_EXTENSION:
        return len(head) + end + 1
    while place + 8 <= end:
        size = int.from_bytes(following[place : place + 4], order)
        if not size:
            break  # padding
        if size < _SHORTEST_EXTENSION or size % _SHORTEST_EXTENSION:
            return len(head) + end + 1
        place += size
    return len(head) + place


def _kind(head: bytes) -> tuple[int, Any, int, Any]:
    """Return size, byte order, version and field table of the header, told by its first four bytes."""
    for order in ("little", "big"):
        size = int.from_bytes(head[:4], order)
        if size in _HEADERS and len(head) >= FIRST_HEADER_BYTES:
            return size, order, *_HEADERS[size]
    if head.startswith(GZIP_MAGIC):
        raise NiftiHeaderError("the file is compressed twice; unpack it once with gunzip and load the result")
    raise NiftiHeaderError(
        "the file does not start with a NIfTI header (348 or 540 bytes); check what wrote it, and whether it is NIfTI "
        "at all"
    )


def _fields(head: bytes) -> tuple[Any, int]:
    """Return the header as a structured array in the byte order of the file, and the version of NIfTI."""
    size, order, version, table = _kind(head)
    if len(head) < size:
        raise NiftiHeaderError(f"the file ends inside its header of {size} bytes; copy it again from its source")
    with translated(NiftiHeaderError, "the NIfTI header cannot be parsed; check what wrote the file"):
        # the byte order is given, or nibabel would guess it from a number of dimensions that may be damaged
        return table(head[:size], endianness="<" if order == "little" else ">", check=False).structarr, version


def _is_pair(head: bytes, version: int) -> bool:
    magic = head[344:348] if version == 1 else head[4:12]
    if (version, magic) in _MAGIC:
        return _MAGIC[version, magic]
    if version == 1 and not magic.strip(b"\0 "):
        raise NiftiHeaderError(
            "the header has no NIfTI magic, as in Analyze 7.5 files, whose orientation is not known; convert the image "
            "again to NIfTI from its source"
        )
    raise NiftiHeaderError(
        f"the magic of the header should say NIfTI-{version} and does not; the file was changed by a program or on its "
        "way, so copy or convert it again from its source"
    )


def _shape(raw: Any, settings: LoadSettings) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Return the sizes of the three axes of space, and those of all others."""
    sizes = [int(one) for one in raw["dim"]]
    count = sizes[0]
    if not 1 <= count <= 7:
        raise NiftiHeaderError(f"the header announces {count} dimensions; 1 to 7 are possible. {_AGAIN}")
    shape = sizes[1 : count + 1]
    if min(shape) < 1:
        listed = " x ".join(str(size) for size in shape)
        raise NiftiHeaderError(f"every dimension needs a size above zero, found {listed}. {_AGAIN}")
    if count == 1 or int(raw["intent_code"]) in _CONNECTIVITY_INTENTS:
        raise NiftiHeaderError(
            "the file holds a list or matrix of numbers (as of a surface) and no image; name an image instead"
        )
    shape += [1] * (3 - count)
    _check_limits(shape[0], shape[1], shape[2], settings)
    return (shape[0], shape[1], shape[2]), tuple(shape[3:])


_AGAIN = "Convert the image again from its source"


def _check_limits(columns: int, rows: int, slices: int, settings: LoadSettings) -> None:
    voxels, longest = columns * rows * slices, math.isqrt(settings.voxels)
    if voxels > settings.voxels:
        raise LimitError(
            f"the header announces {counted(voxels)} voxels a volume, at most {settings.voxels} are read; raise the "
            "limit voxels if that is true"
        )
    if columns * rows > settings.frame_pixels:
        raise LimitError(
            f"the header announces slices of {columns} x {rows} pixels, at most {settings.frame_pixels} are read; "
            "raise the limit frame_pixels if that is true"
        )
    # a network wants squares, and a list of numbers padded to a square would fill the memory
    if max(columns, rows) > longest:
        raise LimitError(
            f"the header announces slices of {columns} x {rows} pixels, at most {longest} a side are read; this is a "
            "list of numbers rather than an image, so name an image instead"
        )


def _data_type(raw: Any) -> tuple[np.dtype[Any], int, list[Finding]]:
    code, announced = int(raw["datatype"]), int(raw["bitpix"])
    channels = _COLOUR_CODES.get(code, 1)
    name = "u1" if channels > 1 else _REAL_CODES.get(code) or _COMPLEX_CODES.get(code)
    if name is None:
        named = f"{_NOT_READ[code]} (data type {code})" if code in _NOT_READ else f"of unknown data type {code}"
        raise NiftiHeaderError(f"the voxels are {named}; store them as integers or as 32 or 64 bit floats")
    data_type = np.dtype(name).newbyteorder(raw.dtype["dim"].base.byteorder)
    bits = 8 * data_type.itemsize * channels
    if announced not in {0, bits}:
        raise NiftiHeaderError(
            f"data type {code} has {bits} bits a voxel, the header says {announced} (bitpix); which one is true is not "
            f"known. {_AGAIN}"
        )
    findings = []
    if not announced:
        message = f"The header leaves the bits a voxel (bitpix) at 0; those of the data type, {bits}, were used."
        findings.append(noted(REPAIRED_HEADER, Outcome.NOTE, message, value=float(bits), unit="bits"))
    if channels == 4:
        message = f"The colours have a fourth channel, {OPAQUE} (opaque) throughout; it was left out."
        findings.append(noted(REPAIRED_HEADER, Outcome.NOTE, message, value=float(OPAQUE), limit=float(OPAQUE)))
    return data_type, channels, findings


def _scaling(raw: Any) -> tuple[float | None, float | None, list[Finding]]:
    """Return slope and intercept; a slope of 0 or NaN means that values are not scaled (nifti1.h, scl_slope)."""
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or math.isnan(slope):
        if not intercept or math.isnan(intercept):
            return None, None, []
        message = (
            f"The header has the intercept {intercept:g} but the slope {slope:g}, which means no scaling; the values "
            "are those stored."
        )
        return None, None, [noted(REPAIRED_HEADER, Outcome.FLAG, message, value=intercept, limit=0.0)]
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise RescaleError(
            f"the header scales values by slope {slope:g} and intercept {intercept:g}; both must be finite, so the "
            f"values have no known meaning. {_AGAIN}"
        )
    return slope, intercept, []


def _data_offset(raw: Any, version: int, *, is_pair: bool) -> int:
    offset = float(raw["vox_offset"])
    lowest = 0 if is_pair else {1: 352, 2: 544}[version]
    if not math.isfinite(offset) or offset != int(offset) or offset < lowest:
        raise NiftiHeaderError(
            f"the header says that voxels start at byte {offset:g} (vox_offset); it must be a whole number of at least "
            f"{lowest}. {_AGAIN}"
        )
    return int(raw["vox_offset"])
