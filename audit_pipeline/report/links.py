"""Where a click leads: from a finding to its row in the table of checks, from a row of the audit to its study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline.report import fonts, style

CHECKS = "#checks"
"""The table of every check over the cohort."""


def check(code: str) -> str:
    """Return the place of a check in the table of a study.

    >>> check("D05")
    '#check-D05'
    """
    return "#check-" + "".join(one if one.isascii() and one.isalnum() else "-" for one in code)


def study(key: str) -> str:
    """Return where the report of a study lies, seen from the audit report."""
    return f"studies/{key}/report.pdf"


def draw_link(canvas: Any, target: str, area: tuple[float, float, float, float]) -> None:
    """Make an area of the page lead to a target; nothing for "".

    Parameters
    ----------
    target : a place in this document after "#", else the path of a PDF relative to this one
    area : left, bottom, right, top in points of the current coordinates
    """
    if target.startswith("#"):
        canvas.linkRect("", target[1:], area, relative=1, thickness=0)
    elif target:
        canvas.linkURL(target, area, relative=1, thickness=0, kind="GoToR")


def draw_anchor(canvas: Any, target: str, height: float) -> None:
    """Make the top left corner of what is drawn the place that `target` leads to; nothing for ""."""
    if target:
        canvas.bookmarkHorizontal(target[1:], 0, height)


class LinkedWord(Flowable):  # type: ignore[misc]
    """A short text that leads to a place in this document."""

    def __init__(self, words: str, target: str, *, size: float = style.DENSE) -> None:
        super().__init__()
        self.words, self.target, self.size = words, target, size

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the size; a text that does not fit is shortened."""
        self.drawn = fonts.fitted(self.words, available_width, self.size)
        self.width, self.height = available_width, self.size * 1.19
        return self.width, self.height

    def draw(self) -> None:
        """Draw the text in the colour of links."""
        base = self.size * 0.25
        fonts.draw(self.canv, (0, base), self.drawn, self.size, colour=style.BLUE)
        area = (0.0, 0.0, fonts.width_of(self.drawn, self.size), self.height)
        draw_link(self.canv, self.target, area)


class Anchors(Flowable):  # type: ignore[misc]
    """Nothing to see: several places that links lead to."""

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__()
        self.targets = tuple(targets)

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return no size."""
        return 0.0, 0.0

    def draw(self) -> None:
        """Draw the places above the line."""
        for target in self.targets:
            draw_anchor(self.canv, target, style.DENSE)
