"""The flow of the studies from received to analysed: a diagram, the reasons, and the bounds of what was left out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer

from audit_pipeline import errors
from audit_pipeline.report import chapters, numbers, story_text, tables, text
from audit_pipeline.report.audit_facts import Summary
from audit_pipeline.report.drawing import shortened
from audit_pipeline.report.plots import INK, Fill, Plot, Shape, Stroke, Words
from audit_pipeline.wording import counted

MAIN_MM, GAP_MM, SIDE_MM = 58.0, 14.0, 105.0
EDGE_MM = 0.3
"""Around the diagram, so that its outermost lines are drawn whole."""

BOX_MM, LINE_MM, BETWEEN_MM = 7.0, 3.5, 2.2
MOST_REASONS = 6
SIZE, SMALL = 7.5, 7.0
NO_LABEL = "no label"
NOT_RECORDED = "The flow of the studies was not recorded; render the run again with the command report."
BOUNDS = "E16"
REASONED = ("excluded", "refused", "failed", "not_analysed")


@dataclass(frozen=True, slots=True)
class Lost:
    """A box of studies that were left out; `reasons` are empty where the title says it all."""

    title: str
    count: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One box of the main line, and the boxes beside the arrow that leads on from it."""

    title: str
    count: int
    lost: tuple[Lost, ...] = ()


