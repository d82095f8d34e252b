"""All classes of a prediction in a table with their bars, from two to any number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from audit_pipeline.report import drawing, fonts, layout, numbers, style, tables
from audit_pipeline.report.drawing import chart, line
from audit_pipeline.report.plots import Plot, Shape
from audit_pipeline.study_record import PredictionFacts

HEAD = ("Class", "Logit", "Probability", "0 to 1", "Threshold", "Concluded")
WHOLE_MM = (58.0, 18.0, 20.0, 48.0, 17.0, 17.0)
HALF_HEAD = ("Class", "Logit", "p", "0 to 1", "t", "c")
HALF_MM = (33.0, 12.5, 11.5, 15.5, 8.0, 6.5)
MOST_IN_ONE, MOST_IN_TWO = 16, 64
"""Classes in one table as wide as the page; more stand in two tables side by side, beyond that in one over pages."""

LINES = 3
"""A name in one of two tables may take this many; with a longer one all stand in one table."""

BAR_HEIGHT = 2.1 * mm
NOTE = "The tick across a bar is the threshold; a dash in its column: the model card gives none."
HALF_NOTE = f"p: probability; t: threshold; c: concluded. {NOTE}"


def bar(value: float, limit: float | None, width: float, *, is_concluded: bool) -> Plot:
    """Return a bar from 0 to 1 with its threshold as a tick; the number stands beside it in words."""
    marks: list[Shape] = [drawing.box(0, 0.6, width, BAR_HEIGHT - 1.2)]
    filled = width * min(max(value, 0.0), 1.0)
    marks.append(drawing.box(0, 0.6, filled, BAR_HEIGHT - 1.2, "blue" if is_concluded else "sky"))
    if limit is not None:
        marks.append(line((width * limit, 0), (width * limit, BAR_HEIGHT), colour="black", width=0.9))
    threshold = "" if limit is None else f", threshold {numbers.short(limit)}"
    return chart((width, BAR_HEIGHT), marks, f"Bar to {numbers.probability(value)}{threshold}.")


def story(prediction: PredictionFacts) -> list[Flowable]:
    """Return the table of every class: logit, probability, bar, threshold, and whether it is concluded."""
    names = list(prediction.probabilities)
    if len(names) <= MOST_IN_ONE or len(names) > MOST_IN_TWO or not _are_short(names):
        rows = [_row(prediction, name, WHOLE_MM[3], "concluded") for name in names]
        return [_table(HEAD, rows, WHOLE_MM), tables.words(NOTE, "caption")]
    half = math.ceil(len(names) / 2)
    stacks = [
        [_table(HALF_HEAD, [_row(prediction, name, HALF_MM[3], "yes") for name in part], HALF_MM)]
        for part in (names[:half], names[half:])
    ]
    return [layout.columns_mm(stacks, [sum(HALF_MM)] * 2, 4), tables.words(HALF_NOTE, "caption")]


def is_long(prediction: PredictionFacts) -> bool:
    """Return whether the table may not stay in one piece with its heading."""
    return len(prediction.probabilities) > MOST_IN_ONE


def _are_short(names: Sequence[str]) -> bool:
    room = LINES * 0.9 * (HALF_MM[0] - 2) * mm
    return all(fonts.width_of(fonts.clean(name), style.DENSE) < room for name in names)


def _table(head: Sequence[str], rows: Sequence[Sequence[tables.Cell]], widths_mm: Sequence[float]) -> Flowable:
    return tables.table(head, rows, widths_mm, numeric=(1, 2, 4), type_style="dense")


def _row(prediction: PredictionFacts, name: str, bar_mm: float, word: str) -> list[tables.Cell]:
    value, limit = prediction.probabilities[name], prediction.thresholds.get(name)
    is_concluded = name in prediction.predicted
    return [
        name,
        numbers.number(prediction.logits.get(name), 4),
        numbers.probability(value),
        bar(value, limit, (bar_mm - 3) * mm, is_concluded=is_concluded),
        numbers.short(limit),
        word if is_concluded else numbers.MISSING,
    ]
