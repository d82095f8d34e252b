"""Error review: the worst studies as cards, raw slice and overlay side by side, with what speaks against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Paragraph, Spacer

from audit_pipeline.findings import Finding
from audit_pipeline.records import Panel, Status
from audit_pipeline.report import (
    chapters,
    evidence,
    figures,
    fonts,
    layout,
    links,
    story_text,
    style,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.audit_facts import AuditFacts, Summary, studies
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import StudyRecord
from audit_pipeline.wording import counted

MOST_CARDS, MOST_ERRORS = 20, 12
"""Cards in all, and of them for errors while there are other cases to show."""

MOST_FINDINGS = 4
PICTURE_MM, TEXT_MM, GAP_MM = 45.0, 80.0, 4.0
TITLE, NAME = "Error review", "cases"
NO_WORD = "No reviewer has spoken about this study yet."
LONGEST_NOTE = 300
LEGEND = (
    "Left the raw image, right the same under the map of the first method. Colours end at {end}; {meaning}. "
    "Lines hold 50 % (solid) and 80 % (dashed) of the positive evidence; cross-hair: middle of the strongest evidence. "
    "Hatched: not evidence."
)
ENDS = {
    "study": "the largest value of each study, so maps of two cards are not compared by their colour",
    "map": "the largest value of each map, so maps of two cards are not compared by their colour",
    "class": "one value for all studies of a class",
}
MEANINGS = {
    "positive": "evidence against the class has no colour",
    "signed": "red speaks for the class, blue against it",
}


def cases(records: Sequence[StudyRecord], summary: Summary) -> list[StudyRecord]:
    """Return the studies that get a card: those concluded against their label, then those a check raised.

    Both in the given order, which is worst first.
    """
    wrong = studies(summary, "wrong")
    audited = [one for one in records if one.status is Status.AUDITED]
    errors = [one for one in audited if one.study in wrong]
    raised = [one for one in audited if one.study not in wrong and text.raised(one.findings)]
    room = max(MOST_ERRORS, MOST_CARDS - len(raised))
    chosen = errors[:room]
    return [*chosen, *raised[: MOST_CARDS - len(chosen)]]


def chapter(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    facts: AuditFacts,
) -> list[Flowable]:
    """Return the chapter: counts, what reviewers said, and a card a case."""
    shown = cases(records, summary)
    wrong = studies(summary, "wrong")
    analysed = int((summary.get("flow") or {}).get("analysed", 0))
    audited = [one for one in records if one.status is Status.AUDITED]
    flagged = {one.study for one in audited if text.raised(one.findings)}
    total = len(wrong | flagged)
    said = story_text.cases_found(
        wrong=len(wrong), analysed=analysed, raised=len(flagged), shown=len(shown), total=total
    )
    items = chapters.opened(TITLE, NAME, said)
    items.append(tables.words(story_text.reviews_found(summary.get("reviews")), "body"))
    items += [tables.words(_legend(context), "caption")] if shown else []
    spoken = _spoken(summary)
    needed = (summary.get("reviews") or {}).get("needed") or {}
    for record in shown:
        panel = facts.cases.get(record.study) or thumbnails.get(record.study)
        told = _told(record, summary, spoken.get(record.study, []), needed.get(record.study, []))
        items.append(_card(record, panel, context, told))
    left = total - len(shown)
    if left > 0:
        more = counted(left, "more case stands", "more cases stand")
        items.append(tables.words(f"{more} in the index of studies, with the codes raised.", "caption"))
    return items


def _legend(context: ReportContext) -> str:
    settings = context.settings
    return LEGEND.format(end=ENDS[settings.scale], meaning=MEANINGS[settings.sign])


def _spoken(summary: Summary) -> Mapping[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in (summary.get("reviews") or {}).get("lines") or ():
        found.setdefault(str(one["study"]), []).append(one)
    return found


def _card(record: StudyRecord, panel: Panel | None, context: ReportContext, told: list[Flowable]) -> Flowable:
    link = links.study(record.study) if context.settings.pdf == "all" else ""
    pictures = _pictures(record, panel, context)
    widths = [PICTURE_MM] * len(pictures) + [TEXT_MM if pictures else 2 * PICTURE_MM + TEXT_MM]
    body = layout.columns_mm([*([one] for one in pictures), told], widths, GAP_MM)
    return KeepTogether([CardHeading(f"Study {record.study}", link), body, Spacer(1, 2 * mm)])


class CardHeading(Heading):
    """The heading of a card, which leads to the report of its study."""

    def __init__(self, words: str, link: str) -> None:
        super().__init__(words, level=1)
        self.link = link

    def draw(self) -> None:
        """Draw the heading and its link."""
        super().draw()
        links.draw_link(self.canv, self.link, (0, 0, self.width, self.height))


def _pictures(record: StudyRecord, panel: Panel | None, context: ReportContext) -> list[Flowable]:
    """Return the raw slice and the same slice under the first map, at one scale; empty without a slice."""
    if panel is None:
        return []
    shown = evidence.shown(record, [panel], context)
    methods = shown.methods(panel)
    room = PICTURE_MM * mm - 2 * figures.EDGE
    scale = figures.scale_for([panel], room, room)
    layer = shown.layer(panel, methods[0]) if methods else None
    strip = figures.furniture(layer, scale)
    raw = figures.Picture(panel, scale, shown.look, None, strip)
    return [raw] if layer is None else [raw, figures.Picture(panel, scale, shown.look, layer, strip)]


def _told(
    record: StudyRecord, summary: Summary, spoken: Sequence[Mapping[str, Any]], asks: Sequence[str]
) -> list[Flowable]:
    is_wrong = record.study in studies(summary, "wrong")
    is_known = is_wrong or record.study in studies(summary, "right")
    concluded = text.prediction_cell(record.prediction)
    words = story_text.conclusion_against_label(record.label, concluded, is_wrong=is_wrong if is_known else None)
    items: list[Flowable] = [tables.words(words, "head")]
    raised = _raised(record)
    for finding in raised[:MOST_FINDINGS]:
        told = fonts.bold(f"{finding.code} ") + fonts.markup(text.cut(text.finding_sentence(finding), LONGEST_NOTE))
        items.append(layout.MarkedParagraph(finding.outcome, Paragraph(told, style.paragraph_style("table"))))
    if len(raised) > MOST_FINDINGS:
        rest = ", ".join(one.code for one in raised[MOST_FINDINGS:])
        items.append(tables.words(f"Raised as well: {rest}.", "table"))
    if raised and raised[0].advice:
        items.append(tables.words(f"Advice: {raised[0].advice}", "table"))
    elif not raised:
        items.append(tables.words(story_text.SILENT_ERROR, "table"))
    items += [tables.words(words, "caption") for words in _reviewed(spoken, asks)]
    return items


def _raised(record: StudyRecord) -> list[Finding]:
    """Return the findings that matter, one a code: first the one that decided the verdict, then by outcome."""
    found = {
        one.code: one for outcome in reversed(vocabulary.MATTERING) for one in record.findings if one.outcome is outcome
    }
    deciding = {record.verdict.prediction_code, record.verdict.explanation_code} if record.verdict else set()
    return sorted(
        found.values(), key=lambda one: (vocabulary.MATTERING.index(one.outcome), one.code not in deciding, one.code)
    )


def _reviewed(spoken: Sequence[Mapping[str, Any]], asks: Sequence[str]) -> Iterator[str]:
    for one in spoken:
        by = f" by {text.cut(str(one['reviewer']), text.LONGEST_NAME)}" if one["reviewer"] else ""
        note = f": {text.cut(str(one['note']), LONGEST_NOTE)}" if one["note"] else ""
        yield f"Reviewer's verdict{by}: {one['verdict']}{note}."
    if not spoken:
        asked = f" It asks for a verdict because of {text.listed(list(asks), 6)}." if asks else ""
        yield f"{NO_WORD}{asked}"
