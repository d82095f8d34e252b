"""The voxels of a NIfTI file: stored numbers become float32 block by block as they come out of the stream.

Beside the result only a block of stored numbers is in memory, whatever the size of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.errors import CorruptFileError, NiftiHeaderError
from audit_pipeline.load.inflate import Content, ends_early
from audit_pipeline.load.nifti_header import OPAQUE, NiftiHeader
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Floats, Mask

Stored = NDArray[Any]
Real = NDArray[Any]

_BLOCK_NUMBERS = 2**16
"""Numbers converted at a time; as float64 they fill half a megabyte, which stays in the cache of a core."""
_EXACT = 2**24
"""Whole numbers up to this one are 32 bit floats."""
_PARTS: dict[str, Callable[[Stored], Real]] = {
    "real": np.real,
    "imaginary": np.imag,
    "magnitude": np.abs,
    "phase": np.angle,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Voxels:
    """One volume in real numbers.

    Attributes
    ----------
    values : (D, H, W) or (D, H, W, 3) float32
        Values that are not finite hold the lowest finite one, 0 where there is none.
    invalid : (D, H, W) bool, True where the value is not finite; None when all are
    rounded_by : largest change of a stored whole number that 32 bit floats cannot hold; 0 when none was changed
    """

    values: Floats
    invalid: Mask | None
    rounded_by: float


def read_values(content: Content, header: NiftiHeader, number: int, settings: LoadSettings) -> Voxels:
    """Return volume `number`; `content` stands at or before its first voxel and is left behind its last.

    Raises
    ------
    CorruptFileError
        The content ends before the volume does.
    NiftiHeaderError
        Voxels are complex and no part is chosen; or an RGBA image is not opaque throughout.
    """
    real = _conversion(header, settings)
    content.skip(header.data_offset + number * header.volume_bytes - content.position)
    shape = header.shape[::-1]
    width = (min(header.channels, 3),) if header.channels > 1 else ()
    values: Floats = np.empty((math.prod(shape), *width), dtype=np.float32)
    broken: Mask | None = None
    rounded_by = 0.0
    for start, stop, stored in _blocks(content, header):
        block = values[start:stop]
        with np.errstate(over="ignore", invalid="ignore"):
            block[...] = real(stored)
        if _may_break(header) and not (finite := np.isfinite(block)).all():
            broken = np.zeros(len(values), dtype=np.bool_) if broken is None else broken
            broken[start:stop] = ~finite
        if _may_round(header):
            rounded_by = max(rounded_by, _rounding(block, stored))
    if broken is not None:
        _fill(values, broken)
    return Voxels(
        values=values.reshape((*shape, *width)),
        invalid=None if broken is None else broken.reshape(shape),
        rounded_by=rounded_by,
    )


def _blocks(content: Content, header: NiftiHeader) -> Iterator[tuple[int, int, Stored]]:
    """Yield (first voxel, voxel behind the last, stored numbers), in order."""
    voxels = math.prod(header.shape)
    step = max(1, _BLOCK_NUMBERS // header.channels)
    kept = np.empty(min(step, voxels) * header.channels, dtype=header.data_type)
    for start in range(0, voxels, step):
        count = min(step, voxels - start)
        stored = kept[: count * header.channels]
        target = stored.view(np.uint8).data
        if content.fill(target) < len(target):
            raise CorruptFileError(ends_early(header.data_end, content.position))
        yield start, start + count, stored.reshape(count, header.channels) if header.channels > 1 else stored


def _conversion(header: NiftiHeader, settings: LoadSettings) -> Callable[[Stored], Real]:
    """Return the function from stored numbers to real ones."""
    if header.channels == 4:
        return _opaque
    if header.data_type.kind == "c":
        if settings.part is None:
            raise NiftiHeaderError(
                "the voxels are complex numbers, and an image needs real ones; set part to magnitude, phase, real or "
                "imaginary"
            )
        part = _PARTS[settings.part]
        return lambda stored: part(_scaled(stored, header))
    return lambda stored: _scaled(stored, header)


def _scaled(stored: Stored, header: NiftiHeader) -> Real:
    """Return slope * stored + intercept; both parts of complex numbers are scaled alike (nifti1.h, scl_slope)."""
    slope, intercept = header.slope, header.intercept
    if slope is None or intercept is None or (slope, intercept) == (1.0, 0.0):
        return stored
    if stored.dtype.kind == "c":
        return stored.astype(np.complex128) * slope + complex(intercept, intercept)
    real = stored.astype(np.float64)
    real *= slope
    real += intercept
    return real


def _opaque(stored: Stored) -> Real:
    """Return red, green and blue of RGBA."""
    if stored[:, 3].min() != OPAQUE:
        raise NiftiHeaderError(
            "the RGBA image is transparent in places, so its colours depend on what lies behind; store it as RGB"
        )
    return stored[:, :3]


def _may_break(header: NiftiHeader) -> bool:
    """Whether a value can come out that is not a finite float32."""
    if header.data_type.kind in "fc":
        return True
    if header.slope is None or header.intercept is None:
        return False
    limits = np.iinfo(header.data_type)
    largest = max(abs(float(limits.min)), float(limits.max)) * abs(header.slope) + abs(header.intercept)
    return largest > float(np.finfo(np.float32).max)


def _may_round(header: NiftiHeader) -> bool:
    """Whether whole numbers are kept as they are and can be too large for the 24 bits of a 32 bit float."""
    return header.slope in {None, 1.0} and header.data_type.kind in "iu" and header.data_type.itemsize >= 4


def _rounding(block: Floats, stored: Stored) -> float:
    if stored.max() <= _EXACT and stored.min() >= -_EXACT:
        return 0.0
    return float(np.abs(block.astype(np.float64) - stored.astype(np.float64)).max())


def _fill(values: Floats, broken: Mask) -> None:
    """Put the lowest valid value at broken places, in place and without a copy of the volume."""
    starts = range(0, len(values), _BLOCK_NUMBERS)
    lowest = min(
        float(values[start : start + _BLOCK_NUMBERS].min(where=~broken[start : start + _BLOCK_NUMBERS], initial=np.inf))
        for start in starts
    )
    values[broken] = lowest if math.isfinite(lowest) else 0.0
