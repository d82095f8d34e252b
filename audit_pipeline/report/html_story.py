"""The parts of a paper report as elements of a page: the same words and numbers, because they are the same objects.

What is written for paper stands once, in the modules that write it. Headings keep their order without a gap, tables
get their head and caption, pictures their description; what only arranges a printed page is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from reportlab.platypus import CondPageBreak, Flowable, KeepInFrame, KeepTogether, PageBreak, Paragraph, Spacer, Table

from audit_pipeline.report import html_charts, html_figures, html_plots, html_table, layout, links, marks
from audit_pipeline.report.charts import ClassBars
from audit_pipeline.report.document import Heading
from audit_pipeline.report.figures import ColourBar, Picture
from audit_pipeline.report.glance import CheckMarks
from audit_pipeline.report.html_elements import joined, tag
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_words import plain, words
from audit_pipeline.report.part_scores import Profile
from audit_pipeline.report.plots import Plot
from audit_pipeline.report.thumbnail import Thumbnail

LOWEST_HEADING = 6
PAPER_ONLY = (Spacer, CondPageBreak, PageBreak)
PICTURE_PIXELS = 320.0
THUMBNAIL_PIXELS = 2.2
"""CSS pixels per point on paper."""

NO_FORM = "A figure of the PDF has no form on this page; it stands in report.pdf beside it."

Describe = Callable[[Picture], str]
"""From a picture to what it shows, in words."""


@dataclass(slots=True)
class Writer:
    """Turns the parts of a report into elements, from the first to the last.

    Attributes
    ----------
    layers : the pixels of the page
    describe : gives every picture its alternative text
    checks : codes that get a row to link to
    links : text of a cell -> address it leads to
    contents : name and title of every main heading written so far
    """

    layers: Layers
    describe: Describe
    checks: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)
    parts: list[Markup] = field(default_factory=list)
    contents: list[tuple[str, str]] = field(default_factory=list)
    _above: list[tuple[int, int]] = field(default_factory=list)
    _headings: int = 0
    _caption: str = ""
    _name: str = ""
    _title: Paragraph | None = None
    _region: str = ""
    _rows: set[str] = field(default_factory=set)

    def write(self, story: Iterable[Flowable]) -> Markup:
        """Return the parts of a report one after the other."""
        before, self.parts = self.parts, []
        items = [item for item in story if not isinstance(item, PAPER_ONLY)]
        for place, item in enumerate(items):
            if isinstance(item, Heading):
                self._region = self._region_of(item, items[place + 1 :])
            following = items[place + 1] if place + 1 < len(items) else None
            if _is_title_of(item, following):
                self._title = item
            else:
                self._one(item)
        written, self.parts = joined(_in_figures(self.parts)), before
        return written

    def _one(self, item: Flowable) -> None:
        for kind, write in self._kinds().items():
            if isinstance(item, kind):
                self.parts.append(write(item))
                return
        self.parts.append(tag("p", NO_FORM, class_="caption"))

    def _kinds(self) -> Mapping[Any, Callable[[Any], Markup]]:
        return {
            Heading: self._printed_heading,
            Paragraph: lambda item: tag("p", words(item), class_=item.style.name),
            Table: self._table,
            KeepTogether: lambda item: self.write(item._content),
            KeepInFrame: lambda item: self.write(item._content),
            layout.Columns: lambda item: self.columns([self.write(stack) for stack in item.stacks]),
            layout.MarkedParagraph: _marked_paragraph,
            marks.MarkedWord: _marked_word,
            links.LinkedWord: lambda item: tag("a", item.words, href=item.target),
            CheckMarks: lambda item: html_charts.check_marks(item, self.checks),
            ClassBars: lambda item: html_charts.class_bars(item, self._caption),
            Plot: html_plots.figure,
            Profile: lambda item: tag("figure", html_charts.profile(item)),
            Thumbnail: lambda item: self._thumbnail(item.picture),
            Picture: self._picture,
            ColourBar: lambda item: html_figures.colour_bar(self.layers, item.layer, item.look, item.title),
        }

    def _printed_heading(self, item: Heading) -> Markup:
        drawn = self.heading(plain(item), item.level, item.anchor)
        is_ruled = item.style.name == "title" and self._region
        return drawn + html_table.outcome_filter(self._region) if is_ruled else drawn

    def heading(self, title: str, level: int, anchor: str = "") -> Markup:
        """Return a heading one step below the nearest heading above it of a smaller `level`.

        anchor : place in this document that leads here, such as "#figure-planes"
        """
        rank = -1 if not self._above else level
        while self._above and self._above[-1][0] >= rank:
            self._above.pop()
        depth = min(LOWEST_HEADING, self._above[-1][1] + 1 if self._above else 1)
        self._above.append((rank, depth))
        self._headings += 1
        name = anchor.removeprefix("#") or f"part-{self._headings}"
        if depth == 2 and level == 0:
            self.contents.append((name, title))
        self._caption, self._name = title, name
        return tag(f"h{depth}", title, id=name)

    def _region_of(self, heading: Heading, below: list[Flowable]) -> str:
        """Return the name of the filter that rules the tables below `heading`, "" for none.

        A filter stands below a title, and holds up to the next title.
        """
        if heading.style.name != "title":
            return self._region
        ends = (place for place, item in enumerate(below) if isinstance(item, Heading) and item.style.name == "title")
        own = below[: next(ends, len(below))]
        is_ruled = self._headings > 0 and any(isinstance(item, Table) and html_table.has_outcomes(item) for item in own)
        return f"region-{self._headings}" if is_ruled else ""

    def columns(self, stacks: list[Markup]) -> Markup:
        """Return stacks side by side, one below the other where the window is narrow."""
        return tag("div", *(tag("div", one) for one in stacks), class_=f"columns of-{len(stacks)}")

    def _picture(self, item: Picture) -> Markup:
        height, width = item.picture_height, item.picture_width
        scale = item.scale * PICTURE_PIXELS / max(height, width)
        return html_figures.picture(self.layers, item.panel, scale, item.look, item.layer, self.describe(item))

    def _thumbnail(self, item: Picture) -> Markup:
        scale = item.scale * THUMBNAIL_PIXELS
        return html_figures.thumbnail(self.layers, item.panel, scale, item.look, item.layer, self.describe(item))

    def _table(self, item: Table) -> Markup:
        title, self._title = self._title, None
        place = html_table.Place(
            caption=plain(title) if title else self._caption,
            is_caption_seen=title is not None,
            heading=self._name,
            checks=self.checks - self._rows,
            links=self.links,
            region=self._region,
        )
        drawn, seen = html_table.table(item, self._cell, place)
        self._rows |= seen
        return drawn

    def _cell(self, content: Any) -> Markup:
        if isinstance(content, str):
            return joined((content,))
        if isinstance(content, Paragraph):
            return words(content)
        if isinstance(content, list | tuple):
            return self.write(content)
        return self.write([content])


def _is_title_of(item: Flowable, following: Flowable | None) -> bool:
    """Return whether a line stands over a table as its title."""
    return isinstance(item, Paragraph) and item.style.name == "head" and isinstance(following, Table)


def _marked_paragraph(item: layout.MarkedParagraph) -> Markup:
    text = words(item.paragraph)
    kind = f"marked {item.paragraph.style.name}"
    return tag("p", html_figures.mark(item.outcome), tag("span", text), class_=kind)


def _marked_word(item: marks.MarkedWord) -> Markup:
    mark = html_figures.mark(item.outcome, is_named=False)
    return tag("p", mark, tag("span", item.words), class_="marked table")


def _in_figures(parts: list[Markup]) -> list[Markup]:
    """Return the parts with every picture in a figure, the captions that follow it in its caption."""
    found: list[Markup] = []
    place = 0
    while place < len(parts):
        if not parts[place].startswith('<svg class="slice"'):
            found.append(parts[place])
            place += 1
            continue
        end = place + 1
        while end < len(parts) and parts[end].startswith(('<p class="caption"', '<div class="colour-bar"')):
            end += 1
        notes = parts[place + 1 : end]
        caption = [tag("figcaption", *notes)] if notes else []
        found.append(tag("figure", parts[place], *caption))
        place = end
    return found
