"""Evidence where no disease can be: on padding (D03), on letters and markers (D04)."""

from __future__ import annotations

from dataclasses import dataclass

from audit_pipeline.checks.decisions import flipped
from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.map_location import widened
from audit_pipeline.checks.map_measures import mass, share
from audit_pipeline.checks.per_map import judge_maps, top_explanations
from audit_pipeline.checks.wording import chance
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation
from audit_pipeline.wording import percent, shown

PLAIN_SHARE = 0.10
"""Share of the evidence beyond which a map is flagged also where the model does not react."""

LOGIT_CHANGE = 1.0
"""A change of the logit beyond this counts also where the probability is saturated and hardly moves."""

STRONG_CHANGE = 0.20
"""A change of the probability beyond this is a dependence whatever the map shows."""


@check(
    "D03",
    title="Evidence on padding",
    family="D",
    sentence="The map puts evidence on padding, which holds no patient at all.",
    severity=(5, 3, 3),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7): shortcuts outside the anatomy",
    advice="Change the value of the padding and predict again; when the answer changes, do not use it.",
    level="standard",
    direction="above",
    variants=("padding_changed",),
)
def on_padding(evidence: Evidence, *, share_limit: float = 0.05, change_limit: float = 0.05) -> Result:
    """Flag a map with more than `share_limit` of its mass, or its peak, on padding.

    The padding counts from half a cell of the map's grid on, the finest distance at which the map can place anything.
    The padding filled with another grey value is the test: the finding is critical when that changes the probability by
    more than `change_limit`, the logit by more than `LOGIT_CHANGE` or the conclusion. Else it is a note, and a flag
    when the share exceeds `PLAIN_SHARE` or the peak lies there. A map that looks innocent is a note when the
    probability changes strongly: no model was trained on padding of that grey value.
    """
    padding = evidence.padding
    if padding is None or not padding.any():
        return Result(Outcome.PASS, "The input has no padding.", value=0.0, limit=share_limit, unit="share of evidence")
    effect = effect_of(evidence, "padding_changed", change_limit)

    def judge(explanation: Explanation) -> Result:
        masses = mass(explanation)
        deep = ~widened(~padding, explanation.grid)
        found = share(masses, deep)
        is_peak = bool(deep.ravel()[int(masses.argmax())])
        text = f"{percent(found)} of the evidence lies on padding (limit {percent(share_limit)})"
        text += f"{', the peak too' if is_peak else ''}; {effect.sentence}"
        is_suspect = found > share_limit or is_peak
        outcome = effect.outcome(is_suspect=is_suspect)
        if not is_suspect and outcome is Outcome.FLAG:
            outcome = Outcome.NOTE
        if outcome is Outcome.NOTE and (is_peak or found > PLAIN_SHARE):
            outcome = Outcome.FLAG
        return Result(outcome, text, value=found, limit=share_limit, unit="share of evidence")

    return judge_maps(evidence, judge)


@check(
    "D04",
    title="Evidence on letters or markers",
    family="D",
    sentence="The map puts evidence on letters or markers that were laid over the image.",
    severity=(5, 4, 4),
    provenance="dom",
    reference="Zech 2018 (doi:10.1371/journal.pmed.1002683): a network read the laterality marker",
    advice="Remove the marker, predict again, and look at the cohort for the same marker.",
    level="standard",
    direction="above",
    variants=("text_removed",),
)
def on_text(
    evidence: Evidence, *, share_limit: float = 0.05, enrichment_limit: float = 2.0, change_limit: float = 0.05
) -> Result:
    """Find a map with more than `share_limit` of its mass on letters, and `enrichment_limit` times an even map there.

    The letters are widened by half a cell of the map's grid, the finest distance at which the map can place anything.
    The image without them is the test: the finding is critical when the probability changes by more than
    `change_limit`, the logit by more than `LOGIT_CHANGE` or the conclusion. Else it is a note, and a flag when the
    share exceeds `PLAIN_SHARE` or the model could not be asked. A map that looks innocent is flagged when the
    probability changes strongly.
    """
    text_mask = evidence.text
    if text_mask is None or not text_mask.any():
        words = "No letters or markers were found."
        return Result(Outcome.PASS, words, value=0.0, limit=share_limit, unit="share of evidence")
    effect = effect_of(evidence, "text_removed", change_limit)

    def judge(explanation: Explanation) -> Result:
        near = widened(text_mask, explanation.grid)
        found, even = share(mass(explanation), near), float(near.mean())
        is_suspect = found > share_limit and found > enrichment_limit * even
        text = f"{percent(found)} of the evidence lies on letters or markers (limit {percent(share_limit)}), "
        text += f"{shown(found / even)} times an even map; {effect.sentence}"
        outcome = effect.outcome(is_suspect=is_suspect)
        if outcome is Outcome.NOTE and found > PLAIN_SHARE:
            outcome = Outcome.FLAG
        return Result(outcome, text, value=found, limit=share_limit, unit="share of evidence")

    return judge_maps(evidence, judge)


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a changed input does to the class that is explained first.

    change : of its probability, None where the model was not asked; counts : whether that or the change of its logit
    is large enough to count; is_flipped : whether the conclusion changes
    """

    sentence: str
    change: float | None = None
    counts: bool = False
    is_flipped: bool = False

    def outcome(self, *, is_suspect: bool) -> Outcome:
        """Return what map and model say together; `is_suspect`: the map puts its evidence there."""
        is_strong = self.is_flipped or (self.change is not None and self.change > STRONG_CHANGE)
        if not is_suspect:
            return Outcome.FLAG if is_strong else Outcome.PASS
        if self.change is None:
            return Outcome.FLAG
        return Outcome.CRITICAL if self.is_flipped or self.counts else Outcome.NOTE


def effect_of(evidence: Evidence, variant: str, limit: float) -> Effect:
    """Return what the first input of a variant does to the class that is explained first."""
    maps = top_explanations(evidence)
    target = maps[0].target if maps else 0
    try:
        answer = evidence.answer(variant)
    except Unanswered as missing:
        return Effect(sentence=f"not confirmed: {missing}")
    prediction = evidence.prediction
    before, after = prediction.probabilities[target], float(answer.probabilities[0, target])
    change = abs(after - before)
    moved = abs(float(answer.logits[0, target]) - prediction.logits[target])
    is_flipped = bool(flipped(prediction, answer.probabilities[:1])[0])
    words = "without them" if variant == "text_removed" else "with the padding filled with another grey value,"
    text = (
        f"{words} the probability is {chance(after)} instead of {chance(before)} and the logit moves by {shown(moved)}"
    )
    text += ", and the conclusion changes." if is_flipped else "."
    return Effect(sentence=text, change=change, counts=change > limit or moved > LOGIT_CHANGE, is_flipped=is_flipped)
