"""Tables of the reports: rules above and below only, head repeated on each page, numbers on their decimal point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, LongTable, Paragraph

from audit_pipeline.report import fonts, numbers, style
from audit_pipeline.report.text import cut

Cell: TypeAlias = "str | Flowable"
LONGEST_CELL = 1200
"""Characters of one cell; the record holds the rest. A row has to fit on a page."""

CHARACTERS_PER_MM = 14
"""Of column width: some 20 lines of table type."""

HEADS = {"table": "head", "dense": "dense head", "tight": "tight head"}
"""Style of a table's words -> style of its head."""

PADDINGS = {"table": 1.3, "dense": 0.7, "tight": 0.3}
"""Points above and below the words of a row."""

PAIR_NAME_SHARE = 0.21
"""Of the page width, for the names in a table of two halves."""


class Decimal(Flowable):  # type: ignore[misc]
    """A printed number whose decimal point stands `tail` points left of the right edge of its cell."""

    def __init__(self, words: str, tail: float, size: float = style.TABLE) -> None:
        super().__init__()
        self.words, self.tail, self.size = words, tail, size

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the width of the cell and the height of a line."""
        self.width = available_width
        return available_width, self.size * 1.225

    def draw(self) -> None:
        """Draw the number."""
        own, needed = tail_of(self.words, self.size), fonts.width_of(self.words, self.size)
        end = min(self.width, max(self.width - self.tail + own, needed))  # a long number keeps out of the next column
        fonts.draw(self.canv, (end, self.size * 0.25), self.words, self.size, align="right", colour=style.INK)


def tail_of(words: str, size: float = style.TABLE) -> float:
    """Return the width of a printed number from its decimal point on; 0 for whole numbers, powers of ten and words."""
    point = -1 if "e" in words else words.find(".")
    is_number = words.lstrip("\u2212<>\u2264\u2265 ")[:1].isdigit()
    return fonts.width_of(words[point:], size) if point >= 0 and is_number else 0.0


def decimals(column: Sequence[str], size: float = style.TABLE) -> list[Cell]:
    """Return the printed numbers of one column, right-aligned on their decimal point."""
    tail = max((tail_of(words, size) for words in column), default=0.0)
    return [Decimal(words, tail, size) for words in column]


def words(content: str, name: str = "table", *, right: bool = False, limit: int = LONGEST_CELL) -> Paragraph:
    """Return text from a record as a paragraph: cleaned, escaped, cut when it is longer than `limit` characters."""
    font = style.paragraph_style(name).fontName
    return Paragraph(fonts.markup(cut(content, limit), font), style.paragraph_style(name, right=right))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    widths_mm: Sequence[float],
    numeric: Sequence[int] = (),
    *,
    type_style: str = "table",
    joined: Mapping[int, tuple[int, int]] | None = None,
) -> LongTable:
    """Return a table.

    Parameters
    ----------
    head : column titles; all empty leaves the head out
    rows : texts (cleaned and escaped here) or flowables
    widths_mm : column widths
    numeric : columns whose head is right-aligned; strings in them are set on their decimal point
    type_style : "table", "dense" for long tables, "tight" for the longest
    joined : row -> first and last column that are one cell, with the content of the first
    """
    has_head = any(head)
    size, head_style = style.paragraph_style(type_style).fontSize, HEADS[type_style]
    aligned = {column: decimals([_printed(row[column]) for row in rows], size) for column in numeric}
    body = [
        [
            aligned[column][place]
            if column in aligned and isinstance(cell, str)
            else _set(cell, widths_mm[column], type_style)
            for column, cell in enumerate(row)
        ]
        for place, row in enumerate(rows)
    ]
    titles = [words(title, head_style, right=column in numeric) for column, title in enumerate(head)]
    heading = [titles] if has_head else []
    spans = [(first, last, row + int(has_head)) for row, (first, last) in (joined or {}).items()]
    padding = PADDINGS[type_style]
    content = [*heading, *body]
    fonts.register()
    made = LongTable(
        content, colWidths=[width * mm for width in widths_mm], repeatRows=int(has_head), hAlign="LEFT", splitInRow=0
    )
    made.setStyle(
        [
            ("FONTNAME", (0, 0), (-1, -1), fonts.REGULAR),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("LEFTPADDING", (1, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), padding),
            ("BOTTOMPADDING", (0, 0), (-1, -1), padding),
            ("LINEABOVE", (0, 0), (-1, 0), 0.4, style.RULE),
            ("LINEBELOW", (0, "splitlast"), (-1, "splitlast"), 0.4, style.RULE),
            ("LINEBELOW", (0, -1), (-1, -1), 0.4, style.RULE),
            *(("LEFTPADDING", (column + 1, 0), (column + 1, -1), 7) for column in numeric if column + 1 < len(head)),
            *(("SPAN", (first, row), (last, row)) for first, last, row in spans),
        ]
    )
    made.spaceAfter = 3
    return made


def _printed(cell: Cell) -> str:
    return cell if isinstance(cell, str) else ""


def _set(cell: Cell, width_mm: float, name: str = "table") -> Flowable:
    """Return a text cut to what a quarter of a page holds in this column."""
    if not isinstance(cell, str):
        return cell
    return words(cell or numbers.MISSING, name, limit=min(LONGEST_CELL, int(width_mm * CHARACTERS_PER_MM)))


def pairs(rows: Sequence[tuple[str, str]], widths_mm: tuple[float, float], *, type_style: str = "table") -> LongTable:
    """Return a two-column table of names and facts without a head."""
    head = HEADS[type_style]
    return table(("", ""), [(words(name, head), fact) for name, fact in rows], widths_mm, type_style=type_style)


def pairs_twice(rows: Sequence[tuple[str, str]], width_mm: float, *, type_style: str = "table") -> LongTable:
    """Return names and facts without a head in two halves side by side, the first half on the left."""
    half = (len(rows) + 1) // 2
    beside = [*rows[half:], *[("", "")] * (2 * half - len(rows))]
    lines = [
        [words(name, HEADS[type_style]), fact, words(other, HEADS[type_style]), words(more, type_style)]
        for (name, fact), (other, more) in zip(rows[:half], beside, strict=True)
    ]
    name_mm = PAIR_NAME_SHARE * width_mm
    return table(("", "", "", ""), lines, (name_mm, width_mm / 2 - name_mm) * 2, type_style=type_style)
