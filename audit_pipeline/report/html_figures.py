"""One displayed slice on a page: its pixels with letters, scale bar, contours and peak as lines over them.

The lines lie where `figures` draws them on paper; a picture covers its pixels completely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Panel
from audit_pipeline.report import numbers, overlay, vocabulary
from audit_pipeline.report.blocks import BLANKED, label_places
from audit_pipeline.report.figures import Layer, Look, extent, scale_bar_mm
from audit_pipeline.report.html_elements import number, tag
from audit_pipeline.report.html_layers import Layers

EDGE, STRIP, LETTER = 16.0, 20.0, 11
LARGEST_CELL = 38.0
PEAK_GAP, PEAK_ARM = 5.0, 12.0
BLANKED_LABEL = (14.0, 84.0)
FINEST_STEP, COARSER = 0.8, 1.5
"""Between two corners of a contour, in CSS pixels: finer ones cannot be seen, many become fewer."""

MOST_LINES, MOST_CORNERS = 120, 600
LINES_LEFT_OUT = "Of a ragged map the longest lines are drawn."

BAR_WIDTH, BAR_HEIGHT = 256.0, 14.0
BRIGHT, DARK = "#d9d9d9", "#333333"
"""Anatomy at 0.85 and 0.2 of the window, as under the colour bar on paper."""

SHAPES = {
    Outcome.PASS: tag("circle", cx=8, cy=8, r=6.5, class_="solid"),
    Outcome.NOTE: tag("circle", cx=8, cy=8, r=5.6, class_="open"),
    Outcome.FLAG: tag("path", d="M8 1.5 15 14.5H1Z", class_="solid"),
    Outcome.CRITICAL: tag("rect", x=2, y=2, width=12, height=12, class_="solid"),
    Outcome.NOT_EVALUABLE: tag("path", d="M2 8H14", class_="open"),
    Outcome.ERROR: tag("path", d="M3 3 13 13M13 3 3 13", class_="open"),
}
"""The shapes of `marks` in a square of 16 units."""


def mark(outcome: Outcome, *, is_named: bool = True) -> Markup:
    """Return the mark of an outcome; `is_named` where its word does not stand beside it."""
    name = vocabulary.OUTCOME_WORDS[outcome] if is_named else None
    return tag(
        "svg",
        SHAPES[outcome],
        class_=f"mark {outcome.value}",
        viewBox="0 0 16 16",
        role="img" if is_named else None,
        aria_label=name,
        aria_hidden=None if is_named else "true",
    )


def picture(
    layers: Layers, panel: Panel, scale: float, look: Look, layer: Layer | None = None, alternative: str = ""
) -> Markup:
    """Return a slice, alone or under a map.

    Parameters
    ----------
    scale : CSS pixels per mm, per pixel when the spacing is unknown
    alternative : what it shows, in words
    """
    height, width = (side * scale for side in extent(panel))
    content = [*bare(layers, panel, (height, width), look, layer), *_letters(panel, height, width)]
    content += _ruler(panel, layer, scale, (height, width))
    whole = (width + 2 * EDGE, height + 2 * EDGE + max(STRIP, _cell_size(layer, scale)[0] + 4))
    return _frame(whole, tag("g", *content, transform=f"translate({number(EDGE)} {number(EDGE)})"), alternative)


def thumbnail(layers: Layers, panel: Panel, scale: float, look: Look, layer: Layer | None, alternative: str) -> Markup:
    """Return the pixels alone, hatched when the map was rejected."""
    height, width = (side * scale for side in extent(panel))
    content = list(_pixels(layers, panel, (height, width), look, layer))
    if layer is not None and layer.rejection:
        content.append(_cover(height, width, "url(#hatch)"))
    return _frame((width, height), tag("g", *content), alternative, "thumbnail")


def _frame(size: tuple[float, float], content: Markup, alternative: str, kind: str = "slice") -> Markup:
    width, height = size
    return tag(
        "svg",
        content,
        class_=kind,
        width=round(width, 1),
        height=round(height, 1),
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=alternative,
    )


def bare(layers: Layers, panel: Panel, size: tuple[float, float], look: Look, layer: Layer | None) -> Iterator[Markup]:
    """Yield the pixels, then contours and peak, or the hatch and the words over a rejected map."""
    height, width = size
    yield from _pixels(layers, panel, size, look, layer)
    yield from _blanked(panel, size)
    if layer is None:
        return
    if layer.rejection:
        yield _cover(height, width, "url(#hatch)")
        yield tag("text", layer.rejection, class_="rejection", x=width / 2, y=height / 2)
        return
    lines = [*_contours(layers, panel, layer, size), *_peak(layers, panel, layer, size)]
    clipped = tag("svg", *lines, width=width, height=height, class_="clip")
    yield tag("g", clipped, class_="lines")


def _blanked(panel: Panel, size: tuple[float, float]) -> Iterator[Markup]:
    """Yield the words on the blocks that stand over text."""
    for down, across in label_places(panel, size, BLANKED_LABEL):
        yield tag("text", BLANKED, class_="blanked", x=across, y=down + 0.3 * BLANKED_LABEL[0])


def _pixels(
    layers: Layers, panel: Panel, size: tuple[float, float], look: Look, layer: Layer | None
) -> Iterator[Markup]:
    height, width = size
    yield _use(layers.anatomy(panel, look, is_grey=layer is not None), width, height)
    if layer is not None and layer.scale_max > 0:
        yield _use(layers.evidence(panel, layer, look), width, height, class_="evidence", opacity=look.opacity)


def _use(name: str, width: float, height: float, **more: str | float) -> Markup:
    return tag("use", href=f"#{name}", width=width, height=height, **more)


def _cover(height: float, width: float, fill: str) -> Markup:
    return tag("rect", width=width, height=height, fill=fill)


def _place(panel: Panel, size: tuple[float, float], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2) places (row, column) of pixel centres as (x, y) from the upper left of the picture."""
    rows, columns = panel.anatomy.shape[:2]
    down, across = (points + 0.5).T
    return np.stack([across / columns * size[1], down / rows * size[0]], axis=1)


