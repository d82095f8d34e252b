"""The PDF itself: header and footer, page n of m, outline, metadata, embedded fonts, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pikepdf
from reportlab import rl_config
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph
from reportlab.platypus.doctemplate import LayoutError

from audit_pipeline.config import CLINICAL
from audit_pipeline.errors import ReportError
from audit_pipeline.report import archive, figures, fonts, links, numbers, style, text, vocabulary
from audit_pipeline.report.context import ReportContext

LONGEST_HEADING = 160

rl_config.useA85 = 0  # binary streams: a quarter smaller than their ASCII form
rl_config.trustedHosts = None  # with these two, no address in any text can make the library open a file or a socket
rl_config.trustedSchemes = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Frontage:
    """What every page of one document says in its header and footer, and what the document carries.

    attached : name -> content of the files the document was drawn from, see `archive.KINDS`
    keys : further entries of the document information
    """

    title: str
    subject: str
    header: str
    model: str
    digest: str
    context: ReportContext
    first_page: Callable[[Any], None] | None = field(default=None)
    reserved: float = 0.0
    attached: Mapping[str, bytes] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def paper(self) -> tuple[float, float]:
        """Width and height of the page in points."""
        width, height = style.PAPERS[self.context.settings.paper]
        return float(width), float(height)


class Heading(Paragraph):  # type: ignore[misc]
    """A section heading that also stands in the outline of the document; links to `anchor` lead here."""

    def __init__(self, words: str, name: str = "section", level: int = 0, anchor: str = "") -> None:
        shown = text.cut(words, LONGEST_HEADING)
        super().__init__(fonts.markup(shown, fonts.BOLD), style.paragraph_style(name))
        self.words, self.level, self.anchor = fonts.clean(shown), level, anchor
        self.keepWithNext = 1

    def draw(self) -> None:
        """Draw the heading and add its outline entry."""
        key = f"heading-{self.canv.next_heading()}"
        self.canv.bookmarkHorizontal(key, 0, self.height)
        self.canv.addOutlineEntry(self.words, key, self.level, closed=0)
        links.draw_anchor(self.canv, self.anchor, self.height)
        self.canv.note_place(self.anchor)
        super().draw()


class PageNumbers(Flowable):  # type: ignore[misc]
    """The pages on which anchored headings stand, also when these come later; a click leads to the first one.

    Raises ``ReportError`` when the document is written and one of the places is not in it.
    """

    def __init__(self, anchors: Sequence[str]) -> None:
        super().__init__()
        self.anchors = tuple(anchors)

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the width of the cell and the height of a line."""
        self.width = available_width
        return available_width, style.DENSE * 1.225

    def draw(self) -> None:
        """Draw the numbers, which are written when the last page is known."""
        self.canv.saveState()
        self.canv.translate(0, style.DENSE * 0.25)
        self.canv.doForm(self.canv.refer_to(self.anchors))
        self.canv.restoreState()
        links.draw_link(self.canv, self.anchors[0], (0, 0, self.width, style.DENSE * 1.225))


class _NumberedCanvas(Canvas):  # type: ignore[misc]
    """A canvas whose pages refer to forms that are written at the end: "page n of m", and pages of headings."""

    headings = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.places: dict[str, int] = {}
        self.references: dict[tuple[str, ...], str] = {}

    def note_place(self, anchor: str) -> None:
        """Remember on which page an anchored heading stands first; nothing for ""."""
        if anchor:
            self.places.setdefault(anchor, self.getPageNumber())

    def refer_to(self, anchors: tuple[str, ...]) -> str:
        """Return the name of the form that will hold the pages of these headings."""
        return self.references.setdefault(anchors, f"places-{len(self.references)}")

    def next_heading(self) -> int:
        """Return a number that no other heading of the document has."""
        self.headings += 1
        return self.headings

    def save(self) -> None:
        """Write the forms with the page numbers, then the file."""
        pages = self.getPageNumber() - 1
        width = self._pagesize[0]
        for page in range(1, pages + 1):
            self.beginForm(f"page-{page}")
            place = (width - style.MARGIN, self._pagesize[1] - style.MARGIN * 0.66)
            fonts.draw(self, place, f"page {page} of {pages}", style.CAPTION, align="right", colour=style.GREY)
            self.endForm()
        for anchors, name in self.references.items():
            self.beginForm(name)
            fonts.draw(self, (0, 0), self._pages_of(anchors), style.DENSE, colour=style.INK)
            self.endForm()
        super().save()

    def _pages_of(self, anchors: tuple[str, ...]) -> str:
        missing = [anchor for anchor in anchors if anchor not in self.places]
        if missing:
            raise ReportError(f"a table points to {missing[0]}, which is not in the report; report this with the run")
        return ", ".join(str(page) for page in sorted({self.places[anchor] for anchor in anchors}))


class _Kept:
    """Keeps the one file that the library writes, which a stream in memory would copy."""

    content = b""

    def write(self, content: bytes) -> None:
        """Keep the file."""
        self.content = content


