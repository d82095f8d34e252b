"""One displayed slice on paper: pixels, edge letters, scale bar, contours, peak; and the colour bar.

Pixels come from `overlay`; everything with an edge (letters, lines, marks) is drawn as vectors over them. A picture
covers its pixels completely: the centre of pixel (row, column) lies at ``(row + 0.5, column + 0.5)`` pixel sizes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable

from audit_pipeline.records import Panel
from audit_pipeline.report import fonts, numbers, overlay, style
from audit_pipeline.report.blocks import BLANKED, label_places

PRINT_DPI = 200
"""Resolution of pictures on paper; 150 is the least the layout promises."""

EDGE, STRIP, LARGEST_CELL = 3.4 * mm, 3.6 * mm, 10 * mm
SCALE_BARS_MM = (50, 20, 10, 5, 2, 1)
BLANKED_SIZE = 5.5
CONTOUR_DASHES = (None, (3, 2))
"""Solid around 50 %, dashed around 80 % of the evidence of the whole map."""

_HAS_PIXELS: ContextVar[bool] = ContextVar("has_pixels", default=True)


@contextmanager
def without_pixels() -> Iterator[None]:
    """Leave pictures out of what is drawn, where only the pages are counted."""
    before = _HAS_PIXELS.set(False)
    try:
        yield
    finally:
        _HAS_PIXELS.reset(before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How the slices of one study are shown: window in source units, colours and opacity of evidence."""

    window: tuple[float, float]
    unit: str
    colour_map: str
    opacity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """The map laid over a slice.

    Attributes
    ----------
    scale_max : map value with the last colour, 0 where nothing may be coloured, and `reason` why
    is_signed : whether evidence against the class has colours too
    rejection : words over a map that failed its tests, "" for none
    cell_mm : (row, column) size of a cell of the map's grid in the slice, None where it is not known
    contours : map values of the solid and the dashed line, None for no lines
    """

    method: str
    scale_max: float
    is_signed: bool = False
    reason: str = ""
    rejection: str = ""
    cell_mm: tuple[float, float] | None = None
    contours: tuple[float, float] | None = None


def extent(panel: Panel) -> tuple[float, float]:
    """Return height and width of a panel in mm, in pixels when the spacing is unknown."""
    height, width = panel.anatomy.shape[:2]
    row, column = panel.pixel_mm or (1.0, 1.0)
    return height * row, width * column


def scale_for(panels: list[Panel], width: float, height: float) -> float:
    """Return the points per mm (or pixel) at which each of `panels` fits into `width` by `height` points."""
    extents = [extent(panel) for panel in panels]
    return min(width / max(one[1] for one in extents), height / max(one[0] for one in extents))


def furniture(layer: Layer | None, scale: float) -> float:
    """Return the height of the strip for the scale bar and the cell of the map."""
    return float(max(STRIP, _cell_size(layer, scale)[0] + 0.8 * mm))


def _cell_size(layer: Layer | None, scale: float) -> tuple[float, float]:
    """Return height and width of a cell in points; zeros when it is unknown or too large to stand below a picture."""
    if layer is None or layer.cell_mm is None:
        return 0.0, 0.0
    height, width = (size * scale for size in layer.cell_mm)
    return (height, width) if height <= LARGEST_CELL else (0.0, 0.0)


