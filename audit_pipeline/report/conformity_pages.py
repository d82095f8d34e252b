"""The conformity tables: every item of the reporting standards with the pages that answer it, or what to supply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reportlab.platypus import Flowable

from audit_pipeline.report import chapters, conformity, numbers, story_text, tables, text
from audit_pipeline.report.conformity import Answer, Answered, Material, Standard
from audit_pipeline.report.document import Heading, PageNumbers
from audit_pipeline.wording import counted

HEAD = ("Item", "What it asks, in our words", "Answer", "Pages", "Drawn from, SHA-256", "Left to supply")
WIDTHS_MM = (13.0, 49.0, 15.0, 16.0, 35.0, 50.0)
LONG_ITEM_MM = 43.0
LONG_ITEM = 8
NOTE = (
    "Supports, never complies: the tables say where this report tells something about an item, not that a standard is "
    "met. In part: the report tells some of it, the rest is left to supply. The items are in our own words; the "
    "standard itself is what counts. Digests: the first 12 digits, of the attached file; that of the records is taken "
    "over a line for each study, sorted: its key, a blank, the digest of its record, a line end."
)


def chapter(material: Material) -> list[Flowable]:
    """Return the chapter: counts over all lists, and a table for each."""
    answers = [(one, conformity.answered(one, material)) for one in conformity.standards()]
    tally = Counter(found.answer for _, rows in answers for found in rows)
    said = story_text.conformity_found(tally[Answer.ANSWERED], tally[Answer.PARTLY], tally[Answer.OPEN])
    items = chapters.opened("Conformity tables", "conformity", said)
    items.append(tables.words(NOTE, "caption"))
    for standard, rows in answers:
        items += _table(standard, rows, material.facts.files)
    return items


def _table(standard: Standard, rows: Sequence[Answered], digests: Mapping[str, str]) -> list[Flowable]:
    own = Counter(found.answer for found in rows)
    words = f"{standard.source.rstrip('.')}. {counted(len(rows), 'item')}: " + text.listed(
        [f"{own[answer]} {answer}" for answer in Answer]
    )
    long = max(len(found.item.item) for found in rows) > LONG_ITEM
    extra = LONG_ITEM_MM - WIDTHS_MM[0] if long else 0.0
    widths = (WIDTHS_MM[0] + extra, WIDTHS_MM[1] - extra / 2, *WIDTHS_MM[2:-1], WIDTHS_MM[-1] - extra / 2)
    content = [_row(found, digests) for found in rows]
    return [
        Heading(standard.title, level=1),
        tables.words(f"{words}.", "caption"),
        tables.table(HEAD, content, widths, type_style="dense"),
    ]


def _row(found: Answered, digests: Mapping[str, str]) -> list[tables.Cell]:
    pages: tables.Cell = PageNumbers(found.places) if found.places else numbers.MISSING
    sources = [f"{name} {digests[name][:12]}" if digests.get(name) else name for name in found.sources]
    return [
        found.item.item,
        found.item.words,
        str(found.answer),
        pages,
        ", ".join(sources) or numbers.MISSING,
        _supply(found.supply) or numbers.MISSING,
    ]


def _supply(words: str) -> str:
    """Return what is left to supply with a capital first letter, unless it begins with a setting.

    >>> _supply("the labels, and more"), _supply("cohort.baseline, and the plan")
    ('The labels, and more', 'cohort.baseline, and the plan')
    """
    return words if "." in words.split(" ", maxsplit=1)[0].rstrip(".,;") else text.capital(words)
