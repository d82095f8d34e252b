"""Whether the numbers of the prediction are decisive and possible: near threshold (C01), low margin (C02), C08."""

from __future__ import annotations

import math

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.wording import chance
from audit_pipeline.evidence import Answer, Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix, Prediction, Task
from audit_pipeline.wording import counted, shown

SPREAD = 1.96
"""Standard deviations of a normal distribution that hold 95 % of it."""

ROUNDING = 1e-9
"""Differences below this are taken as equal, so that 0.55 lies within 0.05 of 0.5."""

SIGMOID_OF_UNIT = (0.5, 1 / (1 + math.exp(-1)))
"""What a sigmoid makes of a probability: the mark of a sigmoid applied twice."""

FEW_LABELS = 4
"""From this many labels on, all of them inside `SIGMOID_OF_UNIT` is proof enough for one study."""


@check(
    "C01",
    title="Near the threshold",
    family="C",
    sentence="The probability lies so close to the operating point that the decision could as well be the other one.",
    severity=(4, 4, 3),
    provenance="dom",
    reference="Engineering judgement; set the margin from the repeatability of your model",
    advice="Have a second reader decide.",
    version=2,
)
def near_threshold(evidence: Evidence, *, margin: float = 0.05, touching: float = 0.02) -> Result:
    """Judge ``|p - t|`` of the class that is closest to its operating point t, in units of its margin.

    A note within the margin, which is `margin` or 1.96 standard deviations of the probability under harmless changes
    (variant ``benign``, where it was asked), whichever is larger; flagged within `touching`, where any change of
    scanner, software or rounding may turn the decision.
    """
    prediction = evidence.prediction
    repeats = evidence.answers.get("benign")
    spread = repeats.probabilities.std(axis=0) if isinstance(repeats, Answer) else np.zeros(len(prediction.classes))
    gaps = {
        place: (abs(prediction.probabilities[place] - prediction.thresholds[name]), max(margin, SPREAD * spread[place]))
        for place, name in enumerate(prediction.classes)
        if name in prediction.thresholds and math.isfinite(prediction.probabilities[place] + spread[place])
    }
    if not gaps:
        return not_evaluable("No class has an operating point and a finite probability.")
    place = min(gaps, key=lambda one: gaps[one][0] / gaps[one][1] if gaps[one][1] > 0 else gaps[one][0])
    (gap, limit), name = gaps[place], prediction.classes[place]
    outcome = Outcome.NOTE if gap <= limit + ROUNDING else Outcome.PASS
    outcome = Outcome.FLAG if gap <= touching + ROUNDING else outcome
    text = (
        f"{name}: the probability {chance(prediction.probabilities[place])} lies {shown(gap)} from the operating point "
        f"{shown(prediction.thresholds[name])} (margin {shown(limit)}, a flag within {shown(touching)})"
    )
    if limit > margin:
        text += f"; the margin is {SPREAD} standard deviations under harmless changes"
    return Result(outcome, f"{text}.", value=gap, limit=limit, unit="probability")


@check(
    "C02",
    title="Undecided prediction",
    family="C",
    sentence="The probabilities do not favour one answer.",
    severity=(3, 4, 3),
    provenance="dom",
    reference="Shannon 1948, entropy",
    advice="Have a second reader decide.",
    version=3,
)
def low_margin(
    evidence: Evidence, *, margin: float = 0.10, entropy_limit: float = 0.90, tie: float = 0.02, even: float = 0.995
) -> Result:
    """Judge how decisive a prediction is.

    Multiclass: a note where the two largest probabilities differ by less than `margin`, or the entropy exceeds
    `entropy_limit` of its maximum log K; flagged where they differ by less than `tie`. Binary and multilabel: a note
    where the entropy of a label, ``-(p log2 p + q log2 q)`` with ``q = 1 - p``, exceeds `entropy_limit`, flagged where
    it exceeds `even`; the most uncertain label is reported. A label with an operating point is decided there and not at
    one half: it gets a note at most, and C01 judges how near the operating point is.
    """
    prediction = evidence.prediction
    probabilities = np.asarray(prediction.probabilities, dtype=np.float64)
    if not np.isfinite(probabilities).all() or probabilities.min() < 0:
        return not_evaluable("A probability is not finite or below zero, see C08.")
    if prediction.task is Task.MULTICLASS:
        return _between_classes(prediction, probabilities, (margin, tie), entropy_limit)
    entropies = [entropy(np.asarray([p, max(0.0, 1 - p)])) for p in probabilities]
    most = int(np.argmax(entropies))
    text = (
        f"{prediction.classes[most]}: a probability of {chance(float(probabilities[most]))} has an entropy of "
        f"{shown(entropies[most])} bit (a note from {shown(entropy_limit)}, a flag from {shown(even)})."
    )
    is_decided_elsewhere = prediction.classes[most] in prediction.thresholds
    outcome = _graded(entropies[most] > entropy_limit, entropies[most] > even and not is_decided_elsewhere)
    return Result(outcome, text, value=entropies[most], limit=entropy_limit, unit="bit")


def _graded(is_noted: bool, is_flagged: bool) -> Outcome:  # noqa: FBT001 - the two steps of one grade
    if is_flagged:
        return Outcome.FLAG
    return Outcome.NOTE if is_noted else Outcome.PASS


