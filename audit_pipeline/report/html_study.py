"""The report of one study as one file for a browser: the facts of the PDF, with slices to step through."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from audit_pipeline.records import Panel, Status
from audit_pipeline.report import (
    evidence,
    evidence_pages,
    fonts,
    frontage,
    html_alternatives,
    html_evidence,
    html_page,
    intake_figure,
    prediction_pages,
    record_pages,
    refusal_page,
    summary_page,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import Picture
from audit_pipeline.report.html_elements import joined, tag
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_story import Writer
from audit_pipeline.study_record import StudyRecord

MOST_BYTES = 2_900_000

LARGEST_SIDE = 480


def render_study_html(
    record: StudyRecord, panels: Sequence[Panel], context: ReportContext, *, digest: str = ""
) -> bytes:
    """Return the page of one study, drawn from its record and panels alone; UTF-8, at most 3 MB.

    It says what the PDF says, from the same functions, and asks no network for anything. The same arguments give the
    same bytes.

    Parameters
    ----------
    record : what is kept of the study
    panels : the slices to show
    context : facts of the run
    digest : SHA-256 of the record as the PDF carries it, to be printed

    Raises
    ------
    ReportError
        Anatomy and map of a panel do not lie on the same pixels.
    """
    fonts.register()
    layers = Layers(MOST_BYTES, LARGEST_SIDE)
    checks = frozenset(finding.code for finding in record.findings)
    shown = evidence.shown(record, panels, context, digest)
    with fonts.for_screen():
        writer = Writer(layers, lambda picture: _described(shown, picture), checks)
        if record.status is Status.AUDITED:
            content = _audited(writer, shown)
        else:
            content = writer.write(refusal_page.story(record, context, digest))
        return html_page.framed(frontage.of_study(record, context), writer, content)


def _audited(writer: Writer, shown: Shown) -> Markup:
    record, context = shown.record, shown.context
    title = writer.write(summary_page.titles(record, context))
    # the answer is read before the pictures, which stand on its left where there is room
    pictures, answer = summary_page.columns(shown).stacks
    first = [tag("div", writer.write(answer), class_="answer"), tag("div", writer.write(pictures), class_="pictures")]
    return joined(
        [
            title,
            tag("div", *first, class_="summary"),
            html_evidence.section(writer, shown),
            writer.write(evidence_pages.statistics(shown)),
            writer.write(prediction_pages.story(shown)),
            writer.write(record_pages.story(shown)),
        ]
    )


def _described(shown: Shown, picture: Picture) -> str:
    if picture.panel.role in evidence.INTAKE:
        return intake_figure.said_of(shown, picture.panel)
    if picture.layer is None:
        return html_alternatives.raw(shown, picture.panel)
    return html_alternatives.evidence(shown, picture.panel, picture.layer)
