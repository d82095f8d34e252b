"""The report of an audit: the answer on page one, every study worst first, every check, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Paragraph, Spacer

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Panel, Status
from audit_pipeline.report import (
    audit_text,
    chai,
    cohort_pages,
    evidence,
    figures,
    fonts,
    frontage,
    layer_table,
    layout,
    links,
    marks,
    numbers,
    style,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading, build
from audit_pipeline.study_record import StudyRecord

Summary = Mapping[str, Any]

THUMBNAIL_MM, MOST_WORST = 10.5, 3
COHORT_HEAD = ("Map", "Study", "Status", "Label", "Predicted class, probability", "Prediction", "Explanation", "Raised")
COHORT_MM = (13.0, 23.0, 14.0, 20.0, 36.0, 23.0, 23.0, 26.0)


def render_audit(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    attached: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return the PDF of a whole audit, drawn from stored records and the cohort summary alone.

    Parameters
    ----------
    records : every study, worst first
    summary : the cohort summary: ``counts`` {found, audited, refused, failed, excluded}, ``outcomes`` {code: {outcome:
        n}}, ``verdicts`` {prediction, explanation: {outcome: n}}, ``performance`` (one mapping a class), ``refusals``
        {code: n}, optional ``confidence`` (level of the intervals, 0 to 1); a missing part is printed as not evaluable
    thumbnails : study key -> the slice shown beside the study
    context : facts of the run
    attached : name -> content of the files the report carries, see `archive.KINDS`

    Raises
    ------
    ReportError
        Anatomy and map of a thumbnail do not lie on the same pixels.
    """
    fonts.register()
    front = frontage.of_audit(records, context)
    carried = replace(front, attached=attached or {}, keys=chai.keys(records, summary, context))
    return build(story(records, summary, thumbnails, context), carried)


def story(
    records: Sequence[StudyRecord], summary: Summary, thumbnails: Mapping[str, Panel], context: ReportContext
) -> list[Flowable]:
    """Return the flowables of the report; parameters as in `render_audit`."""
    return [
        *_first_page(records, summary, thumbnails, context),
        *_cohort(records, thumbnails, context),
        *_checks(summary, context),
        *cohort_pages.cohort_story(summary),
        *_layers(records),
        *_provenance(records, context),
    ]


def _first_page(
    records: Sequence[StudyRecord], summary: Summary, thumbnails: Mapping[str, Panel], context: ReportContext
) -> list[Flowable]:
    counts = summary.get("counts") or {}
    words = audit_text.opening(counts, frontage.models_of(records), context.audit_name, context.intended_use)
    half = (layout.content_size(context.settings.paper)[0] / mm - 8) / 2
    return [
        Heading(f"Audit: {context.audit_name}", "title"),
        tables.words(words, "body"),
        Spacer(1, 2 * mm),
        layout.columns_mm([_counts(counts, half), _verdicts(summary, half)], (half, half), 8),
        *_performance(summary),
        *_important(records, summary, context),
        *_refusals(summary),
        *_look_first(records, thumbnails, context),
    ]


def _counts(counts: Mapping[str, int], width: float) -> list[Flowable]:
    rows = [[name, numbers.number(counts.get(key, 0))] for key, name in audit_text.COUNT_NAMES.items()]
    table = tables.table(("Studies", "Number"), rows, (width - 22, 22), numeric=(1,))
    return [Heading("From received to audited", level=1), table, tables.words(audit_text.balance(counts), "caption")]


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


def _performance(summary: Summary) -> list[Flowable]:
    heading = Heading("Headline numbers", level=1)
    rows = summary.get("performance") or []
    if not rows:
        return [heading, tables.words(audit_text.NO_PERFORMANCE, "body")]
    head = ("Class", "Studies", "Positive", "AUROC (interval)", "Threshold", "Sensitivity", "Specificity")
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
    widths = (27.0, 13.0, 13.0, 47.0, 16.0, 31.0, 31.0)
    table = tables.table(head, content, widths, numeric=(1, 2, 4))
    methods = sorted({str(row["auroc_method"]) for row in rows if row.get("auroc_method")})
    note = audit_text.performance_note(summary.get("confidence"), methods, int(summary.get("unknown_labels") or 0))
    return [heading, table, tables.words(note, "caption")]


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
        items.append(
            layout.MarkedParagraph(worst, Paragraph(words + body, style.paragraph_style("body")), links.CHECKS)
        )
    if not codes:
        items.append(tables.words(audit_text.nothing_raised(audited), "body"))
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