def build(story: list[Flowable], front: Frontage) -> bytes:
    """Return the PDF of `story`, which is empty afterwards: a part is let go as soon as it is drawn.

    Raises
    ------
    ReportError
        A part of the page does not fit on any page.
    """
    return finished(drawn(story, front), front)


def drawn(story: list[Flowable], front: Frontage) -> bytes:
    """Return the pages of `story`, which `finished` makes the PDF; everything else as for `build`."""
    return _written(story, front)[0]


def pages_of(story: list[Flowable], front: Frontage) -> int:
    """Return how many pages `story` takes, which is empty afterwards; errors as for `build`."""
    with figures.without_pixels():
        return _written(story, front)[1]


def _written(story: list[Flowable], front: Frontage) -> tuple[bytes, int]:
    fonts.register()
    width, height = front.paper
    target = _Kept()
    document = BaseDocTemplate(
        target,
        pagesize=(width, height),
        title=archive.plain(front.title),
        author="audit_pipeline",
        subject=archive.plain(front.subject),
        creator=front.context.software,
        invariant=1,
        initialFontName=fonts.REGULAR,
        initialFontSize=style.BODY,
        lang="en-GB",
        enforceColorSpace="RGB",
        displayDocTitle=True,
    )
    document.addPageTemplates(_page_templates(front))
    try:
        document.build(story, canvasmaker=_canvas)
    except LayoutError as error:
        raise ReportError("a part of the report is larger than a page; report this with the record") from error
    return target.content, int(document.page)


def _canvas(*arguments: Any, **settings: Any) -> _NumberedCanvas:
    return _NumberedCanvas(*arguments, pdfVersion=(1, 7), **settings)


def _page_templates(front: Frontage) -> list[PageTemplate]:
    width, height = front.paper
    edge = style.MARGIN

    def frame(name: str, reserved: float) -> Frame:
        return Frame(
            edge, edge + reserved, width - 2 * edge, height - 2 * edge - reserved,
            leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0, id=name,
        )  # fmt: skip

    def first(canvas: Any, _document: Any) -> None:
        draw_edges(canvas, front)
        if front.first_page:
            front.first_page(canvas)

    def later(canvas: Any, _document: Any) -> None:
        draw_edges(canvas, front)

    return [
        PageTemplate("first", [frame("first", front.reserved)], onPage=first, autoNextPageTemplate="later"),
        PageTemplate("later", [frame("later", 0.0)], onPage=later),
    ]


def draw_edges(canvas: Any, front: Frontage) -> None:
    """Draw the header and footer lines of a page."""
    width, height = front.paper
    left, right = style.MARGIN, width - style.MARGIN
    top, bottom = height - style.MARGIN * 0.66, style.MARGIN * 0.55
    size, colour = style.CAPTION, style.GREY
    header = fonts.fitted(front.header, (right - left) * 0.36, size, fonts.BOLD)
    fonts.draw(canvas, (left, top), header, size, font=fonts.BOLD, colour=colour)
    model = fonts.fitted(front.model, (right - left) * 0.40, size)
    fonts.draw(canvas, ((left + right) / 2, top), model, size, align="centre", colour=colour)
    canvas.doForm(f"page-{canvas.getPageNumber()}")
    if front.context.profile == CLINICAL:
        stamp = vocabulary.PROFILE_WORDS[CLINICAL]
        place = ((left + right) / 2, height - style.MARGIN * 0.33)
        fonts.draw(canvas, place, stamp, style.TABLE, font=fonts.BOLD, align="centre", colour=style.VERMILLION)
    profile = vocabulary.PROFILE_WORDS.get(front.context.profile, front.context.profile)
    run = fonts.fitted(f"run {front.context.run}  |  {front.digest}", (right - left) * 0.45, size)
    fonts.draw(canvas, (left, bottom), run, size, colour=colour)
    fonts.draw(
        canvas, (right, bottom), fonts.clean(f"{vocabulary.CAUTION}  |  {profile}"), size, align="right", colour=colour
    )


def finished(content: bytes, front: Frontage) -> bytes:
    """Return the PDF as PDF/A-3b, without empty transitions and invented dates.

    The library writes the year 2000 as the date of a reproducible file; a date that is not true is taken out.
    """
    target = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as document:
        for page in document.pages:
            if "/Trans" in page:
                del page["/Trans"]
        for key in ("/CreationDate", "/ModDate"):
            if key in document.docinfo:
                del document.docinfo[key]
        with document.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
            metadata["dc:title"] = archive.plain(front.title)
            metadata["dc:creator"] = ["audit_pipeline"]
            metadata["dc:description"] = archive.plain(front.subject)
            metadata["dc:language"] = ["en-GB"]
        archive.finish(document, front.attached, front.keys)
        document.save(
            target,
            deterministic_id=True,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            min_version="1.7",
        )
    return target.getvalue()


def model_line(name: str, version: str) -> str:
    """Return model and version for the header."""
    return f"{name} {version}".strip()


def weights_line(digest: str) -> str:
    """Return the shortened digest for the footer."""
    return f"weights {numbers.digest(digest)}" if digest else "no weights digest"
