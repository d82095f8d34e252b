"""Whether the prediction needs the image at all (C10), and whether it needs the patient in it (C11)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit_pipeline.checks.decide import FEW_STUDIES
from audit_pipeline.checks.decisions import decided, positives
from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.labelled import chances_of
from audit_pipeline.checks.per_map import BADNESS
from audit_pipeline.checks.reliance import beyond_threshold
from audit_pipeline.checks.wording import chance
from audit_pipeline.evidence import Answer, Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix, Prediction
from audit_pipeline.wording import counted, listed, percent, shown

SAME_LOGIT = 0.1
"""Logits that differ by less are the same answer, whatever the probability."""

REST = 0.25
"""Of the log-odds above the threshold; a model that left less without the body had its evidence there."""

OTHERS = 0.05
"""A class that this share of clean reference studies lacks is not concluded whatever the image is."""

UNMOVED = 0.002
"""A change of every logit by less than this means that what was taken away does not matter."""


@check(
    "C10",
    title="The image is not needed",
    family="C",
    sentence="An even grey and noise get the same answer as the image.",
    severity=(5, 2, 5),
    provenance="dom",
    reference="Geirhos 2020 (doi:10.1038/s42256-020-00257-z), shortcut learning",
    advice="Do not use the model until it is known what it reads.",
    level="standard",
    variants=("constant", "noise", "body_removed"),
    version=3,
)
def image_not_needed(evidence: Evidence, *, change: float = 0.05) -> Result:
    """Compare the answers to the image, to an even grey, and to noise.

    Flagged when both lie within 0.1 of the image in every logit. A class with an operating point that is concluded is
    flagged too when both give its probability within `change`: an image that shows nothing is no evidence of a
    finding, while the absence of a finding is rightly concluded from it. Where that class is no longer concluded
    without the body, or is not concluded of a twentieth of the clean reference studies, the image is needed, and what
    the model says of empty images is a note. So is a finding that an even grey or noise gets too, with whatever
    probability: it is then no evidence of a finding that the model is sure.
    """
    answers = [evidence.answer(name) for name in ("constant", "noise")]
    prediction = evidence.prediction
    drift = _largest(np.concatenate([one.logits for one in answers]) - np.asarray(prediction.logits))
    chances = np.concatenate([one.probabilities for one in answers])
    ways = np.abs(chances - np.asarray(prediction.probabilities)).max(axis=0)
    kept = [place for place in positives(prediction) if ways[place] < change]
    text = (
        f"Between the image, an even grey and noise the logits differ by up to {shown(drift)} (limit "
        f"{shown(SAME_LOGIT)}) and the probabilities by up to {shown(float(ways.max()))}."
    )
    outcome = Outcome.FLAG if drift < SAME_LOGIT else Outcome.PASS
    if kept:
        name = prediction.classes[kept[0]]
        text += f" {name} is concluded of all three with the same probability (within {shown(change)})."
        needs = [_need_of(evidence, place) for place in kept]
        text += f" {needs[0]}, so the image is needed." if needs[0] else ""
        outcome = Outcome.NOTE if all(needs) and outcome is Outcome.PASS else Outcome.FLAG
    elif asserted := _asserted(prediction, chances):
        text += f" {asserted} too, where there is nothing to find."
        outcome = max(outcome, Outcome.NOTE, key=BADNESS.index)
    return Result(outcome, text, value=drift, limit=SAME_LOGIT, unit="logit")


def _asserted(prediction: Prediction, chances: Matrix) -> str:
    """Return which concluded findings an even grey or noise, the rows of `chances`, get as well, or ""."""
    clauses = []
    for place in positives(prediction):
        name = prediction.classes[place]
        got = [
            f"{what} ({chance(float(row[place]))})"
            for what, row, found in zip(("an even grey", "noise"), chances, decided(prediction, chances), strict=True)
            if name in found
        ]
        if got:
            clauses.append(f"{name} is concluded of {' and of '.join(got)}")
    return listed(clauses)


def _need_of(evidence: Evidence, place: int) -> str:
    """Return what shows that the class at `place` is not concluded of everything, as a clause, or ""."""
    answer, prediction = evidence.answers.get("body_removed"), evidence.prediction
    if isinstance(answer, Answer) and prediction.classes[place] not in decided(prediction, answer.probabilities)[0]:
        return f"Without the body {prediction.classes[place]} is no longer concluded"
    return _others_of(evidence, place)


def _others_of(evidence: Evidence, place: int) -> str:
    """Return how many clean reference studies lack the class at `place`, as a clause; "" for under a twentieth."""
    logits, prediction = None if evidence.reference is None else evidence.reference.logits, evidence.prediction
    if logits is None or logits.shape[1] != len(prediction.classes) or not np.isfinite(logits).all():
        return ""
    found = decided(prediction, chances_of(logits.astype(np.float64), prediction.task))
    others = sum(prediction.classes[place] not in one for one in found)
    if len(found) < FEW_STUDIES or others < OTHERS * len(found):
        return ""
    return f"{others} of {counted(len(found), 'clean reference study is', 'clean reference studies are')} without it"


def _largest(differences: Matrix) -> float:
    if not np.isfinite(differences).all():
        raise Unanswered("The model answered a changed input, or the study, with a number that is not finite.")
    return float(np.abs(differences).max())


@check(
    "C11",
    title="The patient is not needed",
    family="C",
    sentence="The finding is still asserted when the body is taken out of the image.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7)",
    advice="Look for the shortcut: markers, border, padding.",
    level="standard",
    variants=("body_removed", "border_removed", "constant"),
    version=2,
)
def patient_not_needed(evidence: Evidence, *, drop: float = 0.10) -> Result:
    """Ask about the image without the body.

    A concluded class with an operating point that keeps its decision without the body is flagged, and critical when
    its probability falls by less than `drop` of itself. It is a note where an even grey gets it too and a twentieth of
    the clean reference studies does not: the model asserts it of empty images, so nothing that stays beside the body
    decides; and where the log-odds above the threshold fall to under a quarter, so nearly all evidence went with the
    body. Whatever is concluded, logits that move by less than 0.002 mean that the body does not matter, and are
    flagged. What the border alone does is told beside it. Value and limit are of the rule that decided.
    """
    answer, prediction = evidence.answer("body_removed"), evidence.prediction
    drift = _largest(answer.logits[0] - np.asarray(prediction.logits))
    text = f"Without the body the logits move by up to {shown(drift)} (limit {shown(UNMOVED)})"
    border = evidence.answers.get("border_removed")
    if isinstance(border, Answer):
        text += f", without the border by {shown(_largest(border.logits[0] - np.asarray(prediction.logits)))}"
    found = Result(Outcome.FLAG if drift < UNMOVED else Outcome.PASS, "", value=drift, limit=UNMOVED, unit="logit")
    for place in positives(prediction):
        name, own = prediction.classes[place], prediction.probabilities[place]
        left = float(answer.probabilities[0, place])
        way = "rises" if left > own else "falls"
        same = chance(own) == chance(left)
        text += f"; {name} stays {chance(own)}" if same else f"; {name} {way} from {chance(own)} to {chance(left)}"
        if left >= prediction.thresholds.get(name, 0.5):
            kept = _kept(evidence, place, drop)
            text += kept.message
            found = max(found, kept, key=lambda one: BADNESS.index(one.outcome))
    return replace(found, message=f"{text}.")


def _kept(evidence: Evidence, place: int, drop: float) -> Result:
    """Return what it means that the class at `place` is still concluded without the body."""
    prediction = evidence.prediction
    name, own = prediction.classes[place], prediction.probabilities[place]
    threshold, left = (
        prediction.thresholds.get(name, 0.5),
        float(evidence.answer("body_removed").probabilities[0, place]),
    )
    grey, others = evidence.answers.get("constant"), _others_of(evidence, place)
    if others and isinstance(grey, Answer) and grey.probabilities[0, place] >= threshold:
        text = f", still concluded (threshold {chance(threshold)}), as it is from an even grey, while {others}"
        return Result(Outcome.NOTE, text, value=left, limit=threshold, unit="probability")
    fall = 1 - left / own if own > 0 else 0.0
    lost = f"a fall of {percent(fall)}, critical" if fall > 0 else "critical where the fall is"
    text = f", still concluded ({lost} below {percent(drop)})"
    if fall < drop:
        return Result(Outcome.CRITICAL, text, value=fall, limit=drop, unit="share of the probability lost")
    above, before = (beyond_threshold(prediction, place, one) for one in (left, own))
    if above < REST * before:
        text = f", still concluded, with {percent(above / before)} of the log-odds above the threshold"
        return Result(Outcome.NOTE, text, value=left, limit=threshold, unit="probability")
    return Result(Outcome.FLAG, text, value=left, limit=threshold, unit="probability")
