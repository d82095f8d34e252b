"""Characteristics of the audited studies, over all and by label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline import terms
from audit_pipeline.report import chapters, numbers, story_text, tables, text
from audit_pipeline.report.audit_facts import Summary

NAME_MM, LEVEL_MM, WIDTH_MM = 38.0, 34.0, 178.0
FEWEST_FOR_A_SHARE = 20
MISSING = "missing"
NOT_RECORDED = "The characteristics were not recorded; render the run again with the command report."
NOTE = (
    "Number of studies, with its share from 20 studies in a column on; of numbers the median with the quartiles, and "
    "below it the range. Shares are of all studies of the column, those with a gap included. Rare texts are pooled."
)


def characteristics(summary: Summary) -> list[Flowable]:
    """Return the chapter of characteristics."""
    content: Mapping[str, Any] | None = summary.get("characteristics")
    title, name = "Characteristics of the studies", "characteristics"
    if content is None:
        return chapters.missing(title, name, NOT_RECORDED)
    opened = chapters.opened(title, name, story_text.characteristics_found(content))
    if not content["rows"]:
        return opened
    columns: Sequence[Sequence[Any]] = content["columns"]
    head = ("Characteristic", "Level", *(f"{text.cut(str(title), 40)}, n = {count}" for title, count in columns))
    own = (WIDTH_MM - NAME_MM - LEVEL_MM) / max(len(columns), 3)
    widths = (NAME_MM, LEVEL_MM, *[own] * len(columns))
    rows = [row for one in content["rows"] for row in _rows(one, [int(count) for _, count in columns])]
    return [*opened, tables.table(head, rows, widths, type_style="dense"), tables.words(NOTE, "caption")]


def _rows(one: Mapping[str, Any], totals: Sequence[int]) -> Iterator[list[str]]:
    """Yield the rows of one property; its name stands in the first."""
    found = [*(_of_levels(one, totals) if one["levels"] else _of_numbers(one)), *_gaps(one, totals)]
    for place, (level, cells) in enumerate(found):
        yield [terms.field(str(one["name"])) if place == 0 else " ", text.cut(level, 60), *cells]


def _of_levels(one: Mapping[str, Any], totals: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    for level, counts in one["levels"].items():
        yield str(level), [share(count, total) for count, total in zip(counts, totals, strict=True)]


def _of_numbers(one: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield (
        "median (quartiles)",
        [
            numbers.MISSING
            if spread is None
            else f"{numbers.short(spread['median'])} ({numbers.short(spread['q1'])} to {numbers.short(spread['q3'])})"
            for spread in one["numbers"]
        ],
    )
    yield (
        "range",
        [
            numbers.MISSING if spread is None else f"{numbers.short(spread['low'])} to {numbers.short(spread['high'])}"
            for spread in one["numbers"]
        ],
    )


def _gaps(one: Mapping[str, Any], totals: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    if any(one["missing"]):
        yield MISSING, [share(count, total) for count, total in zip(one["missing"], totals, strict=True)]


def share(count: int, total: int) -> str:
    """Return a number of studies; with its share where the column has 20 or more.

    >>> share(5, 19), share(5, 20), share(0, 0)
    ('5', '5 (25.0 %)', '0')
    """
    return f"{count} ({numbers.fixed(100 * count / total, 1)} %)" if total >= FEWEST_FOR_A_SHARE else str(count)
