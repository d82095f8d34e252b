"""Single header values, read without trusting them: absent is None, unreadable is ``ValueError``.

Decimal and integer strings are taken from their raw bytes, because pydicom refuses or rewrites strings longer than the
16 characters of PS3.5, 6.2, which anonymisers produce all the time and which are perfectly readable numbers.
"""

from __future__ import annotations

import math
import re

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.uid import UID_dictionary

# every digit can match in one place only, so that nothing is tried twice
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
LONGEST_NUMBER = 64
"""Characters; a Decimal String may have 16 (PS3.5, 6.2), and the exact decimal form of a double some 20."""
MOST_WHOLE = 2**32
"""No count, size or bit number of DICOM is larger."""
_TEXT_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "SH", "ST", "TM", "UI")


def words(dataset: pydicom.Dataset, keyword: str) -> tuple[str, ...] | None:
    """Return the values of an element as stripped text; None when it is absent, () when it is empty."""
    tag = tag_for_keyword(keyword)
    element = None if tag is None else dataset.get_item(tag)
    if element is None:
        return None
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        vr = _vr_of(element)
        if vr in _TEXT_VRS:
            text = element.value.decode("ascii", errors="backslashreplace").strip(" \0\r\n\t")
            return tuple(word.strip(" \0") for word in text.split("\\")) if text else ()
        if vr == "US" and len(element.value) == 2:
            return (str(int.from_bytes(element.value, "little" if element.is_little_endian else "big")),)
    return _converted(dataset, keyword)


def _vr_of(element: RawDataElement) -> str:
    # implicit files state no VR, and some senders write UN for what the dictionary knows
    return str(dictionary_VR(element.tag) if element.VR in (None, "UN") else element.VR)


def _converted(dataset: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    try:
        value = dataset[keyword].value
        if value is None or (isinstance(value, str) and not value):
            return ()
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        return tuple(str(one).strip() for one in values)
    except Exception as error:
        raise ValueError(f"{keyword} cannot be read") from error


def text(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return the values of an element joined by a backslash; "" when it is absent, empty or unreadable."""
    try:
        return "\\".join(words(dataset, keyword) or ())
    except ValueError:
        return ""


def numbers(dataset: pydicom.Dataset, keyword: str) -> tuple[float, ...] | None:
    """Return the values of a numeric element; None when it is absent, () when it is empty.

    Raises
    ------
    ValueError
        A value is not a finite number.
    """
    found = words(dataset, keyword)
    if found is None:
        return None
    if not all(len(word) <= LONGEST_NUMBER and _NUMBER.fullmatch(word) for word in found):
        raise ValueError(f"{keyword} is not a number")
    values = tuple(float(word) for word in found)
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{keyword} is not finite")
    return values


def exactly(dataset: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return the values of a numeric element, or None unless it holds exactly `count` finite numbers."""
    try:
        values = numbers(dataset, keyword)
    except ValueError:
        return None
    return values if values is not None and len(values) == count else None


def uid_name(uid: str) -> str:
    """Return the name of a registered UID; "" for a private, unknown or empty one."""
    # the dictionary knows exact texts only: whatever else a header holds never becomes a name
    return str(UID_dictionary[uid][0]) if uid in UID_dictionary else ""


def whole(dataset: pydicom.Dataset, keyword: str, default: int) -> int:
    """Return one whole number, or `default` when the element is absent or empty.

    Raises
    ------
    ValueError
        The element holds several numbers, a fraction, no number, or one that is absurdly large.
    """
    values = numbers(dataset, keyword)
    if not values:
        return default
    if len(values) != 1 or not abs(values[0]) <= MOST_WHOLE or values[0] != int(values[0]):
        raise ValueError(f"{keyword} is not one whole number")
    return int(values[0])
