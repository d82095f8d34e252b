"""A printed table as a table of a page: heads with their scope, a caption, numbers on their decimal point, a filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.units import mm
from reportlab.platypus import Paragraph, Table

from audit_pipeline.report import layout, marks, vocabulary
from audit_pipeline.report.html_elements import tag
from audit_pipeline.report.html_figures import mark
from audit_pipeline.report.html_words import plain
from audit_pipeline.report.tables import Decimal

FILTER_TITLE = "Show rows with"
MOST_DIGITS = 6
NARROW = 100 * mm

Cell = Callable[[Any], Markup]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a table stands: its caption, the heading above it, what its rows link to and are linked from."""

    caption: str
    is_caption_seen: bool
    heading: str
    checks: frozenset[str]
    links: Mapping[str, str]
    region: str


def table(item: Table, cell: Cell, place: Place) -> tuple[Markup, set[str]]:
    """Return a table, and the codes of checks that now have a row with a name."""
    cells = _cells(item)
    head, body = cells[: item.repeatRows], cells[item.repeatRows :]
    if not head:
        return _pairs(body, cell, place.caption), set()
    right = [isinstance(one, Paragraph) and one.style.alignment == TA_RIGHT for one in head[0]]
    lead = _lead(body)
    tails = [_tail([row[column] for row in body]) if is_right else 0 for column, is_right in enumerate(right)]
    seen: set[str] = set()
    rows = []
    for row in body:
        drawn = [
            _cell(value, cell, place, is_head=column == lead, tail=tails[column] if right[column] else None)
            for column, value in enumerate(row)
        ]
        outcomes = _outcomes(row)
        code = next((one for one in map(plain, row) if one in place.checks - seen), None) if outcomes else None
        seen |= {code} if code else set()
        named = None if code is None else f"check-{code}"
        rows.append(tag("tr", *drawn, id=named, data_outcomes=" ".join(outcomes) or None))
    titles = [
        tag("th", cell(one), scope="col", class_="n" if is_right else None)
        for one, is_right in zip(head[0], right, strict=True)
    ]
    content = [tag("thead", tag("tr", *titles)), "\n", tag("tbody", *rows)]
    return _framed(item, content, place), seen


def _cells(item: Table) -> list[list[Any]]:
    """Return the content of every cell; a table that was measured keeps it in lists of one."""
    return [
        [one[0] if isinstance(one, list | tuple) and len(one) == 1 else one for one in row] for row in item._cellvalues
    ]


def has_outcomes(item: Table) -> bool:
    """Return whether the rows of a table can be chosen by their outcome."""
    return any(_outcomes(row) for row in _cells(item))


def _outcomes(row: Sequence[Any]) -> list[str]:
    return [one.outcome.value for one in row if isinstance(one, marks.MarkedWord | layout.MarkedParagraph)]


def _columns(item: Table) -> Markup:
    """Return the columns with the shares of the width that they have on paper."""
    total = sum(item._colWidths)
    return tag("colgroup", *(tag("col", width=f"{100 * width / total:.1f}%") for width in item._colWidths))


def _framed(item: Table, content: list[str | Markup], place: Place) -> Markup:
    caption = tag("caption", place.caption, class_=None if place.is_caption_seen else "unseen")
    region = place.region if has_outcomes(item) else ""
    ruled = {"data_region": region, "data_heading": place.heading} if region else {}
    is_narrow = sum(item._colWidths) < NARROW
    drawn = tag("table", caption, _columns(item), *content, class_="narrow" if is_narrow else None, **ruled)
    return tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=place.caption)


def outcome_filter(region: str) -> Markup:
    """Return the boxes that choose which rows are shown; the script shows and rules them."""
    boxes = [
        tag(
            "label",
            tag("input", type="checkbox", value=outcome.value, checked=True),
            mark(outcome, is_named=False),
            vocabulary.OUTCOME_WORDS[outcome],
        )
        for outcome in vocabulary.WORST_FIRST
    ]
    return tag(
        "fieldset",
        tag("legend", FILTER_TITLE),
        *boxes,
        tag("output", "", role="status"),
        class_="filter controls",
        data_filter=region,
        hidden=True,
    )


def _lead(body: Sequence[Sequence[Any]]) -> int:
    """Return the first column that holds words: the one that names its row."""
    if not body:
        return 0
    return next((column for column, one in enumerate(body[0]) if isinstance(one, Paragraph)), -1)


def _tail(column: Sequence[Any]) -> int:
    """Return how many digits stand behind the decimal point at most."""
    return max((len(_fraction(one.words)) for one in column if isinstance(one, Decimal)), default=0)


def _fraction(words: str) -> str:
    found = re.match(r"[^0-9]*[0-9]+\.([0-9]+)", words)
    return found[1] if found else ""


def _cell(value: Any, cell: Cell, place: Place, *, is_head: bool, tail: int | None) -> Markup:
    if isinstance(value, Decimal):
        return tag("td", value.words, class_=_aligned(value.words, tail or 0))
    content = cell(value)
    address = place.links.get(plain(value))
    if address is not None:
        content = tag("a", content, href=quote(address))
    name = "n" if tail is not None else None
    return tag("th", content, scope="row", class_=name) if is_head else tag("td", content, class_=name)


def _aligned(words: str, tail: int) -> str:
    """Return the class that leaves room for the digits that other numbers of the column have behind the point."""
    if not any(character.isdigit() for character in words):
        return "n"
    missing = min(tail - len(_fraction(words)), MOST_DIGITS)
    return f"n m{missing}" + (" whole" if missing and not _fraction(words) else "")


def _pairs(body: Sequence[Sequence[Any]], cell: Cell, caption: str) -> Markup:
    """Return names with facts; names that only count make a numbered list."""
    halves = max((len(row) for row in body), default=0) // 2
    pairs = [(row[2 * half], row[2 * half + 1]) for half in range(halves) for row in body]
    pairs = [(name, fact) for name, fact in pairs if plain(name) not in {"", "\u2013"}]
    if [plain(name) for name, _ in pairs] == [str(number) for number in range(1, len(pairs) + 1)]:
        return tag("ol", *(tag("li", cell(fact)) for _, fact in pairs))
    rows = [tag("tr", tag("th", cell(name), scope="row"), tag("td", cell(fact))) for name, fact in pairs]
    kind = "pairs wide" if halves > 1 else "pairs"
    return tag("table", tag("caption", caption, class_="unseen"), tag("tbody", *rows), class_=kind)
