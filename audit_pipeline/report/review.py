"""The box a reviewer fills in by hand."""

from __future__ import annotations

from typing import Any

from reportlab.lib.units import mm

from audit_pipeline.report import fonts, style, vocabulary

HEIGHT = 24 * mm
RESERVED = HEIGHT + 4 * mm


def draw_box(canvas: Any, width: float) -> None:
    """Draw the box at the bottom of the page, `width` points wide, between the margins."""
    left, low = style.MARGIN, style.MARGIN
    canvas.saveState()
    canvas.setStrokeColor(style.RULE)
    canvas.setLineWidth(0.6)
    canvas.rect(left, low, width, HEIGHT, stroke=1, fill=0)
    top, size = low + HEIGHT, style.TABLE
    first, second = top - 5.5 * mm, top - 18.5 * mm
    fonts.draw(canvas, (left + 3 * mm, first), "Reviewer's verdict", size, font=fonts.BOLD, colour=style.INK)
    x = left + 36 * mm
    for verdict in vocabulary.REVIEW_VERDICTS:
        canvas.setStrokeColor(style.INK)
        canvas.rect(x, first - 0.3 * mm, 2.8 * mm, 2.8 * mm, stroke=1, fill=0)
        fonts.draw(canvas, (x + 4.2 * mm, first), verdict, size, colour=style.INK)
        x += 9 * mm + fonts.width_of(verdict, size)
    for words, start, end in (("Name", 0.0, 0.40), ("Date", 0.40, 0.62), ("Signature", 0.62, 1.0)):
        begin = left + 3 * mm + start * (width - 6 * mm)
        fonts.draw(canvas, (begin, second), words, size, colour=style.INK)
        canvas.setStrokeColor(style.RULE)
        line = begin + fonts.width_of(words, size) + 2 * mm
        canvas.line(line, second - 0.8 * mm, left + end * (width - 6 * mm), second - 0.8 * mm)
    canvas.restoreState()
