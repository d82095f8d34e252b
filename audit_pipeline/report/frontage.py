"""What every page of a report says above and below its text: of a study, and of a whole audit."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.report import text, vocabulary
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Frontage, model_line, weights_line
from audit_pipeline.study_record import StudyRecord
from audit_pipeline.wording import counted


def of_study(record: StudyRecord, context: ReportContext) -> Frontage:
    """Return title, header and footer of the report of one study."""
    return Frontage(
        title=f"Study {record.study}: audit of {record.model.name}",
        subject=f"{vocabulary.STATUS_WORDS[record.status]}; {vocabulary.CAUTION}; run {context.run}",
        header=f"Study {record.study}",
        model=model_line(record.model.name, record.model.version),
        digest=weights_line(record.model.weights_sha256),
        context=context,
    )


def of_audit(records: Sequence[StudyRecord], context: ReportContext) -> Frontage:
    """Return title, header and footer of the report of an audit."""
    digests = list(dict.fromkeys(record.model.weights_sha256 for record in records))
    return Frontage(
        title=f"Audit report: {context.audit_name}",
        subject=f"{counted(len(records), 'study', 'studies')}; {vocabulary.CAUTION}; run {context.run}",
        header=f"Audit {context.audit_name}",
        model=models_of(records),
        digest=f"{len(digests)} weights digests" if len(digests) > 1 else weights_line("".join(digests)),
        context=context,
    )


def models_of(records: Sequence[StudyRecord]) -> str:
    """Return name and version of the model, of the first two where there are several."""
    models = list(dict.fromkeys(model_line(record.model.name, record.model.version) for record in records))
    return text.listed(models, 2) if models else "no model"