class Picture(Flowable):  # type: ignore[misc]
    """A slice at a given scale, alone or under a map.

    Parameters
    ----------
    panel : the slice
    scale : points per mm, per pixel when the spacing is unknown
    look : window and colours
    layer : the map to show, None for the raw slice
    strip : height in points kept for scale bar and cell, so that neighbours line up
    """

    def __init__(self, panel: Panel, scale: float, look: Look, layer: Layer | None = None, strip: float = 0) -> None:
        super().__init__()
        self.panel, self.scale, self.look, self.layer = panel, scale, look, layer
        height, width = extent(panel)
        self.picture_width, self.picture_height = width * scale, height * scale
        self.strip = strip or furniture(layer, scale)
        self.width = self.picture_width + 2 * EDGE
        self.height = self.picture_height + 2 * EDGE + self.strip

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def pixels(self) -> bytes:
        """Return the JPEG of the slice, with the map blended in when there is one."""
        per_point = PRINT_DPI / 72
        shape = (max(1, round(self.picture_height * per_point)), max(1, round(self.picture_width * per_point)))
        anatomy, window = self.panel.anatomy, self.look.window
        if self.layer is not None:
            return overlay.jpeg(
                overlay.overlay(
                    anatomy,
                    self.panel.maps[self.layer.method],
                    window=window,
                    scale_max=self.layer.scale_max,
                    is_signed=self.layer.is_signed,
                    colour_map=self.look.colour_map,
                    opacity=self.look.opacity,
                    shape=shape,
                )
            )
        if anatomy.ndim == 3:
            return overlay.jpeg(overlay.colour_levels(anatomy, window, shape))
        return overlay.jpeg(overlay.grey_levels(anatomy, window, shape))

    def draw(self) -> None:
        """Draw the slice and everything around and over it."""
        if not _HAS_PIXELS.get():
            return
        canvas = self.canv
        canvas.saveState()
        canvas.translate(EDGE, EDGE + self.strip)
        reader = ImageReader(io.BytesIO(self.pixels()))
        canvas.drawImage(reader, 0, 0, self.picture_width, self.picture_height)
        if self.layer is not None:
            self._draw_layer(self.layer)
        self._draw_blanked()
        self._draw_letters()
        self._draw_scale()
        canvas.restoreState()

    def draw_bare(self, canvas: Any) -> None:
        """Draw the pixels alone at the origin of `canvas`, hatched when the map was rejected."""
        self.canv = canvas
        canvas.saveState()
        canvas.drawImage(ImageReader(io.BytesIO(self.pixels())), 0, 0, self.picture_width, self.picture_height)
        if self.layer is not None and self.layer.rejection:
            self._clip()
            self._draw_hatch()
        canvas.restoreState()

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Return where the centre of pixel (row, column) lies in points from the lower left of the picture."""
        rows, columns = self.panel.anatomy.shape[:2]
        return (
            (column + 0.5) / columns * self.picture_width,
            self.picture_height - (row + 0.5) / rows * self.picture_height,
        )

    def _clip(self) -> None:
        frame = self.canv.beginPath()
        frame.rect(0, 0, self.picture_width, self.picture_height)
        self.canv.clipPath(frame, stroke=0, fill=0)

    def _draw_layer(self, layer: Layer) -> None:
        canvas = self.canv
        canvas.saveState()
        self._clip()
        if layer.rejection:
            self._draw_hatch()
        else:
            self._draw_contours(layer)
            self._draw_peak(layer)
        canvas.restoreState()
        if layer.rejection:
            self._draw_rejection(layer.rejection)

    def _draw_blanked(self) -> None:
        height, width = 1.2 * BLANKED_SIZE, fonts.width_of(BLANKED, BLANKED_SIZE) + 3
        for down, across in label_places(self.panel, (self.picture_height, self.picture_width), (height, width)):
            x, y = across, self.picture_height - down
            self.canv.setFillColor(style.WHITE)
            self.canv.rect(x - width / 2, y - height / 2, width, height, stroke=0, fill=1)
            fonts.draw(
                self.canv, (x, y - BLANKED_SIZE * 0.35), BLANKED, BLANKED_SIZE, align="centre", colour=style.BLACK
            )

    def _draw_contours(self, layer: Layer) -> None:
        values = self.panel.maps[layer.method]
        for level, dash in zip(layer.contours or (), CONTOUR_DASHES, strict=False):
            path = self.canv.beginPath()
            for line in overlay.contour_lines(values, level):
                points = [self.place(row, column) for row, column in line]
                path.moveTo(*points[0])
                for point in points[1:]:
                    path.lineTo(*point)
            _stroke_twice(self.canv, path, 0.5, dash)

    def _draw_peak(self, layer: Layer) -> None:
        peak = self.panel.peaks.get(layer.method)
        if peak is None or layer.scale_max <= 0:
            return
        x, y = self.place(*peak)
        gap, arm = 1.3 * mm, 3.2 * mm
        path = self.canv.beginPath()
        for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            path.moveTo(x + across * gap, y + up * gap)
            path.lineTo(x + across * arm, y + up * arm)
        _stroke_twice(self.canv, path, 0.6, None)

    def _draw_hatch(self) -> None:
        path = self.canv.beginPath()
        step = 2.4 * mm
        reach = self.picture_width + self.picture_height
        for line in range(int(reach / step) + 1):
            path.moveTo(line * step - self.picture_height, 0)
            path.lineTo(line * step, self.picture_height)
        _stroke_twice(self.canv, path, 0.6, None)

    def _draw_rejection(self, words: str) -> None:
        size = style.CAPTION
        drawn = fonts.fitted(words, self.picture_width - 4, size, fonts.BOLD)
        width = fonts.width_of(drawn, size, fonts.BOLD) + 4
        x, y = (self.picture_width - width) / 2, self.picture_height / 2 - size * 0.7
        self.canv.setFillColor(style.WHITE)
        self.canv.rect(x, y, width, size * 1.4, stroke=0, fill=1)
        centre = (self.picture_width / 2, y + size * 0.38)
        fonts.draw(self.canv, centre, drawn, size, font=fonts.BOLD, align="centre", colour=style.BLACK)

    def _draw_letters(self) -> None:
        left, right, top, bottom = (fonts.clean(letters) for letters in self.panel.letters)
        size = style.CAPTION
        middle = self.picture_height / 2 - size * 0.35
        centre = self.picture_width / 2
        for words, place, align in (
            (left, (-0.6 * mm, middle), "right"),
            (right, (self.picture_width + 0.6 * mm, middle), "left"),
            (top, (centre, self.picture_height + 0.7 * mm), "centre"),
            (bottom, (centre, -size * 0.72 - 0.6 * mm), "centre"),
        ):
            fonts.draw(self.canv, place, words, size, font=fonts.BOLD, align=align, colour=style.INK)

    def _draw_scale(self) -> None:
        base, size = -EDGE - 2.4 * mm, 6.5
        if self.panel.pixel_mm is None:
            words = fonts.fitted("no calibrated spacing: pixels", self.width - EDGE, size)
            fonts.draw(self.canv, (0, base), words, size, colour=style.INK)
            return
        length = scale_bar_mm(extent(self.panel)[1])
        bar = length * self.scale
        canvas = self.canv
        canvas.setStrokeColor(style.BLACK)
        canvas.setLineWidth(0.9)
        canvas.setLineCap(0)
        canvas.line(0, base + 2, bar, base + 2)
        canvas.setLineWidth(0.5)
        canvas.line(0.25, base + 0.2, 0.25, base + 3.8)
        canvas.line(bar - 0.25, base + 0.2, bar - 0.25, base + 3.8)
        label = f"{numbers.short(length)} mm"
        fonts.draw(canvas, (bar + 2, base), label, size, colour=style.INK)
        self._draw_cell(bar + 2 + fonts.width_of(label, size) + 5, base, size)

    def _draw_cell(self, x: float, base: float, size: float) -> None:
        height, width = _cell_size(self.layer, self.scale)
        words = "cell"
        if not height or x + width + 2 + fonts.width_of(words, size) > self.picture_width + EDGE:
            return
        self.canv.setLineWidth(0.5)
        self.canv.rect(x, -EDGE - 0.2 * mm - height, width, height, stroke=1, fill=0)
        fonts.draw(self.canv, (x + width + 2, base), words, size, colour=style.INK)


def _stroke_twice(canvas: Any, path: Any, width: float, dash: tuple[float, float] | None) -> None:
    """Stroke white over a wider black line, so that it is seen on dark and on bright pixels."""
    canvas.setLineJoin(1)
    canvas.setDash(*(dash or ()))
    for colour, line in ((style.BLACK, 2.1 * width), (style.WHITE, width)):
        canvas.setStrokeColor(colour)
        canvas.setLineWidth(line)
        canvas.drawPath(path, stroke=1, fill=0)
    canvas.setDash()


def scale_bar_mm(width_mm: float) -> float:
    """Return the length of the scale bar of a picture `width_mm` wide: the largest that takes at most 35 % of it.

    >>> scale_bar_mm(400), scale_bar_mm(100), scale_bar_mm(12), scale_bar_mm(1.5)
    (50, 20, 2, 0.5)
    """
    fitting = [length for length in SCALE_BARS_MM if length <= 0.35 * width_mm]
    return fitting[0] if fitting else round(width_mm / 3, 2)


class ColourBar(Flowable):  # type: ignore[misc]
    """The colours of a map with their values in its unit, over bright anatomy above and dark anatomy below."""

    def __init__(self, width: float, layer: Layer, look: Look, title: str) -> None:
        super().__init__()
        self.width, self.layer, self.look, self.title = width, layer, look, title
        self.height = 9.2 * mm if layer.scale_max > 0 else 3.6 * mm

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw title, colours and ticks."""
        canvas, size, layer = self.canv, style.CAPTION, self.layer
        top = self.height - size * 0.85
        if layer.scale_max <= 0:
            words = fonts.fitted(f"{self.title}: nothing to colour", self.width, size)
            fonts.draw(canvas, (0, top), words, size, colour=style.INK)
            return
        fonts.draw(canvas, (0, top), fonts.fitted(self.title, self.width, size), size, colour=style.INK)
        strip = overlay.colour_strip(self.look.colour_map, self.look.opacity, is_signed=layer.is_signed)
        low, height = 2.9 * mm, 3 * mm
        canvas.drawImage(ImageReader(io.BytesIO(overlay.png(strip))), 0, low, self.width, height)
        canvas.setStrokeColor(style.BLACK)
        canvas.setLineWidth(0.4)
        first = -layer.scale_max if layer.is_signed else 0.0
        for share, align in ((0.0, "left"), (0.5, "centre"), (1.0, "right")):
            x = share * self.width
            canvas.line(x, low, x, low - 0.7 * mm)
            words = numbers.short(first + share * (layer.scale_max - first))
            fonts.draw(canvas, (x, 0.1 * mm), words, 6.5, align=align, colour=style.INK)
