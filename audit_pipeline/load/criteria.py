"""Each selection rule as a test of one candidate, with the reason when it does not hold, and as words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from audit_pipeline.load.candidate import (
    ALLOWED,
    Candidate,
    HeldField,
    field_of,
    is_volume,
    number_in,
    pixel_spacing_mm,
    plane_of,
    slice_spacing_mm,
    slices_of,
)
from audit_pipeline.selection import Limits, SelectRules, TagCondition
from audit_pipeline.wording import counted

LENGTH_TOLERANCE = 1e-3
"""Lengths are measured from rounded header values, so a limit holds to within this share of itself."""

SAME_NUMBER = 1e-9
LONGEST_TEXT = 256
"""Longer values of a file match no pattern: what a pattern costs can grow with the square of the text and worse."""


def failures(candidate: Candidate, rules: SelectRules) -> list[str]:
    """Return why `candidate` does not fit `rules`, one entry per rule that does not hold; [] when all hold."""
    found = [*_of_kind(candidate, rules), *_of_size(candidate, rules)]
    found += [_tag_failure(candidate, condition) for condition in rules.tags]
    for inner in rules.all:
        found += failures(candidate, inner)
    alternatives = [failures(candidate, inner) for inner in rules.any]
    if alternatives and all(alternatives):
        listed = "; ".join(f"({joined(one)})" for one in alternatives)
        found.append(f"no alternative holds: {listed}")
    found += [f"excluded as ({joined(worded(one))})" for one in rules.none if not failures(candidate, one)]
    return [one for one in found if one]


def worded(rules: SelectRules) -> list[str]:
    """Return the rules of one level in words; [] when nothing is asked."""
    found = [
        _asked("modality", rules.modality),
        _asked("body part", rules.body_part),
        _asked("plane", rules.orientation),
        {2: "a single image", 3: "a volume", None: ""}[rules.dimensions],
        f"at least {counted(rules.min_slices, 'slice')}" if rules.min_slices else "",
        "" if rules.max_slices is None else f"at most {counted(rules.max_slices, 'slice')}",
        f"slice spacing {_range(rules.slice_spacing_mm, ' mm')}" if rules.slice_spacing_mm else "",
        f"pixel spacing {_range(rules.pixel_spacing_mm, ' mm')}" if rules.pixel_spacing_mm else "",
        f"image type with {joined(rules.image_type)}" if rules.image_type else "",
        *(_condition_words(one) for one in rules.tags),
    ]
    for inner in rules.all:
        found += worded(inner)
    found.append(_grouped("any of ", rules.any))
    found.append(_grouped("none of ", rules.none))
    return [one for one in found if one]


def joined(parts: Sequence[str]) -> str:
    """Return parts as a list in a sentence."""
    return ", and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + f", and {parts[-1]}"


def _grouped(words: str, levels: Sequence[SelectRules]) -> str:
    return words + "; ".join(f"({joined(worded(inner))})" for inner in levels) if levels else ""


def _asked(what: str, words: Sequence[str]) -> str:
    return f"{what} {' or '.join(words)}" if words else ""


def _of_kind(candidate: Candidate, rules: SelectRules) -> Iterator[str]:
    yield _word_failure("modality", candidate.modality, rules.modality)
    body_part = field_of(candidate, "BodyPartExamined")
    yield _word_failure("body part", body_part.whole if body_part else "", rules.body_part)
    yield _word_failure("plane", plane_of(candidate) or "", rules.orientation)
    yield _type_failure(candidate, rules.image_type)


def _of_size(candidate: Candidate, rules: SelectRules) -> Iterator[str]:
    if rules.dimensions is not None and len(candidate.shape) != rules.dimensions:
        yield "it is a volume, not a single image" if is_volume(candidate) else "it is a single image, not a volume"
    count = slices_of(candidate)
    verb = "is" if count == 1 else "are"
    if count < rules.min_slices:
        yield f"{counted(count, 'slice')} {verb} fewer than {rules.min_slices}"
    if rules.max_slices is not None and count > rules.max_slices:
        yield f"{counted(count, 'slice')} {verb} more than {rules.max_slices}"
    if rules.slice_spacing_mm:
        between = slice_spacing_mm(candidate)
        yield _length_failure("slice spacing", None if between is None else (between,), rules.slice_spacing_mm)
    if rules.pixel_spacing_mm:
        yield _length_failure("pixel spacing", pixel_spacing_mm(candidate), rules.pixel_spacing_mm)


def _word_failure(what: str, found: str, allowed: Sequence[str]) -> str:
    if not allowed or _folded(found) in {_folded(one) for one in allowed}:
        return ""
    return f"{what} {found or 'unknown'} is not {' or '.join(allowed)}"


def _type_failure(candidate: Candidate, wanted: Sequence[str]) -> str:
    if not wanted:
        return ""
    held = field_of(candidate, "ImageType")
    if held is None:
        return "image type unknown"
    if not held.words:
        return "image type differs between the slices"
    missing = [one for one in wanted if _folded(one) not in {_folded(word) for word in held.words}]
    return f"image type {held.whole} lacks {joined(missing)}" if missing else ""


def _length_failure(what: str, lengths_mm: Sequence[float] | None, limits: Limits) -> str:
    if lengths_mm is None:
        return f"{what} unknown"
    if all(_is_within(length, limits, LENGTH_TOLERANCE) for length in lengths_mm):
        return ""
    return f"{what} {' x '.join(f'{length:.4g}' for length in lengths_mm)} mm is not {_range(limits, ' mm')}"


def _is_within(value: float, limits: Limits, tolerance: float) -> bool:
    low = -math.inf if limits.min is None else limits.min - tolerance * abs(limits.min)
    high = math.inf if limits.max is None else limits.max + tolerance * abs(limits.max)
    return low <= value <= high


def _range(limits: Limits, unit: str = "") -> str:
    if limits.max is None:
        return f"at least {limits.min:g}{unit}"
    return f"at most {limits.max:g}{unit}" if limits.min is None else f"{limits.min:g} to {limits.max:g}{unit}"


def _tag_failure(candidate: Candidate, condition: TagCondition) -> str:
    held = field_of(candidate, condition.tag)
    if condition.present is not None:
        if (held is not None) is condition.present:
            return ""
        return f"{condition.tag} is {'absent' if condition.present else 'present'}"
    if held is None:
        # of a field outside the allow-list the loader keeps only a value that all slices share
        return f"{condition.tag} is absent" + ("" if condition.tag in ALLOWED else " or differs between the slices")
    if not held.words:
        return f"{condition.tag} differs between the slices"
    if _holds(held, condition):
        return ""
    found = f"is {held.whole}, " if held.is_public else "is "
    return f"{condition.tag} {found}not {_condition_value(condition)}"


def _holds(held: HeldField, condition: TagCondition) -> bool:
    if condition.min is not None or condition.max is not None:
        numbers = [number_in(word) for word in held.words]
        return all(number is not None and _is_within(number, condition, SAME_NUMBER) for number in numbers)
    words = {*held.words, held.whole}
    if condition.matches is not None:
        return any(re.search(condition.matches, word, re.IGNORECASE) for word in words if len(word) <= LONGEST_TEXT)
    return any(_is_same(word, wanted) for word in words for wanted in _wanted(condition))


def _wanted(condition: TagCondition) -> Sequence[str | float]:
    if condition.one_of is not None:
        return condition.one_of
    assert condition.equals is not None
    return [condition.equals]


def _is_same(word: str, wanted: str | float) -> bool:
    if isinstance(wanted, str):
        return _folded(word) == _folded(wanted)
    number = number_in(word)
    return number is not None and math.isclose(number, wanted, rel_tol=SAME_NUMBER)


def _folded(word: str) -> str:
    return word.strip().casefold()


def _condition_words(condition: TagCondition) -> str:
    if condition.present is not None:
        return f"{condition.tag} {'present' if condition.present else 'absent'}"
    return f"{condition.tag} {_condition_value(condition)}"


def _condition_value(condition: TagCondition) -> str:
    """Return what a condition asks for, quoting the rule and never the file."""
    if condition.matches is not None:
        return f"like {condition.matches!r}"
    if condition.min is not None or condition.max is not None:
        return _range(condition)
    return " or ".join(one if isinstance(one, str) else f"{one:g}" for one in _wanted(condition))
