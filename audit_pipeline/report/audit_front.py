"""Page one of the audit report: question, gates, headline numbers, the three findings that matter, the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak, Paragraph, Spacer

from audit_pipeline.findings import Outcome
from audit_pipeline.report import (
    audit_gates,
    audit_text,
    chapters,
    fonts,
    frontage,
    layout,
    links,
    marks,
    numbers,
    story_text,
    style,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.audit_facts import Summary
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import StudyRecord
from audit_pipeline.wording import counted

MOST_GATES, MOST_CLASSES, MOST_OF_COHORT = 6, 5, 4
"""Rows on page one; the chapters of the plan and of discrimination hold all of them."""

WHOLE = " \u2026 (whole in its chapter)"
PERFORMANCE_HEAD = ("Class", "Studies", "Positive", "AUROC (interval)", "Threshold", "Sensitivity", "Specificity")
PERFORMANCE_MM = (19.0, 13.0, 14.5, 39.5, 16.0, 38.0, 38.0)


def first_page(records: Sequence[StudyRecord], summary: Summary, context: ReportContext) -> list[Flowable]:
    """Return the first page; what does not fit runs on."""
    half = (layout.content_size(context.settings.paper)[0] / mm - 8) / 2
    words = story_text.question(context.audit_name, frontage.models_of(records), context.intended_use)
    return [
        Heading(f"Audit: {context.audit_name}", "title", anchor=chapters.anchor("verdict")),
        tables.words(f"{words} {story_text.data(summary)}", "body"),
        *_gates(summary),
        *_performance(summary),
        *_important(records, summary, context),
        Spacer(1, 1 * mm),
        layout.columns_mm([_counts(summary, half), _verdicts(summary, half)], (half, half), 8),
        PageBreak(),
        *_more_classes(summary),
    ]


def _gates(summary: Summary) -> list[Flowable]:
    gates: Sequence[Mapping[str, Any]] = summary.get("gates") or ()
    heading = Heading("Promised before the run, and found", level=1)
    items: list[Flowable] = [heading, tables.words(story_text.gate_counts(gates), "body")]
    if not gates:
        return [heading, tables.words(f"{story_text.NO_PLAN} {story_text.NO_PLAN_ADVICE}", "body")]
    shown = audit_gates.ordered(gates)[:MOST_GATES]
    items.append(audit_gates.table(shown))
    left = len(gates) - len(shown)
    more = f"{counted(left, 'more promise stands', 'more promises stand')} in the chapter of the plan. " if left else ""
    items.append(tables.words(f"{more}{story_text.GATE_NOTE}", "caption"))
    return items


def _performance(summary: Summary) -> list[Flowable]:
    heading = Heading("Headline numbers", level=1)
    rows = summary.get("performance") or []
    if not rows:
        return [heading, tables.words(audit_text.NO_PERFORMANCE, "body")]
    methods = sorted({str(row["auroc_method"]) for row in rows if row.get("auroc_method")})
    note = audit_text.performance_note(summary.get("confidence"), methods, int(summary.get("unknown_labels") or 0))
    left = len(rows) - MOST_CLASSES
    more = f"{counted(left, 'more class stands', 'more classes stand')} after this page. " if left > 0 else ""
    outside = audit_text.outside_use(summary.get("outside_use") or (), summary.get("inside_use") or ())
    return [
        heading,
        _performance_table(rows[:MOST_CLASSES]),
        *([tables.words(outside, "body")] if outside else []),
        tables.words(f"{more}{note}", "caption"),
    ]


def _more_classes(summary: Summary) -> list[Flowable]:
    """Return the headline numbers of the classes that page one has no room for; nothing where it has."""
    rows = (summary.get("performance") or [])[MOST_CLASSES:]
    if not rows:
        return []
    return [Heading("Headline numbers of the other classes", level=1), _performance_table(rows)]


def _performance_table(rows: Sequence[Mapping[str, Any]]) -> Flowable:
    content = [
        [
            str(row.get("class", "")),
            numbers.number(row.get("n")),
            numbers.number(row.get("positives")),
            audit_text.auroc(row),
            numbers.short(row.get("threshold")),
            audit_text.proportion(row.get("sensitivity")),
            audit_text.proportion(row.get("specificity")),
        ]
        for row in rows
    ]
    return tables.table(PERFORMANCE_HEAD, content, PERFORMANCE_MM, numeric=(1, 2, 4), type_style="dense")


def _important(records: Sequence[StudyRecord], summary: Summary, context: ReportContext) -> list[Flowable]:
    outcomes = summary.get("outcomes") or {}
    audited = int((summary.get("counts") or {}).get("audited", 0))
    items: list[Flowable] = [Heading("What matters most", level=1)]
    codes = audit_text.most_important(outcomes, context.failure_modes)
    for code in codes:
        mode = context.failure_modes.get(code)
        worst = next(outcome for outcome in vocabulary.WORST_FIRST if outcomes[code].get(outcome.value))
        words = fonts.bold(f"{code}  {mode.title if mode else _title(records, code)}")
        counts = audit_text.cohort_finding(outcomes[code], audited)
        advice = f" Advice: {mode.advice}" if mode and mode.advice else ""
        body = fonts.markup(f". {counts} {_examples(records, code)}{advice}")
        paragraph = Paragraph(words + body, style.paragraph_style("body"))
        items.append(layout.MarkedParagraph(worst, paragraph, links.CHECKS))
    if not codes:
        items.append(tables.words(audit_text.nothing_raised(audited), "body"))
    return [*items, *_important_of_cohort(summary)]


def _important_of_cohort(summary: Summary) -> list[Flowable]:
    """Return what the checks of the whole cohort flagged, worst first, as many as page one has room for."""
    raised = [one for one in summary.get("cohort_checks") or () if Outcome(one["outcome"]) in vocabulary.MATTERING]
    severity = {row["code"]: -row["severity"] for row in summary.get("fmea") or ()}
    ranked = sorted(
        raised, key=lambda one: (vocabulary.MATTERING.index(Outcome(one["outcome"])), severity.get(one["code"], 0))
    )
    items: list[Flowable] = []
    for one in ranked[:MOST_OF_COHORT]:
        words = fonts.bold(f"{one['code']}  {one['title']}") + fonts.markup(
            f". {shorten(str(one['message']), 200, placeholder=WHOLE)}"
        )
        paragraph = Paragraph(words, style.paragraph_style("body"))
        items.append(layout.MarkedParagraph(Outcome(one["outcome"]), paragraph, chapters.anchor("cohort_checks")))
    left = len(ranked) - MOST_OF_COHORT
    if left > 0:
        items.append(tables.words(f"{counted(left, 'more check')} of the cohort raised a flag.", "caption"))
    return items


def _title(records: Sequence[StudyRecord], code: str) -> str:
    titles = (text.finding_title(finding) for record in records for finding in record.findings if finding.code == code)
    return next(titles, code)


def _examples(records: Sequence[StudyRecord], code: str) -> str:
    keys = [
        record.study
        for record in records
        if any(finding.code == code and finding.outcome in vocabulary.MATTERING for finding in record.findings)
    ]
    return f"Studies: {text.listed(keys, 3)}." if keys else ""


def _counts(summary: Summary, width: float) -> list[Flowable]:
    counts = summary.get("counts") or {}
    flow = summary.get("flow")
    names = [*audit_text.COUNT_NAMES.items()]
    rows = [[name, numbers.number(counts.get(key, 0))] for key, name in names]
    if flow is not None:
        rows.append(["analysed against a label", numbers.number(int(flow["analysed"]))])
    table = tables.table(("Studies", "Number"), rows, (width - 22, 22), numeric=(1,))
    return [Heading("From received to analysed", level=1), table, tables.words(audit_text.balance(counts), "caption")]


def _verdicts(summary: Summary, width: float) -> list[Flowable]:
    verdicts = summary.get("verdicts") or {}
    prediction, explanation = verdicts.get("prediction") or {}, verdicts.get("explanation") or {}
    rows: list[list[tables.Cell]] = [
        [
            marks.MarkedWord(outcome),
            numbers.number(int(prediction.get(outcome.value, 0))),
            numbers.number(int(explanation.get(outcome.value, 0))),
        ]
        for outcome in vocabulary.WORST_FIRST
    ]
    table = tables.table(("Verdict", "Prediction", "Explanation"), rows, (width - 44, 22, 22), numeric=(1, 2))
    return [Heading("Verdicts of the audited studies", level=1), table]