def _between_classes(
    prediction: Prediction, probabilities: Matrix, margins: tuple[float, float], entropy_limit: float
) -> Result:
    if probabilities.size < 2:
        return not_evaluable("One class alone has no margin.")
    second, first = np.argsort(probabilities, kind="stable")[-2:]
    gap, uncertainty = float(probabilities[first] - probabilities[second]), entropy(probabilities)
    text = (
        f"{prediction.classes[first]} leads {prediction.classes[second]} by {shown(gap)} (a note below "
        f"{shown(margins[0])}, a flag below {shown(margins[1])}); the entropy is {shown(uncertainty)} of its maximum "
        f"(a note from {shown(entropy_limit)})."
    )
    is_close = [gap < one - ROUNDING for one in margins]
    is_even = uncertainty > entropy_limit
    outcome = _graded(is_close[0] or is_even, is_close[1])
    if not is_close[0] and is_even:
        return Result(outcome, text, value=uncertainty, limit=entropy_limit, unit="share of maximal entropy")
    return Result(outcome, text, value=gap, limit=margins[0], unit="probability")


def entropy(probabilities: Matrix) -> float:
    """Return the entropy of `probabilities` (K,) over log K, in [0, 1].

    >>> entropy(np.asarray([0.25, 0.25, 0.25, 0.25])), entropy(np.asarray([1.0, 0.0]))
    (1.0, 0.0)
    """
    positive = probabilities[probabilities > 0]
    return max(0.0, float(-(positive * np.log(positive)).sum() / np.log(probabilities.size)))


@check(
    "C08",
    title="Wrong output activation",
    family="C",
    sentence="The outputs cannot come from the declared activation: it is missing, applied twice or of another kind.",
    severity=(5, 2, 5),
    provenance="std",
    reference="Definitions of softmax and sigmoid",
    advice="Fix the export of the model: it must return logits, before any softmax or sigmoid.",
)
def wrong_activation(evidence: Evidence, *, sum_tolerance: float = 1e-4, logit_limit: float = 30.0) -> Result:
    """Look for the marks of a wrong activation in logits z and probabilities p.

    Critical: a value that is not finite; p outside [0, 1]; multiclass p whose sum differs from 1 by more than
    `sum_tolerance`; multiclass z that are probabilities already (all in [0, 1] with sum 1); four or more labels with
    every p between 0.5 and 0.731, which is what a sigmoid makes of probabilities. Flagged: ``|z| > logit_limit``,
    where p is 0 or 1 to machine precision. Two or three labels inside 0.5 to 0.731 are a note, and one is nothing.
    """
    prediction = evidence.prediction
    logits, probabilities = (
        np.asarray(values, dtype=np.float64) for values in (prediction.logits, prediction.probabilities)
    )
    if not (np.isfinite(logits).all() and np.isfinite(probabilities).all()):
        bad = int((~np.isfinite(logits)).sum() + (~np.isfinite(probabilities)).sum())
        text = f"{counted(bad, 'logit or probability is', 'logits or probabilities are')} not finite."
        return Result(Outcome.CRITICAL, text, value=bad, limit=0, unit="values")
    if probabilities.min() < 0 or probabilities.max() > 1:
        worst = float(probabilities[np.abs(probabilities - 0.5).argmax()])
        return Result(Outcome.CRITICAL, f"A probability is {shown(worst)}, outside 0 to 1.", worst, 1.0, "probability")
    wrong = (
        _softmax_marks(logits, probabilities, sum_tolerance)
        if prediction.task is Task.MULTICLASS
        else (_sigmoid_marks(probabilities))
    )
    return wrong or _large_logits(logits, logit_limit)


def _softmax_marks(logits: Matrix, probabilities: Matrix, tolerance: float) -> Result | None:
    error = abs(float(probabilities.sum()) - 1)
    if error > tolerance:
        text = f"The probabilities sum to {probabilities.sum():.4f} instead of 1 (tolerance {shown(tolerance)})."
        return Result(Outcome.CRITICAL, text, value=error, limit=tolerance, unit="distance of the sum from 1")
    sum_error = abs(float(logits.sum()) - 1)
    if logits.size > 1 and logits.min() >= 0 and logits.max() <= 1 and sum_error <= tolerance:
        text = (
            f"The logits are probabilities already: all lie in 0 to 1 and their sum is within {shown(tolerance)} of 1."
        )
        return Result(Outcome.CRITICAL, text, value=sum_error, limit=tolerance, unit="distance of the sum from 1")
    return None


def _sigmoid_marks(probabilities: Matrix) -> Result | None:
    low, high = SIGMOID_OF_UNIT
    if probabilities.size == 1 or probabilities.min() < low - ROUNDING or probabilities.max() > high + ROUNDING:
        return None
    outcome = Outcome.CRITICAL if probabilities.size >= FEW_LABELS else Outcome.NOTE
    text = f"All {probabilities.size} probabilities lie between 0.5 and 0.731, as if a sigmoid were applied twice."
    return Result(outcome, text, value=float(probabilities.max()), limit=high, unit="probability")


def _large_logits(logits: Matrix, limit: float) -> Result:
    largest = float(np.abs(logits).max())
    text = f"The largest logit has the magnitude {shown(largest)} (limit {shown(limit)})"
    if largest > limit:
        return Result(
            Outcome.FLAG, text + ", which saturates the activation.", value=largest, limit=limit, unit="logit"
        )
    return Result(
        Outcome.PASS, text + ", and the outputs fit the activation.", value=largest, limit=limit, unit="logit"
    )
