"""The visible block of a signature: in the left margin of the first page, which no layout prints on.

The block is read with the page turned to the right. Four blocks fit below each other on both papers, the first one at
the foot of the page, beside the reviewer's box.
"""

from __future__ import annotations

import io

from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from audit_pipeline.report import fonts, style
from audit_pipeline.report.statement import Statement

SLOTS = 4
LONG, SHORT = 60 * mm, 11 * mm
LEFT, GAP = 3.2 * mm, 2 * mm
INSET = 1.2 * mm
SIZE, SMALL, LEADING = 6.5, 5.5, 7.0


def box(slot: int) -> tuple[float, float, float, float]:
    """Return left, bottom, right and top in points of a slot, counted from 0."""
    bottom = style.MARGIN + slot * (LONG + GAP)
    return LEFT, bottom, LEFT + SHORT, bottom + LONG


def appearance(statement: Statement, subject: str) -> bytes:
    """Return a PDF of one page as large as a slot: meaning and time, name, certificate, reason; fonts are embedded."""
    fonts.register()
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=(SHORT, LONG), invariant=1, initialFontName=fonts.REGULAR, pageCompression=1)
    canvas.setStrokeColor(style.RULE)
    canvas.setLineWidth(0.5)
    canvas.rect(0.25, 0.25, SHORT - 0.5, LONG - 0.5, stroke=1, fill=0)
    canvas.rotate(90)
    time = f"{statement.time:%Y-%m-%d %H:%M:%S} UTC"
    lines = (
        (f"Signed as {statement.meaning}, {time}", SIZE, fonts.BOLD, style.INK),
        (statement.name, SIZE, fonts.REGULAR, style.INK),
        (f"Certificate: {subject}", SMALL, fonts.REGULAR, style.GREY),
        (f"Reason: {statement.reason}" if statement.reason else "", SMALL, fonts.REGULAR, style.GREY),
    )
    for number, (words, size, font, colour) in enumerate(lines, 1):
        if words:
            shown = fonts.fitted(words, LONG - 2 * INSET, size, font)
            fonts.draw(canvas, (INSET, -number * LEADING), shown, size, font=font, colour=colour)
    canvas.save()
    return target.getvalue()


def fits(name: str) -> bool:
    """Whether the whole of a name can be printed in the block."""
    return fonts.width_of(fonts.clean(name), SIZE) <= float(LONG - 2 * INSET)
