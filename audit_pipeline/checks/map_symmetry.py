"""How the map follows changes of the input: mirrored (D14), harmlessly changed (D22), not changed at all (D29)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product

import numpy as np

from audit_pipeline.agreement import pearson, spearman
from audit_pipeline.checks.benign import benign_changes
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.per_map import first_map, label, raw_answers
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats
from audit_pipeline.wording import counted, shown

CREDIBLE = 0.50
"""A wrong arrangement must fit at least this well (Pearson's r) before it is believed."""


@check(
    "D14",
    title="Axes permuted or mirrored",
    family="D",
    sentence="The map fits mirrored inputs better with its axes exchanged or reversed, so it is not in place.",
    severity=(5, 2, 5),
    provenance="dom",
    reference="Equivariance: the map of a mirrored input is the mirrored map, up to the padding of the network",
    advice="Do not use the map; repair the order and direction of its axes.",
    level="standard",
    direction="below",
    variants=("flipped",),
)
def wrong_axes(evidence: Evidence, *, margin: float = 0.10) -> Result:
    """Compare the map with those of the input mirrored along each axis, mirrored back.

    The right arrangement of the axes must fit best. Its mean correlation less that of the best wrong one (every
    combination of reversed and, where sizes allow, exchanged axes) is the value. Below ``-margin`` it is critical,
    provided the wrong one fits with r of at least 0.5; a map that is nearly symmetric decides nothing and passes.
    """
    first, answers = first_map(evidence), raw_answers(evidence, "flipped")
    back = [np.flip(one, axis) for axis, one in enumerate(answers)]
    own = _likeness(first.values, back)
    if own is None:
        return not_evaluable("A map is constant, so it has no arrangement.")
    rivals = {name: _likeness(arranged(first.values), back) for name, arranged in arrangements(first.grid)}
    rivals |= dict(_exchanged_mirrors(first.values, answers))
    known = {name: value for name, value in rivals.items() if value is not None}
    best = max(known, key=lambda name: known[name])
    value = own - known[best]
    is_wrong = value < -margin and known[best] >= CREDIBLE
    text = (
        f"{label(first)}: mirrored inputs fit the map as it is with r = {shown(own)}, and with {best} with r = "
        f"{shown(known[best])}."
    )
    outcome = Outcome.CRITICAL if is_wrong else Outcome.PASS
    return Result(outcome, text, value=value, limit=-margin, unit="difference of correlations")


def arrangements(grid: tuple[int, ...]) -> Iterator[tuple[str, Callable[[Floats], Floats]]]:
    """Yield every wrong arrangement of the axes of a grid: its name, and the function that makes it."""
    axes = tuple(range(len(grid)))
    for order in permutations(axes):
        if tuple(grid[axis] for axis in order) != grid:
            continue
        for reversed_axes in product((False, True), repeat=len(axes)):
            if order == axes and not any(reversed_axes):
                continue
            turned = tuple(axis for axis, is_reversed in enumerate(reversed_axes) if is_reversed)
            parts = [f"axes in the order {', '.join(map(str, order))}"] if order != axes else []
            parts += [f"axis {', '.join(map(str, turned))} reversed"] if turned else []
            yield " and ".join(parts), _arranged(order, turned)


def _arranged(order: tuple[int, ...], turned: tuple[int, ...]) -> Callable[[Floats], Floats]:
    return lambda values: np.flip(values.transpose(order), turned)


def _exchanged_mirrors(values: Floats, answers: Floats) -> Iterator[tuple[str, float | None]]:
    """Yield how well the maps fit when the axis that was mirrored is taken for another one."""
    axes = tuple(range(values.ndim))
    for order in permutations(axes):
        if order != axes:
            back = [np.flip(one, axis) for axis, one in zip(order, answers, strict=True)]
            yield f"the mirrored axes taken as {', '.join(map(str, order))}", _likeness(values, back)


def _likeness(values: Floats, others: list[Floats]) -> float | None:
    found = [pearson(values, other) for other in others]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


@check(
    "D22",
    title="Unstable map",
    family="D",
    sentence="The map changes under changes of the input that leave the prediction as it is.",
    severity=(4, 4, 5),
    provenance="dom",
    reference="Rank correlation of the map under label-preserving changes, undone",
    advice="Average the map over small changes of the input before reading places from it.",
    level="standard",
    direction="below",
    variants=("benign",),
    version=2,
)
def unstable_map(evidence: Evidence, *, limit: float = 0.60, change_limit: float = 0.02, least: int = 4) -> Result:
    """Measure Spearman's correlation of the map with those of harmlessly changed inputs, the change undone.

    The value is the median over the changes that move the probability by less than `change_limit`; at least `least`
    of them are needed. Only cells that the changed input showed are compared.
    """
    first, maps = first_map(evidence), raw_answers(evidence, "benign")
    chances = evidence.answer("benign").probabilities[:, first.target]
    before = evidence.prediction.probabilities[first.target]
    shape = evidence.prepared.inside.shape
    found = []
    for change, one, chance in zip(benign_changes(shape), maps, chances, strict=True):
        if abs(chance - before) >= change_limit:
            continue
        back, is_seen = change.undone(one, shape)
        likeness = spearman(first.values[is_seen], back[is_seen])
        found.append(0.0 if likeness is None else likeness)
    if len(found) < least:
        return not_evaluable(
            f"Only {counted(len(found), 'harmless change')} left the probability within {shown(change_limit)}, and "
            f"{least} are needed: the prediction is unstable itself."
        )
    value = float(np.median(found))
    text = (
        f"{label(first)}: over {counted(len(found), 'harmless change')} of the input the map keeps a rank correlation "
        f"of {shown(value)} (limit {shown(limit)})."
    )
    outcome = Outcome.FLAG if value < limit else Outcome.PASS
    return Result(outcome, text, value=value, limit=limit, unit="Spearman correlation")


@check(
    "D29",
    title="Map of something else",
    family="D",
    sentence="Explaining the same input again gives another map, so the one at hand is not of this input.",
    severity=(5, 1, 5),
    provenance="std",
    reference="The same arithmetic on the same input gives the same map up to rounding",
    advice="Discard the map; look for maps exchanged between studies or changed after they were computed.",
    level="standard",
    variants=("again",),
)
def foreign_map(evidence: Evidence, *, limit: float = 0.05) -> Result:
    """Compare the map that is explained first with the same map computed again.

    The value is the root mean square of the difference over that of the map computed again.
    """
    first, again = first_map(evidence), raw_answers(evidence, "again")[0].astype(np.float64)
    scale = float(np.sqrt(np.square(again).mean()))
    if not scale > first.signal_floor:
        text = f"{label(first)}: explained again, the map shows nothing, but the one at hand does."
        return Result(Outcome.CRITICAL, text, limit=limit, unit="share of the map")
    value = float(np.sqrt(np.square(first.values - again).mean())) / scale
    text = f"{label(first)}: explained again, the map differs by {shown(value)} of its size (limit {shown(limit)})."
    outcome = Outcome.CRITICAL if value > limit else Outcome.PASS
    return Result(outcome, text, value=value, limit=limit, unit="share of the map")