def _refusals(summary: Summary) -> list[Flowable]:
    refusals = summary.get("refusals") or {}
    if not refusals:
        return []
    rows = [[code, numbers.number(int(count))] for code, count in refusals.items()]
    table = tables.table(("Reason", "Studies"), rows, (70.0, 18.0), numeric=(1,))
    return [Heading("Why studies were refused or failed", level=1), table]


def _look_first(
    records: Sequence[StudyRecord], thumbnails: Mapping[str, Panel], context: ReportContext
) -> list[Flowable]:
    """Return the worst studies with a picture, raw slice first."""
    worst = [record for record in records if record.study in thumbnails and text.raised(record.findings)][:MOST_WORST]
    if not worst:
        return []
    width = (layout.content_size(context.settings.paper)[0] / mm - 8) / MOST_WORST
    half = (width - 1) / 2
    stacks: list[list[Flowable]] = []
    for record in worst:
        panel = thumbnails[record.study]
        pair = [[Thumbnail(record, panel, context, half, is_raw=is_raw)] for is_raw in (True, False)]
        words = f"{record.study}: {text.prediction_cell(record.prediction)}. Raised: {text.raised(record.findings)}."
        stacks.append([layout.columns_mm(pair, (half, half), 1), tables.words(text.cut(words, 160), "caption")])
    heading = Heading("Look at these first", level=1)
    return [KeepTogether([heading, layout.columns_mm(stacks, [width] * len(stacks), 4)])]


def _cohort(records: Sequence[StudyRecord], thumbnails: Mapping[str, Panel], context: ReportContext) -> list[Flowable]:
    items: list[Flowable] = [PageBreak(), Heading("Every study, worst first", "title")]
    if not records:
        return [*items, tables.words("There is no study.", "body")]
    audited = [record for record in records if record.status is Status.AUDITED]
    others = [record for record in records if record.status is not Status.AUDITED]
    rows = [_cohort_row(record, thumbnails.get(record.study), context) for record in audited]
    if rows:
        items += [tables.words(audit_text.thumbnail_note(context.settings.scale), "caption"), Spacer(1, 1 * mm)]
        items.append(tables.table(COHORT_HEAD, rows, COHORT_MM))
    return [*items, *_without_result(others)]


def _without_result(records: Sequence[StudyRecord]) -> list[Flowable]:
    if not records:
        return []
    rows = [
        [
            record.study,
            vocabulary.STATUS_WORDS[record.status],
            record.error.code if record.error else numbers.MISSING,
            text.cut(record.error.message, 400) if record.error else vocabulary.NO_MESSAGE,
        ]
        for record in records
    ]
    head = ("Study", "Status", "Reason", "What was found")
    return [Heading("Refused and failed studies"), tables.table(head, rows, (24.0, 15.0, 38.0, 101.0))]


def _cohort_row(record: StudyRecord, panel: Panel | None, context: ReportContext) -> list[tables.Cell]:
    picture: tables.Cell = Thumbnail(record, panel, context, THUMBNAIL_MM) if panel is not None else numbers.MISSING
    status = vocabulary.STATUS_WORDS[record.status]
    label = text.cut(record.label or numbers.MISSING, 60)
    prediction = text.prediction_cell(record.prediction)
    verdict = record.verdict
    link = links.study(record.study) if context.settings.pdf == "all" else ""
    return [
        picture,
        record.study,
        status,
        label,
        prediction,
        _lamp(verdict.prediction, verdict.prediction_code, link) if verdict else numbers.MISSING,
        _lamp(verdict.explanation, verdict.explanation_code, link) if verdict else numbers.MISSING,
        text.raised(record.findings),
    ]


