"""Captions of pictures and colour bars."""

from __future__ import annotations

from audit_pipeline.records import Panel
from audit_pipeline.report import numbers, text
from audit_pipeline.report.evidence import Shown


def place(shown: Shown, panel: Panel) -> str:
    """Return plane, slice, position and window."""
    look = shown.look
    unit = "" if look.unit == "stored value" else text.cut(look.unit, text.LONGEST_NAME)
    return f"{text.capital(text.slice_place(panel))}. Window {text.window(look.window, unit)}."


def peak(shown: Shown, panel: Panel, method: str) -> str:
    """Return value and position of the peak when the map is evidence and its peak lies in this slice; "" otherwise."""
    facts = shown.facts(panel, method)
    if facts is None or method not in panel.peaks or facts.statistics.max <= 0 or text.rejection(facts):
        return ""
    statistics = facts.statistics
    where = (
        numbers.position(statistics.peak_position_mm)
        if statistics.peak_position_mm
        else f"voxel {text.voxel(statistics.peak_index)}"
    )
    return f"Peak (cross-hair): {numbers.number(statistics.peak_value)} logit units at {where}."


def cell(shown: Shown, panel: Panel, method: str) -> str:
    """Return the size of the map's cell."""
    facts = shown.facts(panel, method)
    return "" if facts is None else f"Cell of the map: {text.cell(facts)}."


def colour_bar(shown: Shown, panel: Panel, method: str) -> str:
    """Return the title of a colour bar."""
    return f"Logit units, {text.method(method)} for {shown.target_name(panel)}"


CONTOURS = "Lines hold 50 % (solid) and 80 % (dashed) of the positive evidence in the slice."
