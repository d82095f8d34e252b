"""The report of one study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit_pipeline.records import Panel, Status
from audit_pipeline.report import (
    evidence,
    evidence_pages,
    fonts,
    layout,
    record_pages,
    refusal_page,
    review,
    summary_page,
    vocabulary,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Frontage, build, model_line, weights_line
from audit_pipeline.study_record import StudyRecord


def render_study(record: StudyRecord, panels: Sequence[Panel], context: ReportContext) -> bytes:
    """Return the PDF of one study, drawn from its record and panels alone.

    The same arguments give the same bytes. A refused or failed study becomes a page that says what was refused, why,
    and what to do.

    Parameters
    ----------
    record : what is kept of the study
    panels : the slices to show; the axial plane through the evidence (or the first panel) becomes the key image
    context : facts of the run

    Raises
    ------
    ReportError
        Anatomy and map of a panel do not lie on the same pixels, or a part does not fit on a page.
    """
    fonts.register()
    front = Frontage(
        title=f"Study {record.study}: audit of {record.model.name}",
        subject=f"{vocabulary.STATUS_WORDS[record.status]}; {vocabulary.CAUTION}; run {context.run}",
        header=f"Study {record.study}",
        model=model_line(record.model.name, record.model.version),
        digest=weights_line(record.model.weights_sha256),
        context=context,
        first_page=_box(context) if record.status is Status.AUDITED else None,
        reserved=review.RESERVED if record.status is Status.AUDITED else 0.0,
    )
    if record.status is not Status.AUDITED:
        return build(refusal_page.story(record, context), front)
    shown = evidence.shown(record, panels, context)
    return build([*summary_page.story(shown), *evidence_pages.story(shown), *record_pages.story(shown)], front)


def _box(context: ReportContext) -> Any:
    width = layout.content_size(context.settings.paper)[0]
    return lambda canvas: review.draw_box(canvas, width)