def _lamp(outcome: Outcome, code: str, link: str) -> Flowable:
    words = f"{vocabulary.OUTCOME_WORDS[outcome]} {code}".strip()
    return layout.MarkedParagraph(outcome, tables.words(words), link)


class Thumbnail(Flowable):  # type: ignore[misc]
    """A small slice with the map of the first method; only the picture, without letters or scale."""

    def __init__(
        self, record: StudyRecord, panel: Panel, context: ReportContext, size_mm: float, *, is_raw: bool = False
    ) -> None:
        super().__init__()
        shown = evidence.shown(record, [panel], context)
        methods = shown.methods(panel)
        layer = shown.layer(panel, methods[0]) if methods and not is_raw else None
        scale = figures.scale_for([panel], size_mm * mm, size_mm * mm)
        self.picture = figures.Picture(panel, scale, shown.look, layer)

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the size of the picture."""
        return self.picture.picture_width, self.picture.picture_height

    def draw(self) -> None:
        """Draw the pixels, hatched when the map was rejected."""
        self.picture.draw_bare(self.canv)


def _checks(summary: Summary, context: ReportContext) -> list[Flowable]:
    outcomes = summary.get("outcomes") or {}
    items: list[Flowable] = [PageBreak(), Heading("Every check over the cohort", "title", anchor=links.CHECKS)]
    if not outcomes:
        return [
            *items,
            tables.words("No check ran.", "body"),
            tables.words(text.not_run(context.disabled_checks), "caption"),
        ]
    rows = [_check_row(code, outcomes[code], context) for code in sorted(outcomes)]
    head = ("Code", "Check", *(vocabulary.OUTCOME_WORDS[outcome] for outcome in vocabulary.WORST_FIRST))
    table = tables.table(head, rows, (12.0, 70.0, 15.0, 14.0, 13.0, 13.0, 26.0, 15.0), numeric=(2, 3, 4, 5, 6, 7))
    return [*items, table, tables.words(f"Number of studies. {text.not_run(context.disabled_checks)}", "caption")]


def _check_row(code: str, counts: Mapping[str, int], context: ReportContext) -> list[tables.Cell]:
    mode = context.failure_modes.get(code)
    title = mode.title if mode else numbers.MISSING
    return [code, title, *(numbers.number(int(counts.get(outcome.value, 0))) for outcome in vocabulary.WORST_FIRST)]


def _layers(records: Sequence[StudyRecord]) -> list[Flowable]:
    """Return which layer the maps of this audit come from; every choice that its records know."""
    audited = [record for record in records if record.status is Status.AUDITED]
    choices = {choice.layer: choice for one in audited if (choice := one.model.layer_choice) is not None}
    if not choices:
        return []
    return [
        Heading("Where the maps come from"),
        *(part for choice in choices.values() for part in layer_table.layer_story(choice)),
    ]


def _provenance(records: Sequence[StudyRecord], context: ReportContext) -> list[Flowable]:
    models = {
        (record.model.name, record.model.version, record.model.card_sha256, record.model.weights_sha256)
        for record in records
    }
    devices = {f"{one.device}, {one.precision}" for record in records if (one := record.prediction) is not None}
    facts: list[tuple[str, str]] = []
    for name, version, card, weights in sorted(models):
        facts += [
            ("Model", f"{name} {version}"),
            ("Model card SHA-256", card or "not recorded"),
            ("Weights SHA-256", weights or "not recorded"),
        ]
    facts += [
        ("Device, precision", text.listed(sorted(devices)) if devices else "no prediction was made"),
        ("Software", text.software(context.versions)),
        ("Run", context.run),
    ]
    steps = [(str(number), step) for number, step in enumerate(vocabulary.VERIFY, start=1)]
    return [
        Heading("Provenance"),
        tables.pairs(facts, (38.0, 140.0)),
        Heading("How to verify this report offline", level=1),
        tables.pairs(steps, (8.0, 170.0)),
    ]
