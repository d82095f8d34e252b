"""What happens when the evidence is taken away: polarity (D15), faithfulness (D21), whole curves (D30)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.inpaint import filled
from audit_pipeline.checks.map_questions import REMOVED_SHARE, far_shifts, strongest
from audit_pipeline.checks.per_map import first_map, label
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Curve, Outcome
from audit_pipeline.records import Explanation, Floats, Mask, Matrix
from audit_pipeline.wording import listed, percent, shown

STEPS = (0.05, 0.10, 0.20, 0.40)
"""Shares of the input that are removed or kept along a curve."""

CURVE_SHIFTS = 40

NULL_RANGE = (0.05, 0.95)
"""Quantiles of the shifted copies along a curve, where there are `CURVE_SHIFTS` of them."""

LEAST_LOGIT = 2.0
"""Falls are measured against at least this: filling a place changes an undecided logit by up to 1 for no reason."""

EVEN_CHANCE = 0.50

CONVINCING = 0.50
"""A fall of this share of the claim may be matched by a shifted copy that still covers the same thing."""


@check(
    "D15",
    title="Polarity inverted",
    family="D",
    sentence="Removing what the map calls unimportant lowers the class more than removing what it calls important.",
    severity=(5, 2, 5),
    provenance="dom",
    reference="Samek 2017 (doi:10.1109/TNNLS.2016.2599820): removal in the order of relevance",
    advice="Do not use the map; its sign or its colours are the wrong way round.",
    level="standard",
    direction="below",
    variants=("deleted",),
)
def inverted_map(evidence: Evidence, *, limit: float = -0.5) -> Result:
    """Compare what removing the strongest and the weakest tenth of the input does to the logit of the class.

    The value is the fall of the logit without the strongest tenth less that without the weakest, falls below 0 counting
    as 0, as a share of the logit or of `LEAST_LOGIT` where that is smaller. A map that names nothing much gives about 0
    and passes.
    """
    first = first_map(evidence)
    falls = _falls(evidence, first)
    strong, weak = (max(float(fall), 0.0) for fall in falls[:2])
    value = (strong - weak) / max(LEAST_LOGIT, abs(evidence.prediction.logits[first.target]))
    is_beyond_chance = weak > float(falls[2:].max())
    outcome = Outcome.CRITICAL if value < limit and is_beyond_chance else Outcome.PASS
    text = (
        f"{label(first)}: without {_strongest(first)} the logit {_moved(float(falls[0]))}, "
        f"without the weakest {percent(REMOVED_SHARE)} it {_moved(float(falls[1]))}"
        f"{' (a rise counts as 0)' if falls[:2].min() < 0 else ''}."
    )
    return Result(outcome, text, value=value, limit=limit, unit="share of the logit")


@check(
    "D21",
    title="Unfaithful map",
    family="D",
    sentence="Removing what the map names changes the class no more than removing some other place.",
    severity=(5, 4, 5),
    provenance="dom",
    reference="Deletion against cyclic shifts of the map itself; arXiv:2304.13836 on the bias for blurry masks",
    advice="Do not cite the map as evidence.",
    level="standard",
    direction="below",
    variants=("deleted",),
)
def unfaithful_map(evidence: Evidence, *, limit: float = 0.25, least_claim: float = 1.0) -> Result:
    """Compare the fall of the logit without the strongest tenth with what the map claims, and with other places.

    The claim is the sum of the map over its strongest tenth of cells, in logits; the value is the fall as a share of
    it. Flagged when the value is below `limit`, or when cyclic shifts of the map itself cause larger falls; one of them
    may where the fall convinces, as a shifted map can still cover the same thing. A map that claims less than
    `least_claim`, or explains a class less probable than not, promises nothing that removal could test. Where the model
    counts the highest of its slices or windows only, others step in for those removed: the shifted maps alone judge,
    and a small fall is a note.
    """
    first = first_map(evidence)
    falls, curves = _falls(evidence, first), removal_curves(evidence)
    claim = claimed(first)
    reason = ""
    if evidence.prediction.probabilities[first.target] < EVEN_CHANCE:
        reason = f"{first.target_name} is not favoured, so there is no evidence for it to take away."
    elif claim < least_claim:
        reason = (
            f"{_strongest(first).capitalize()} claims {shown(claim)} logit, and at least "
            f"{shown(least_claim)} is needed to see it in the answer."
        )
    if reason:
        return replace(not_evaluable(reason), curves=curves)
    fall, rank = float(falls[0]), 1 + int((falls[2:] >= falls[0]).sum())
    value, others = fall / claim, _that_step_in(evidence, first)
    least = (
        f"; other {others} step in, so the size of the fall is not judged"
        if others
        else (f", at least {percent(limit)}")
    )
    text = (
        f"{label(first)}: {_strongest(first)} claims {shown(claim)} logit; without it the logit "
        f"{_moved(fall)} ({percent(value)} of it{least}), rank {rank} of "
        f"{falls.size - 1} among shifted copies, p = {shown(rank / (falls.size - 1))}."
    )
    worst_rank = 2 if value >= CONVINCING else 1
    is_small = value < limit and not others
    quiet = Outcome.NOTE if value < limit else Outcome.PASS
    outcome = Outcome.FLAG if is_small or rank > worst_rank or fall <= 0 else quiet
    found = Result(outcome, text, value=value, limit=limit, unit="share of the claim", curves=curves)
    return replace(found, limit=None, is_rule=True) if others else found


@check(
    "D30",
    title="Unfaithful over the whole curve",
    family="D",
    sentence="Over whole curves of deletion and insertion the map is no better than shifted copies of itself.",
    severity=(5, 4, 5),
    provenance="sim",
    reference="Petsiuk 2018 (arXiv:1806.07421), with cyclic shifts of the map as the null",
    advice="Do not cite the map as evidence.",
    level="deep",
    cost=2 * len(STEPS) * (1 + CURVE_SHIFTS),
)
def unfaithful_curve(evidence: Evidence, *, limit: float = 0.05, least_claim: float = 1.0) -> Result:
    """Compare the area between insertion and deletion curve with those of cyclic shifts of the map.

    Parts of the input are removed and kept in the order of the map; the value is the rank p-value of the mean logit of
    what is kept less that of what is left, among `CURVE_SHIFTS` shifts.
    """
    first, witness = first_map(evidence), evidence.witness()
    if claimed(first) < least_claim:
        return not_evaluable("The map claims too little to see it in the answer.")
    random = np.random.default_rng(evidence.seed)
    masses, axes = first.on_input.astype(np.float64), tuple(range(first.on_input.ndim))
    places = [masses, *(np.roll(masses, offset, axes) for offset in far_shifts(masses, random, CURVE_SHIFTS))]
    answers = []
    for one in places:
        regions = [strongest(one, share) for share in STEPS]
        answers.append(
            witness.predict(_curve_inputs(evidence.prepared.values, regions, random)).logits[:, first.target]
        )
    areas = [float(logits[len(STEPS) :].mean() - logits[: len(STEPS)].mean()) for logits in answers]
    value = float(np.mean(np.asarray(areas) >= areas[0]))
    text = (
        f"{label(first)}: over the shares {listed(STEPS)} what the map names holds {shown(areas[0])} logit more than "
        f"the rest; shifted copies reach that with p = {shown(value)} (limit {shown(limit)})."
    )
    outcome, curves = Outcome.FLAG if value >= limit else Outcome.PASS, _whole_curves(evidence, np.stack(answers))
    return Result(outcome, text, value=value, limit=limit, unit="p-value", curves=curves)


def removal_curves(evidence: Evidence) -> tuple[Curve, ...]:
    """Return the two short curves that the variant `deleted` gives: without the strongest, and the weakest, places.

    Each has two points, nothing and about a tenth of the input gone; the strongest tenth ends where the evidence does.

    Raises
    ------
    Unanswered
        There is no map, or the variant was not answered.
    """
    first = first_map(evidence)
    own = float(evidence.prediction.logits[first.target])
    logits = evidence.answer("deleted").logits[:, first.target]
    if not np.isfinite(logits).all():
        return ()
    strong = _curve(
        first, "deletion", (0.0, _removed(first)), np.stack([np.full(len(logits) - 1, own), np.delete(logits, 1)], 1)
    )
    weak = _curve(first, "weakest", (0.0, REMOVED_SHARE), np.asarray([[own, logits[1]]]))
    return strong, weak


def _whole_curves(evidence: Evidence, logits: Matrix) -> tuple[Curve, ...]:
    """Return the deletion and the insertion curve from the logits (1 + shifts, 2 * steps) of a map and its shifts."""
    first = first_map(evidence)
    if not np.isfinite(logits).all():
        return ()
    own = np.full((len(logits), 1), evidence.prediction.logits[first.target])
    gone, kept = logits[:, : len(STEPS)], logits[:, len(STEPS) :]
    return (
        _curve(first, "deletion", (0.0, *STEPS), np.hstack([own, gone])),
        _curve(first, "insertion", (*STEPS, 1.0), np.hstack([kept, own])),
    )


def _curve(first: Explanation, kind: str, shares: tuple[float, ...], logits: Matrix) -> Curve:
    """Return a curve from the logits (1 + shifts, shares) of the map and of its shifted copies."""
    null = logits[1:]
    reach = NULL_RANGE if len(null) >= CURVE_SHIFTS else (0.0, 1.0)
    bounds = np.quantile(null, (reach[0], 0.5, reach[1]), axis=0).tolist() if len(null) else ((), (), ())
    low, middle, high = (tuple(float(value) for value in one) for one in bounds)
    return Curve(
        kind=kind,
        method=first.method,
        target=first.target,
        shares=shares,
        logits=tuple(float(value) for value in logits[0]),
        null_low=low,
        null_middle=middle,
        null_high=high,
        null_range=reach,
        null_shifts=len(null),
    )


def _curve_inputs(values: Floats, regions: list[Mask], random: np.random.Generator) -> Floats:
    """Return the inputs without each region, then those with nothing else."""
    holes = [*regions, *(~region for region in regions)]
    return np.stack([filled(values, hole, random) for hole in holes])


def _falls(evidence: Evidence, first: Explanation) -> Matrix:
    """Return by how much the logit falls: without the strongest tenth, without the weakest, without shifted ones."""
    logits = evidence.answer("deleted").logits[:, first.target]
    return np.asarray(evidence.prediction.logits[first.target] - logits, dtype=np.float64)


def _that_step_in(evidence: Evidence, first: Explanation) -> str:
    """Return what the model has more of than it counts, "slices" or "windows"; "" where it counts all there is."""
    parts = evidence.prediction.parts
    if parts is None or len(parts.counted[first.target_name]) == len(parts.centres):
        return ""
    return f"{parts.kind}s"


def _strongest(first: Explanation) -> str:
    """Return what is removed in words: the strongest tenth of the input, or all that a map names where it is less."""
    share = _removed(first)
    return (
        f"the strongest {percent(share)}"
        if share == REMOVED_SHARE
        else f"all that the map names ({percent(share)} of the input)"
    )


def _removed(first: Explanation) -> float:
    """Return the share of the input that goes with the strongest tenth, which ends where the evidence does."""
    return min(REMOVED_SHARE, float((first.on_input > 0).mean()))


def _moved(fall: float) -> str:
    """Return how the logit moved.

    >>> _moved(1.5), _moved(-0.5)
    ('falls by 1.5', 'rises by 0.5')
    """
    return f"{'falls' if fall >= 0 else 'rises'} by {shown(abs(fall))}"


def claimed(explanation: Explanation) -> float:
    """Return the sum of the positive values among the strongest tenth of the cells of the raw map."""
    values = np.sort(explanation.values.astype(np.float64).ravel())[::-1]
    values = values[: max(1, round(REMOVED_SHARE * values.size))]
    return float(values[values > 0].sum())
