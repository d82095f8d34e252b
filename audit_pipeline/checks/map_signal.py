"""What the numbers of a map are worth: negative evidence (D06), not finite (D07), too weak for its colours (D08)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.per_map import first_map, judge_maps, label, peak
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation
from audit_pipeline.wording import percent, shown

ROUNDING = 1e-3
"""Share of the range of a map by which interpolation and rounding may exceed it."""


@check(
    "D06",
    title="Hidden negative evidence",
    family="D",
    sentence="Most of the map speaks against the class, and a display of positive evidence alone hides that.",
    severity=(3, 4, 5),
    provenance="dom",
    reference="Selvaraju 2017 (doi:10.1109/ICCV.2017.74), equation 2: the ReLU drops what speaks against a class",
    advice="Show the signed map.",
    direction="above",
)
def hidden_negative(evidence: Evidence, *, note_limit: float = 0.75, flag_limit: float = 0.95) -> Result:
    """Judge the negative share of a raw map, ``sum of -negative / sum of absolute values``."""

    def judge(explanation: Explanation) -> Result:
        values = explanation.values.astype(np.float64)
        found = float(-values[values < 0].sum() / np.abs(values).sum())
        text = f"{percent(found)} of the evidence speaks against the class (limit {percent(flag_limit)})."
        outcome = Outcome.FLAG if found > flag_limit else Outcome.NOTE if found > note_limit else Outcome.PASS
        limit = note_limit if outcome is Outcome.NOTE else flag_limit
        return Result(outcome, text, value=found, limit=limit, unit="share of evidence")

    return judge_maps(evidence, judge, despite=frozenset({"all negative"}))


@check(
    "D07",
    title="Map not finite",
    family="D",
    sentence="The map holds values that are infinite or not a number, so it cannot be shown as it is.",
    severity=(3, 3, 3),
    provenance="std",
    reference="IEEE 754: overflow and division by zero",
    advice="Repeat the explanation in fp32 and check the weights.",
)
def not_finite_map(evidence: Evidence) -> Result:
    """Find values of any map, on its own grid or on the input, that are not finite."""
    if not evidence.explanations:
        return not_evaluable("There is no map to judge.")
    shares = {label(one): max(_broken(one.values), _broken(one.on_input)) for one in evidence.explanations}
    causes = {label(one) for one in evidence.explanations if one.blank == "not finite"}
    worst = max(shares, key=lambda name: (shares[name], name in causes))
    if shares[worst] > 0:
        text = f"{worst}: {percent(shares[worst])} of the map is not finite."
        return Result(Outcome.CRITICAL, text, value=shares[worst], limit=0.0, unit="share of map")
    if worst in causes:
        text = f"{worst}: the activation, gradient or output behind the map is not finite."
        return Result(Outcome.CRITICAL, text, value=0.0, limit=0.0, unit="share of map")
    return Result(Outcome.PASS, "Every value of every map is finite.", value=0.0, limit=0.0, unit="share of map")


def _broken(values: np.ndarray) -> float:
    return 1 - float(np.isfinite(values).mean())


@check(
    "D08",
    title="Stretched or weak map",
    family="D",
    sentence="The map is weaker than those of clean studies or was stretched, and full colours would hide that.",
    severity=(3, 4, 5),
    provenance="cal",
    reference="Min-max scaling in common CAM libraries gives a numerically dead map its full colours",
    advice="Show the map on one absolute scale for all studies.",
    direction="below",
)
def weak_map(evidence: Evidence) -> Result:
    """Measure the peak of the map that is explained first, in logits, for comparison with clean studies.

    A map in logits that runs from exactly 0 to exactly 1 or 255, or whose interpolation leaves its own range, was
    stretched, and its peak says nothing.
    """
    first = first_map(evidence)
    reasons = {label(one): stretching(one) for one in evidence.explanations if np.isfinite(one.on_input).all()}
    stretched = next((f"{name}: {reason}" for name, reason in reasons.items() if reason), "")
    if stretched:
        return Result(Outcome.FLAG, stretched, unit=first.unit, provenance="std")
    text = f"{label(first)}: the strongest evidence is {shown(peak(first))} {first.unit}."
    return Result(Outcome.PASS, text, value=peak(first), unit=first.unit)


def stretching(explanation: Explanation) -> str:
    """Return how a map shows that it was stretched to a range, or ""."""
    raw, shown_on = explanation.values, explanation.on_input
    low, high = float(raw.min()), float(raw.max())
    if explanation.unit == "logit" and low == 0 and high in {1.0, 255.0}:
        return f"the map runs from exactly 0 to exactly {shown(high)}, so it was stretched and is not in logits."
    slack = ROUNDING * max(high - low, abs(high), abs(low))
    if float(shown_on.max()) > high + slack or float(shown_on.min()) < low - slack:
        return (
            f"on the input the map runs from {shown(float(shown_on.min()))} to {shown(float(shown_on.max()))}, on its "
            f"own grid from {shown(low)} to {shown(high)}, and interpolation cannot leave that range."
        )
    return ""
