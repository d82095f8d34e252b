"""Whether something that is not the patient decides: border (C16), padding (C17), noise (C18), side (C19), marks (C20).

Each is changed while the patient stays, and the model is asked again. A decision that turns rests on what was changed.
These are rules: a reference of the same model would call a shortcut usual, as it is in every study that model reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from audit_pipeline.checks.decisions import flipped, positives
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.per_map import BADNESS
from audit_pipeline.evidence import Answer, Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import closest_axes
from audit_pipeline.records import Matrix, Prediction, Task
from audit_pipeline.wording import shown

BEYOND_BENIGN = 2.0
"""A change counts when it moves the log-odds by this many times what half of the harmless changes do."""

OWN_SHARE = 0.5
"""Another change that turns the decision, and moves the log-odds by this share, names what the model reads better; and
what stays without the body counts with this share of its log-odds."""

MARKS = {"text_removed": "C20"}
ALONE = {
    "text_removed": "taking letters and marks out", "padding_changed": "filling the padding",
    "border_removed": "replacing the border", "grained": "softening the noise",
}  # fmt: skip
"""Variant -> what it does, where it explains what a larger change does."""

"""Variant -> code that names what it changes."""

SIDE_VIEWS = ("LL", "RL", "LLD", "RLD", "LLO", "RLO", "ML", "LM", "MLO", "LMO")
"""View positions in which the columns do not lead from right to left (DICOM PS3.3 C.8.7.1.1.1, View Position)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What the strongest of several changed inputs does to the answer.

    which : its place; change : of a probability, the largest over classes; odds : of the log-odds likewise
    turns : whether it turns the decision
    """

    which: int
    change: float
    odds: float
    turns: bool


def move_of(evidence: Evidence, answer: Answer) -> Move:
    """Return the strongest move of an answer: a decision that turns first, then the largest change of probability.

    Raises
    ------
    Unanswered
        The model answered with a number that is not finite.
    """
    prediction = evidence.prediction
    own = np.asarray(prediction.probabilities, dtype=np.float64)
    changes = np.abs(answer.probabilities - own).max(axis=1)
    if not np.isfinite(changes).all():
        raise Unanswered("The model answered a changed input, or the study, with a number that is not finite.")
    turned = flipped(prediction, answer.probabilities)
    which = int(np.lexsort((changes, turned))[-1])
    moved = np.abs(log_odds(answer.probabilities[which]) - log_odds(own)).max()
    return Move(which=which, change=float(changes[which]), odds=float(moved), turns=bool(turned[which]))


def log_odds(probabilities: Matrix) -> Matrix:
    """Return the log-odds of probabilities, cut off where double precision ends."""
    kept = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(kept / (1 - kept)))


def beyond_threshold(prediction: Prediction, place: int, probability: float) -> float:
    """Return the log-odds of the class at `place` above its threshold, 0.5 where it has none."""
    threshold = prediction.thresholds.get(prediction.classes[place], 0.5)
    return float(log_odds(np.asarray(probability)) - log_odds(np.asarray(threshold)))


def usual_move(evidence: Evidence) -> float:
    """Return by how much harmless changes move the log-odds: the median of them, 0 where they were not asked."""
    answer = evidence.answers.get("benign")
    if not isinstance(answer, Answer):
        return 0.0
    own = log_odds(np.asarray(evidence.prediction.probabilities, dtype=np.float64))
    return float(np.median(np.abs(log_odds(answer.probabilities) - own).max(axis=1)))


def _judged(evidence: Evidence, move: Move, words: str, change: float, *, beyond: float = BEYOND_BENIGN) -> Result:
    """Return the finding: a flag where the decision turns by more than `change`, beyond what harmless changes do.

    beyond : times that the log-odds must move further than by half of the harmless changes
    """
    usual = usual_move(evidence)
    text = (
        f"{words} the probability moves by {shown(move.change)} (limit {shown(change)}) and the log-odds by "
        f"{shown(move.odds)}, where half of the harmless changes move them by {shown(usual)} or less"
    )
    is_far, is_beyond = move.change > change, move.odds > beyond * usual
    outcome = Outcome.PASS
    if is_far and is_beyond:
        outcome = Outcome.FLAG if move.turns else Outcome.NOTE
    if not move.turns:
        text += "; the decision stays."
    elif outcome is Outcome.FLAG:
        text += ", and the decision turns."
    else:
        text += (
            f"; the decision turns, but {'no further than such changes go' if is_far else 'by less than the limit'}."
        )
    return Result(outcome, text, value=move.change, limit=change, unit="probability")


@check(
    "C16",
    title="The border decides",
    family="C",
    sentence="The decision turns when the rim of the picture is replaced by what lies inside it.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7): shortcuts at the edge of the image",
    advice="Crop the rim of all studies alike, and test the model again; look at who acquired them.",
    level="standard",
    variants=("border_removed", "body_removed", "constant", "text_removed", "padding_changed", "benign"),
)
def border_decides(evidence: Evidence, *, change: float = 0.5) -> Result:
    """Ask without the outer tenth, and with little else.

    Filling the rim also takes away what lies at the edge of the patient, and may leave something like a finding. So a
    finding counts that goes with the rim and stays without the body, with half of its log-odds; else a decision that
    turns is a note. Marks and padding that move the answer as far by themselves are for C20 and C17 to name.
    """
    move = move_of(evidence, evidence.answer("border_removed"))
    other = _named_elsewhere(evidence, move, {"padding_changed": "C17"})
    if other is not None:
        return Result(Outcome.PASS, f"Without the border {other}", value=move.change, unit="probability")
    return _made_by(evidence, move, "Without the border", change)


def _named_elsewhere(evidence: Evidence, move: Move, others: Mapping[str, str]) -> str | None:
    """Return the end of a sentence where a part of what was changed turns the decision about as far by itself.

    others : variant that changes only this part -> code of the check that names it; that one decides, and no limit here
    """
    for name, code in others.items():
        answer = evidence.answers.get(name)
        if move.turns and isinstance(answer, Answer):
            part = move_of(evidence, answer)
            if part.turns and part.odds > OWN_SHARE * move.odds:
                return f"the decision turns, but {ALONE[name]} alone turns it about as far, which {code} judges."
    return None


def _asserts_finding(evidence: Evidence) -> bool:
    """Tell whether a finding is concluded; where the card does not say which class is one, what an even grey is not."""
    prediction = evidence.prediction
    if prediction.task is Task.MULTICLASS and not prediction.thresholds:
        return not _is_kept(evidence, "constant")
    return bool(positives(prediction))


def _is_kept(evidence: Evidence, variant: str) -> bool:
    """Tell whether a variant was answered with the decision of the image."""
    answer = evidence.answers.get(variant)
    return isinstance(answer, Answer) and not flipped(evidence.prediction, answer.probabilities[:1])[0]


def _stays_without_body(evidence: Evidence) -> bool:
    """Tell whether a finding is concluded without the body, with `OWN_SHARE` of its log-odds above the threshold."""
    if not (_asserts_finding(evidence) and _is_kept(evidence, "body_removed")):
        return False
    prediction, left = evidence.prediction, evidence.answer("body_removed").probabilities[0]
    return all(
        beyond_threshold(prediction, place, float(left[place]))
        >= OWN_SHARE * beyond_threshold(prediction, place, prediction.probabilities[place])
        for place in positives(prediction)
    )


@check(
    "C17",
    title="The padding decides",
    family="C",
    sentence="The decision turns when the padding around the picture is filled or made wider.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7): shortcuts outside the anatomy",
    advice="Pad and crop all studies alike, and test the model again; look at who acquired them.",
    level="standard",
    variants=(
        "padding_changed",
        "padding_widened",
        "body_removed",
        "border_removed",
        "constant",
        "grained",
        "text_removed",
        "benign",
    ),
    version=2,
)
def padding_decides(evidence: Evidence, *, change: float = 0.5, wider: float = 0.7) -> Result:
    """Ask with the padding filled by a continuation of the picture, and with the padding wider.

    A finding that goes when the padding is filled and stays without the body counts, as in C16; else a decision that
    turns is a note, as a filled frame is a sight of its own. With wider padding a decision must turn by more than
    `wider`, since the edge of the picture goes as well, and a finding that goes must stay without the body, as it may
    have lain at that edge. Harmless shifts move padding too and are no measure here.
    """
    if evidence.padding is None or not evidence.padding.any():
        return Result(Outcome.PASS, "The input has no padding.", value=0.0, limit=change, unit="probability")
    found = []
    if isinstance(evidence.answers.get("padding_widened"), Answer):
        found.append(_with_wider_padding(evidence, wider))
    if isinstance(evidence.answers.get("padding_changed"), Answer) or not found:
        move = move_of(evidence, evidence.answer("padding_changed"))
        found.append((move, _made_by(evidence, move, "With the padding filled", change)))
    return max(found, key=lambda pair: (BADNESS.index(pair[1].outcome), pair[0].change))[1]


def _with_wider_padding(evidence: Evidence, change: float) -> tuple[Move, Result]:
    move = move_of(evidence, evidence.answer("padding_widened"))
    others = {**MARKS, "border_removed": "C16", "grained": "C18"}
    found = _of_part(evidence, move, "With wider padding", change, others)
    if found.outcome is Outcome.FLAG and _asserts_finding(evidence) and not _is_kept(evidence, "body_removed"):
        text = f"{found.message} The finding goes without the body too, so it may only have lain at the edge."
        found = replace(found, outcome=Outcome.NOTE, message=text)
    return move, found


def _of_part(
    evidence: Evidence, move: Move, words: str, change: float, others: Mapping[str, str], *, beyond: float = 0.0
) -> Result:
    """Return the finding on a change, unless one of `others` (variant -> code) alone does as much."""
    other = _named_elsewhere(evidence, move, others)
    if other is not None:
        return Result(Outcome.PASS, f"{words} {other}", value=move.change, unit="probability")
    return _judged(evidence, move, words, change, beyond=beyond)


def _made_by(evidence: Evidence, move: Move, words: str, change: float) -> Result:
    """Return the finding on what was filled, a note where no finding stays that it alone could make."""
    found = _of_part(evidence, move, words, change, MARKS)
    if found.outcome is Outcome.FLAG and not _stays_without_body(evidence):
        text = f"{found.message} No finding stays as clear without the body, so the filling itself may have done it."
        return replace(found, outcome=Outcome.NOTE, message=text)
    return found


@check(
    "C18",
    title="The noise decides",
    family="C",
    sentence="The decision turns when the noise is softened and the patient stays.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="Starck, Murtagh 1998 (doi:10.1086/316124), separating noise; Geirhos 2019 (arXiv:1811.12231), texture",
    advice="Compare scanners, kernels and doses between the classes; harmonise them, and test the model again.",
    level="standard",
    variants=("grained", "benign"),
)
def noise_decides(evidence: Evidence, *, change: float = 0.5) -> Result:
    """Ask with the noise of a softer kernel; what stands out of the noise stays as it is.

    Turns and shifts of part of a voxel soften the noise as well, so harmless changes are no measure here.
    """
    move = move_of(evidence, evidence.answer("grained"))
    return _judged(evidence, move, "With softer noise", change, beyond=0.0)


@check(
    "C19",
    title="The side decides",
    family="C",
    sentence="The decision turns when left and right are exchanged, although the class names no side.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Zech 2018 (doi:10.1371/journal.pmed.1002683): the side gave the hospital away",
    advice="Look whether the classes differ in side or orientation; balance them, and test the model again.",
    level="standard",
    variants=("flipped", "text_removed", "constant", "benign"),
)
def side_decides(evidence: Evidence, *, change: float = 0.7) -> Result:
    """Ask about the image mirrored from left to right; a finding is one on either side. Marks are for C20 to name.

    A finding that goes counts; one that comes is a note, as a heart on the right is a sight that few models know.
    """
    if evidence.intended.sides:
        return Result(Outcome.PASS, "The model card has classes that name a side, which may decide.", limit=change)
    axis = _across(evidence)
    answer = evidence.answer("flipped")
    own = Answer(logits=answer.logits[axis : axis + 1], probabilities=answer.probabilities[axis : axis + 1])
    words = "Mirrored from left to right"
    found = _of_part(evidence, move_of(evidence, own), words, change, MARKS, beyond=BEYOND_BENIGN)
    if found.outcome is Outcome.FLAG and not _asserts_finding(evidence):
        text = f"{found.message} No finding goes, and the mirrored anatomy itself may have made one."
        return replace(found, outcome=Outcome.NOTE, message=text)
    return found


def _across(evidence: Evidence) -> int:
    """Return the axis of the input that leads from right to left; the columns where nothing else is stated.

    Raises
    ------
    Unanswered
        The view is from the side.
    """
    affine, axes = evidence.prepared.affine, evidence.prepared.inside.ndim
    if str(evidence.image.metadata.get("ViewPosition") or "").strip().upper() in SIDE_VIEWS:
        raise Unanswered("The view is from the side, so its columns do not lead from right to left.")
    if affine is None or axes == 2:
        return axes - 1
    return next(place for place, (world, _) in enumerate(closest_axes(affine)) if world == 0)


@check(
    "C20",
    title="A marker decides",
    family="C",
    sentence="The decision turns when letters and marks laid over the picture are taken out of it.",
    severity=(5, 4, 5),
    provenance="dom",
    reference="Zech 2018 (doi:10.1371/journal.pmed.1002683): a network read the laterality marker",
    advice="Remove the marks from all studies, and test the model again; look at who drew them.",
    level="standard",
    variants=("text_removed", "benign"),
)
def marker_decides(evidence: Evidence, *, change: float = 0.5) -> Result:
    """Ask without the letters and marks."""
    if evidence.text is None:
        return not_evaluable("Letters and marks were not looked for.")
    if not evidence.text.any():
        return Result(Outcome.PASS, "No letters or marks were found.", value=0.0, limit=change, unit="probability")
    return _judged(evidence, move_of(evidence, evidence.answer("text_removed")), "Without letters and marks", change)
