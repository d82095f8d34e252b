"""The page of a study that was refused or failed: what happened, why, what to do."""

from __future__ import annotations

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Paragraph, Spacer

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.report import (
    check_table,
    evidence,
    fonts,
    input_facts,
    layout,
    record_pages,
    style,
    summary_page,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.study_record import PredictionFacts, StudyRecord


def story(record: StudyRecord, context: ReportContext, digest: str = "") -> list[Flowable]:
    """Return the flowables of the page."""
    word = text.capital(vocabulary.STATUS_WORDS[record.status])
    outcome = Outcome.CRITICAL if record.status is Status.REFUSED else Outcome.ERROR
    status = Paragraph(fonts.bold(word), style.paragraph_style("verdict"))
    items = [
        *summary_page.titles(record, context),
        layout.MarkedParagraph(outcome, status),
        tables.words(text.without_result(record), "body"),
        Spacer(1, 2 * mm),
        tables.pairs(_facts(record), (38.0, 140.0)),
        Spacer(1, 2 * mm),
    ]
    if record.findings:
        items += [*check_table.story(evidence.shown(record, (), context)), Spacer(1, 2 * mm)]
    return [*items, *record_pages.provenance(record, context, digest)]


def _facts(record: StudyRecord) -> list[tuple[str, str]]:
    error = record.error
    if error is None:
        return [("Why", "No reason was recorded."), ("Files", input_facts.dispositions(record.files))]
    facts = [
        ("What stopped it", f"{error.code} in the stage \u201c{error.stage}\u201d"),
        ("Why", _sentence(error.message) if error.message else "No message was recorded."),
        ("What to do", text.what_to_do(error.stage)),
        ("Files", input_facts.dispositions(record.files)),
    ]
    if record.prediction is not None:
        facts.append(("Prediction before the failure", _concluded(record.prediction)))
    return facts


def _sentence(message: str) -> str:
    """Return a message of an error as a sentence.

    >>> _sentence("a file is damaged; transfer it again")
    'A file is damaged; transfer it again.'
    """
    return f"{text.capital(message).rstrip('.')}."


def _concluded(prediction: PredictionFacts) -> str:
    headline, sentences = text.conclusion(prediction)
    return f"{headline}; {'; '.join(sentences)}"
