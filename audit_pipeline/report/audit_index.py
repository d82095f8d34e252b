"""The end of the audit report: every study with its digest, every check, where the maps come from, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reportlab.platypus import Flowable

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.report import (
    chapters,
    layer_table,
    layout,
    links,
    numbers,
    story_text,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import StudyRecord

INDEX_HEAD = ("Study", "Label", "Predicted class, probability", "Prediction", "Explanation", "Raised", "Record")
INDEX_MM = (23.0, 20.0, 36.0, 23.0, 23.0, 31.0, 22.0)
INDEX_NOTE = (
    "Record: the first 12 digits of the SHA-256 of record.json as it is attached to the report of the study, that is "
    "without its timings."
)
CHECKS_MM = (12.0, 70.0, 15.0, 14.0, 13.0, 13.0, 26.0, 15.0)


def index(records: Sequence[StudyRecord], context: ReportContext, facts: AuditFacts) -> list[Flowable]:
    """Return the index of studies: the audited ones worst first, then those without a result."""
    audited = [record for record in records if record.status is Status.AUDITED]
    others = [record for record in records if record.status is not Status.AUDITED]
    items = chapters.opened("Every study, worst first", "index", story_text.index_found(len(records), len(audited)))
    rows = [_row(record, context, facts) for record in audited]
    if rows:
        table = tables.table(INDEX_HEAD, rows, INDEX_MM, type_style="dense")
        items += [table, tables.words(INDEX_NOTE, "caption")]
    return [*items, *_without_result(others, facts)]


def _row(record: StudyRecord, context: ReportContext, facts: AuditFacts) -> list[tables.Cell]:
    verdict = record.verdict
    link = links.study(record.study) if context.settings.pdf == "all" else ""
    return [
        record.study,
        text.cut(record.label or numbers.MISSING, 60),
        text.prediction_cell(record.prediction),
        _lamp(verdict.prediction, verdict.prediction_code, link) if verdict else numbers.MISSING,
        _lamp(verdict.explanation, verdict.explanation_code, link) if verdict else numbers.MISSING,
        text.raised(record.findings),
        numbers.digest(facts.digests.get(record.study, "")),
    ]


def _lamp(outcome: Outcome, code: str, link: str) -> Flowable:
    words = f"{vocabulary.OUTCOME_WORDS[outcome]} {code}".strip()
    return layout.MarkedParagraph(outcome, tables.words(words, "dense"), link)


def _without_result(records: Sequence[StudyRecord], facts: AuditFacts) -> list[Flowable]:
    if not records:
        return []
    rows = [
        [
            record.study,
            vocabulary.STATUS_WORDS[record.status],
            record.error.code if record.error else numbers.MISSING,
            text.cut(record.error.message, 400) if record.error else vocabulary.NO_MESSAGE,
            numbers.digest(facts.digests.get(record.study, "")),
        ]
        for record in records
    ]
    head = ("Study", "Status", "Reason", "What was found", "Record")
    table = tables.table(head, rows, (24.0, 15.0, 36.0, 81.0, 22.0), type_style="dense")
    return [Heading("Refused and failed studies", level=1), table]


def checks(summary: Summary, context: ReportContext) -> list[Flowable]:
    """Return the chapter that counts the outcomes of every check over the cohort."""
    outcomes = summary.get("outcomes") or {}
    audited = int((summary.get("counts") or {}).get("audited", 0))
    said = story_text.checks_found(outcomes, audited) if outcomes else "No check ran."
    items = chapters.opened("Every check over the cohort", "checks", said)
    items[2] = Heading("Every check over the cohort", "title", anchor=links.CHECKS)
    note = text.not_run(context.disabled_checks)
    if not outcomes:
        return [*items, tables.words(note, "caption")]
    rows = [_check_row(code, outcomes[code], context) for code in sorted(outcomes)]
    head = ("Code", "Check", *(vocabulary.OUTCOME_WORDS[outcome] for outcome in vocabulary.WORST_FIRST))
    table = tables.table(head, rows, CHECKS_MM, numeric=(2, 3, 4, 5, 6, 7), type_style="dense")
    return [*items, table, tables.words(f"Number of studies. {note}", "caption")]


def _check_row(code: str, counts: Mapping[str, int], context: ReportContext) -> list[tables.Cell]:
    mode = context.failure_modes.get(code)
    title = mode.title if mode else numbers.MISSING
    return [code, title, *(numbers.number(int(counts.get(outcome.value, 0))) for outcome in vocabulary.WORST_FIRST)]


def layers(records: Sequence[StudyRecord]) -> list[Flowable]:
    """Return which layer the maps of this audit come from; every choice that its records know."""
    audited = [record for record in records if record.status is Status.AUDITED]
    choices = {choice.layer: choice for one in audited if (choice := one.model.layer_choice) is not None}
    if not choices:
        return []
    return [
        Heading("Where the maps come from", level=1),
        *(part for choice in choices.values() for part in layer_table.layer_story(choice)),
    ]


def provenance(records: Sequence[StudyRecord], context: ReportContext, facts: AuditFacts) -> list[Flowable]:
    """Return which model, machine and software this report stands on, and how to verify it offline."""
    models = {
        (record.model.name, record.model.version, record.model.network, record.model.card_sha256,
         record.model.weights_sha256)
        for record in records
    }  # fmt: skip
    devices = {f"{one.device}, {one.precision}" for record in records if (one := record.prediction) is not None}
    rows: list[tuple[str, str]] = []
    for name, version, network, card, weights in sorted(models):
        rows += [
            ("Model", f"{name} {version}"),
            ("Network", network or "not recorded"),
            ("Model card SHA-256", card or "not recorded"),
            ("Weights SHA-256", weights or "not recorded"),
        ]
    rows += [
        ("Device, precision", text.listed(sorted(devices)) if devices else "no prediction was made"),
        ("Software", text.software(context.versions)),
        ("Run", context.run),
        ("Dates", vocabulary.DATES),
        ("Code SHA-256", facts.code or "not recorded"),
        *((f"{name}{' as attached' if '.' in name else ''}, SHA-256", digest) for name, digest in facts.files.items()),
        ("Identity", story_text.IDENTITY.get(context.profile, context.profile)),
        ("Signature", story_text.SIGNATURE),
    ]
    steps = [(str(number), step) for number, step in enumerate(vocabulary.VERIFY, start=1)]
    return [
        *chapters.opened("Provenance", "provenance", story_text.provenance_found(len(models), len(records))),
        tables.pairs(rows, (38.0, 140.0), type_style="dense"),
        Heading("How to verify this report offline", level=1),
        tables.pairs(steps, (8.0, 170.0), type_style="dense"),
    ]
