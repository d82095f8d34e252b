"""Charts as inline SVG: the shapes of the printed plot, the right way up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from audit_pipeline.report.html_elements import number, tag
from audit_pipeline.report.plots import TICK, WHITE, Fill, Plot, Point, Sign, Stroke, Words, corners

ENLARGED = 1.45
"""CSS pixels per point on paper."""

WIDE = 300.0
"""Points on paper beyond which a plot keeps its size on a narrow screen and is scrolled, as a table is."""

ANCHORS = {"left": "start", "centre": "middle", "right": "end"}


def figure(plot: Plot) -> Markup:
    """Return a plot as a figure; its numbers are told to those who do not see it."""
    drawn = [_WRITE[type(shape)](shape, plot.height) for shape in plot.shapes]
    svg = tag(
        "svg",
        *drawn,
        class_="plot",
        viewBox=f"0 0 {number(plot.width)} {number(plot.height)}",
        width=float(plot.width * ENLARGED),
        height=float(plot.height * ENLARGED),
        role="img",
        aria_label=plot.alternative,
    )
    if plot.width <= WIDE:
        return tag("figure", svg)
    return tag("figure", tag("div", svg, class_="scroll", tabindex=0, role="group", aria_label="Chart"))


def _steps(points: tuple[Point, ...], height: float) -> str:
    return "M" + "L".join(f"{number(x)} {number(height - y)}" for x, y in points)


def _stroke(shape: Stroke, height: float) -> Markup:
    return tag(
        "path",
        d=_steps(shape.points, height),
        fill="none",
        stroke=shape.colour,
        stroke_width=float(shape.width),
        stroke_linejoin="round",
        stroke_dasharray=" ".join(map(number, shape.dash)) or None,
    )


def _fill(shape: Fill, height: float) -> Markup:
    return tag("path", d=f"{_steps(shape.points, height)}Z", fill=shape.colour)


def _words(shape: Words, height: float) -> Markup:
    x, y = shape.place
    looks = {"tiny": shape.size <= TICK, "strong": shape.is_bold, "quiet": shape.is_quiet}
    named = " ".join(name for name, holds in looks.items() if holds) or None
    return tag(
        "text", shape.text, x=float(x), y=float(height - y), text_anchor=ANCHORS[shape.align], class_=named
    )  # fmt: skip


def _sign(shape: Sign, height: float) -> Markup:
    if shape.shape not in {"circle", "ring"}:
        return _fill(Fill(points=corners(shape), colour=shape.colour), height)
    x, y = shape.place
    inside = WHITE if shape.shape == "ring" else shape.colour
    return tag(
        "circle", cx=float(x), cy=float(height - y), r=shape.size / 2, fill=inside, stroke=shape.colour,
        stroke_width=shape.size * 0.22,
    )  # fmt: skip


_WRITE: dict[type, Callable[[Any, float], Markup]] = {Stroke: _stroke, Fill: _fill, Words: _words, Sign: _sign}
