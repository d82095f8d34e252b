"""Right-to-left text for a page that is drawn from left to right: visual order and joined Arabic letters.

This covers what class names and labels need: one line, right-to-left words with digits and punctuation inside. It is a
small part of the Unicode bidirectional algorithm (UAX 9) and not a replacement for it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import groupby

RIGHT_TO_LEFT = frozenset({"R", "AL"})
MIRRORED = str.maketrans("()[]{}<>", ")(][}{><")
LAM = "\u0644"


@lru_cache(maxsize=1)
def _joined_forms() -> dict[str, dict[str, str]]:
    """Return base letters -> shape name -> presentation form, from the Unicode character database."""
    forms: dict[str, dict[str, str]] = {}
    for point in range(0xFE80, 0xFEFD):
        shape, *bases = unicodedata.decomposition(chr(point)).split()
        letters = "".join(chr(int(base, 16)) for base in bases)
        forms.setdefault(letters, {})[shape.strip("<>")] = chr(point)
    return forms


def has_right_to_left(text: str) -> bool:
    """Return whether any character of `text` is written from right to left."""
    return any(unicodedata.bidirectional(character) in RIGHT_TO_LEFT for character in text)


def joined(text: str) -> str:
    """Return `text` in logical order with Arabic letters in the shapes they take beside their neighbours.

    Examples
    --------
    Beh between two behs takes its medial form:

    >>> [hex(ord(letter)) for letter in joined("\u0628\u0628\u0628")]
    ['0xfe91', '0xfe92', '0xfe90']
    """
    units = _ligated(text)
    return "".join(
        _shape(
            unit,
            before=next((one for one in reversed(units[:place]) if not unicodedata.combining(one[0])), ""),
            after=next((one for one in units[place + 1 :] if not unicodedata.combining(one[0])), ""),
        )
        for place, unit in enumerate(units)
    )


def _ligated(text: str) -> list[str]:
    """Split into letters, keeping lam and alef together because they have one common shape."""
    forms = _joined_forms()
    units: list[str] = []
    for character in text:
        if units and units[-1] == LAM and LAM + character in forms:
            units[-1] += character
        else:
            units.append(character)
    return units


def _shape(unit: str, *, before: str, after: str) -> str:
    forms = _joined_forms()
    own = forms.get(unit, {})
    joins_before = "initial" in forms.get(before, {}) and "final" in own
    joins_after = "initial" in own and "final" in forms.get(after, {})
    shape = {(True, True): "medial", (True, False): "final", (False, True): "initial", (False, False): "isolated"}
    return own.get(shape[joins_before, joins_after], unit)


def visual(text: str) -> str:
    """Return `text` in the order in which it is drawn from left to right; unchanged without right-to-left letters.

    Examples
    --------
    >>> visual("abc"), visual("\u05d0\u05d1 12") == "12 \u05d1\u05d0"
    ('abc', True)
    """
    if not has_right_to_left(text):
        return text
    pieces = ["".join(group) for _, group in groupby(_clusters(joined(text)), key=_direction)]
    first = next(
        unicodedata.bidirectional(one) for one in text if unicodedata.bidirectional(one) in RIGHT_TO_LEFT | {"L"}
    )
    runs = [_drawn(piece) for piece in pieces]
    return "".join(reversed(runs)) if first in RIGHT_TO_LEFT else _embedded(pieces)


def _clusters(text: str) -> list[str]:
    clusters: list[str] = []
    for character in text:
        if clusters and unicodedata.combining(character):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def _direction(cluster: str) -> str:
    kind = unicodedata.bidirectional(cluster[0])
    if kind in RIGHT_TO_LEFT:
        return "right to left"
    return "left to right" if kind in {"L", "EN", "AN", "ET", "ES", "CS"} else "neutral"


def _drawn(piece: str) -> str:
    direction = _direction(piece[0])
    if direction == "left to right":
        return piece
    return "".join(reversed(_clusters(piece))).translate(MIRRORED)


def _embedded(pieces: list[str]) -> str:
    """Reverse each stretch of right-to-left words inside a left-to-right line, blanks between them included."""
    line: list[str] = []
    stretch: list[str] = []
    for piece in [*pieces, "\u0000"]:
        direction = _direction(piece[0])
        if direction == "right to left" or (direction == "neutral" and stretch and piece != "\u0000"):
            stretch.append(piece)
            continue
        tail = stretch.pop() if stretch and _direction(stretch[-1][0]) == "neutral" else ""
        line += [*(_drawn(one) for one in reversed(stretch)), tail, piece]
        stretch = []
    return "".join(line[:-1])
