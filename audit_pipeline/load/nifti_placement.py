"""Where the voxels of a NIfTI file lie: sform, qform, voxel sizes and units, compared and never repaired by guessing.

References: nifti1.h (https://nifti.nimh.nih.gov), "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE", "QUATERNION
REPRESENTATION OF ROTATION MATRIX", "UNITS OF SPATIAL AND TEMPORAL DIMENSIONS".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from audit_pipeline.errors import AffineConflictError, NiftiHeaderError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.geometry import lps_to_ras, spacing_of, transform_points
from audit_pipeline.load.notes import ASSUMED_POSITION_OR_UNIT, REPAIRED_HEADER, TILTED_STACK, noted
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Matrix

UNIT_NAMES = {0: "no unit", 1: "metre", 2: "millimetre", 3: "micrometre"}
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LAST_CODE = 5
"""Transform codes are 0 (unknown), 1 scanner, 2 aligned, 3 Talairach, 4 MNI 152 and 5 other template."""
_SAME_PLACE_VOXELS = 0.5
_SAME_SIZE_SHARE = 0.01
_SHEAR_NOTED_DEGREES = 0.1
_FLAT = 1e-3
"""Volume of the parallelepiped of the axis directions below which they lie in a plane."""
_SMALLEST_MM, _LARGEST_MM = 1e-5, 1e4
"""Edges of a voxel from 10 nanometres to 10 metres; far outside, positions drown in the rounding of numbers."""
_FARTHEST_MM = 1e7
_QUATERNION_ROUNDING = 1e-5
_HALF_TURN = 1e-7
"""Below this the first part of the quaternion is rounding and counts as 0, as the reference C library has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where voxel (i, j, k) lies.

    Attributes
    ----------
    affine : (4, 4), (i, j, k, 1) -> mm LPS+; None when neither transform is set
    source : "sform", "qform" or "none"
    voxel_mm : size along i, j, k; None for axes that the file does not have, when no transform is set
    findings : what had to be assumed, converted or preferred
    """

    affine: Matrix | None
    source: str
    voxel_mm: tuple[float | None, ...]
    findings: tuple[Finding, ...]


def placement(raw: Any, shape: Sequence[int], settings: LoadSettings) -> Placement:
    """Return where the voxels lie by sform, else qform, else not at all.

    Parameters
    ----------
    raw : header fields, as nibabel's structured array
    shape : sizes along i, j, k

    Raises
    ------
    NiftiHeaderError
        A size, unit, code or transform that counts is damaged.
    AffineConflictError
        sform and qform place a corner of the image more than half a voxel apart.
    """
    unit = int(raw["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise NiftiHeaderError(
            f"the length unit of the header has code {unit}; 1 (metre), 2 (millimetre) and 3 (micrometre) are defined. "
            "Find out the true unit and write the file again"
        )
    sizes = _sizes(raw, _MM_PER_UNIT[unit])
    source, affine, findings = _chosen(raw, sizes, shape, settings)
    findings = [*_unit_findings(unit), *findings]
    if affine is None:
        announced = min(3, int(raw["dim"][0]))
        known = [size * _MM_PER_UNIT[unit] if axis < announced else None for axis, size in enumerate(sizes)]
        return Placement(affine=None, source=source, voxel_mm=tuple(known), findings=tuple(findings))
    affine = lps_to_ras(np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0]) @ affine)
    _refuse_absurd(affine, source)
    return Placement(affine=affine, source=source, voxel_mm=spacing_of(affine), findings=tuple(findings))


def _refuse_absurd(affine: Matrix, source: str) -> None:
    edges, distance = spacing_of(affine), float(np.abs(affine[:3, 3]).max())
    is_sane = all(_SMALLEST_MM <= edge <= _LARGEST_MM for edge in edges)
    if not is_sane or distance > _FARTHEST_MM:
        listed = " x ".join(f"{edge:.3g}" for edge in edges)
        raise NiftiHeaderError(
            f"{source} makes voxels of {listed} mm, the first one {distance:.3g} mm from the origin; edges of "
            f"{_SMALLEST_MM:g} to {_LARGEST_MM:g} mm and at most {_FARTHEST_MM:g} mm are possible. Convert the image "
            "again from its source"
        )


def _sizes(raw: Any, mm: float) -> list[float]:
    """Return the voxel sizes along i, j, k in the unit of the file, `mm` long; 1 along axes that it does not have."""
    announced = min(3, int(raw["dim"][0]))
    sizes = [float(one) for one in raw["pixdim"][1 : announced + 1]]
    if not all(_SMALLEST_MM <= size * mm <= _LARGEST_MM for size in sizes):
        listed = " x ".join(f"{size:g}" for size in sizes)
        raise NiftiHeaderError(
            f"the voxel sizes (pixdim) are {listed}; each must be a number above zero, of {_SMALLEST_MM:g} to "
            f"{_LARGEST_MM:g} mm. Convert the image again from its source"
        )
    return sizes + [1.0] * (3 - announced)


def _chosen(
    raw: Any, sizes: Sequence[float], shape: Sequence[int], settings: LoadSettings
) -> tuple[str, Matrix | None, list[Finding]]:
    """Return the name of the transform that counts, its matrix in RAS+ and the unit of the file, and what to say."""
    names = [name for name in ("sform", "qform") if int(raw[f"{name}_code"]) != 0]
    preferred = settings.prefer_affine
    names.sort(key=lambda name: name != preferred)
    if not names:
        message = "The header sets neither sform nor qform: orientation and position are unknown."
        return "none", None, [noted(ASSUMED_POSITION_OR_UNIT, Outcome.FLAG, message, value=0.0, unit="transforms")]
    first, *second = names
    advice = "Convert the image again from its source"
    try:
        affine = _transform(first, raw, sizes)
    except NiftiHeaderError as error:
        advice += f", or set prefer_affine to {second[0]} if that one is right" if second else ""
        raise NiftiHeaderError(f"{error}. {advice}") from error
    findings = _own_findings(first, affine, sizes, raw)
    if not second:
        return first, affine, findings
    try:
        apart = _apart_voxels(affine, _transform(second[0], raw, sizes), shape)
    except NiftiHeaderError as error:
        if preferred != first:
            raise NiftiHeaderError(
                f"{error}. {advice}, or set prefer_affine to {first} if that one is right"
            ) from error
        message = f"{first} was used, as asked for; the other transform is damaged: {error}."
        return first, affine, [*findings, noted(REPAIRED_HEADER, Outcome.FLAG, message)]
    return first, affine, [*findings, *_conflict_findings(first, apart, is_asked=preferred == first)]


def _transform(name: str, raw: Any, sizes: Sequence[float]) -> Matrix:
    """Return a transform that is set, in RAS+ and the unit of the file; an error says what is wrong, not what to do."""
    code = int(raw[f"{name}_code"])
    if not 0 < code <= _LAST_CODE:
        raise NiftiHeaderError(f"{name}_code is {code}, only 0 to {_LAST_CODE} are defined; the position is not known")
    affine = _sform(raw) if name == "sform" else _qform(raw, sizes)
    if not np.isfinite(affine).all():
        raise NiftiHeaderError(f"{name} holds numbers that are not finite; the position is not known")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < _FLAT:
        raise NiftiHeaderError(f"{name} is singular: it places different voxels at one point")
    return affine


def _sform(raw: Any) -> Matrix:
    rows = [[float(one) for one in raw[f"srow_{axis}"]] for axis in "xyz"]
    return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])


def _qform(raw: Any, sizes: Sequence[float]) -> Matrix:
    """Return the affine of the unit quaternion (nifti1.h, METHOD 2)."""
    handed = float(raw["pixdim"][0])
    if handed not in {-1.0, 0.0, 1.0}:
        raise NiftiHeaderError(f"pixdim[0], which tells left from right in qform, is {handed:g}; it must be 1 or -1")
    b, c, d = (float(raw[f"quatern_{one}"]) for one in "bcd")
    squared = 1.0 - (b * b + c * c + d * d)
    # the three parts are stored as 32 bit floats, so a half turn may come out a little beside zero
    if not squared > -_QUATERNION_ROUNDING:
        raise NiftiHeaderError("the quaternion of qform is longer than 1; the orientation is not known")
    a = math.sqrt(squared) if squared > _HALF_TURN else 0.0
    length = a * a + b * b + c * c + d * d
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation / length * np.array([sizes[0], sizes[1], -sizes[2] if handed < 0 else sizes[2]])
    affine[:3, 3] = [float(raw[f"qoffset_{one}"]) for one in "xyz"]
    return affine


def _apart_voxels(one: Matrix, other: Matrix, shape: Sequence[int]) -> float:
    """Return how far the two transforms place a corner of the field of view apart, in edges of the smallest voxel.

    The corners are the outer ones, half a voxel beyond the centres, so that a flip of a single slice counts too.
    """
    corners = np.array(list(product(*((-0.5, size - 0.5) for size in shape))))
    apart = np.linalg.norm(transform_points(one, corners) - transform_points(other, corners), axis=1).max()
    return float(apart / min(*spacing_of(one), *spacing_of(other)))


def _conflict_findings(name: str, apart: float, *, is_asked: bool) -> list[Finding]:
    if apart <= _SAME_PLACE_VOXELS:
        return []
    if not is_asked:
        raise AffineConflictError(
            f"sform and qform place the image up to {apart:.3g} voxels apart, at most {_SAME_PLACE_VOXELS} are "
            "taken as rounding. Find out which one is right and set prefer_affine to sform or qform"
        )
    message = f"sform and qform place the image up to {apart:.3g} voxels apart; {name} was used, as asked for."
    return [noted(REPAIRED_HEADER, Outcome.FLAG, message, value=apart, limit=_SAME_PLACE_VOXELS, unit="voxels")]


def _own_findings(name: str, affine: Matrix, sizes: Sequence[float], raw: Any) -> list[Finding]:
    """Return what is to be said about the transform that counts: shear, sizes, handedness."""
    found = []
    lengths = np.array(spacing_of(affine))
    directions = affine[:3, :3] / lengths
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    shear = math.degrees(math.asin(min(1.0, float(cosines))))
    if shear > _SHEAR_NOTED_DEGREES:
        message = f"The axes of the voxel grid are {shear:.2g} degrees off perpendicular; positions are right."
        found.append(
            noted(TILTED_STACK, Outcome.FLAG, message, value=shear, limit=_SHEAR_NOTED_DEGREES, unit="degrees")
        )
    if name == "qform" and float(raw["pixdim"][0]) == 0:
        message = "The handedness of qform (pixdim[0]) is 0 in the header; it counts as 1, as the standard says."
        found.append(noted(REPAIRED_HEADER, Outcome.NOTE, message, value=0.0))
    announced = min(3, int(raw["dim"][0]))
    factor = float(np.exp(np.abs(np.log(lengths / sizes))[:announced].max()))
    if factor > 1 + _SAME_SIZE_SHARE:
        message = (
            f"{name} and the voxel sizes (pixdim) of the header differ by a factor of up to {factor:.3g}; {name} was "
            "used, as the standard says."
        )
        found.append(
            noted(REPAIRED_HEADER, Outcome.FLAG, message, value=factor, limit=1 + _SAME_SIZE_SHARE, unit="ratio")
        )
    return found


def _unit_findings(unit: int) -> list[Finding]:
    if unit == 2:
        return []
    taken = "millimetres were assumed" if unit == 0 else "lengths were converted to millimetres"
    message = f"The length unit of the header is {UNIT_NAMES[unit]}; {taken}."
    return [noted(ASSUMED_POSITION_OR_UNIT, Outcome.FLAG, message, value=_MM_PER_UNIT[unit], limit=1.0, unit="mm")]
