"""The report of an audit as one file for a browser: the facts of the PDF, studies and checks to filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from reportlab.platypus import Flowable

from audit_pipeline.records import Panel
from audit_pipeline.report import audit_pdf, fonts, frontage, html_alternatives, html_figures, html_page
from audit_pipeline.report.aside import Put, held
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.audit_gates import GateMark
from audit_pipeline.report.contact_sheet import Tile, TileRow
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading, PageNumbers
from audit_pipeline.report.html_elements import tag
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_story import Writer
from audit_pipeline.report.html_words import plain
from audit_pipeline.study_record import StudyRecord

MOST_BYTES = 6_000_000
LARGEST_SIDE = 192
QUALITY, CELL_PIXELS = 92, 4
"""Of its many small pictures: JPEG quality of the slices, pixels of a map across a cell of its grid."""


class AuditWriter(Writer):
    """Writes what only the report of an audit has: gates, pages of chapters, the contact sheet."""

    titles: Mapping[str, str]

    def _kinds(self) -> Mapping[Any, Callable[[Any], Markup]]:
        own: dict[Any, Callable[[Any], Markup]] = {
            GateMark: _gate,
            PageNumbers: self._places,
            TileRow: lambda row: tag("ul", *(self._tile(tile) for tile in row.tiles), class_="tiles"),
        }
        return {**own, **super()._kinds()}

    def _places(self, item: PageNumbers) -> Markup:
        """Return links to the chapters whose pages the PDF names."""
        links = [tag("a", self.titles[one], href=one) for one in item.anchors]
        return tag("p", *(part for link in links for part in (link, " ")))

    def _tile(self, tile: Tile) -> Markup:
        pictures = [self._thumbnail(one.picture) for one in tile.pictures]
        key = tile.record.study
        address = self.links.get(key)
        name = tag("a", key, href=address) if address else tag("strong", key)
        told = tag("span", tile.alternative.removeprefix(key).removeprefix(": "))
        shown = tag("div", *pictures, class_="pair") if pictures else Markup("")
        return tag("li", shown, tag("p", name, " ", told))


def _gate(item: GateMark) -> Markup:
    mark = html_figures.mark(item.outcome, is_named=False)
    return tag("p", mark, tag("strong", item.words), class_="marked table")


def render_audit_html(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    pages: Mapping[str, str] | None = None,
    facts: AuditFacts | None = None,
    put: Put = held,
) -> bytes:
    """Return the page of a whole audit; the other parameters as in `audit_pdf.render_audit`.

    Parameters
    ----------
    pages : study key -> address of the page of the study, relative to this one
    put : keeps the pixels of the pictures until the page is written

    Raises
    ------
    ReportError
        Anatomy and map of a thumbnail do not lie on the same pixels.
    """
    fonts.register()
    layers = Layers(MOST_BYTES, LARGEST_SIDE, quality=QUALITY, cell_pixels=CELL_PIXELS, put=put)
    with fonts.for_screen():
        writer = AuditWriter(
            layers, lambda picture: html_alternatives.thumbnail(picture.panel, picture.layer), links=pages or {}
        )
        story = audit_pdf.story(records, summary, thumbnails, context, facts or AuditFacts())
        writer.titles = _titles(story)
        content = writer.write(story)
        return html_page.framed(frontage.of_audit(records, context), writer, content)


def _titles(story: Sequence[Flowable]) -> dict[str, str]:
    """Return the place of every chapter with its title."""
    return {one.anchor: plain(one) for one in story if isinstance(one, Heading) and one.anchor}
