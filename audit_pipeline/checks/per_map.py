"""Judging the maps of the top class: every usable map is judged, and the worst of them is the finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from audit_pipeline.checks.declare import Result, not_evaluable
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation

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
    return f"{explanation.method} for {explanation.target_name}"


def peak(explanation: Explanation) -> float:
    """Return the largest value of the positive part of the raw map, in logits."""
    return max(0.0, float(explanation.values.max()))


def absence(explanation: Explanation) -> str:
    """Return why a map carries no evidence to judge, or "" when it does."""
    if not (np.isfinite(explanation.values).all() and np.isfinite(explanation.on_input).all()):
        return f"the map of {label(explanation)} is not finite, see D05"
    if peak(explanation) <= explanation.signal_floor:
        return f"the map of {label(explanation)} is empty, see D05"
    return ""


def judge_maps(evidence: Evidence, judge: Callable[[Explanation], Result]) -> Result:
    """Return the worst result over the usable maps of the top class, its message led by method and class.

    Equal outcomes are ordered by how far the value lies beyond its limit; the first map wins a tie.
    """
    maps = top_explanations(evidence)
    if not maps:
        return not_evaluable("There is no map to judge.")
    reasons = [absence(one) for one in maps]
    results = [_labelled(one, judge(one)) for one, reason in zip(maps, reasons, strict=True) if not reason]
    if not results:
        return not_evaluable(sentence(*reasons))
    return max(results, key=lambda result: (BADNESS.index(result.outcome), _excess(result)))


def _labelled(explanation: Explanation, result: Result) -> Result:
    return replace(result, message=f"{label(explanation)}: {result.message}")


def _excess(result: Result) -> float:
    if result.value is None or not result.limit:
        return 0.0
    return result.value / result.limit