def _contours(layers: Layers, panel: Panel, layer: Layer, size: tuple[float, float]) -> Iterator[Markup]:
    for level, name in zip(layer.contours or (), ("solid", "dashed"), strict=False):
        found = sorted(overlay.contour_lines(panel.maps[layer.method], level), key=len, reverse=True)[:MOST_LINES]
        drawn = _drawn([_place(panel, size, line) for line in found])
        if drawn:
            yield from _twice(layers, drawn, name)


def _drawn(lines: Sequence[NDArray[np.float64]]) -> str:
    """Return the commands of the lines, coarser the more corners they have; "" for no line."""
    step = FINEST_STEP
    corners = [_corners(line, step) for line in lines]
    while sum(len(line) for line in corners) > MOST_CORNERS:
        step *= COARSER
        corners = [_corners(line, step) for line in lines]
    return "".join("M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in corners if len(line) > 2)


def _corners(line: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return the corners of a line that lie in another square of `step` than the one before, and its last."""
    squares = np.rint(line / step)
    is_kept = np.r_[True, (squares[1:] != squares[:-1]).any(axis=1)]
    is_kept[-1] = True
    return line[is_kept]


def _twice(layers: Layers, commands: str, kind: str) -> Iterator[Markup]:
    """Yield a white line over a wider black one, so that it is seen on dark and on bright pixels."""
    name = layers.line()
    yield tag("defs", tag("path", d=Markup(commands), id=name))  # noqa: S704 - numbers and letters of ours
    for level in ("under", "over"):
        yield tag("use", href=f"#{name}", class_=f"{level} {kind}")


def _peak(layers: Layers, panel: Panel, layer: Layer, size: tuple[float, float]) -> Iterator[Markup]:
    peak = panel.peaks.get(layer.method)
    if peak is None or layer.scale_max <= 0:
        return
    ((x, y),) = _place(panel, size, np.asarray([peak], dtype=np.float64))
    arms = [
        f"M{x + across * PEAK_GAP:.1f} {y + down * PEAK_GAP:.1f} {x + across * PEAK_ARM:.1f} {y + down * PEAK_ARM:.1f}"
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    yield from _twice(layers, "".join(arms), "peak")


def _letters(panel: Panel, height: float, width: float) -> Iterator[Markup]:
    left, right, top, bottom = panel.letters
    middle, centre = height / 2 + 0.35 * LETTER, width / 2
    for words, x, y, anchor in (
        (left, -3.0, middle, "end"),
        (right, width + 3, middle, "start"),
        (top, centre, -4.0, "middle"),
        (bottom, centre, height + LETTER + 1, "middle"),
    ):
        if words:
            yield tag("text", words, class_="letter", x=x, y=y, text_anchor=anchor)


def _cell_size(layer: Layer | None, scale: float) -> tuple[float, float]:
    """Return height and width of a cell of the map; zeros when it is unknown or too large to stand below a picture."""
    if layer is None or layer.cell_mm is None:
        return 0.0, 0.0
    height, width = (one * scale for one in layer.cell_mm)
    return (height, width) if height <= LARGEST_CELL else (0.0, 0.0)


def _ruler(panel: Panel, layer: Layer | None, scale: float, size: tuple[float, float]) -> Iterator[Markup]:
    height, width = size
    base = height + EDGE + STRIP - 6
    if panel.pixel_mm is None:
        yield tag("text", "no calibrated spacing: pixels", class_="small", x=0, y=base)
        return
    length = scale_bar_mm(extent(panel)[1])
    bar = length * scale
    yield tag(
        "path",
        d=f"M0 {base - 6:.1f}V{base:.1f}M0 {base - 3:.1f}H{bar:.1f}M{bar:.1f} {base - 6:.1f}V{base:.1f}",
        class_="bar",
    )
    yield tag("text", f"{numbers.short(length)} mm", class_="small", x=bar + 4, y=base)
    tall, wide = _cell_size(layer, scale)
    start = bar + 64
    if tall and start + wide + 26 <= width + EDGE:
        yield tag("rect", x=start, y=height + EDGE + 1, width=wide, height=tall, class_="cell")
        yield tag("text", "cell", class_="small", x=start + wide + 4, y=base)


def colour_bar(layers: Layers, layer: Layer, look: Look, title: str) -> Markup:
    """Return the colours of a map with their values, over bright anatomy above and dark anatomy below."""
    if layer.scale_max <= 0:
        return tag("p", f"{title}: nothing to colour", class_="bar-title")
    half = BAR_HEIGHT / 2
    content = [
        tag("rect", width=BAR_WIDTH, height=half, fill=BRIGHT),
        tag("rect", width=BAR_WIDTH, height=half, y=half, fill=DARK),
        _use(layers.strip(layer, look), BAR_WIDTH, BAR_HEIGHT, class_="evidence", opacity=look.opacity),
    ]
    first = -layer.scale_max if layer.is_signed else 0.0
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = share * BAR_WIDTH
        words = numbers.short(first + share * (layer.scale_max - first))
        content.append(tag("path", d=f"M{x:.1f} {BAR_HEIGHT}v4", class_="bar"))
        content.append(tag("text", words, class_="small", x=x, y=BAR_HEIGHT + 14, text_anchor=anchor))
    drawn = tag(
        "svg", *content, class_="colours", viewBox=f"-1 0 {BAR_WIDTH + 2:.0f} {BAR_HEIGHT + 18:.0f}", aria_hidden="true"
    )
    return tag("div", tag("p", title, class_="bar-title"), drawn, class_="colour-bar")
