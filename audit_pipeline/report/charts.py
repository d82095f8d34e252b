"""All classes of a prediction as horizontal bars with their thresholds."""

from __future__ import annotations

import math

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from audit_pipeline.report import fonts, numbers, style
from audit_pipeline.study_record import PredictionFacts

ROW, LOW_ROW = 4.1 * mm, 3.3 * mm
MOST_CLASSES = 60


class ClassBars(Flowable):  # type: ignore[misc]
    """One bar a class, 0 to 1, in the order of the model card; the threshold is a tick across the bar.

    Concluded classes are bold and darker. Beyond `MOST_CLASSES` the most probable ones are shown, in card order.
    """

    def __init__(self, prediction: PredictionFacts, width: float) -> None:
        super().__init__()
        self.prediction, self.width = prediction, width
        probabilities = prediction.probabilities
        kept = set(sorted(probabilities, key=lambda name: (-probabilities[name], name))[:MOST_CLASSES])
        self.classes = [name for name in probabilities if name in kept]
        self.left_out = len(probabilities) - len(self.classes)
        self.columns = 1 if len(self.classes) <= 12 else 2
        self.rows = math.ceil(len(self.classes) / self.columns)
        self.row = ROW if self.rows <= 16 else LOW_ROW
        self.height = self.rows * self.row + 4 * mm

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the fixed size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw the bars column by column, and the axis below each column."""
        gap = 4 * mm
        column_width = (self.width - gap * (self.columns - 1)) / self.columns
        names = self._name_width(column_width)
        for place, name in enumerate(self.classes):
            column, row = divmod(place, self.rows)
            left = column * (column_width + gap)
            self._draw_row(name, (left, self.height - (row + 1) * self.row), names, column_width)
        for column in range(math.ceil(len(self.classes) / self.rows) if self.rows else 0):
            left = column * (column_width + gap) + names
            rows = min(self.rows, len(self.classes) - column * self.rows)
            self._draw_axis(left, column_width - names - 10 * mm, self.height - rows * self.row)

    def _name_width(self, column_width: float) -> float:
        longest = max((fonts.width_of(fonts.clean(name), style.TABLE, fonts.BOLD) for name in self.classes), default=0)
        return float(min(longest, column_width * 0.42) + 2 * mm)

    def _draw_row(self, name: str, place: tuple[float, float], names: float, column_width: float) -> None:
        canvas, (left, low) = self.canv, place
        concluded = name in self.prediction.predicted
        font, size = (fonts.BOLD if concluded else fonts.REGULAR), min(style.TABLE, self.row * 0.76)
        base, thick = low + self.row * 0.29, self.row * 0.54
        drawn = fonts.fitted(name, names - 2 * mm + 0.1, size, font)
        fonts.draw(canvas, (left, base), drawn, size, font=font, colour=style.INK)
        track, start = column_width - names - 10 * mm, left + names
        canvas.setFillColor(style.TRACK)
        canvas.rect(start, low + self.row * 0.22, track, thick, stroke=0, fill=1)
        value = self.prediction.probabilities[name]
        canvas.setFillColor(style.BLUE if concluded else style.SKY)
        canvas.rect(start, low + self.row * 0.22, track * min(max(value, 0.0), 1.0), thick, stroke=0, fill=1)
        limit = self.prediction.thresholds.get(name)
        if limit is not None:
            canvas.setStrokeColor(style.BLACK)
            canvas.setLineWidth(0.9)
            canvas.line(start + track * limit, low + self.row * 0.1, start + track * limit, low + self.row * 0.88)
        end = (left + column_width, base)
        fonts.draw(canvas, end, numbers.probability(value), size, font=font, align="right", colour=style.INK)

    def _draw_axis(self, left: float, width: float, low: float) -> None:
        for value, align in ((0.0, "left"), (0.5, "centre"), (1.0, "right")):
            if value == 0.5 and width < 16 * mm:
                continue
            words = numbers.short(value)
            fonts.draw(self.canv, (left + value * width, low - 2.6 * mm), words, 6.5, align=align, colour=style.GREY)
