"""Judging the maps of the top class: every usable map is judged, and the worst of them is the finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from audit_pipeline.checks.declare import Result, not_evaluable
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation, Floats
from audit_pipeline.terms import method

BADNESS = (
    Outcome.NOT_EVALUABLE,
    Outcome.PASS,
    Outcome.NOTE,
    Outcome.FLAG,
    Outcome.ERROR,
    Outcome.CRITICAL,
)
"""Outcomes from the least to the most serious; a map that could not be judged never hides one that could."""


def top_explanations(evidence: Evidence) -> tuple[Explanation, ...]:
    """Return the maps of the class that is explained first, one per method."""
    top = evidence.explanations[0].target if evidence.explanations else None
    return tuple(one for one in evidence.explanations if one.target == top)


def label(explanation: Explanation) -> str:
    """Return how a message names a map: its method and class."""
    return f"{method(explanation.method)} for {explanation.target_name}"


def peak(explanation: Explanation) -> float:
    """Return the largest value of the positive part of the raw map, in logits."""
    return max(0.0, float(explanation.values.max()))


def absence(explanation: Explanation, despite: frozenset[str] = frozenset()) -> str:
    """Return why a map carries no evidence to judge, or "" when it does.

    despite : kinds of blankness (see `records.Explanation.blank`) that are judged all the same
    """
    if not (np.isfinite(explanation.values).all() and np.isfinite(explanation.on_input).all()):
        return f"the map of {label(explanation)} is not finite, see D05"
    if explanation.blank and explanation.blank not in despite:
        return f"the map of {label(explanation)} is blank ({explanation.blank}), see D05"
    if peak(explanation) <= explanation.signal_floor and not _is_negative(explanation, despite):
        return f"the map of {label(explanation)} is empty, see D05"
    return ""


def _is_negative(explanation: Explanation, despite: frozenset[str]) -> bool:
    return "all negative" in despite and float(explanation.values.min()) < -explanation.signal_floor


def judge_maps(
    evidence: Evidence,
    judge: Callable[[Explanation], Result],
    *,
    maps: tuple[Explanation, ...] | None = None,
    despite: frozenset[str] = frozenset(),
    is_below: bool = False,
) -> Result:
    """Return the worst result over the usable maps of the top class, its message led by method and class.

    Equal outcomes are ordered by how far the value lies beyond its limit; the first map wins a tie.

    Parameters
    ----------
    maps : those to judge instead; despite : see `absence`; is_below : whether the fault lies below the limit
    """
    maps = top_explanations(evidence) if maps is None else maps
    if not maps:
        return not_evaluable("There is no map to judge.")
    reasons = [absence(one, despite) for one in maps]
    results = [_labelled(one, judge(one)) for one, reason in zip(maps, reasons, strict=True) if not reason]
    if not results:
        return not_evaluable(sentence(*reasons))
    side = -1 if is_below else 1
    return max(results, key=lambda result: (BADNESS.index(result.outcome), side * _excess(result)))


def _labelled(explanation: Explanation, result: Result) -> Result:
    return replace(result, message=f"{label(explanation)}: {result.message}")


def _excess(result: Result) -> float:
    if result.value is None or result.limit is None:
        return 0.0
    return (result.value - result.limit) / (abs(result.limit) or 1.0)


def first_map(evidence: Evidence) -> Explanation:
    """Return the map that is explained first, which is the one that the model repeats for changed inputs.

    Raises
    ------
    Unanswered
        There is no map, or it shows nothing.
    """
    if not evidence.explanations:
        raise Unanswered("There is no map to judge.")
    missing = absence(evidence.explanations[0])
    if missing:
        raise Unanswered(sentence(missing))
    return evidence.explanations[0]


def counterpart(evidence: Evidence) -> Explanation:
    """Return the map of the second class by the method of the first map.

    Raises
    ------
    Unanswered
        No second class was explained.
    """
    first = evidence.explanations[0] if evidence.explanations else None
    others = [one for one in evidence.explanations if first and one.method == first.method]
    others = [one for one in others if first and one.target != first.target]
    if not others:
        raise Unanswered("The comparison needs the maps of two classes, and only one is explained.")
    return others[0]


def raw_answers(evidence: Evidence, variant: str) -> Floats:
    """Return the maps (n, *grid) of a variant, on the grid of the first map.

    Raises
    ------
    Unanswered
        The variant was not answered with finite maps of that grid.
    """
    maps = evidence.answer(variant).maps
    if maps is None:
        raise Unanswered(f"The variant {variant} was answered without maps.")
    if maps.shape[1:] != first_map(evidence).grid or not np.isfinite(maps).all():
        raise Unanswered(f"The maps of the variant {variant} are not finite or lie on another grid.")
    return maps
