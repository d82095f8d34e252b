"""The report of one study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline.records import Panel, Status
from audit_pipeline.report import (
    evidence,
    evidence_pages,
    fonts,
    frontage,
    layout,
    prediction_pages,
    record_pages,
    refusal_page,
    review,
    summary_page,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import build, pages_of
from audit_pipeline.report.evidence import Shown
from audit_pipeline.study_record import StudyRecord

MOST_PAGES = 6
"""With more, type and pictures are made smaller once."""


def render_study(
    record: StudyRecord,
    panels: Sequence[Panel],
    context: ReportContext,
    attached: Mapping[str, bytes] | None = None,
    *,
    digest: str = "",
) -> bytes:
    """Return the PDF of one study, drawn from its record and panels alone.

    The same arguments give the same bytes. A refused or failed study becomes a page that says what was refused, why,
    and what to do.

    Parameters
    ----------
    record : what is kept of the study
    panels : the slices to show; the axial plane through the evidence (or the first panel) becomes the key image
    context : facts of the run
    attached : name -> content of the files the report carries, see `archive.KINDS`
    digest : SHA-256 of the record as it is attached, to be printed

    Raises
    ------
    ReportError
        Anatomy and map of a panel do not lie on the same pixels, or a part does not fit on a page.
    """
    fonts.register()
    is_audited = record.status is Status.AUDITED
    front = replace(
        frontage.of_study(record, context),
        first_page=_box(context) if is_audited else None,
        reserved=review.RESERVED if is_audited else 0.0,
        attached=attached or {},
    )
    if not is_audited:
        return build(refusal_page.story(record, context, digest), front)
    shown = evidence.shown(record, panels, context, digest)
    is_tight = pages_of(_story(shown), front) > MOST_PAGES
    return build(_story(replace(shown, is_tight=is_tight)), front)


def _story(shown: Shown) -> list[Flowable]:
    return [
        *summary_page.story(shown),
        *evidence_pages.story(shown),
        *prediction_pages.story(shown),
        *record_pages.story(shown),
    ]


def _box(context: ReportContext) -> Any:
    width = layout.content_size(context.settings.paper)[0]
    return lambda canvas: review.draw_box(canvas, width)
