"""The shapes of the charts of a study: those of `plots` by short calls, in the colours of the report."""

from __future__ import annotations

from collections.abc import Iterable

from audit_pipeline.report import fonts, plots
from audit_pipeline.report.plots import Fill, Plot, Point, Shape, Sign, Stroke, Words

COLOURS = {
    "ink": plots.INK,
    "black": "#000000",
    "rule": plots.RULE,
    "track": "#E8E8E8",
    "grey": plots.GREY,
    "blue": plots.BLUE,
    "sky": "#56B4E9",
    "pale": plots.BAND,
    "vermillion": plots.VERMILLION,
}
SMALL, TITLE = plots.TICK, plots.TITLE
"""Sizes of the words in a chart."""


def chart(size: tuple[float, float], shapes: Iterable[Shape], alternative: str) -> Plot:
    """Return a chart of `size` in points; `alternative` says in words what it shows."""
    made = Plot(*size, alternative)
    made.add(*shapes)
    return made


def line(*points: Point, colour: str = "ink", width: float = 0.5, dash: tuple[float, ...] = ()) -> Stroke:
    """Return a line through `points`."""
    return Stroke(points=points, colour=COLOURS[colour], width=width, dash=dash)


def area(points: Iterable[Point], colour: str = "track") -> Fill:
    """Return a filled polygon."""
    return Fill(points=tuple(points), colour=COLOURS[colour])


def box(left: float, low: float, width: float, height: float, colour: str = "track") -> Fill:
    """Return a filled rectangle."""
    return area(((left, low), (left + width, low), (left + width, low + height), (left, low + height)), colour)


def triangle(tip: Point, size: float, colour: str = "vermillion") -> Fill:
    """Return a filled triangle below `tip`, which it points up to."""
    x, y = tip
    return area(((x, y), (x + 0.58 * size, y - size), (x - 0.58 * size, y - size)), colour)


def dot(at: Point, radius: float = 1.6, colour: str = "blue", *, is_open: bool = False) -> Sign:
    """Return a disc, or a ring with white inside."""
    return Sign(place=at, shape="ring" if is_open else "circle", size=2 * radius, colour=COLOURS[colour])


def label(
    at: Point,
    text: str,
    *,
    size: float = SMALL,
    align: str = "left",
    is_quiet: bool = False,
    width: float | None = None,
) -> Words:
    """Return one line of text with its baseline at `at`, shortened to `width` points where that is given."""
    shown = text if width is None else shortened(text, width, size)
    return Words(place=at, text=shown, size=size, align=align, is_quiet=is_quiet)


def ticks(places: Iterable[tuple[float, str]], floor: float) -> list[Shape]:
    """Return ticks below an axis at `floor` with their words, where those would not touch the ones before.

    places : across in points and words, from left to right
    """
    shapes: list[Shape] = []
    end = float("-inf")
    for x, text in places:
        half = fonts.width_of(text, SMALL) / 2
        shapes.append(line((x, floor), (x, floor - 1.6), colour="rule"))
        if x - half > end + 2:
            shapes.append(label((x, floor - 8.4), text, align="centre", is_quiet=True))
            end = x + half
    return shapes


def shortened(text: str, width: float, size: float) -> str:
    """Return `text`, in the order in which it is written, with an ellipsis where it would be wider than `width`."""
    if fonts.width_of(fonts.clean(text), size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fonts.width_of(fonts.clean(text[:middle].rstrip() + "\u2026"), size) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "\u2026"
