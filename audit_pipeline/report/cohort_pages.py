"""The checks of the whole cohort in the audit report: what each found, its tables, and the FMEA table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak, Paragraph, Spacer

from audit_pipeline import terms
from audit_pipeline.findings import Outcome
from audit_pipeline.report import (
    audit_text,
    chapters,
    cohort_text,
    fonts,
    layout,
    marks,
    numbers,
    style,
    tables,
    vocabulary,
)
from audit_pipeline.report.document import Heading
from audit_pipeline.wording import counted

Row = Mapping[str, Any]

WIDTH_MM = 178.0
MOST_ROWS = 30
"""Of one table on paper; ``cohort.json`` holds all of them."""

MOST_ROWS_OF_A_PASS = 6
MOST_WORDS = 2000
BESIDE_MM, FEWEST_LINES = 6.0, 8
"""Between the parts of a long table side by side, and the fewest lines of each."""

PADDING_MM = 2.6
TITLE_MM = 18.0
"""A longer title of a column is broken into lines rather than making the column wider."""

AFTER_NUMBERS_MM = 1.9
"""More room left of a column that follows numbers."""

NAMES_OF_FIELDS = frozenset({"Field", "Column", "What"})
"""Columns of the tables of checks that hold header keywords and names of columns."""

RAISED = (*vocabulary.MATTERING, Outcome.NOTE)

NO_CHECKS = "The checks of the whole cohort did not run."
EXPLORATORY = (
    "Adjusted p: of the hypothesis that nothing is wrong, over everything that the check tried. pass "
    f"{cohort_text.CHANCE}: the value lies beyond its limit and chance explains it, so neither a fault nor its absence "
    "is shown. A dash: a rule, which needs no test. Exploratory: found by looking, not "
    "tested against a limit that was declared beforehand; planned: the comparison was declared, its limit was not. A "
    "flag of either holds against all tests of this table together (Holm, 5 %); a note does not."
)
FMEA_NOTE = (
    "Severity S, occurrence O and invisibility from 1 to 5, 5 worst. O: from the studies of this cohort (none, above "
    "0, 1, 5 and 20 %), with fewer than 100 judged studies never below the expected grade. Invisible before: without "
    "this tool; after: from the sensitivity that the test bench measured, a dash where it was not measured (its "
    "interval: chapter How often the checks err), where a note counts as found. Raised, O: flags and worse. Rows "
    "by severity, then by the product after."
)


def cohort_story(summary: Row) -> list[Flowable]:
    """Return the section about the whole cohort and the FMEA table.

    Parameters
    ----------
    summary : with ``cohort_checks`` and ``fmea`` of ``cohort.json``; without them the section says so in a line
    """
    checks: Sequence[Row] = summary.get("cohort_checks") or ()
    if not checks:
        return [Heading("The cohort as a whole"), tables.words(NO_CHECKS, "body")]
    story: list[Flowable] = [PageBreak(), Heading("The cohort as a whole", "title"), overview(checks)]
    story.append(tables.words(EXPLORATORY, "caption"))
    for one in checks:
        story += chapter_of(one) if one["tables"] or Outcome(one["outcome"]) is not Outcome.PASS else []
    return [*story, *fmea_table(summary.get("fmea") or ())]


def of_codes(
    summary: Row, codes: Sequence[str], *, tables_of: Sequence[str] = (), is_answered: bool = False
) -> list[Flowable]:
    """Return what some checks of the cohort found, in the order of `codes`; a check that did not run is left out.

    Parameters
    ----------
    tables_of : codes whose tables are printed as well; those of the others stand in ``cohort.json``
    is_answered : leave out checks that could not be evaluated
    """
    found = {str(one["code"]): one for one in summary.get("cohort_checks") or ()}
    silent = {Outcome.NOT_EVALUABLE} if is_answered else set()
    wanted = [found[code] for code in codes if code in found and found[code]["outcome"] not in silent]
    parts = [chapter_of({**one, **({} if one["code"] in tables_of else {"tables": ()})}) for one in wanted]
    return [part for own in parts for part in own]


def overview(checks: Sequence[Row]) -> Flowable:
    """Return the table of every check of the cohort: outcome, value with interval, limit, n and kind."""
    rows = [
        [
            str(one["code"]),
            str(one["title"]),
            marks.MarkedWord(Outcome(one["outcome"]), cohort_text.CHANCE if cohort_text.is_by_chance(one) else ""),
            _value(one),
            str(one["unit"]) or numbers.MISSING,
            limit_of(one),
            numbers.number(one["n"]) if one["n"] and _is_answered(one) else numbers.MISSING,
            _chance(one["p_value"]) if one.get("p_value") is not None else numbers.MISSING,
            str(one["kind"]) if _is_answered(one) else numbers.MISSING,
        ]
        for one in checks
    ]
    head = ("Code", "Check", "Outcome", "Value (95 % interval)", "Unit", "Limit", "n", "Adjusted p", "Kind")
    return tables.table(head, rows, (10.0, 43.0, 22.0, 27.0, 24.5, 11.5, 7.0, 17.0, 16.0), numeric=(6,))


def _is_answered(one: Row) -> bool:
    return Outcome(one["outcome"]) is not Outcome.NOT_EVALUABLE


def _value(one: Row) -> str:
    value, interval = one["value"], one["interval"]
    if value is None:
        return numbers.MISSING
    drawn = numbers.short(value)
    return drawn if interval is None else f"{drawn} ({numbers.short(interval[0])} to {numbers.short(interval[1])})"


def limit_of(one: Row) -> str:
    """Return a limit with the side on which it allows values, where there is one."""
    if one["limit"] is None:
        return numbers.MISSING
    sign = {"above": vocabulary.AT_MOST, "below": vocabulary.AT_LEAST}.get(str(one["direction"]), "")
    return f"{sign} {numbers.short(one['limit'])}".strip()


def chapter_of(one: Row) -> list[Flowable]:
    """Return title and sentence, advice where it matters, and the tables of one check."""
    outcome = Outcome(one["outcome"])
    told = fonts.markup(str(one["message"]))
    if outcome in RAISED:
        told += fonts.markup(f" Advice: {one['advice']}")
    title = fonts.bold(f"{one['code']}  {one['title']}{chapters.kind(one)}. ")
    paragraph = layout.MarkedParagraph(outcome, Paragraph(title + told, style.paragraph_style("body")))
    most = MOST_ROWS if outcome in RAISED else MOST_ROWS_OF_A_PASS
    return [Spacer(1, 2 * mm), paragraph, *(part for table in one["tables"] for part in _table(table, most))]


def _table(content: Row, most: int) -> list[Flowable]:
    head, rows = [str(title) for title in content["head"]], content["rows"]
    if not rows:
        return []
    drawn = [[_of_column(title, value) for title, value in zip(head, row, strict=True)] for row in rows[:most]]
    left = len(rows) - len(drawn)
    note = str(content["note"])
    if left > 0:
        note = f"{note} {counted(left, 'more row stands', 'more rows stand')} in cohort.json.".strip()
    made = _side_by_side(head, drawn)
    title = tables.words(str(content["title"]), "head")
    title.keepWithNext, title.spaceAfter = 1, 0.6 * mm
    return [Spacer(1, 1.2 * mm), title, made, tables.words(note, "caption")]


def _side_by_side(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Flowable:
    """Return a table; of one that is long and narrow the parts stand beside each other, read column by column."""
    widths = widths_of(head, rows)
    count = min(int((WIDTH_MM + BESIDE_MM) // (sum(widths) + BESIDE_MM)), -(-len(rows) // FEWEST_LINES))
    if count < 2:
        return tables.table(head, rows, widths)
    lines = -(-len(rows) // count)
    parts = [rows[start : start + lines] for start in range(0, len(rows), lines)]
    stacks: list[list[Flowable]] = [[tables.table(head, part, widths)] for part in parts]
    return layout.columns_mm(stacks, [sum(widths)] * len(stacks), BESIDE_MM)


def _of_column(title: str, value: Any) -> str:
    """Return a cell in the words of its column: a p-value, the name of a field, or what `cell` makes of it."""
    if title.endswith(" p"):
        return _chance(value)
    return terms.field(value) if title in NAMES_OF_FIELDS and isinstance(value, str) else cell(value)


def _chance(value: float | None) -> str:
    """Return a p-value, never rounded to a certainty."""
    return "<0.0001" if value is not None and value < 1e-4 else numbers.short(value, 2)


def cell(value: Any) -> str:
    """Return a cell of a table as text: a number short, an estimate with its interval, a fraction below 20 cases.

    >>> cell(0.123456), cell(None), cell("F"), cell({"value": 0.9, "low": 0.8, "high": 0.95, "n": 100, "k": 90})
    ('0.123', '\u2013', 'F', '0.900 (0.800 to 0.950), 90 of 100')
    >>> cell({"value": 0.5, "low": None, "high": None, "n": 8, "k": 4})
    '4 of 8'
    >>> cell({"value": 1.2, "low": 1, "high": 1.4, "n": 9})
    '1.2 (1 to 1.4)'
    """
    if isinstance(value, Mapping):
        if value.get("k") is not None:
            return audit_text.proportion(value)
        if value["value"] is None:
            return str(value.get("reason") or numbers.MISSING)
        if value["low"] is None or value["high"] is None:
            return numbers.short(value["value"])
        return f"{numbers.short(value['value'])} ({numbers.short(value['low'])} to {numbers.short(value['high'])})"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return numbers.MISSING if value is None else str(value)
    return numbers.short(value)


def widths_of(
    head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = (), *, page_mm: float = WIDTH_MM
) -> list[float]:
    """Return column widths in mm: as wide as the texts while the page holds them, else never narrower than a word.

    What is left of the page after the longest word of each column goes to the columns that want more, in proportion.

    Parameters
    ----------
    numeric : columns that are set on their decimal point, see `tables.table`; page_mm : width of all together
    """
    fonts.register()
    least, wanted = [], []
    for column, title in enumerate(head):
        texts = [row[column] for row in rows]
        words = [part for text in texts for part in text.split()][:MOST_WORDS]
        narrow = max((_mm(part, fonts.REGULAR) for part in words), default=0.0)
        title_mm = max((_mm(part, fonts.BOLD) for part in title.split()), default=0.0)
        padding = PADDING_MM + (AFTER_NUMBERS_MM if column - 1 in numeric else 0.0)
        least.append(min(max(narrow, title_mm) + padding, page_mm / 3))
        whole = min(_mm(title, fonts.BOLD), TITLE_MM)
        wanted.append(
            max(least[-1], max((_mm(text, fonts.REGULAR) for text in texts), default=0.0) + padding, whole + padding)
        )
    if sum(wanted) <= page_mm:
        return wanted
    spare = max(0.0, page_mm - sum(least))
    more = sum(wanted) - sum(least)
    widths = [low + spare * (high - low) / more if more else low for low, high in zip(least, wanted, strict=True)]
    scale = min(1.0, page_mm / sum(widths))
    return [width * scale for width in widths]


def fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = (), *, page_mm: float = WIDTH_MM
) -> Flowable:
    """Return a table with the widths of `widths_of`; parameters as there."""
    return tables.table(head, rows, widths_of(head, rows, numeric, page_mm=page_mm), numeric=numeric)


def _mm(words: str, font: str) -> float:
    return float(fonts.width_of(fonts.clean(words), style.TABLE, font) / mm)


def fmea_table(rows: Sequence[Row]) -> list[Flowable]:
    """Return the table of failure modes and effects, with its heading."""
    if not rows:
        return []
    drawn = [
        [
            str(row["code"]),
            str(row["title"]),
            str(row["severity"]),
            str(row["occurrence"]),
            f"{row['raised']} of {row['judged']}" if row["judged"] else numbers.MISSING,
            str(row["undetected"]),
            numbers.number(row["before"]),
            numbers.short(row["sensitivity"]),
            numbers.number(row["undetected_after"]),
            numbers.number(row["after"]),
        ]
        for row in rows
    ]
    head = (
        "Code",
        "Failure mode",
        "S",
        "O",
        "Raised",
        "Invisible before",
        "Product",
        "Sensitivity",
        "After",
        "Product",
    )
    widths = (11.0, 66.0, 7.0, 7.0, 21.0, 15.0, 13.0, 16.0, 9.0, 13.0)
    return [
        Heading("Failure modes and effects (FMEA)"),
        tables.words(FMEA_NOTE, "caption"),
        tables.table(head, drawn, widths, type_style="dense"),
    ]
