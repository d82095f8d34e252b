"""The figure of what went in: the slice as stored, its background, the model input there, nine slices of that input.

Every picture has greys of its own, which its caption names; they are not those of the window of the other figures.
"""

from __future__ import annotations

from dataclasses import replace

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer

from audit_pipeline.records import Panel
from audit_pipeline.report import captions, figure_numbers, layout, numbers, tables, text
from audit_pipeline.report.evidence import FED, MOSAIC, STORED, Shown, usable_window
from audit_pipeline.report.figures import EDGE, Picture, scale_for
from audit_pipeline.report.thumbnail import Thumbnail
from audit_pipeline.wording import counted

TITLE = "From the file to the model input"
TALLEST, TIGHT_TALLEST = 34 * mm, 19 * mm
GAP, MOSAIC_GAP = 3 * mm, 1 * mm
ACROSS = 5
"""Slices of the mosaic in a line."""

BACKGROUND_SHARE = 0.15
"""Of the range of the slice that is spread over all greys, from its lowest value on, to show what lies around."""

BACKGROUND = f"Background: the same image, the lowest {100 * BACKGROUND_SHARE:g} % of its range spread over all greys."


def story(shown: Shown) -> list[Flowable]:
    """Return the figure; nothing where the study kept no such pictures."""
    pictures = _pictures(shown)
    if not pictures:
        return []
    width = layout.content_size(shown.context.settings.paper)[0]
    stacks: list[list[Flowable]] = [[tables.words(title, "head"), picture] for title, picture in pictures]
    widths = [picture.width for _, picture in pictures]
    mosaic = _mosaic(shown, width - sum(widths) - GAP * len(widths))
    if mosaic:
        stacks.append([tables.words("Slices of the model input", "head"), Spacer(1, EDGE), *mosaic])
        widths.append(width - sum(widths) - GAP * len(widths))
    heading = figure_numbers.title(shown, "intake", TITLE)
    return [KeepTogether([heading, layout.Columns(stacks, widths, GAP), tables.words(note(shown), "caption")])]


def _pictures(shown: Shown) -> list[tuple[str, Picture]]:
    """Return the title and the picture of the stored slice, its background and the model input, at one scale."""
    stored = next((one for one in shown.intake if one.role == STORED), None)
    fed = next((one for one in shown.intake if one.role == FED), None)
    if stored is None or fed is None:
        return []
    looks = [("As stored", stored, window_of(stored)), ("Model input", fed, window_of(fed))]
    if stored.anatomy.ndim == 2:
        looks.insert(1, ("Background", stored, background_of(stored)))
    tallest = TIGHT_TALLEST if shown.is_tight else TALLEST
    scales = [scale_for([one], 1.25 * tallest, tallest) for _, one, _ in looks]
    if all(one.pixel_mm for _, one, _ in looks):
        scales = [min(scales)] * len(scales)
    return [
        (title, Picture(panel, scale, replace(shown.look, window=window)))
        for (title, panel, window), scale in zip(looks, scales, strict=True)
    ]


def _mosaic(shown: Shown, width: float) -> list[Flowable]:
    panels = [one for one in shown.intake if one.role == MOSAIC]
    if not panels:
        return []
    column = (width - (ACROSS - 1) * MOSAIC_GAP) / ACROSS
    tallest = ((TIGHT_TALLEST if shown.is_tight else TALLEST) - MOSAIC_GAP) / 2
    scale = scale_for(panels, column, tallest)
    low, high = min(float(one.anatomy.min()) for one in panels), max(float(one.anatomy.max()) for one in panels)
    look = replace(shown.look, window=(low, high) if low < high else window_of(panels[0]))
    drawn: list[list[Flowable]] = [[Thumbnail(Picture(one, scale, look))] for one in panels]
    lines = [drawn[start : start + ACROSS] for start in range(0, len(drawn), ACROSS)]
    items: list[Flowable] = []
    for line in lines:
        items += [layout.Columns(line, [column] * len(line), MOSAIC_GAP), Spacer(1, MOSAIC_GAP)]
    return items[:-1]


def window_of(panel: Panel) -> tuple[float, float]:
    """Return the lowest and the highest value of a panel; 0 to 255 for colour."""
    return usable_window(None, panel)


def background_of(panel: Panel) -> tuple[float, float]:
    """Return the lowest part of the range of a panel."""
    low, high = window_of(panel)
    return low, low + BACKGROUND_SHARE * (high - low)


def note(shown: Shown) -> str:
    """Return what the pictures are, which greys they have, and which slices they show."""
    words = [said for panel in shown.intake if (said := said_of(shown, panel)) and panel.role != MOSAIC]
    stored = next(one for one in shown.intake if one.role == STORED)
    words.insert(1, BACKGROUND if stored.anatomy.ndim == 2 else "")
    slices = [one.index for one in shown.intake if one.role == MOSAIC and one.index is not None]
    if slices:
        words.append(f"Slices at the right: {counted(len(slices), 'slice')} across the first axis of the model "
                     f"input, next to slices {text.listed([str(one) for one in slices])} of the file.")  # fmt: skip
    return " ".join(filter(None, [*words, captions.blanked(shown.intake)]))


def said_of(shown: Shown, panel: Panel) -> str:
    """Return what one of the pictures shows, in words."""
    where = "" if panel.index is None else f", {text.slice_place(panel)}"
    if panel.anatomy.ndim == 3:
        greys = "in its colours"
    else:
        low, high = (numbers.short(end) for end in window_of(panel))
        unit = f" {shown.look.unit}" if panel.role == STORED and shown.look.unit not in {"", "stored value"} else ""
        greys = f"grey from {low} to {high}{unit}"
    if panel.role == STORED:
        return f"As stored{where}, rows and columns of the file, {greys}."
    if panel.role == FED:
        beside = "" if panel.index is None else " at the same place"
        read = " The text blanked here was not blanked for the network." if panel.blanked else ""
        return f"Model input{beside}: rows and columns that the network reads, {greys}.{read}"
    return f"Model input{where} of the file, {greys}."
