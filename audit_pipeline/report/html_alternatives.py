"""What a picture or chart says to those who do not see it, generated from the numbers that draw it."""

from __future__ import annotations

from audit_pipeline.records import Panel, PartScores
from audit_pipeline.report import captions, numbers, text
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import Layer, extent, scale_bar_mm
from audit_pipeline.wording import counted


def raw(shown: Shown, panel: Panel) -> str:
    """Return what the slice alone shows."""
    return " ".join(filter(None, [f"Raw image: {captions.place(shown, panel)}", edges(panel), ruler(panel)]))


def evidence(shown: Shown, panel: Panel, layer: Layer) -> str:
    """Return what the slice under a map shows; of a rejected map no place is given."""
    where = f"{text.capital(text.method(layer.method))} for {shown.target_name(panel)} over {text.slice_place(panel)}"
    if layer.rejection:
        return f"{where}: {layer.rejection}."
    lines = captions.CONTOURS if layer.contours else ""
    parts = [
        f"{where}.",
        captions.peak(shown, panel, layer.method),
        captions.scale(shown, panel, [layer.method]),
        colours(layer),
        lines,
        captions.cell(shown, panel, layer.method),
        edges(panel),
    ]
    return " ".join(filter(None, parts))


def thumbnail(panel: Panel, layer: Layer | None) -> str:
    """Return what a small picture shows."""
    place = text.slice_place(panel)
    if layer is None:
        return f"Raw image: {place}."
    name = text.capital(text.method(layer.method))
    return f"{name} over {place}: {layer.rejection}." if layer.rejection else f"{name} over {place}. {colours(layer)}"


def colours(layer: Layer) -> str:
    """Return between which values the colours of a map run."""
    if layer.scale_max <= 0:
        return "Nothing to colour."
    first = -layer.scale_max if layer.is_signed else 0.0
    return f"Colours from {numbers.short(first)} to {numbers.short(layer.scale_max)}."


def edges(panel: Panel) -> str:
    """Return the letters at the edges; "" where the orientation is unknown."""
    named = zip(("left", "right", "top", "bottom"), panel.letters, strict=True)
    known = [f"{side} {letters}" for side, letters in named if letters]
    return f"Edges: {text.listed(known)}." if known else ""


def ruler(panel: Panel) -> str:
    """Return the length of the scale bar."""
    if panel.pixel_mm is None:
        return "No calibrated spacing: pixels."
    return f"Scale bar: {numbers.short(scale_bar_mm(extent(panel)[1]))} mm."


def profile(parts: PartScores, name: str, whole: float, places: list[int]) -> str:
    """Return how the logit of a class runs over the slices or windows."""
    values = parts.logits[name]
    low, high = min(values), max(values)
    where = places[values.index(high)]
    return (
        f"Logit of {text.cut(name, text.LONGEST_NAME)} over {counted(len(values), parts.kind)}, number "
        f"{min(places)} to {max(places)}: from {numbers.short(low)} to {numbers.short(high)}, highest in {parts.kind} "
        f"{where}; {numbers.short(whole)} for the whole image."
    )
