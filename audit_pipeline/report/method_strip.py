"""One slice under every method: small pictures side by side, each on the scale of its method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether

from audit_pipeline.records import Panel
from audit_pipeline.report import captions, figure_numbers, layout, tables, text
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Layer, Picture, furniture, scale_for
from audit_pipeline.report.plane_grid import RAW
from audit_pipeline.scales import study_scale
from audit_pipeline.study_record import ExplanationFacts
from audit_pipeline.wording import counted

GAP = 2 * mm
MOST_BESIDE, TIGHT_BESIDE = 6, 8
TALLEST, SIGNED_TALLEST, TIGHT_SIGNED = 42 * mm, 46 * mm, 30 * mm
SIGNED_COLUMNS = 3
"""Of the page, for the raw slice and each signed map beside it."""


def story(shown: Shown) -> list[Flowable]:
    """Return the strip of methods; nothing where the planes already show them all."""
    panel = shown.key
    if panel is None or len(shown.methods(panel)) <= figure_numbers.MOST_METHODS:
        return []
    methods = shown.methods(panel)
    words = f"{counted(len(methods), 'method')} on the same image, for {shown.target_name(panel)}"
    heading = figure_numbers.title(shown, "methods", words)
    columns = min(TIGHT_BESIDE if shown.is_tight else MOST_BESIDE, len(methods) + 1)
    width = (layout.content_size(shown.context.settings.paper)[0] - (columns - 1) * GAP) / columns
    scale = scale_for([panel], width - 2 * EDGE, TALLEST)
    layers = {name: shown.layer(panel, name) for name in methods}
    strip = max(furniture(layer, scale) for layer in layers.values())
    stacks: list[list[Flowable]] = [[tables.words(RAW, "head"), Picture(panel, scale, shown.look, strip=strip)]]
    for name, layer in layers.items():
        stacks.append(
            [
                tables.words(text.capital(text.method(name)), "head"),
                Picture(panel, scale, shown.look, layer, strip),
                ColourBar(width - 2 * EDGE, layer, shown.look, captions.unit(shown, panel, name)),
            ]
        )
    lines = [stacks[start : start + columns] for start in range(0, len(stacks), columns)]
    drawn: list[Flowable] = [layout.Columns(line, [width] * len(line), GAP) for line in lines]
    notes = [captions.place(shown, panel), captions.scale(shown, panel, methods), *_cautions(shown, panel, methods)]
    return [KeepTogether([heading, drawn[0]]), *drawn[1:], tables.words(" ".join(filter(None, notes)), "caption")]


def _cautions(shown: Shown, panel: Panel, methods: Sequence[str]) -> list[str]:
    found = [shown.facts(panel, name) for name in methods]
    return [f"{text.capital(text.method(one.method))}: {one.caution}" for one in found if one and one.caution]


def signed_story(shown: Shown) -> list[Flowable]:
    """Return the raw slice beside the signed maps of the methods with much evidence against the class."""
    panel, methods = shown.key, figure_numbers.signed_methods(shown)
    if panel is None or not methods:
        return []
    methods = methods[: SIGNED_COLUMNS - 1]
    words = f"Evidence for and against {shown.target_name(panel)}"
    heading = figure_numbers.title(shown, "signed", words)
    width = (layout.content_size(shown.context.settings.paper)[0] - (SIGNED_COLUMNS - 1) * GAP) / SIGNED_COLUMNS
    scale = scale_for([panel], width - 2 * EDGE, TIGHT_SIGNED if shown.is_tight else SIGNED_TALLEST)
    layers = [signed_layer(shown, panel, name) for name in methods]
    strip = max(furniture(layer, scale) for layer in layers)
    stacks: list[list[Flowable]] = [[tables.words(RAW, "head"), Picture(panel, scale, shown.look, strip=strip)]]
    for layer in layers:
        title = f"{captions.unit(shown, panel, layer.method)}, red for, blue against"
        picture = Picture(panel, scale, shown.look, layer, strip)
        head = tables.words(f"{text.capital(text.method(layer.method))}, signed", "head")
        stacks.append([head, picture, ColourBar(width - 2 * EDGE, layer, shown.look, title)])
    note = tables.words(signed_note(shown, panel, methods), "caption")
    return [KeepTogether([heading, layout.Columns(stacks, [width] * len(stacks), GAP), note])]


def signed_layer(shown: Shown, panel: Panel, method: str) -> Layer:
    """Return the layer of a map with colours for both signs, on a scale of its own map that is symmetric about 0."""
    layer, facts = shown.layer(panel, method), shown.facts(panel, method)
    assert facts is not None
    return replace(layer, scale_max=_largest(facts), is_signed=True, contours=None, reason="")


def _largest(facts: ExplanationFacts) -> float:
    extremes = np.asarray([facts.statistics.min, facts.statistics.max])
    return study_scale([extremes], [facts.signal_floor], sign="signed", unit=facts.unit, scope="this map").high or 0.0


def signed_note(shown: Shown, panel: Panel, methods: Sequence[str]) -> str:
    """Return what the signed maps show, and between which values their colours run."""
    parts = [captions.place(shown, panel)]
    for name in methods:
        facts = shown.facts(panel, name)
        if facts is not None:
            parts.append(captions.extremes(facts))
    return " ".join(parts)
