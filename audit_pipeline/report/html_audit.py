"""The report of an audit as one file for a browser: the facts of the PDF, studies and checks to filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit_pipeline.records import Panel
from audit_pipeline.report import audit_pdf, fonts, frontage, html_alternatives, html_page
from audit_pipeline.report.audit_pdf import Summary
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_story import Writer
from audit_pipeline.study_record import StudyRecord

MOST_BYTES = 6_000_000
LARGEST_SIDE = 192


def render_audit_html(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    pages: Mapping[str, str] | None = None,
) -> bytes:
    """Return the page of a whole audit; the other parameters as in `audit_pdf.render_audit`.

    Parameters
    ----------
    pages : study key -> address of the page of the study, relative to this one

    Raises
    ------
    ReportError
        Anatomy and map of a thumbnail do not lie on the same pixels.
    """
    fonts.register()
    layers = Layers(MOST_BYTES, LARGEST_SIDE)
    with fonts.for_screen():
        writer = Writer(
            layers, lambda picture: html_alternatives.thumbnail(picture.panel, picture.layer), links=pages or {}
        )
        content = writer.write(audit_pdf.story(records, summary, thumbnails, context))
        return html_page.framed(frontage.of_audit(records, context), writer, content)
