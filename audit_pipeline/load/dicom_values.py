"""From stored values to real units: modality transform, padding, polarity. No display window is ever applied.

References: DICOM PS3.3, C.11.1 (Modality LUT), C.7.5.1.1.2 (Pixel Padding Value), C.7.6.3.1.2 (MONOCHROME1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray

from audit_pipeline.errors import HeaderError, RescaleError
from audit_pipeline.load.dicom_elements import numbers, text
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.guard import translated
from audit_pipeline.load.lookup import table_entries
from audit_pipeline.records import Floats, Mask, Matrix

STORED = "stored value"
_BLOCK = 2**15
"""Pixels that are converted at once."""
_NAMED_UNITS = ("HU", "OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
"""Defined terms of Rescale Type that name a unit (PS3.3, C.11.1.1.2); "US" says that it is unspecified."""
_PET_UNITS = ("BQML", "CNTS", "GML", "PROPCPS", "CM2ML", "PCNT", "CPS", "NONE", "1CM", "STDDEV", "UMOLML", "MLMING")
"""Defined terms of Units (PS3.3, C.8.9.1.1.3)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModalityMap:
    """How stored values become real ones: not at all, ``slope * stored + intercept``, or by a table.

    first : stored value that maps to the first entry of `table`; values outside take the nearest entry
    """

    kind: Literal["none", "rescale", "table"]
    slope: float = 1.0
    intercept: float = 0.0
    first: int = 0
    table: Matrix | None = None

    def write(self, stored: NDArray[np.generic], out: Floats) -> None:
        """Write the real values of `stored` to `out`: computed in float64 and rounded once.

        Where float32 is exact, as for whole HU, it is used at once; else a few rows at a time, which stay in the cache.
        """
        if self.table is None and self._is_exact(stored.dtype):
            np.multiply(stored, np.float32(self.slope), out=out, dtype=np.float32, casting="unsafe")
            out += np.float32(self.intercept)
            return
        rows = max(1, _BLOCK // max(1, stored.shape[1]))
        for start in range(0, len(stored), rows):
            block = slice(start, start + rows)
            if self.table is None:
                out[block] = stored[block].astype(np.float64) * self.slope + self.intercept
            else:
                out[block] = self.table[np.clip(stored[block].astype(np.int64) - self.first, 0, len(self.table) - 1)]

    def _is_exact(self, kind: np.dtype[Any]) -> bool:
        """Whether every product and sum of whole numbers stays below 2 ** 24, where float32 has no gaps."""
        is_whole = self.slope == int(self.slope) and self.intercept == int(self.intercept)
        return kind.kind in "iu" and is_whole and abs(self.slope) * 256.0**kind.itemsize + abs(self.intercept) < 2**24

    def mirrored(self, lowest: float, highest: float) -> ModalityMap:
        """Return the map that exchanges bright and dark within the real values of `lowest` to `highest`."""
        low, high = self.ends(lowest, highest)
        if self.table is not None:
            return replace(self, table=low + high - self.table)
        return replace(self, slope=-self.slope, intercept=low + high - self.intercept)

    def scaled(self, factor: float) -> ModalityMap:
        """Return the map whose real values are `factor` times those of this one."""
        table = None if self.table is None else self.table * factor
        return replace(self, slope=self.slope * factor, intercept=self.intercept * factor, table=table)

    @property
    def is_tame(self) -> bool:
        """Whether every stored integer of up to 32 bits becomes a finite float32."""
        if self.table is not None:
            return bool(np.isfinite(self.table.astype(np.float32)).all())
        return abs(self.slope) * 2.0**32 + abs(self.intercept) < float(np.finfo(np.float32).max)

    def ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """Return the real values between which every stored value from `lowest` to `highest` falls."""
        if self.table is not None:
            return float(self.table.min()), float(self.table.max())
        one, other = (self.slope * end + self.intercept for end in (lowest, highest))
        return min(one, other), max(one, other)


def mapping_of(dataset: pydicom.Dataset, header: Header) -> ModalityMap:
    """Return the modality transform of one image; a table wins over slope and intercept.

    Raises
    ------
    RescaleError
        Slope or intercept is missing beside the other, empty, zero (slope), several numbers or no finite number; or
        the table is damaged.
    """
    if "ModalityLUTSequence" in dataset and len(dataset.ModalityLUTSequence) > 0:
        with translated(RescaleError, "the Modality LUT Sequence cannot be read; export the image again"):
            return _table(dataset, header)
    slope, intercept = (_one_number(dataset, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None:
        return ModalityMap(kind="none")
    if slope is None or intercept is None:
        raise RescaleError("RescaleSlope and RescaleIntercept belong together, found one of them; export again")
    if slope == 0:
        raise RescaleError("RescaleSlope is 0, which would make every value the same; export the image again")
    return ModalityMap(kind="rescale", slope=slope, intercept=intercept)


def _one_number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    try:
        found = numbers(dataset, keyword)
    except ValueError:
        found = ()
    if found is None:
        return None
    if len(found) != 1:
        raise RescaleError(f"{keyword} must be one finite number, found {len(found) or 'none'}; export the image again")
    return found[0]


def _table(dataset: pydicom.Dataset, header: Header) -> ModalityMap:
    item = dataset.ModalityLUTSequence[0]
    length, first, bits = (int(one) for one in item.LUTDescriptor)
    length = length or 65_536  # PS3.3, C.11.1.1.1: 2 ** 16 entries are written as 0
    if header.is_signed and first > 32_767:
        first -= 65_536
    table = table_entries(item.LUTData, length, is_little=bool(dataset.original_encoding[1]))
    return ModalityMap(kind="table", first=first, table=table % float(1 << bits))


def unit_of(dataset: pydicom.Dataset, header: Header, mapping: ModalityMap) -> str:
    """Return the unit of the real values; "stored value" where the file names none."""
    if header.modality == "PT":
        named = text(dataset, "Units").upper()
        return named if named in _PET_UNITS else STORED
    if mapping.kind == "none":
        return STORED
    if mapping.kind == "table":
        named = text(_item(dataset), "ModalityLUTType").upper()
        return named if named in _NAMED_UNITS else STORED
    named = text(dataset, "RescaleType").upper()
    # PS3.3, C.8.2.1: Rescale Type may be left out in CT when the output is in Hounsfield units
    return named if named in _NAMED_UNITS else "HU" if header.modality == "CT" and not named else STORED


def _item(dataset: pydicom.Dataset) -> pydicom.Dataset:
    return dataset.ModalityLUTSequence[0]


def padding_of(stored: NDArray[Any], raw: NDArray[np.generic], dataset: pydicom.Dataset, header: Header) -> Mask | None:
    """Return where a grey image is padding; None when the header names no padding value.

    A padding value outside the range of the stored bits is looked for in the raw words, where it would otherwise be
    cut to an innocent value.

    Raises
    ------
    HeaderError
        The padding value is there but no number.
    """
    try:
        value, limit = (numbers(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    except ValueError as error:
        raise HeaderError("the padding value cannot be read, padding would pass as anatomy; export again") from error
    if not value or stored.dtype.kind == "f":
        return None
    low, high = sorted((int(value[0]), int((limit or value)[0])))
    bits = header.bits[1]
    bottom = -(1 << (bits - 1)) if header.is_signed else 0
    if bottom <= low and high < bottom + (1 << bits):
        return np.asarray(stored == low if low == high else (stored >= low) & (stored <= high))
    width = raw.dtype.itemsize * 8
    words = raw.view(f"u{raw.dtype.itemsize}").astype(np.int64)
    if low == high:
        return np.asarray(words == low % (1 << width))
    signed = words - ((words >> (width - 1)) << width) if low < 0 else words
    return np.asarray((signed >= low) & (signed <= high))


def stored_range(stored: NDArray[np.generic], header: Header) -> tuple[float, float]:
    """Return the lowest and highest value the stored bits can hold; of float pixel data, those that occur."""
    if stored.dtype.kind == "f":
        finite = stored[np.isfinite(stored)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    bits = header.bits[1]
    bottom = -(1 << (bits - 1)) if header.is_signed else 0
    return float(bottom), float(bottom + (1 << bits) - 1)
