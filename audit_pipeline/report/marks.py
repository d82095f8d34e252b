"""Outcome marks as drawn shapes, so that they print without any symbol font and are told apart without colour."""

from __future__ import annotations

from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline.findings import Outcome
from audit_pipeline.report import fonts, links, style, vocabulary


def draw_mark(canvas: Any, outcome: Outcome, centre: tuple[float, float], size: float) -> None:
    """Draw the mark of `outcome` around `centre`, `size` points wide and high."""
    x, y = centre
    half = size / 2
    canvas.saveState()
    colour = style.OUTCOME_COLOURS[outcome]
    canvas.setFillColor(colour)
    canvas.setStrokeColor(colour)
    canvas.setLineWidth(size * 0.16)
    if outcome is Outcome.PASS:
        canvas.circle(x, y, half * 0.95, stroke=0, fill=1)
    elif outcome is Outcome.NOTE:
        canvas.circle(x, y, half * 0.82, stroke=1, fill=0)
    elif outcome is Outcome.CRITICAL:
        canvas.rect(x - half * 0.9, y - half * 0.9, size * 0.9, size * 0.9, stroke=0, fill=1)
    else:
        _draw_lines(canvas, outcome, centre, half)
    canvas.restoreState()


def _draw_lines(canvas: Any, outcome: Outcome, centre: tuple[float, float], half: float) -> None:
    x, y = centre
    path = canvas.beginPath()
    if outcome is Outcome.FLAG:
        path.moveTo(x - half, y - half * 0.85)
        path.lineTo(x + half, y - half * 0.85)
        path.lineTo(x, y + half * 0.9)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)
        return
    canvas.setLineWidth(half * 0.45)
    if outcome is Outcome.NOT_EVALUABLE:
        canvas.line(x - half * 0.85, y, x + half * 0.85, y)
    else:
        canvas.line(x - half * 0.75, y - half * 0.75, x + half * 0.75, y + half * 0.75)
        canvas.line(x - half * 0.75, y + half * 0.75, x + half * 0.75, y - half * 0.75)


class MarkedWord(Flowable):  # type: ignore[misc]
    """A mark, the word of its outcome, and optionally more words after it, on one line; links to `anchor` lead here."""

    def __init__(
        self, outcome: Outcome, more: str = "", *, size: float = style.TABLE, font: str = "", anchor: str = ""
    ) -> None:
        super().__init__()
        self.anchor = anchor
        self.outcome, self.size, self.font = outcome, size, font or fonts.REGULAR
        self.words = vocabulary.OUTCOME_WORDS[outcome] + (f" {more}" if more else "")

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the size; words that do not fit are shortened."""
        self.drawn = fonts.fitted(self.words, available_width - self.size * 1.3, self.size, self.font)
        return available_width, self.size * 1.225

    def draw(self) -> None:
        """Draw mark and words."""
        links.draw_anchor(self.canv, self.anchor, self.size * 1.225)
        draw_mark(self.canv, self.outcome, (self.size * 0.45, self.size * 0.52), self.size * 0.82)
        fonts.draw(
            self.canv, (self.size * 1.25, self.size * 0.25), self.drawn, self.size, font=self.font, colour=style.INK
        )
