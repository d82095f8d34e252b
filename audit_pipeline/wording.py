"""How numbers are written in sentences: three significant digits, right singular and plural, lists that end."""

from __future__ import annotations

from collections.abc import Sequence


def shown(value: float) -> str:
    """Return `value` with three significant digits and without an exponent for everyday magnitudes.

    >>> shown(0.123456), shown(12345.6), shown(3.0), shown(0.00000123)
    ('0.123', '12346', '3', '1.23e-06')
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share of 0 to 1 in per cent.

    >>> percent(0.3), percent(0.98765), percent(0.00012)
    ('30 %', '98.8 %', '0.012 %')
    """
    return f"{shown(100 * share)} %"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `number` with its noun in the right number.

    >>> counted(1, "slice"), counted(0, "slice"), counted(2, "study", "studies")
    ('1 slice', '0 slices', '2 studies')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[object], most: int = 6) -> str:
    """Return the items separated by commas, cut after `most` of them.

    >>> listed([3, 4, 5]), listed(range(9), most=2)
    ('3, 4, 5', '0, 1 and 7 more')
    """
    head = ", ".join(str(item) for item in items[:most])
    return head if len(items) <= most else f"{head} and {len(items) - most} more"
