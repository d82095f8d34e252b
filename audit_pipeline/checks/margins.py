"""How thin the margin of a decision is: an adversarial step (C05) and dropout left on (C06); both ask the model."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.decisions import flipped
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.inpaint import noise_level
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Matrix, Prediction, Task
from audit_pipeline.wording import percent, shown

STEPS = (0.0625, 0.125, 0.25, 0.354, 0.5, 0.707, 1.0, 1.41, 2.0, 4.0)
"""Lengths of the step that are tried, in standard deviations of the noise of the input."""

DRAWS = 10
GRADIENT_COST = 6
"""Two gradients, each a forward and a backward pass of about twice its cost."""


@check(
    "C05",
    title="Adversarially thin margin",
    family="C",
    sentence="A change far below the noise of the image, made to do so, turns the decision.",
    severity=(3, 3, 5),
    provenance="dom",
    reference="Goodfellow 2015 (arXiv:1412.6572), fast gradient sign",
    advice="Treat robustness as a limit of this model; do not rely on a single reading.",
    level="deep",
    direction="below",
    cost=GRADIENT_COST + len(STEPS),
)
def thin_margin(evidence: Evidence, *, sigmas: float = 0.5) -> Result:
    """Walk along the sign of the gradient that turns the decision, until it turns.

    The step is the same in every voxel (L-infinity), in units of the noise of the input inside the body, and stays
    within the range of the input. Flagged when a step shorter than `sigmas` turns the decision. Where none does, the
    longest step tried is the value.
    """
    values = evidence.prepared.values
    region = evidence.prepared.inside if evidence.body is None else evidence.body
    levels = [noise_level(channel, region) for channel in values]
    if any(not level for level in levels):
        return not_evaluable("The input has no noise to measure a step by.")
    direction = _towards_the_other_side(evidence)
    if not np.isfinite(direction).all() or not direction.any():
        return not_evaluable("The gradient of the decision by the input is zero or not finite.")
    sigma = np.asarray(levels, dtype=np.float64).reshape(-1, *[1] * (values.ndim - 1))
    walked = np.stack([values + step * sigma * np.sign(direction) for step in STEPS])
    answer = evidence.witness().predict(np.clip(walked, values.min(), values.max()).astype(np.float32))
    turned = np.flatnonzero(flipped(evidence.prediction, answer.probabilities))
    value = STEPS[int(turned[0])] if turned.size else STEPS[-1]
    text = f"A step of {shown(value)} of the noise in every voxel turns the decision (limit {shown(sigmas)})."
    if not turned.size:
        text = f"No step up to {shown(value)} of the noise in every voxel turns the decision (limit {shown(sigmas)})."
    outcome = Outcome.FLAG if turned.size and value < sigmas else Outcome.PASS
    return Result(outcome, text, value=value, limit=sigmas, unit="standard deviations of the noise")


def _towards_the_other_side(evidence: Evidence) -> Floats:
    """Return the gradient along which the decision turns soonest, (C, *S)."""
    prediction, witness = evidence.prediction, evidence.witness()
    inputs = evidence.prepared.values[None]
    if prediction.task is Task.MULTICLASS:
        name = (
            prediction.predicted[0] if prediction.predicted else prediction.classes[int(np.argmax(prediction.logits))]
        )
        own = prediction.classes.index(name)
        others = [place for place in range(len(prediction.classes)) if place != own]
        rival = max(others, key=lambda place: prediction.logits[place])
        return np.asarray((witness.gradient(inputs, rival) - witness.gradient(inputs, own))[0])
    gaps = _gaps(prediction)
    place = int(np.argmin(np.abs(gaps)))
    return np.asarray(-np.sign(gaps[place] or 1.0) * witness.gradient(inputs, place)[0], dtype=np.float32)


def _gaps(prediction: Prediction) -> Matrix:
    """Return how far every logit lies above its operating point."""
    limits = np.asarray([prediction.thresholds.get(name, 0.5) for name in prediction.classes])
    return np.asarray(np.asarray(prediction.logits) - np.log(limits / (1 - limits)))


@check(
    "C06",
    title="Dropout disagrees",
    family="C",
    sentence="Random thinnings of the network come to other decisions.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Gal, Ghahramani 2016 (arXiv:1506.02142); Houlsby 2011 (arXiv:1112.5745), mutual information",
    advice="Have a second reader decide.",
    level="deep",
    direction="above",
    cost=DRAWS,
)
def dropout_disagrees(evidence: Evidence, *, dissent: float = 0.2) -> Result:
    """Ask ten times with dropout on; flag when at least `dissent` of the answers are another decision."""
    chances = evidence.witness().sample(evidence.prepared.values[None], DRAWS).probabilities
    share = float(flipped(evidence.prediction, chances).mean())
    shared = mutual_information(chances, evidence.prediction.task)
    text = (
        f"{percent(share)} of {len(chances)} answers with dropout are another decision (limit {percent(dissent)}); the "
    )
    text += f"mutual information of answer and dropout is {shown(shared)} bit."
    return Result(Outcome.FLAG if share >= dissent else Outcome.PASS, text, value=share, limit=dissent, unit="share")


def mutual_information(chances: Matrix, task: Task) -> float:
    """Return the entropy of the mean answer less the mean entropy of the answers, in bit; the largest over labels.

    >>> round(mutual_information(np.asarray([[1.0, 0.0], [0.0, 1.0]]), Task.MULTICLASS), 6)
    1.0
    """
    rows = chances[:, None, :] if task is Task.MULTICLASS else np.stack([chances, 1 - chances], axis=2)
    found = _bits(rows.mean(axis=0)) - _bits(rows).mean(axis=0)
    return max(0.0, float(found.max()))


def _bits(chances: Matrix) -> Matrix:
    return np.asarray(-(chances * np.log2(np.clip(chances, 1e-300, 1))).sum(axis=-1))
