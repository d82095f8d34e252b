"""Whether one slice alone decides, where a model reads a volume slice by slice (C12)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.decisions import positives
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.labelled import chances_of
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Mask, PartScores
from audit_pipeline.wording import counted, listed, percent, shown


@check(
    "C12",
    title="One slice decides",
    family="C",
    sentence="The finding rests on a single slice whose neighbours do not show it.",
    severity=(4, 4, 4),
    provenance="dom",
    reference="Engineering judgement; Ilse 2018 (arXiv:1802.04712), pooling over instances",
    advice="Look at that slice, for an artefact first.",
)
def lone_slice(evidence: Evidence, *, least_share: float = 0.02) -> Result:
    """Look at the slices that reach the operating point of a concluded class.

    Flagged when each of them stands alone: both neighbours lie below half the operating point. A note when fewer than
    `least_share` of all slices reach it, though side by side. A class of several that name no operating point is taken
    as the absence of a finding.
    """
    prediction, parts = evidence.prediction, evidence.prediction.parts
    if parts is None or parts.kind != "slice":
        return not_evaluable("The model reads the image at once, so no slice is aggregated.")
    found = positives(prediction)
    if not found:
        return not_evaluable("No class with an operating point is concluded, so no slice asserts one.")
    logits = np.asarray([parts.logits[name] for name in prediction.classes], dtype=np.float64).T
    chances = chances_of(logits, prediction.task)
    results = []
    for place in found:
        name = prediction.classes[place]
        limit = prediction.thresholds.get(name, 0.5)
        is_positive = chances[:, place] >= limit
        is_alone = is_positive & ~_beside(chances[:, place] >= limit / 2)
        results.append(_result(name, limit, is_positive, is_alone, parts, least_share))
    return max(results, key=lambda one: (one.outcome is Outcome.FLAG, one.outcome is Outcome.NOTE))


def _beside(is_high: Mask) -> Mask:
    """Return where a neighbour on either side is high; beyond the ends nothing is."""
    padded = np.pad(is_high, 1)
    return np.asarray(padded[:-2] | padded[2:], dtype=np.bool_)


def _result(
    name: str, limit: float, is_positive: Mask, is_alone: Mask, parts: PartScores, least_share: float
) -> Result:
    count, alone, total = int(is_positive.sum()), int(is_alone.sum()), is_positive.size
    places = tuple(round(parts.centres[place][parts.axis or 0]) for place in np.flatnonzero(is_positive))
    text = f"{name}: {counted(count, 'slice')} of {total} ({percent(count / total)}) reach{'es' if count == 1 else ''} "
    slices = places if parts.axis == 0 else ()
    where = f" ({listed(places)})" if places and not slices else ""
    text += f"the operating point {shown(limit)}{where}, {alone} of them without a neighbour above half of it."
    outcome = Outcome.PASS
    if count and alone == count:
        outcome = Outcome.FLAG
    elif count and count < least_share * total:
        outcome = Outcome.NOTE
    return Result(outcome, text, value=count, limit=1, unit="slices", slices=slices)
