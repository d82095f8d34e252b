"""The look of the pages in one place: paper, type sizes, colours."""

from __future__ import annotations

from functools import lru_cache

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm

from audit_pipeline.findings import Outcome
from audit_pipeline.report import fonts

PAPERS = {"a4": A4, "letter": LETTER}
MARGIN = 16 * mm
GUTTER = 4 * mm

INK = HexColor("#1A1A1A")
GREY = HexColor("#595959")
RULE = HexColor("#9A9A9A")
TRACK = HexColor("#E8E8E8")
WHITE = HexColor("#FFFFFF")
BLACK = HexColor("#000000")
BLUE = HexColor("#0072B2")
SKY = HexColor("#56B4E9")
PALE = HexColor("#CFE3F0")
VERMILLION = HexColor("#D55E00")

OUTCOME_COLOURS = {
    Outcome.PASS: HexColor("#009E73"),
    Outcome.NOTE: HexColor("#6B6B6B"),
    Outcome.FLAG: HexColor("#E69F00"),
    Outcome.CRITICAL: HexColor("#D55E00"),
    Outcome.NOT_EVALUABLE: HexColor("#6B6B6B"),
    Outcome.ERROR: HexColor("#000000"),
}
"""Okabe-Ito colours; each outcome also has its own shape and word."""

BODY, TABLE, CAPTION, DENSE, TIGHT = 9.0, 8.0, 7.5, 7.3, 6.6

_SIZES = {
    "title": (16.0, 20.0, fonts.BOLD),
    "section": (11.0, 14.0, fonts.BOLD),
    "verdict": (13.0, 16.0, fonts.BOLD),
    "body": (BODY, 11.4, fonts.REGULAR),
    "table": (TABLE, 9.8, fonts.REGULAR),
    "head": (TABLE, 9.8, fonts.BOLD),
    "caption": (CAPTION, 9.2, fonts.REGULAR),
    "dense": (DENSE, 8.7, fonts.REGULAR),
    "dense head": (DENSE, 8.7, fonts.BOLD),
    "tight": (TIGHT, 7.6, fonts.REGULAR),
    "tight head": (TIGHT, 7.6, fonts.BOLD),
}


@lru_cache(maxsize=32)
def paragraph_style(name: str, *, right: bool = False) -> ParagraphStyle:
    """Return the paragraph style ``title``, ``section``, ``body``, ``table``, ``dense``, ... of `_SIZES`."""
    fonts.register()
    size, leading, font = _SIZES[name]
    before = {"section": 7.5}.get(name, 0.0)
    after = {"title": 2.0, "section": 2.0, "body": 3.0}.get(name, 0.0)
    return ParagraphStyle(
        name,
        fontName=font,
        bulletFontName=font,
        fontSize=size,
        leading=leading,
        textColor=GREY if name == "caption" else INK,
        alignment=TA_RIGHT if right else TA_LEFT,
        spaceBefore=before,
        spaceAfter=after,
        splitLongWords=1,
    )
