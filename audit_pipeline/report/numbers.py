"""Numbers as they are printed: never NaN, no more digits than a reader can use, a true minus sign."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from audit_pipeline.geometry import LPS_LETTERS

MISSING = "\u2013"
SIGN = re.compile(r"(?<![\w.)-])-(?=\d)")
"""A minus sign typed as a hyphen: before a number, after nothing that it could join."""

POWER = re.compile(r"(?<![\w.])(\d[\d.]*e)(-?)\+?0*(\d+)(?!\w)")
"""A number with a power of ten."""

PER_CENT = re.compile(r"(?<=\d)%")
NEGLIGIBLE = 1e-9
"""Printed as 0: smaller than any quantity of the reports, and of the size of rounding in float64 sums."""


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits; a dash when missing, words when not finite.

    Examples
    --------
    >>> number(0.123456), number(1234.56), number(2.0), number(None), number(1.2e-7), number(1.6e-13)
    ('0.123', '1235', '2', '\u2013', '1.2e\u22127', '0')
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    if abs(value) < NEGLIGIBLE:
        return "0"
    if float(value).is_integer() and abs(value) < 1e6:
        return _signed(str(int(value)))
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return _signed(f"{mantissa}e{int(exponent)}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _signed(f"{value:.{decimals}f}")


def measured(value: float | None) -> str:
    """Return a measured value; one too small to print is not called 0.

    >>> measured(0.0), measured(2.1e-11), measured(-0.25)
    ('0', '<1e\u22129', '\u22120.250')
    """
    return "<1e\u22129" if value is not None and 0 < abs(value) < NEGLIGIBLE else number(value)


def fixed(value: float | None, decimals: int) -> str:
    """Return `value` with a fixed number of decimals.

    >>> fixed(-0.5, 2), fixed(-0.0001, 2), fixed(None, 1)
    ('\u22120.50', '0.00', '\u2013')
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    return _signed(f"{round(value, decimals) + 0.0:.{decimals}f}")


def typeset(words: str) -> str:
    """Return words from a record with true minus signs, powers of ten as elsewhere, and a blank before per cent.

    >>> typeset("shifted by (0, -5), p = 1.2e-05, 63% of it"), typeset("40-49, vendor-2, 41598-025")
    ('shifted by (0, \u22125), p = 1.2e\u22125, 63 % of it', '40-49, vendor-2, 41598-025')
    """
    if "-" not in words and "%" not in words:
        return words
    words = POWER.sub(lambda found: f"{found[1]}{_signed(found[2])}{found[3]}", words)
    return PER_CENT.sub(" %", SIGN.sub("\u2212", words))


def _signed(drawn: str) -> str:
    return drawn.replace("-", "\u2212")


def probability(value: float | None) -> str:
    """Return a probability with three decimals, never rounded to a certainty that was not there.

    >>> probability(0.91234), probability(0.99996), probability(1e-9), probability(1.0), probability(0.0)
    ('0.912', '>0.999', '<0.001', '1.000', '0.000')
    """
    if value is None:
        return MISSING
    if 0.9995 <= value < 1:
        return ">0.999"
    if 0 < value < 0.0005:
        return "<0.001"
    return fixed(value, 3)


def sizes(values: Sequence[float | None], unit: str = "mm", digits: int = 3) -> str:
    """Return the entries joined by a multiplication sign.

    >>> sizes((2.5, 0.7, 0.7)), sizes((None, 0.7)), sizes((64, 64), "")
    ('2.5 \u00d7 0.7 \u00d7 0.7 mm', 'unknown \u00d7 0.7 mm', '64 \u00d7 64')
    """
    if not values:
        return MISSING
    if all(value is None for value in values):
        return "unknown"
    times = " \u00d7 "
    return f"{times.join('unknown' if value is None else short(value, digits) for value in values)} {unit}".strip()


def short(value: float | None, digits: int = 3) -> str:
    """Return `value` like `number`, without zeros at the end of its decimals: for limits, thresholds and axes.

    >>> short(0.5), short(0.0001), short(100.0), short(1e-6), short(None)
    ('0.5', '0.0001', '100', '1e\u22126', '\u2013')
    """
    drawn = number(value, digits)
    return drawn.rstrip("0").rstrip(".") if "." in drawn and "e" not in drawn else drawn


def position(place: Sequence[float] | None) -> str:
    """Return a patient position in mm with the direction of each coordinate in a letter.

    >>> position((32.14, -10, 0)), position(None)
    ('L 32.1, A 10.0, H 0.0 mm', 'unknown')
    """
    if place is None:
        return "unknown"
    parts = [f"{LPS_LETTERS[axis][int(value >= 0)]} {fixed(abs(value), 1)}" for axis, value in enumerate(place)]
    return ", ".join(parts) + " mm"


NORMALS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane -> world axis along which its slices follow."""


def along(plane: str, place_mm: float) -> str:
    """Return the position of a slice along its normal, with the letter of the direction where the plane has one.

    >>> along("axial", -641.8), along("sagittal", 58.4), along("oblique axial", -3.0)
    ('F 641.8 mm', 'L 58.4 mm', '\u22123.0 mm')
    """
    if plane not in NORMALS:
        return f"{fixed(place_mm, 1)} mm"
    return f"{LPS_LETTERS[NORMALS[plane]][int(place_mm >= 0)]} {fixed(abs(place_mm), 1)} mm"


def share(count: int, total: int) -> str:
    """Return a proportion: the fraction alone below 20 cases, the percentage with the fraction from 20 on.

    >>> share(7, 9), share(87, 100), share(0, 0)
    ('7 of 9', '87.0 % (87 of 100)', 'none')
    """
    if total == 0:
        return "none"
    fraction = f"{count} of {total}"
    return fraction if total < 20 else f"{fixed(100 * count / total, 1)} % ({fraction})"


def digest(value: str) -> str:
    """Return the first 12 digits of a digest.

    >>> digest("0123456789abcdef"), digest("")
    ('0123456789ab', '\u2013')
    """
    return value[:12] or MISSING


def element(index: Sequence[int]) -> str:
    """Return an index in array order with the words for what it counts.

    >>> element((3, 20, 7)), element((20, 7))
    ('voxel (3, 20, 7)', 'row 20, column 7')
    """
    if len(index) == 3:
        return f"voxel ({', '.join(str(one) for one in index)})"
    return f"row {index[0]}, column {index[1]}"
