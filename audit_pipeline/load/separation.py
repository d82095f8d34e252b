"""When several images fit: the rule that would leave one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from audit_pipeline.load.candidate import Candidate, field_of, pixel_spacing_mm, plane_of, slice_spacing_mm, slices_of

TELLING_FIELDS = ("ConvolutionKernel", "EchoTime", "Stack", "ImageType", "ContrastBolusAgent")
"""Fields that a person would choose by, before any other that differs."""

_SAME_LENGTH_MM = 1e-3
MOST_VALUES = 6

Trait = tuple[str, Callable[[Candidate], str | None]]


def separating_rule(fitting: Sequence[Candidate]) -> str:
    """Return which rule would tell several images apart, as a clause of a sentence.

    A rule that gives every image a value of its own is better than one that leaves a single image; among equals,
    modality, slices, plane and spacing come before header fields.
    """
    found = _separated_by_kind(fitting) or _separated_by_number(fitting) or _separated_by_field(fitting)
    return found or (
        "no field that every image carries separates them, so name one that does under select.tags, for example "
        "SeriesDescription or SeriesNumber, or give each series a folder of its own"
    )


def telling_fields(candidates: Sequence[Candidate]) -> list[dict[str, str]]:
    """Return, for each candidate, the fields of `TELLING_FIELDS` that are not the same in all of them."""
    every = [
        {
            keyword: held.whole
            for keyword in TELLING_FIELDS
            if (held := field_of(one, keyword)) is not None and held.is_public and held.words
        }
        for one in candidates
    ]
    differing = [keyword for keyword in TELLING_FIELDS if len({fields.get(keyword) for fields in every}) > 1]
    return [{keyword: fields[keyword] for keyword in differing if keyword in fields} for fields in every]


def _separated_by_kind(fitting: Sequence[Candidate]) -> str:
    traits: list[Trait] = [("modality", lambda one: one.modality or None), ("orientation", plane_of)]
    for name, trait in traits:
        values = [trait(one) for one in fitting]
        if None not in values and len(set(values)) == len(fitting):
            return f"select.{name} would separate them: {', '.join(sorted(map(str, values)))}"
    return ""


def _separated_by_number(fitting: Sequence[Candidate]) -> str:
    counts = sorted(slices_of(one) for one in fitting)
    if counts[-1] > counts[-2]:
        return f"select.min_slices {counts[-2] + 1} would leave one"
    if counts[0] < counts[1]:
        return f"select.max_slices {counts[1] - 1} would leave one"
    slices = [slice_spacing_mm(one) for one in fitting]
    pixels = [None if pair is None else max(pair) for pair in map(pixel_spacing_mm, fitting)]
    return _by_length("slice_spacing_mm", slices) or _by_length("pixel_spacing_mm", pixels)


def _by_length(name: str, lengths_mm: Sequence[float | None]) -> str:
    known = sorted(length for length in lengths_mm if length is not None)
    if len(known) < len(lengths_mm):
        return ""
    if known[1] - known[0] > max(_SAME_LENGTH_MM, 0.01 * known[0]):
        return f"select.{name} with max {(known[0] + known[1]) / 2:.3g} would leave one"
    if known[-1] - known[-2] > max(_SAME_LENGTH_MM, 0.01 * known[-1]) and name == "slice_spacing_mm":
        return f"select.{name} with min {(known[-1] + known[-2]) / 2:.3g} would leave one"
    return ""


def _separated_by_field(fitting: Sequence[Candidate]) -> str:
    alone = ""
    for keyword in _keywords(fitting):
        held = [field_of(one, keyword) for one in fitting]
        words = [field.whole for field in held if field is not None and field.words and field.is_public]
        counts = Counter(words)
        if len(counts) == len(fitting):
            return f"{_advice(keyword)} would separate them: {_values(sorted(counts))}"
        only = sorted(word for word, count in counts.items() if count == 1)
        if only and len(words) == len(fitting) and not alone:
            alone = f"{_advice(keyword)}, {only[0]}, would leave one"
    return alone


def _keywords(fitting: Sequence[Candidate]) -> Iterator[str]:
    yield from TELLING_FIELDS
    carried = {keyword for one in fitting for keyword in one.metadata if keyword[:1].isupper()}
    yield from sorted(carried.difference(TELLING_FIELDS))


def _advice(keyword: str) -> str:
    return f"select.tags on {keyword}" + (" with present: true or false" if keyword == "ContrastBolusAgent" else "")


def _values(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_VALUES} more" if len(words) > MOST_VALUES else ""
    return ", ".join(words[:MOST_VALUES]) + more
