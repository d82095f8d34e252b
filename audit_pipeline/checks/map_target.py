"""What the map explains: the class that was reported (D16), and not every class alike (D17)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.agreement import pearson, spearman
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.per_map import absence, counterpart, first_map, label, raw_answers
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation, Floats
from audit_pipeline.terms import method
from audit_pipeline.wording import shown

SAME = 0.999
"""Correlation from which two maps are the same up to rounding and scale."""


@check(
    "D16",
    title="Explains the wrong target",
    family="D",
    sentence="The map belongs to another class than the reported one, or to an output that is saturated.",
    severity=(4, 3, 5),
    provenance="std",
    reference="The recorded index, name and map of the target must be those of the reported class",
    advice="Explain the logit of the reported class.",
    level="standard",
    variants=("again",),
)
def wrong_target(evidence: Evidence) -> Result:
    """Find a target that is not the reported class, the map of another class, and the gradient of a saturated output.

    The map is that of another class when explaining the recorded class again does not give it, and a second class
    does: its map is the one at hand, or the one at hand under its name is what the recorded class gives.
    """
    if not evidence.explanations:
        return not_evaluable("There is no map to judge.")
    first = evidence.explanations[0]
    reasons = [_misnamed(evidence), _unreported(evidence, first)]
    if first.blank == "saturated":
        reasons.append(f"{label(first)}: {first.blank_sentence or 'the output is saturated.'}")
    reasons.append(_exchanged(evidence))
    found = [reason for reason in reasons if reason]
    if found:
        return Result(Outcome.CRITICAL, " ".join(found), unit="class index")
    return Result(Outcome.PASS, f"The maps explain {first.target_name}, which is what was reported.")


def _misnamed(evidence: Evidence) -> str:
    classes = evidence.prediction.classes
    for one in evidence.explanations:
        if not 0 <= one.target < len(classes) or classes[one.target] != one.target_name:
            return f"The map of {one.target_name} carries the index {one.target}, which is not that of this class."
    return ""


def _unreported(evidence: Evidence, first: Explanation) -> str:
    """Return what is wrong when neither the concluded nor the most probable class is explained first."""
    prediction = evidence.prediction
    most = prediction.classes[int(np.argmax(prediction.probabilities))]
    reported = {*prediction.predicted, most}
    if first.target_name in reported:
        return ""
    return f"The first map explains {first.target_name}, and the model reports {', '.join(sorted(reported))}."


def _exchanged(evidence: Evidence) -> str:
    try:
        first, again = first_map(evidence), raw_answers(evidence, "again")[0]
        other = counterpart(evidence)
    except Unanswered:
        return ""
    if absence(other, frozenset({"all negative"})) or other.grid != first.grid or _is_same(first.values, again):
        return ""
    if _is_same(other.values, again) or _is_same(other.values, first.values):
        return f"The map under the name of {first.target_name} is that of {other.target_name}."
    return ""


def _is_same(one: Floats, other: Floats) -> bool:
    likeness = pearson(one, other)
    return likeness is not None and likeness > SAME


@check(
    "D17",
    title="Same map for every class",
    family="D",
    sentence="The maps of the two top classes show the same places, so the map does not say why this class.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Rank correlation of the raw maps of two classes",
    advice="Show the difference of the maps of the two classes.",
    direction="above",
)
def class_insensitive(evidence: Evidence, *, note_limit: float = 0.80, flag_limit: float = 0.95) -> Result:
    """Measure Spearman's correlation of the raw maps of the two classes that are explained first.

    A model with one output has one map, and then nothing is compared.
    """
    if len(evidence.prediction.classes) < 2:
        return not_evaluable("The model has one output, so there is no second class to compare.")
    first, other = first_map(evidence), counterpart(evidence)
    missing = absence(other, frozenset({"all negative"}))
    if missing:
        return not_evaluable(sentence(missing))
    value = spearman(first.values, other.values) if first.grid == other.grid else None
    if value is None:
        return not_evaluable("A map is constant or lies on another grid, so it has no rank order to compare.")
    text = (
        f"{method(first.method)}: the maps of {first.target_name} and {other.target_name} have a rank correlation of "
        f"{shown(value)} (limit {shown(flag_limit)})."
    )
    outcome = Outcome.FLAG if value > flag_limit else Outcome.NOTE if value > note_limit else Outcome.PASS
    limit = note_limit if outcome is Outcome.NOTE else flag_limit
    return Result(outcome, text, value=value, limit=limit, unit="Spearman correlation")
