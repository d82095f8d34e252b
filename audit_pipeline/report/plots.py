"""Charts as lists of shapes: one description that is drawn on paper and written as SVG, so that both show the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from reportlab.lib.colors import HexColor
from reportlab.platypus import Flowable

from audit_pipeline.report import fonts, numbers, style

INK, GREY, RULE, GRID, WHITE = "#1A1A1A", "#595959", "#9A9A9A", "#E4E4E4", "#FFFFFF"
BLUE, GREEN, VERMILLION, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE)
"""Okabe-Ito colours of curves that share axes; each also has its own line style and a name beside it."""

DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.6), (1.2, 1.4), (5, 1.4, 1.2, 1.4))
BAND = "#CFE3F1"
"""The blue of the curves, as light as a tint of one fifth."""

TICK, TITLE = 6.5, style.CAPTION
Point: TypeAlias = tuple[float, float]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """A line through points, in points of the page with the origin at the lower left."""

    points: tuple[Point, ...]
    colour: str = INK
    width: float = 0.6
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fill:
    """A filled polygon."""

    points: tuple[Point, ...]
    colour: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Text with its baseline at `place`; align is ``left``, ``centre`` or ``right``."""

    place: Point
    text: str
    size: float = TICK
    align: str = "left"
    is_bold: bool = False
    is_quiet: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """A mark of `size` points around `place`: ``circle``, ``square``, ``diamond`` or ``ring``."""

    place: Point
    shape: str
    size: float
    colour: str


Shape: TypeAlias = Stroke | Fill | Words | Sign


class Plot(Flowable):  # type: ignore[misc]
    """A chart of fixed size in points.

    Attributes
    ----------
    alternative : what it shows, in words with its numbers
    shapes : drawn in this order
    """

    def __init__(self, width: float, height: float, alternative: str) -> None:
        super().__init__()
        self.width, self.height, self.alternative = width, height, alternative
        self.shapes: list[Shape] = []

    def add(self, *shapes: Shape) -> None:
        """Put shapes over those that are there."""
        self.shapes.extend(shapes)

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw every shape."""
        for shape in self.shapes:
            _DRAW[type(shape)](self.canv, shape)


def _draw_stroke(canvas: Any, shape: Stroke) -> None:
    canvas.saveState()
    canvas.setStrokeColor(HexColor(shape.colour))
    canvas.setLineWidth(shape.width)
    canvas.setLineJoin(1)
    canvas.setDash(list(shape.dash))
    canvas.drawPath(_path(canvas, shape.points), stroke=1, fill=0)
    canvas.restoreState()


def _draw_fill(canvas: Any, shape: Fill) -> None:
    canvas.saveState()
    canvas.setFillColor(HexColor(shape.colour))
    path = _path(canvas, shape.points)
    path.close()
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()


def _path(canvas: Any, points: Sequence[Point]) -> Any:
    path = canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    return path


def _draw_words(canvas: Any, shape: Words) -> None:
    font = fonts.BOLD if shape.is_bold else fonts.REGULAR
    colour = style.GREY if shape.is_quiet else style.INK
    fonts.draw(canvas, shape.place, fonts.clean(shape.text), shape.size, font=font, align=shape.align, colour=colour)


def _draw_sign(canvas: Any, shape: Sign) -> None:
    if shape.shape in {"circle", "ring"}:
        canvas.saveState()
        canvas.setFillColor(HexColor(WHITE if shape.shape == "ring" else shape.colour))
        canvas.setStrokeColor(HexColor(shape.colour))
        canvas.setLineWidth(shape.size * 0.22)
        canvas.circle(*shape.place, shape.size / 2, stroke=1, fill=1)
        canvas.restoreState()
    else:
        _draw_fill(canvas, Fill(points=corners(shape), colour=shape.colour))


_DRAW: dict[type, Callable[[Any, Any], None]] = {
    Stroke: _draw_stroke,
    Fill: _draw_fill,
    Words: _draw_words,
    Sign: _draw_sign,
}


def corners(sign: Sign) -> tuple[Point, ...]:
    """Return the corners of a square or a diamond."""
    (x, y), half = sign.place, sign.size / 2
    if sign.shape == "diamond":
        reach = half * 1.25
        return (x - reach, y), (x, y + reach), (x + reach, y), (x, y - reach)
    return (x - half, y - half), (x - half, y + half), (x + half, y + half), (x + half, y - half)


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """A rectangle of a plot and what its edges mean; `x` and `y` are (left, right) and (bottom, top) values."""

    left: float
    bottom: float
    width: float
    height: float
    x: Range = (0.0, 1.0)
    y: Range = (0.0, 1.0)

    @property
    def right(self) -> float:
        """The right edge in points."""
        return self.left + self.width

    @property
    def top(self) -> float:
        """The upper edge in points."""
        return self.bottom + self.height

    def at(self, x: float, y: float) -> Point:
        """Return where a pair of values lies, in points."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * self.width, self.bottom + up * self.height

    def through(self, pairs: Iterable[tuple[float, float]]) -> tuple[Point, ...]:
        """Return where pairs of values lie; values beyond the rectangle are set on its edge."""
        return tuple(self.at(_within(x, self.x), _within(y, self.y)) for x, y in pairs)


def _within(value: float, limits: Range) -> float:
    low, high = min(limits), max(limits)
    return min(max(value, low), high)


def frame(plot: Plot, axes: Axes, ticks: tuple[Sequence[float], Sequence[float]], titles: tuple[str, str]) -> None:
    """Draw the axes with their ticks and titles; the vertical title stands above the axis, to be read like all text."""
    size = TICK
    for value in ticks[0]:
        x = axes.at(value, axes.y[0])[0]
        plot.add(Stroke(points=((x, axes.bottom), (x, axes.top)), colour=GRID, width=0.4))
        place = (x, axes.bottom - size - 1.5)
        plot.add(Words(place=place, text=numbers.short(value), align="centre", is_quiet=True))
    for value in ticks[1]:
        y = axes.at(axes.x[0], value)[1]
        plot.add(Stroke(points=((axes.left, y), (axes.right, y)), colour=GRID, width=0.4))
        place = (axes.left - 3, y - size * 0.34)
        plot.add(Words(place=place, text=numbers.short(value), align="right", is_quiet=True))
    lines = ((axes.left, axes.top), (axes.left, axes.bottom), (axes.right, axes.bottom))
    plot.add(Stroke(points=lines, colour=RULE, width=0.5))
    if titles[1]:
        plot.add(Words(place=(axes.left, axes.top + 4), text=titles[1], size=TITLE))
    if titles[0]:
        middle = ((axes.left + axes.right) / 2, axes.bottom - 2 * size - 5)
        plot.add(Words(place=middle, text=titles[0], size=TITLE, align="centre"))


def round_ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Return at most `most` + 1 round values from `low` to `high`.

    >>> round_ticks(0, 1), round_ticks(-0.05, 0.42)
    ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.1, 0.2, 0.3, 0.4))
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) + 0.0 for number in range(first, last + 1))
