"""The reports of one study from what is stored of it: needs neither the model nor the libraries that run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Panel
from audit_pipeline.report import ReportContext, overlay_pictures, render_study, render_study_html
from audit_pipeline.store.files import sha256
from audit_pipeline.store.record_file import timeless_bytes
from audit_pipeline.study_record import StudyRecord

RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL, Outcome.ERROR})


def render(
    record: StudyRecord, shown: Sequence[Panel], context: ReportContext, sampled: frozenset[str]
) -> Mapping[str, bytes]:
    """Return the reports of a study that ``report.pdf`` and ``report.html`` ask for; overlays go with the PDF.

    Parameters
    ----------
    sampled : the keys that ``sample:k`` chose
    """
    wanted = context.settings.pdf
    raised = record.verdict is None or any(one.outcome in RAISED for one in record.findings)
    is_sampled = wanted.startswith("sample:") and record.study in sampled
    attached = timeless_bytes(record)
    digest = sha256(attached)
    files: dict[str, bytes] = {}
    if wanted == "all" or (wanted == "flagged" and raised) or is_sampled:
        files["report.pdf"] = render_study(record, shown, context, {"record.json": attached}, digest=digest)
        files.update(overlay_pictures(record, shown, context))
    if context.settings.html == "all" or (context.settings.html == "flagged" and raised):
        files["report.html"] = render_study_html(record, shown, context, digest=digest)
    return files
