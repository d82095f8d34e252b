"""Whether the prediction needs the image at all (C10), and whether it needs the patient in it (C11)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.decisions import positives
from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.wording import percent, shown
from audit_pipeline.evidence import Answer, Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix

SAME_LOGIT = 0.1
"""Logits that differ by less are the same answer, whatever the probability."""

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
    variants=("constant", "noise"),
)
def image_not_needed(evidence: Evidence, *, change: float = 0.05) -> Result:
    """Compare the answers to the image, to an even grey, and to noise.

    Flagged when both lie within 0.1 of the image in every logit. A class with an operating point that is concluded is
    flagged too when both give its probability within `change`: an image that shows nothing is no evidence of a
    finding, while the absence of a finding is rightly concluded from it.
    """
    answers = [evidence.answer(name) for name in ("constant", "noise")]
    prediction = evidence.prediction
    drift = _largest(np.concatenate([one.logits for one in answers]) - np.asarray(prediction.logits))
    chances = np.concatenate([one.probabilities for one in answers])
    ways = np.abs(chances - np.asarray(prediction.probabilities)).max(axis=0)
    kept = [prediction.classes[place] for place in positives(prediction) if ways[place] < change]
    text = (
        f"Between the image, an even grey and noise the logits differ by up to {shown(drift)} (limit "
        f"{shown(SAME_LOGIT)}) and the probabilities by up to {shown(float(ways.max()))}."
    )
    if kept:
        text += f" {kept[0]} is concluded of all three with the same probability (within {shown(change)})."
    outcome = Outcome.FLAG if drift < SAME_LOGIT or kept else Outcome.PASS
    return Result(outcome, text, value=drift, limit=SAME_LOGIT, unit="logit")


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
    variants=("body_removed", "border_removed"),
)
def patient_not_needed(evidence: Evidence, *, drop: float = 0.10) -> Result:
    """Ask about the image without the body.

    A concluded class with an operating point that keeps its decision without the body is flagged, and critical when
    its probability falls by less than `drop` of itself. Whatever is concluded, logits that move by less than 0.002 mean
    that the body does not matter, and are flagged. What the border alone does is told beside it.
    """
    answer, prediction = evidence.answer("body_removed"), evidence.prediction
    drift = _largest(answer.logits[0] - np.asarray(prediction.logits))
    text = f"Without the body the logits move by up to {shown(drift)} (limit {shown(UNMOVED)})"
    border = evidence.answers.get("border_removed")
    if isinstance(border, Answer):
        text += f", without the border by {shown(_largest(border.logits[0] - np.asarray(prediction.logits)))}"
    outcome = Outcome.FLAG if drift < UNMOVED else Outcome.PASS
    for place in positives(prediction):
        name, own = prediction.classes[place], prediction.probabilities[place]
        left = float(answer.probabilities[0, place])
        text += f"; {name} {'rises' if left > own else 'falls'} from {shown(own)} to {shown(left)}"
        if left >= prediction.thresholds.get(name, 0.5):
            fall = 1 - left / own if own > 0 else 0.0
            outcome = Outcome.CRITICAL if fall < drop or outcome is Outcome.CRITICAL else Outcome.FLAG
            lost = f"a fall of {percent(fall)}, critical" if fall > 0 else "critical where the fall is"
            text += f", which is still a finding ({lost} below {percent(drop)})"
    return Result(outcome, f"{text}.", value=drift, limit=UNMOVED, unit="logit")
