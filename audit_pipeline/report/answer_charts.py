"""The answers to changed inputs as charts: dots beside the unchanged image, and a ladder for each kind of change."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm

from audit_pipeline.report import answers, drawing, numbers, text
from audit_pipeline.report.drawing import chart, dot, label, line
from audit_pipeline.report.plots import Plot, Shape
from audit_pipeline.study_record import AnswerFacts, PredictionFacts, StudyRecord

ROW, BELOW = 7.4 * mm, 4.2 * mm
NAMES, NUMBERS = 40 * mm, 36 * mm
LAYERS = 3
"""Heights of the dots of one row, so that equal answers do not hide each other."""

LEVEL = 1.5

LADDER_HEIGHT = 29 * mm
NARROW, NARROW_LINE = 30 * mm, 2.6 * mm
"""A chart that is narrower has its unit in a line of its own."""

LADDER_LEFT, LADDER_RIGHT, LADDER_BELOW, LADDER_ABOVE = 6.5 * mm, 2.5 * mm, 4.4 * mm, 8.2 * mm


def strip(record: StudyRecord, width: float) -> Plot | None:
    """Return a row for each class shown: the unchanged image, every harmless change, the threshold; None without any.

    A ring is a change that turns the decision.
    """
    prediction, rows = record.prediction, answers.answered(record, "harmless")
    if prediction is None or not rows:
        return None
    names = answers.shown_classes(prediction, rows)
    height = len(names) * ROW + BELOW
    marks: list[Shape] = []
    said = []
    for place, name in enumerate(names):
        base = height - (place + 1) * ROW
        marks += _strip_row(prediction, rows, name, (base, width))
        own = numbers.probability(prediction.probabilities[name])
        said.append(f"{name}: unchanged {own}, {answers.between(*answers.spread(rows, name))}")
    marks += _scale((NAMES, width - NUMBERS), BELOW)
    return chart((width, height), marks, f"Probability under {len(rows)} harmless changes. {'; '.join(said)}.")


def _strip_row(
    prediction: PredictionFacts, rows: Sequence[AnswerFacts], name: str, place: tuple[float, float]
) -> list[Shape]:
    base, width = place
    middle, track = base + ROW / 2, width - NUMBERS - NAMES

    def across(value: float) -> float:
        return float(NAMES + track * min(max(value, 0.0), 1.0))

    own, limit = prediction.probabilities[name], prediction.thresholds.get(name)
    marks: list[Shape] = [
        label((0, middle - 2.3), name, size=drawing.TITLE, width=NAMES - 3 * mm),
        drawing.box(NAMES, middle - 0.35, track, 0.7, "rule"),
    ]
    if limit is not None:
        marks.append(line((across(limit), base + 2), (across(limit), base + ROW - 2), width=0.9, dash=(2, 1.5)))
    marks.append(line((across(own), base + 3), (across(own), base + ROW - 3), colour="black", width=1.4))
    for number, row in sorted(enumerate(rows), key=lambda pair: answers.is_turned(prediction, pair[1])):
        height = middle + (number % LAYERS - (LAYERS - 1) / 2) * 2.6
        turned = answers.is_turned(prediction, row)
        marks.append(dot((across(row.probabilities[name]), height), radius=LEVEL, is_open=turned, colour="blue"))
    still = f"{numbers.probability(own)} unchanged"
    marks.append(label((width - NUMBERS + 3 * mm, middle + 1.2), still))
    spread = f"{answers.between(*answers.spread(rows, name))} changed"
    marks.append(label((width - NUMBERS + 3 * mm, middle - 6.2), spread))
    return marks


def _scale(span: tuple[float, float], top: float) -> list[Shape]:
    left, right = span
    marks: list[Shape] = []
    for value, align in ((0.0, "left"), (0.5, "centre"), (1.0, "right")):
        x = left + value * (right - left)
        marks.append(line((x, top), (x, top - 2), colour="rule"))
        marks.append(label((x, top - 9), numbers.short(value), align=align, is_quiet=True))
    return marks


def ladder(record: StudyRecord, width: float, height: float = LADDER_HEIGHT) -> list[Plot]:
    """Return a chart for each kind of change: the probability of the class that moves most against the amount."""
    prediction = record.prediction
    if prediction is None:
        return []
    name = answers.ladder_class(record, prediction)
    return [_multiple(prediction, name, rows, (width, height)) for rows in answers.rungs(record).values()]


def _multiple(prediction: PredictionFacts, name: str, rows: Sequence[AnswerFacts], size: tuple[float, float]) -> Plot:
    width, height = size
    own, limit = prediction.probabilities[name], prediction.thresholds.get(name)
    unchanged = next((row.unchanged for row in rows if row.unchanged is not None), None)
    points = [(row.amount or 0.0, row.probabilities[name], answers.is_turned(prediction, row)) for row in rows]
    amounts = [amount for amount, _, _ in points] + ([] if unchanged is None else [unchanged])
    low, high = min(amounts), max(amounts)
    room = 0.08 * (high - low) or 0.5
    above = LADDER_ABOVE + (NARROW_LINE if width < NARROW else 0.0)
    left, right, floor, top = LADDER_LEFT, width - LADDER_RIGHT, LADDER_BELOW, height - above

    def place(amount: float, value: float) -> tuple[float, float]:
        share = (amount - low + room) / (high - low + 2 * room)
        return left + share * (right - left), floor + min(max(value, 0.0), 1.0) * (top - floor)

    marks: list[Shape] = [*_frame((left, right, floor, top)), *_titles(rows[0], answers.spread(rows, name), size)]
    if limit is not None:
        y = place(low, limit)[1]
        marks.append(line((left, y), (right, y), width=0.6, dash=(2, 1.5)))
    curve = sorted({place(amount, value) for amount, value, _ in points})
    if unchanged is not None:
        curve = sorted({*curve, place(unchanged, own)})
    if len({x for x, _ in curve}) == len(curve) > 1:
        marks.append(line(*curve, colour="sky", width=0.8))
    points.sort(key=lambda point: point[2])  # rings last, so that no dot hides one
    marks += [dot(place(amount, value), radius=1.7, is_open=turned, colour="blue") for amount, value, turned in points]
    if unchanged is not None:
        x, y = place(unchanged, own)
        marks.append(line((x, y - 3), (x, y + 3), colour="black", width=1.4))
    marks += drawing.ticks([(place(one, 0)[0], numbers.short(one)) for one in sorted(set(amounts))], floor)
    return chart(size, marks, _alternative(rows, name, own, unchanged))


def _frame(edges: tuple[float, float, float, float]) -> list[Shape]:
    left, right, floor, top = edges
    marks: list[Shape] = [line((left, top), (left, floor), (right, floor), colour="rule")]
    for value, y in ((0.0, floor), (1.0, top)):
        marks.append(line((left - 2, y), (left, y), colour="rule"))
        marks.append(label((left - 3, y - 2.2), numbers.short(value), align="right", is_quiet=True))
    return marks


def _titles(row: AnswerFacts, spread: tuple[float, float], size: tuple[float, float]) -> list[Shape]:
    """Return the kind of change, the range of its answers and its unit, in three lines where a chart is narrow."""
    width, height = size
    is_narrow = width < NARROW
    unit, found = f"x: {row.unit}" if row.unit else "", f"p {answers.between(*spread)}"
    lines = [found, unit] if is_narrow else ["; ".join(filter(None, [found, unit]))]
    title_size = drawing.SMALL if is_narrow else drawing.TITLE
    return [
        label((0, height - 6.4), text.capital(row.name), size=title_size, width=width),
        *(
            label((0, height - 15.2 - 7.4 * place), words, is_quiet=True, width=width)
            for place, words in enumerate(lines)
            if words
        ),
    ]


def _alternative(rows: Sequence[AnswerFacts], name: str, own: float, unchanged: float | None) -> str:
    said = [f"{numbers.short(row.amount)} gives {numbers.probability(row.probabilities[name])}" for row in rows]
    still = "" if unchanged is None else f"; unchanged at {numbers.short(unchanged)}: {numbers.probability(own)}"
    unit = f" in {rows[0].unit}" if rows[0].unit else ""
    return f"Probability of {name} by {rows[0].name}{unit}: {', '.join(said)}{still}."
