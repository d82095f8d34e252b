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

from audit_pipeline.errors import AffineConflictError, LimitError, MultiFrameError, NiftiHeaderError, RescaleError
from audit_pipeline.geometry import lps_to_ras
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Matrix

HEADER_BYTES = 540
_FIRST_DATA_BYTE = {1: 352, 2: 544}
_MAGIC = {(1, b"n+1\0"): False, (1, b"ni1\0"): True, (2, b"n+2\0\r\n\x1a\n"): False, (2, b"ni2\0\r\n\x1a\n"): True}
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
UNIT_NAMES = {0: "no unit", 1: "metre", 2: "millimetre", 3: "micrometre"}
_SAME_PLACE_VOXELS = 0.5
_QUATERNION_ROUNDING = 1e-5
_HALF_TURN = 1e-7
"""Below this the first part of the quaternion is rounding and counts as 0 (nifti1_io.c, nifti_quatern_to_mat44)."""
_REAL_CODES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COMPLEX_CODES = (32, 1792, 2048)
RGB_CODE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class NiftiHeader:
    """What a NIfTI header says, checked.

    Attributes
    ----------
    shape : sizes of the axes i, j, k and, when above 1, of the fourth; is_pair : data is in an .img file
    data_type : NumPy type of one stored element; RGB is ("u1", 3)
    slope, intercept : None when values are not scaled
    affine : (4, 4), (i, j, k, 1) -> mm LPS+; None when neither transform is set
    affine_source : "sform", "qform" or "none"
    voxel_mm : size along i, j, k; None where the header has none
    unit_code : code of the length unit, see `UNIT_NAMES`
    """

    shape: tuple[int, ...]
    is_pair: bool
    data_offset: int
    data_type: np.dtype[Any]
    is_colour: bool
    slope: float | None
    intercept: float | None
    affine: Matrix | None
    affine_source: str
    voxel_mm: tuple[float | None, ...]
    unit_code: int
    codes: dict[str, int]

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels of all volumes."""
        return math.prod(self.shape) * int(self.data_type.itemsize)


def read_nifti_header(head: bytes, settings: LoadSettings) -> NiftiHeader:
    """Return the checked header in the first 540 bytes of a (decompressed) file.

    Raises
    ------
    NiftiHeaderError
        Wrong magic, sizes, type, offset, unit, or a transform that is not finite or not invertible.
    LimitError
        More voxels than the limits allow.
    MultiFrameError
        More than four dimensions.
    RescaleError
        A slope without a finite intercept.
    AffineConflictError
        sform and qform place the corners more than half a voxel apart.
    """
    raw, version = _fields(head)
    magic = head[344:348] if version == 1 else head[4:12]
    if (version, magic) not in _MAGIC:
        raise NiftiHeaderError("the magic of the header is not NIfTI; Analyze 7.5 files have no known orientation")
    is_pair = _MAGIC[version, magic]
    shape = _shape(raw, settings)
    data_type, is_colour = _data_type(raw)
    slope, intercept = (None, None) if is_colour else _scaling(raw)
    affine, source, voxel_mm = _placement(raw, shape, settings)
    return NiftiHeader(
        shape=shape,
        is_pair=is_pair,
        data_offset=_data_offset(raw, version, is_pair=is_pair),
        data_type=data_type,
        is_colour=is_colour,
        slope=slope,
        intercept=intercept,
        affine=affine,
        affine_source=source,
        voxel_mm=voxel_mm,
        unit_code=int(raw["xyzt_units"]) & 7,
        codes={name: int(raw[name]) for name in ("sform_code", "qform_code", "xyzt_units", "datatype")},
    )


def _fields(head: bytes) -> tuple[Any, int]:
    """Return the header as a structured array in native terms, and the version of NIfTI."""
    sizes = {int.from_bytes(head[:4], order): order for order in ("little", "big")}
    for size, version, kind in ((348, 1, Nifti1Header), (540, 2, Nifti2Header)):
        if size in sizes and len(head) >= size:
            with translated(NiftiHeaderError, "the NIfTI header cannot be parsed"):
                return kind(head[:size], check=False).structarr, version
    raise NiftiHeaderError("the file does not start with a NIfTI header (348 or 540); check what wrote it")


def _shape(raw: Any, settings: LoadSettings) -> tuple[int, ...]:
    sizes = [int(one) for one in raw["dim"]]
    count = sizes[0]
    if not 1 <= count <= 7:
        raise NiftiHeaderError(f"the header announces {count} dimensions; 1 to 7 are possible")
    shape = sizes[1 : count + 1]
    if min(shape) < 1:
        raise NiftiHeaderError(f"every dimension needs a size above zero, found {shape}")
    voxels = math.prod(shape)
    if voxels > settings.voxels or max(shape[:2]) ** 2 > settings.voxels:
        raise LimitError(f"the header announces {voxels} voxels; at most {settings.voxels} are read")
    shape += [1] * (3 - count)
    if any(size > 1 for size in shape[4:]):
        raise MultiFrameError(f"the file has more than four dimensions {tuple(shape)}; store one volume a file")
    return tuple(shape[:3]) + tuple(size for size in shape[3:4] if size > 1)


def _data_type(raw: Any) -> tuple[np.dtype[Any], bool]:
    code = int(raw["datatype"])
    order = raw.dtype["dim"].base.byteorder
    if code == RGB_CODE:
        return np.dtype(("u1", (3,))), True
    if code in _COMPLEX_CODES:
        raise NiftiHeaderError("the voxels are complex numbers; store magnitude or phase as a real image")
    if code not in _REAL_CODES:
        raise NiftiHeaderError(
            f"voxels of data type {code} are not read; store them as integers or 32 or 64 bit floats"
        )
    return np.dtype(_REAL_CODES[code]).newbyteorder(order), False


def _scaling(raw: Any) -> tuple[float | None, float | None]:
    """Return slope and intercept; a slope of 0 or NaN means that values are not scaled (nifti1.h, scl_slope)."""
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return None, None
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise RescaleError("scl_slope is set but slope or intercept is not finite; the values have no known meaning")
    return slope, intercept


def _data_offset(raw: Any, version: int, *, is_pair: bool) -> int:
    offset = float(raw["vox_offset"])
    lowest = 0 if is_pair else _FIRST_DATA_BYTE[version]
    if not math.isfinite(offset) or offset != int(offset) or offset < lowest:
        raise NiftiHeaderError(f"vox_offset must be a whole number of at least {lowest}, found {offset:g}")
    return int(offset)


def _placement(
    raw: Any, shape: tuple[int, ...], settings: LoadSettings
) -> tuple[Matrix | None, str, tuple[float | None, ...]]:
    unit = int(raw["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise NiftiHeaderError(f"the length unit has code {unit}; metre, millimetre and micrometre are known")
    scale = np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0])
    found = {}
    if int(raw["sform_code"]) > 0:
        found["sform"] = _checked(_sform(raw), "sform")
    if int(raw["qform_code"]) > 0:
        found["qform"] = _checked(_qform(raw), "qform")
    if not found:
        sizes = [abs(float(one)) * _MM_PER_UNIT[unit] for one in raw["pixdim"][1:4]]
        return None, "none", tuple(size if math.isfinite(size) and size > 0 else None for size in sizes)
    source = _chosen(found, shape, settings)
    affine = lps_to_ras(scale @ found[source])
    return affine, source, tuple(float(one) for one in np.linalg.norm(affine[:3, :3], axis=0))


def _sform(raw: Any) -> Matrix:
    rows = [[float(one) for one in raw[f"srow_{axis}"]] for axis in "xyz"]
    return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])


def _qform(raw: Any) -> Matrix:
    """Return the affine of the unit quaternion (nifti1.h, METHOD 2)."""
    sizes = [float(one) for one in raw["pixdim"][1:4]]
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise NiftiHeaderError(f"qform needs three voxel sizes above zero, found {sizes}")
    b, c, d = (float(raw[f"quatern_{one}"]) for one in "bcd")
    squared = 1.0 - (b * b + c * c + d * d)
    # the three parts are stored as 32 bit floats, so a half turn may come out a little beside zero
    if not squared > -_QUATERNION_ROUNDING:
        raise NiftiHeaderError("the quaternion of qform is longer than 1; the orientation is not known")
    a = math.sqrt(squared) if squared > _HALF_TURN else 0.0
    handed = -1.0 if float(raw["pixdim"][0]) < 0 else 1.0
    length = a * a + b * b + c * c + d * d
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation / length * np.array([sizes[0], sizes[1], sizes[2] * handed])
    affine[:3, 3] = [float(raw[f"qoffset_{one}"]) for one in "xyz"]
    return affine


def _checked(affine: Matrix, name: str) -> Matrix:
    if not np.isfinite(affine).all():
        raise NiftiHeaderError(f"{name} holds numbers that are not finite; the position is not known")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() == 0 or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-6:
        raise NiftiHeaderError(f"{name} is singular: it places different voxels at one point")
    return affine


def _chosen(found: dict[str, Matrix], shape: tuple[int, ...], settings: LoadSettings) -> str:
    if settings.prefer_affine is not None and settings.prefer_affine in found:
        return settings.prefer_affine
    if len(found) == 2:
        corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        corners[:, :3] *= [size - 1 for size in shape[:3]]
        apart = np.linalg.norm((corners @ (found["sform"] - found["qform"]).T)[:, :3], axis=1).max()
        voxel = min(np.linalg.norm(one[:3, :3], axis=0).min() for one in found.values())
        if apart > _SAME_PLACE_VOXELS * voxel:
            raise AffineConflictError(
                f"sform and qform place the image up to {apart / voxel:.3g} voxels apart; find out which one is right "
                "and set prefer_affine to sform or qform"
            )
    return next(iter(found))
