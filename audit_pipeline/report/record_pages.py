"""The last pages of a study: every check, every class, what went in, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph

from audit_pipeline.findings import Finding
from audit_pipeline.report import (
    fonts,
    input_facts,
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
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.study_record import ExplanationFacts, ImageFacts, PredictionFacts, StudyRecord

CHECK_HEAD = ("Outcome", "Code", "Check and finding", "Value", "Limit", "Unit", "Limit from")
CHECK_MM = (22.0, 9.0, 78.0, 15.0, 16.0, 19.0, 19.0)
FACTS_MM = (38.0, 140.0)
LEAST_ROOM = 100 * mm
"""With less left on a page the checks start on the next one."""


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables from the table of checks to the verification steps."""
    record = shown.record
    return [
        CondPageBreak(LEAST_ROOM),
        Heading("Every check", "title"),
        *checks(record.findings, shown.context),
        *_classes(record.prediction),
        *_input(record.image, shown.context),
        *_maps(record.explanations),
        *layer_table.layer_story(record.model.layer_choice),
        *provenance(record, shown.context),
    ]


def checks(findings: Sequence[Finding], context: ReportContext) -> list[Flowable]:
    """Return the checks grouped by family, passes and not evaluable ones included."""
    if not findings:
        return [
            tables.words("No check ran on this study.", "body"),
            tables.words(text.not_run(context.disabled_checks), "caption"),
        ]
    families: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda one: one.code):
        families.setdefault(finding.family, []).append(finding)
    items: list[Flowable] = []
    for name, members in families.items():
        items.append(Heading(text.family(name), level=1))
        items.append(tables.table(CHECK_HEAD, [_check_row(one, context) for one in members], CHECK_MM, numeric=(3, 4)))
    return [*items, tables.words(f"{vocabulary.LIMITS} {text.not_run(context.disabled_checks)}", "caption")]


def _check_row(finding: Finding, context: ReportContext) -> list[tables.Cell]:
    mode = context.failure_modes.get(finding.code)
    title = finding.title or (mode.title if mode else "") or text.finding_title(finding)
    message = fonts.markup(text.cut(finding.message or vocabulary.NO_MESSAGE, tables.LONGEST_CELL))
    where = text.slices(finding.slices)
    content = f"{fonts.bold(text.cut(title, 200))}<br/>{message}{fonts.markup(f' {where}') if where else ''}"
    return [
        marks.MarkedWord(finding.outcome, anchor=links.check(finding.code)),
        finding.code,
        Paragraph(content, style.paragraph_style("table")),
        numbers.number(finding.value),
        text.limit_words(finding),
        finding.unit or numbers.MISSING,
        vocabulary.PROVENANCE_WORDS.get(finding.provenance, finding.provenance) or numbers.MISSING,
    ]


def _classes(prediction: PredictionFacts | None) -> list[Flowable]:
    if prediction is None:
        return []
    rows = [
        [
            name,
            numbers.number(prediction.logits.get(name), 4),
            numbers.probability(value),
            numbers.short(prediction.thresholds.get(name)),
            "concluded" if name in prediction.predicted else numbers.MISSING,
        ]
        for name, value in prediction.probabilities.items()
    ]
    head = ("Class", "Logit", "Probability", "Threshold", "Concluded")
    return [Heading("Every class"), tables.table(head, rows, (90.0, 22.0, 22.0, 22.0, 22.0), numeric=(1, 2, 3))]


def _input(image: ImageFacts | None, context: ReportContext) -> list[Flowable]:
    if image is None:
        return []
    width = layout.content_size(context.settings.paper)[0] / mm
    items: list[Flowable] = [Heading("What went in"), tables.pairs_twice(input_facts.facts(image), width)]
    steps = [(str(number), step) for number, step in enumerate(image.steps, start=1)]
    return (
        [*items, Heading("From source to model input", level=1), tables.pairs(steps, (8.0, 170.0))] if steps else items
    )


def _maps(explanations: Sequence[ExplanationFacts]) -> list[Flowable]:
    if not explanations:
        return []
    rows = [
        [
            text.method(facts.method), facts.target_name, facts.layer, numbers.sizes(facts.grid, ""),
            text.cell(facts), numbers.digest(facts.map_sha256),
        ]
        for facts in explanations
    ]  # fmt: skip
    head = ("Method", "Class", "Layer", "Grid", "Cell", "Map SHA-256")
    return [Heading("Where the maps come from"), tables.table(head, rows, (20.0, 32.0, 46.0, 22.0, 34.0, 24.0))]


def provenance(record: StudyRecord, context: ReportContext) -> list[Flowable]:
    """Return who made this page from what, and how to verify it without a network."""
    model, image, prediction = record.model, record.image, record.prediction
    device = f"{prediction.device}, {prediction.precision}" if prediction else "no prediction was made"
    facts = [
        ("Model", f"{model.name} {model.version}, {model.network or 'network not stated'}, {model.task}"),
        ("Intended use", model.intended_use or context.intended_use or "not stated"),
        ("Model card SHA-256", model.card_sha256 or "not recorded"),
        ("Weights SHA-256", model.weights_sha256 or "not recorded"),
        ("Device, precision", device),
        ("Input files", input_facts.dispositions(record.files)),
        ("Source SHA-256", input_facts.source_digests(image.source_digests if image else ())),
        ("Model input SHA-256", (image.input_digest if image else "") or "not recorded"),
        ("Software", text.software(context.versions)),
        ("Run, record", f"{context.run}, {record.schema}"),
    ]
    steps = [(str(number), step) for number, step in enumerate(vocabulary.VERIFY, start=1)]
    return [
        Heading("Provenance"),
        tables.pairs(facts, (FACTS_MM[0], FACTS_MM[1])),
        Heading("How to verify this page offline", level=1),
        tables.pairs(steps, (8.0, 170.0)),
    ]
