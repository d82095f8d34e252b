"""The gates of a release as a table: what was promised before the run, what was found, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline.findings import Outcome
from audit_pipeline.report import audit_text, fonts, marks, numbers, story_text, style, tables, text

MARKS = {
    "met": Outcome.PASS,
    "not_met": Outcome.CRITICAL,
    "open": Outcome.FLAG,
    "not_evaluable": Outcome.NOT_EVALUABLE,
}
HEAD = ("Promised before the run", "Found (95 % interval)", "n", "Answer")
WIDTHS_MM = (84.0, 56.0, 12.0, 26.0)

Gate = Mapping[str, Any]


class GateMark(Flowable):  # type: ignore[misc]
    """The mark and the word of a gate: met, not met, not shown, not evaluable."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self.outcome, self.words = MARKS[state], story_text.GATE_WORDS[state]

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the width of the cell and the height of a line."""
        return available_width, style.TABLE * 1.225

    def draw(self) -> None:
        """Draw mark and word."""
        size = style.TABLE
        marks.draw_mark(self.canv, self.outcome, (size * 0.45, size * 0.52), size * 0.82)
        fonts.draw(self.canv, (size * 1.25, size * 0.25), self.words, size, font=fonts.BOLD, colour=style.INK)


def table(gates: Sequence[Gate]) -> Flowable:
    """Return the table, the broken promises first, else in the order of the configuration."""
    rows: list[list[tables.Cell]] = [
        [text.capital(story_text.promise(gate)), found(gate), counted(gate), GateMark(str(gate["state"]))]
        for gate in ordered(gates)
    ]
    return tables.table(HEAD, rows, WIDTHS_MM, numeric=(2,))


def ordered(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates, those that need attention first."""
    return sorted(gates, key=lambda gate: story_text.GATE_ORDER.index(str(gate["state"])))


def found(gate: Gate) -> str:
    """Return what was found with its interval; the fraction alone below 20 cases, why where there is nothing."""
    if gate["k"] is not None and gate["n"]:
        return audit_text.proportion(gate)
    if gate["value"] is None:
        return str(gate["reason"]) or numbers.MISSING
    drawn = numbers.fixed(gate["value"], 3)
    if gate["low"] is None or gate["high"] is None:
        return drawn
    return f"{drawn} ({audit_text.interval(gate['low'], gate['high'])})"


def counted(gate: Gate) -> str:
    """Return the cases behind a gate."""
    return numbers.number(gate["n"]) if gate["n"] else numbers.MISSING
