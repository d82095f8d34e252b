"""What chapters of the audit report share: how they open, how one without data looks, what checks said beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer

from audit_pipeline.findings import Outcome
from audit_pipeline.report import fonts, layout, style, tables
from audit_pipeline.report.audit_facts import Summary
from audit_pipeline.report.document import Heading

LEAST_ROOM = 55 * mm
"""Of a page for a chapter to begin on it."""

HEADED = 30 * mm
"""At most what a heading and its sentence take."""

KIND_WORDS = {
    "declared": " (declared beforehand)", "planned": " (planned)", "exploratory": " (exploratory)", "rule": "",
}  # fmt: skip


def anchor(name: str) -> str:
    """Return the place of a chapter in the document.

    >>> anchor("flow")
    '#chapter-flow'
    """
    return f"#chapter-{name}"


def opened(title: str, name: str, sentence: str, *, room: float = 0.0) -> list[Flowable]:
    """Return the heading of a chapter, and below it the sentence that says what the chapter found.

    room : height in points of the figure that follows and must not be parted from them
    """
    return [
        CondPageBreak(max(LEAST_ROOM, room + HEADED)),
        Spacer(1, 4 * mm),
        Heading(title, "title", anchor=anchor(name)),
        tables.words(sentence, "body"),
    ]


def missing(title: str, name: str, sentence: str) -> list[Flowable]:
    """Return a chapter without data: its heading, and one line that says what is missing and what to supply."""
    return opened(title, name, sentence)


def check(summary: Summary, code: str) -> Any:
    """Return what a check of the cohort said, None where it did not run."""
    return next((one for one in summary.get("cohort_checks") or () if one["code"] == code), None)


def is_evaluable(summary: Summary, *codes: str) -> bool:
    """Return whether at least one of these checks of the cohort came to an answer."""
    silent = {str(Outcome.NOT_EVALUABLE), str(Outcome.ERROR)}
    return any(one is not None and one["outcome"] not in silent for one in (check(summary, code) for code in codes))


def kind(one: Any) -> str:
    """Return whether a check of the cohort tested what was declared or explored; nothing where no test was made."""
    return "" if Outcome(one["outcome"]) is Outcome.NOT_EVALUABLE else KIND_WORDS[str(one["kind"])]


def said_by_checks(summary: Summary, codes: Sequence[str]) -> list[Flowable]:
    """Return a marked line for every check of the cohort that ran: code, title, message."""
    found = [one for code in codes if (one := check(summary, code)) is not None]
    return [
        layout.MarkedParagraph(
            Outcome(one["outcome"]),
            Paragraph(
                fonts.bold(f"{one['code']}  {one['title']}{kind(one)}. ") + fonts.markup(str(one["message"])),
                style.paragraph_style("body"),
            ),
        )
        for one in found
    ]