def steps(flow: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return the boxes of the diagram; every count is the one before it less what stands beside the arrow."""
    excluded, refused, failed, missing = (dict(flow[name]) for name in REASONED)
    received, audited, analysed = (int(flow[name]) for name in ("received", "audited", "analysed"))
    unlabelled = missing.pop(NO_LABEL, 0)
    return (
        Step("Received", received, (_lost("Excluded before the audit", excluded),)),
        Step(
            "Given to the pipeline",
            received - sum(excluded.values()),
            (_lost("Refused before the model", refused), _lost("Failed afterwards", failed)),
        ),
        Step("Audited", audited, (Lost("Without a label", unlabelled, {}),)),
        Step("Labelled", audited - unlabelled, (_lost("Not analysed", missing),)),
        Step("Analysed against the label", analysed),
    )


def _lost(title: str, reasons: Mapping[str, int]) -> Lost:
    return Lost(title, sum(reasons.values()), reasons)


def chapter(summary: Summary) -> list[Flowable]:
    """Return the chapter."""
    flow = summary.get("flow")
    if flow is None:
        return chapters.missing("Flow of studies", "flow", NOT_RECORDED)
    drawn = diagram(flow)
    return [
        *chapters.opened("Flow of studies", "flow", story_text.flow_found(flow), room=drawn.height),
        KeepTogether([Spacer(1, 1 * mm), drawn, Spacer(1, 2 * mm)]),
        *_reasons(flow),
        *chapters.said_by_checks(summary, (BOUNDS,)),
    ]


def diagram(flow: Mapping[str, Any]) -> Plot:
    """Return the diagram as vectors: the main line on the left, what was left out on the right."""
    boxes = steps(flow)
    rooms = [_room(one) for one in boxes]
    height = sum(BOX_MM + room for room in rooms)
    marks: list[Shape] = []
    top = height
    for one, room in zip(boxes, rooms, strict=True):
        marks += _box(one.title, one.count, (0.0, top - BOX_MM), MAIN_MM, is_main=True)
        marks += _way_on(one, top - BOX_MM, room)
        top -= BOX_MM + room
    size = (MAIN_MM + GAP_MM + SIDE_MM + 2 * EDGE_MM, height + 2 * EDGE_MM)
    drawn = Plot(size[0] * mm, size[1] * mm, alternative(flow))
    drawn.add(*marks)
    return drawn


def alternative(flow: Mapping[str, Any]) -> str:
    """Return the diagram in words."""
    parts = []
    for one in steps(flow):
        lost = [f"{side.title.lower()} {side.count}" for side in one.lost if side.count]
        parts.append(f"{one.title} {one.count}" + (f" ({text.listed(lost)})" if lost else ""))
    return f"Flow of studies: {'; '.join(parts)}."


def _side_height(reasons: Mapping[str, int]) -> float:
    return 5.0 + LINE_MM * min(len(reasons), MOST_REASONS + 1)


def _room(one: Step) -> float:
    """Return the mm between the box of a step and the next box."""
    if not one.lost:
        return 0.0
    return sum(_side_height(side.reasons) + BETWEEN_MM for side in one.lost) + BETWEEN_MM


def _way_on(one: Step, low: float, room: float) -> list[Shape]:
    """Return the arrow down from a box whose lower edge lies at `low` mm, and the boxes beside it."""
    if not one.lost:
        return []
    middle = MAIN_MM / 2
    marks: list[Shape] = [_line((middle, low), (middle, low - room + 1.2)), *_tip_down(middle, low - room)]
    top = low - BETWEEN_MM
    for lost in one.lost:
        height = _side_height(lost.reasons)
        side = top - height / 2
        left = MAIN_MM + GAP_MM
        marks += [_line((middle, side), (left - 1.2, side)), *_tip_right(left, side)]
        marks += _box(lost.title, lost.count, (left, top - height), SIDE_MM, height=height, reasons=lost.reasons)
        top -= height + BETWEEN_MM
    return marks


def _box(
    title: str,
    count: int,
    corner: tuple[float, float],
    width: float,
    *,
    height: float = BOX_MM,
    reasons: Mapping[str, int] | None = None,
    is_main: bool = False,
) -> list[Shape]:
    left, low = corner
    right, top = left + width, low + height
    marks: list[Shape] = [_line((left, low), (right, low), (right, top), (left, top), (left, low))]
    base = low + height / 2 - 1.0 if is_main else top - 3.7
    room = (width - 26) * mm
    words = shortened(title, room, SIZE)
    marks.append(Words(place=_points(left + 2, base), text=words, size=SIZE, is_bold=is_main))
    marks.append(Words(place=_points(right - 2, base), text=f"n = {count}", size=SIZE, is_bold=True, align="right"))
    for number, (reason, studies) in enumerate(_lines(reasons or {}), 1):
        line = base - LINE_MM * number
        words = shortened(reason, room, SMALL)
        marks.append(Words(place=_points(left + 5, line), text=words, size=SMALL, is_quiet=True))
        count_words = Words(place=_points(right - 2, line), text=str(studies), size=SMALL, is_quiet=True, align="right")
        marks.append(count_words)
    return marks


def _lines(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the most frequent reasons; the rest share a line."""
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = ordered[MOST_REASONS:]
    if not rest:
        return ordered
    return [*ordered[:MOST_REASONS], (counted(len(rest), "more reason"), sum(count for _, count in rest))]


def _points(across: float, up: float) -> tuple[float, float]:
    return (across + EDGE_MM) * mm, (up + EDGE_MM) * mm


def _line(*places: tuple[float, float]) -> Stroke:
    return Stroke(points=tuple(_points(*place) for place in places))


def _tip_down(across: float, up: float) -> list[Shape]:
    corners = ((across, up), (across - 1.0, up + 1.8), (across + 1.0, up + 1.8))
    return [Fill(points=tuple(_points(*one) for one in corners), colour=INK)]


def _tip_right(across: float, up: float) -> list[Shape]:
    corners = ((across, up), (across - 1.8, up + 1.0), (across - 1.8, up - 1.0))
    return [Fill(points=tuple(_points(*one) for one in corners), colour=INK)]


def _reasons(flow: Mapping[str, Any]) -> Sequence[Flowable]:
    """Return the reasons of refused and failed studies with their meaning; nothing where there is none."""
    rows = [
        [words, code, meaning(code), numbers.number(count)]
        for words, name in (("refused", "refused"), ("failed", "failed"))
        for code, count in flow[name].items()
    ]
    if not rows:
        return []
    table = tables.table(("Ended as", "Reason", "Meaning", "Studies"), rows, (18.0, 44.0, 98.0, 18.0), numeric=(3,))
    return [table]


def meaning(code: str) -> str:
    """Return what a typed refusal means: the sentence that its type carries; a dash for a type from elsewhere.

    >>> meaning("PatientMixError"), meaning("ValueError")
    ('One series mixes patients or studies.', '\u2013')
    """
    kind = getattr(errors, code, None) if code.isidentifier() else None
    if not (inspect.isclass(kind) and issubclass(kind, errors.AuditError)):
        return numbers.MISSING
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
