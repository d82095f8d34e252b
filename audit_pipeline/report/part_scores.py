"""The scores of the slices or windows that a network reads one by one: a profile, and which of them count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from audit_pipeline.records import PartScores
from audit_pipeline.report import fonts, layout, numbers, style, tables, text
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import PredictionFacts, StudyRecord
from audit_pipeline.wording import counted

MOST_CLASSES = 3
HEIGHT = 27 * mm
LEFT, RIGHT, BELOW, ABOVE = 14 * mm, 4 * mm, 5.6 * mm, 5 * mm
DOT = 1.5
LISTED = 12
"""Parts that a sentence names one by one."""


def _plain(words: str) -> Heading:
    return Heading(words, level=1)


def story(record: StudyRecord, context: ReportContext, heading_of: Callable[[str], Heading] = _plain) -> list[Flowable]:
    """Return heading, profile and sentences; nothing for a network that reads the image at once.

    heading_of : makes the heading from its words
    """
    prediction = record.prediction
    if prediction is None or prediction.parts is None:
        return []
    names = _shown_classes(record, prediction)
    width = layout.content_size(context.settings.paper)[0]
    heading = heading_of(f"Scores of the {prediction.parts.kind}s")
    opening = tables.words(_opening(prediction.parts), "caption")
    opening.keepWithNext = 1
    items: list[Flowable] = [heading, opening]
    for name in names:
        items += [Profile(prediction, name, width), tables.words(_sentence(prediction, name), "caption")]
    return items


def _shown_classes(record: StudyRecord, prediction: PredictionFacts) -> list[str]:
    """Return the explained classes, then the concluded ones, as many as the profile can hold."""
    explained = [facts.target_name for facts in record.explanations]
    return list(dict.fromkeys([*explained, *prediction.predicted, *prediction.logits]))[:MOST_CLASSES]


def _opening(parts: PartScores) -> str:
    along = "by their number in the source, counted from 0" if parts.axis is not None else "in the order of reading"
    return (
        f"The network reads {parts.kind} after {parts.kind}, here {along}. The logit of a class is the {parts.rule}: "
        "dots mark those that count, the line the result. Each profile has its own scale."
    )


def _sentence(prediction: PredictionFacts, name: str) -> str:
    parts = prediction.parts
    assert parts is not None
    used, total = parts.counted[name], len(parts.centres)
    title = text.cut(name, text.LONGEST_NAME)
    if len(used) == total:
        return f"{title}: every {parts.kind} counts."
    places = _places(parts)
    named = text.listed([str(places[place]) for place in used], LISTED)
    return f"{title}: {counted(len(used), parts.kind)} of {total} {_verb(used)}, {named}."


def _verb(used: Sequence[int]) -> str:
    return "counts" if len(used) == 1 else "count"


def _places(parts: PartScores) -> list[int]:
    """Return the number of every part: of a slice its index in the source, of a window its place in the order."""
    if parts.axis is None:
        return list(range(len(parts.centres)))
    return [round(centre[parts.axis]) for centre in parts.centres]


class Profile(Flowable):  # type: ignore[misc]
    """The logit of one class over the parts."""

    def __init__(self, prediction: PredictionFacts, name: str, width: float) -> None:
        super().__init__()
        assert prediction.parts is not None
        self.parts, self.name, self.width, self.height = prediction.parts, name, width, HEIGHT
        self.values, self.whole = self.parts.logits[name], prediction.logits[name]
        self.places = _places(self.parts)
        self.keepWithNext = 1
        low, high = min(*self.values, self.whole), max(*self.values, self.whole)
        room = 0.06 * (high - low) or 0.5
        self.low, self.high = low - room, high + room

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def place(self, place: float, value: float) -> tuple[float, float]:
        """Return where a value of a part lies in points from the lower left."""
        first, last = min(self.places), max(self.places)
        share = (place - first) / (last - first) if last > first else 0.5
        return (
            LEFT + share * (self.width - LEFT - RIGHT),
            BELOW + (value - self.low) / (self.high - self.low) * (self.height - BELOW - ABOVE),
        )

    def draw(self) -> None:
        """Draw the axes, the line over the parts, dots where they count, and the logit of the image."""
        self._draw_axes()
        canvas = self.canv
        canvas.setStrokeColor(style.BLACK)
        canvas.setLineWidth(0.5)
        level = self.place(self.places[0], self.whole)[1]
        canvas.line(LEFT, level, self.width - RIGHT, level)
        points = [self.place(place, value) for place, value in zip(self.places, self.values, strict=True)]
        canvas.setStrokeColor(style.BLUE)
        canvas.setFillColor(style.BLUE)
        canvas.setLineWidth(0.9)
        for before, after in pairwise(sorted(points)):
            canvas.line(*before, *after)
        for place in self.parts.counted[self.name]:
            canvas.circle(*points[place], DOT, stroke=0, fill=1)

    def _draw_axes(self) -> None:
        canvas, size = self.canv, 6.5
        first, last = min(self.places), max(self.places)
        canvas.setStrokeColor(style.RULE)
        canvas.setLineWidth(0.5)
        canvas.line(LEFT, BELOW, self.width - RIGHT, BELOW)
        canvas.line(LEFT, BELOW, LEFT, self.height - ABOVE)
        for value in dict.fromkeys([min(*self.values, self.whole), max(*self.values, self.whole)]):
            y = self.place(first, value)[1]
            canvas.line(LEFT - 0.8 * mm, y, LEFT, y)
            where = (LEFT - 1.2 * mm, y - size * 0.35)
            fonts.draw(canvas, where, numbers.short(value), size, align="right", colour=style.INK)
        for number in dict.fromkeys([first, last]):
            where = (self.place(number, self.low)[0], BELOW - 2.6 * mm)
            fonts.draw(canvas, where, str(number), size, align="centre", colour=style.INK)
        middle = ((LEFT + self.width - RIGHT) / 2, BELOW - 2.6 * mm)
        fonts.draw(canvas, middle, self.parts.kind, size, align="centre", colour=style.INK)
        title = fonts.fitted(f"Logit of {self.name}", self.width, style.CAPTION)
        fonts.draw(canvas, (0, self.height - style.CAPTION), title, style.CAPTION, colour=style.INK)
