"""The pictures of one target in a grid: a line per plane, the raw slice first, then a column per method.

All pictures of a grid have one scale, so that planes and methods are compared at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer

from audit_pipeline.records import Panel
from audit_pipeline.report import captions, figure_numbers, layout, tables, text
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Picture, furniture, scale_for

RAW = "Raw image"
GAP, LINE_GAP = 3 * mm, 1.5 * mm
SMALL_GAP, BAR, WIDEST = 1.6 * mm, 70 * mm, 60 * mm
LEAST_SCALE = 0.4
"""Of the scale that the width allows; a grid that needs a smaller one goes on over the page."""


def grids(shown: Shown, panels: Sequence[Panel], room: float, tallest: float = layout.UNLIMITED) -> list[Flowable]:
    """Return the pictures of `panels` with the maps of every method.

    Parameters
    ----------
    panels : the planes of one target, or its one 2D image
    room : height in points that a grid should not exceed
    tallest : height in points that no picture exceeds
    """
    methods = shown.methods(panels[0])[: figure_numbers.MOST_METHODS]
    columns = 3 if len(panels) > 1 else 1 + max(1, len(methods))
    width = (layout.content_size(shown.context.settings.paper)[0] - (columns - 1) * GAP) / columns
    return _fitted(shown, panels, methods, (width, room, tallest))


def compact(shown: Shown, panels: Sequence[Panel], tallest: float) -> list[Flowable]:
    """Return the pictures of a further target: a line for each method, every plane raw and beside it with the map."""
    if not panels:
        return []
    methods = shown.methods(panels[0])
    methods = methods[: 1 if shown.is_tight else figure_numbers.MOST_METHODS]
    columns = 2 * len(panels)
    width = (layout.content_size(shown.context.settings.paper)[0] - (columns - 1) * SMALL_GAP) / columns
    width = min(width, WIDEST)
    scale = scale_for(list(panels), width - 2 * EDGE, tallest)
    name = f"planes-{panels[0].target}"
    heading = figure_numbers.title(shown, name, captions.grid(shown, panels[0], methods))
    is_one = len(panels) == 1
    groups = [methods or [""]] if is_one else [[method] for method in methods or [""]]
    lines = [_beside(shown, panels, group, (scale, width)) for group in groups]
    notes = [*(f"{text.capital(text.slice_place(panel))}." for panel in panels), captions.window(shown)]
    notes += [words] if (words := captions.blanked(panels)) else []
    notes += [words(shown, panels[0], method) for method in methods for words in (captions.peak, captions.faint)]
    notes += [captions.cell(shown, panels[0], methods[0]), captions.scale(shown, panels[0], methods)] if methods else []
    notes += [captions.MORE_METHODS] if len(methods) < len(shown.methods(panels[0])) else []
    bars: list[list[Flowable]] = [
        [ColourBar(BAR, shown.layer(panels[0], one), shown.look, captions.colour_bar(shown, panels[0], one))]
        for one in methods
    ]
    note = tables.words(" ".join(filter(None, notes)), "caption")
    legend: list[Flowable] = [layout.Columns(bars, [BAR] * len(bars), 2 * GAP)] if bars else []
    return [KeepTogether([heading, *lines, *legend, note])]


def _beside(shown: Shown, panels: Sequence[Panel], methods: Sequence[str], size: tuple[float, float]) -> layout.Columns:
    """Return every panel raw and beside it with the maps of `methods`."""
    scale, width = size
    found = {
        place: [shown.layer(panel, method) for method in methods if method in panel.maps]
        for place, panel in enumerate(panels)
    }
    strip = max(furniture(layer, scale) for layers in found.values() for layer in [None, *layers])
    stacks: list[list[Flowable]] = []
    for place, panel in enumerate(panels):
        stacks.append([Picture(panel, scale, shown.look, strip=strip)])
        stacks += [[Picture(panel, scale, shown.look, layer, strip)] for layer in found[place]]
    return layout.Columns(stacks, [width] * len(stacks), SMALL_GAP)


def _fitted(
    shown: Shown, panels: Sequence[Panel], methods: Sequence[str], limits: tuple[float, float, float]
) -> list[Flowable]:
    """Return heading and lines at the largest scale that fits into column width, room and picture height."""
    width, room, tallest = limits
    largest = scale_for(list(panels), width - 2 * EDGE, tallest)
    heading = figure_numbers.title(shown, "planes", captions.grid(shown, panels[0], methods))
    page = layout.content_size(shown.context.settings.paper)[0]
    scale = largest
    items: list[Flowable] = [heading, *_lines(shown, panels, methods, scale, width)]
    while layout.stack_height(items, page) > room and scale > LEAST_SCALE * largest:
        scale *= 0.96
        items = [heading, *_lines(shown, panels, methods, scale, width)]
    return items


def _lines(shown: Shown, panels: Sequence[Panel], methods: Sequence[str], scale: float, width: float) -> list[Flowable]:
    """Return a line per plane; column titles stand over the first, colour bars under the last."""
    lines: list[list[list[Flowable]]] = [_line(shown, panel, methods, scale) for panel in panels]
    for place, title in enumerate([RAW, *(text.capital(text.method(one)) for one in methods)]):
        lines[0][place].insert(0, tables.words(title, "head"))
        lines[-1][place] += _legend(shown, panels[0], methods, place, width)
    items: list[Flowable] = []
    for line in lines:
        items += [layout.Columns(line, [width] * len(line), GAP), Spacer(1, LINE_GAP)]
    return items[:-1]


def _line(shown: Shown, panel: Panel, methods: Sequence[str], scale: float) -> list[list[Flowable]]:
    layers = {method: shown.layer(panel, method) for method in methods if method in panel.maps}
    strip = max(furniture(layer, scale) for layer in [None, *layers.values()])
    place = captions.place(shown, panel, has_window=not shown.is_tight)
    stacks: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip), tables.words(place, "caption")]]
    for method in methods:
        layer = layers.get(method)
        words = text.capital(text.method(method)) + "."
        words += "" if shown.is_tight else f" {captions.peak(shown, panel, method)}"
        caption = tables.words(words.rstrip(), "caption")
        stacks.append([Picture(panel, scale, shown.look, layer, strip), caption] if layer else [])
    return stacks


def _legend(shown: Shown, panel: Panel, methods: Sequence[str], place: int, width: float) -> list[Flowable]:
    """Return what stands below one column: notes below the raw slices, a colour bar below a method."""
    if not methods:
        return []
    if place:
        layer = shown.layer(panel, methods[place - 1])
        title = captions.colour_bar(shown, panel, layer.method)
        peak = captions.peak(shown, panel, layer.method) if shown.is_tight else ""
        below: list[Flowable] = [tables.words(peak, "caption")] if peak else []
        return [Spacer(1, 1.5 * mm), ColourBar(width, layer, shown.look, title), *below]
    notes = [captions.window(shown)] if shown.is_tight else []
    notes += [captions.cell(shown, panel, methods[0]), captions.scale(shown, panel, methods)]
    notes += [captions.CONTOURS] if any(shown.layer(panel, method).contours for method in methods) else []
    return [Spacer(1, 1.5 * mm), tables.words(" ".join(filter(None, notes)), "caption")]
