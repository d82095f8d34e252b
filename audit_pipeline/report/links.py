"""Where a click leads: from a finding to its row in the table of checks, from a row of the audit to its study."""

from __future__ import annotations

from typing import Any

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
