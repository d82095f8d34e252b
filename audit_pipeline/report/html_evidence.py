"""The evidence in pictures: every slice raw and under the map of every method, with an opacity to turn."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from reportlab.platypus import Flowable

from audit_pipeline.records import Panel
from audit_pipeline.report import (
    captions,
    evidence_pages,
    figure_numbers,
    html_alternatives,
    html_figures,
    layout,
    method_strip,
    plane_grid,
    text,
)
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import scale_for
from audit_pipeline.report.html_elements import joined, tag
from audit_pipeline.report.html_story import Writer

PLANE_PIXELS = 300.0
OPACITY_LABEL, LINES_LABEL = "Opacity of the evidence", "Lines and cross-hair"
SLICE_LABEL, ALL_LABEL = "Slice", "All slices at once"


def section(writer: Writer, shown: Shown) -> Markup:
    """Return heading, controls and pictures of every target; a sentence where no image was stored."""
    heading = writer.heading(evidence_pages.TITLE, 0)
    if not shown.panels:
        missing = tag("p", evidence_pages.NO_IMAGE, class_="body")
        return joined([heading, missing, writer.write(_curves(shown))])
    opening = tag("p", f"{text.convention(shown.panels)} {evidence_pages.RAW_FIRST}", class_="caption")
    targets = [_target(writer, shown, target) for target in shown.targets]
    return joined([heading, opening, _controls(shown), *targets])


def _curves(shown: Shown) -> list[Flowable]:
    return evidence_pages.curves_story(shown, layout.content_size(shown.context.settings.paper)[0])


def _controls(shown: Shown) -> Markup:
    percent = round(100 * shown.look.opacity)
    return tag(
        "div",
        tag("label", OPACITY_LABEL, for_="opacity"),
        tag("input", type="range", id="opacity", min=0, max=100, step=1, value=percent),
        tag("output", f"{percent} %", for_="opacity"),
        tag("label", tag("input", type="checkbox", id="lines", checked=True), LINES_LABEL),
        class_="controls sticky",
        role="group",
        aria_label=evidence_pages.TITLE,
        hidden=True,
    )


def _target(writer: Writer, shown: Shown, target: int) -> Markup:
    planes = [*shown.role("plane", target), *shown.role("image", target)]
    slices = shown.role("slice", target)
    parts: list[Markup] = []
    if planes:
        name = "planes" if target == shown.targets[0] else f"planes-{target}"
        words = captions.grid(shown, planes[0], shown.methods(planes[0]))
        parts.append(writer.heading(figure_numbers.titled(shown, name, words), 1, figure_numbers.anchor(name)))
        scale = scale_for(planes, PLANE_PIXELS, PLANE_PIXELS)
        parts += [_row(writer, shown, panel, scale) for panel in planes]
        parts.append(_legend(writer, shown, planes[0]))
    is_first = target == shown.targets[0]
    parts += [writer.write(_curves(shown))] if is_first else []
    if slices:
        parts += _stack(writer, shown, slices)
        parts += [] if planes else [_legend(writer, shown, slices[0])]
    parts += [writer.write([*method_strip.story(shown), *method_strip.signed_story(shown)])] if is_first else []
    return joined(parts)


def _row(writer: Writer, shown: Shown, panel: Panel, scale: float) -> Markup:
    """Return the raw slice, then the same slice under the map of each method."""
    look, layers = shown.look, writer.layers
    raw = html_figures.picture(layers, panel, scale, look, None, html_alternatives.raw(shown, panel))
    figures = [_figure(raw, plane_grid.RAW, captions.place(shown, panel))]
    for method in shown.methods(panel):
        layer = shown.layer(panel, method)
        alternative = html_alternatives.evidence(shown, panel, layer)
        drawn = html_figures.picture(layers, panel, scale, look, layer, alternative)
        told = [captions.peak(shown, panel, method), captions.faint(shown, panel, method)]
        figures.append(_figure(drawn, text.capital(text.method(method)), " ".join(filter(None, told))))
    return tag("div", *figures, class_="row")


def _figure(drawn: Markup, title: str, note: str) -> Markup:
    words = [tag("strong", f"{title}."), *([" ", note] if note else [])]
    return tag("figure", drawn, tag("figcaption", tag("p", *words, class_="caption")))


def _legend(writer: Writer, shown: Shown, panel: Panel) -> Markup:
    """Return the colour bars of every method, and what cell, colours and lines mean."""
    methods = shown.methods(panel)
    if not methods:
        return Markup("")
    bars = [
        html_figures.colour_bar(
            writer.layers, shown.layer(panel, method), shown.look, captions.colour_bar(shown, panel, method)
        )
        for method in methods
    ]
    notes = [captions.cell(shown, panel, methods[0]), captions.scale(shown, panel, methods)]
    notes += (
        [captions.CONTOURS, html_figures.LINES_LEFT_OUT]
        if any(shown.layer(panel, method).contours for method in methods)
        else []
    )
    note = tag("p", " ".join(filter(None, notes)), class_="caption")
    return tag("div", tag("div", *bars, class_="bars-row"), note, class_="legend")


def _stack(writer: Writer, shown: Shown, panels: Sequence[Panel]) -> list[Markup]:
    """Return the slices with the most evidence, one of which a slider chooses."""
    words = captions.evident_slices(shown, panels, shown.methods(panels[0])[:1])
    is_first = panels[0].target == shown.targets[0]
    anchor = figure_numbers.anchor("slices") if is_first else ""
    heading = writer.heading(figure_numbers.titled(shown, "slices", words) if is_first else words, 1, anchor)
    scale = scale_for(list(panels), PLANE_PIXELS, PLANE_PIXELS)
    name = f"slice-{panels[0].target}"
    first = next((place for place, panel in enumerate(panels) if panel.peaks), len(panels) // 2)
    controls = tag(
        "div",
        tag("label", SLICE_LABEL, for_=name),
        tag("input", type="range", id=name, min=0, max=len(panels) - 1, step=1, value=first),
        tag("output", _name(panels[first]), for_=name),
        tag("label", tag("input", type="checkbox", class_="all"), ALL_LABEL),
        class_="controls",
        role="group",
        aria_label=SLICE_LABEL,
        hidden=True,
    )
    slices = [tag("div", _row(writer, shown, panel, scale), class_="one", data_name=_name(panel)) for panel in panels]
    return [heading, tag("div", controls, *slices, class_="stack")]


def _name(panel: Panel) -> str:
    return text.capital(text.slice_place(panel))
