"""Whether the map can be believed: agreement between methods (D19), what every map owes (D28)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.agreement import pearson, spearman, top_overlap
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.per_map import absence, top_explanations
from audit_pipeline.checks.wording import sentence, shown
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation

PAIR = ("gradcam", "hirescam")


@check(
    "D19",
    title="Methods disagree",
    family="D",
    sentence="Grad-CAM and HiResCAM point to different places for the same class.",
    severity=(4, 4, 5),
    provenance="dom",
    reference="Draelos and Carin 2020 (arXiv:2011.08891): Grad-CAM can show places the model did not use",
    advice="Trust HiResCAM or occlusion over Grad-CAM; where the two must agree, report a bug.",
)
def method_disagreement(
    evidence: Evidence, *, rank_limit: float = 0.50, overlap_limit: float = 0.20, identity_limit: float = 0.999
) -> Result:
    """Compare the Grad-CAM and the HiResCAM map of the top class on the layer's grid.

    Flagged when Spearman's correlation of the raw signed maps is below `rank_limit` or the strongest tenths of the
    cells overlap (intersection over union) by less than `overlap_limit`. When global average pooling and one linear
    layer follow the target layer, both methods are the same formula, so a Pearson correlation not above
    `identity_limit` is an error of computation and critical.
    """
    by_method = {one.method: one for one in top_explanations(evidence)}
    missing = [name for name in PAIR if name not in by_method]
    if missing:
        return not_evaluable(f"The comparison needs gradcam and hirescam maps; there is no {' and no '.join(missing)}.")
    one, other = (by_method[name] for name in PAIR)
    reasons = [reason for reason in (absence(one), absence(other)) if reason]
    if reasons:
        return not_evaluable(sentence(*reasons))
    if one.grid != other.grid:
        return not_evaluable("The two maps lie on different grids.")
    if evidence.head_is_pooled:
        return _identity(one, other, identity_limit)
    return _agreement(one, other, rank_limit, overlap_limit)


def _identity(one: Explanation, other: Explanation, limit: float) -> Result:
    correlation = pearson(one.values, other.values)
    if correlation is None:
        return not_evaluable(f"A map of {one.target_name} is constant, so it has no correlation.")
    text = f"gradcam and hirescam for {one.target_name} correlate with r = {correlation:.4f}"
    if correlation > limit:
        text += f", as they must for pooling and one linear layer (limit {limit:.4g})."
        return Result(Outcome.PASS, text, value=correlation, limit=limit, unit="Pearson correlation")
    text += f", but for pooling and one linear layer they must agree (limit {limit:.4g}): the maps are wrong."
    return Result(Outcome.CRITICAL, text, value=correlation, limit=limit, unit="Pearson correlation", provenance="std")


def _agreement(one: Explanation, other: Explanation, rank_limit: float, overlap_limit: float) -> Result:
    correlation = spearman(one.values, other.values)
    if correlation is None:
        return not_evaluable(f"A map of {one.target_name} is constant, so it has no rank order.")
    overlap = top_overlap(np.maximum(one.on_input, 0), np.maximum(other.on_input, 0))
    text = (
        f"gradcam and hirescam for {one.target_name}: rank correlation {shown(correlation)} (limit {shown(rank_limit)})"
        f", overlap of the strongest tenth {shown(overlap)} (limit {shown(overlap_limit)})."
    )
    is_low_rank, is_low_overlap = correlation < rank_limit, overlap < overlap_limit
    outcome = Outcome.FLAG if is_low_rank or is_low_overlap else Outcome.PASS
    if is_low_overlap and not is_low_rank:
        return Result(outcome, text, value=overlap, limit=overlap_limit, unit="intersection over union")
    return Result(outcome, text, value=correlation, limit=rank_limit, unit="Spearman correlation")


@check(
    "D28",
    title="Broken identity of the map",
    family="D",
    sentence="The map breaks an identity that the arithmetic of the model guarantees, so it is not what was computed.",
    severity=(5, 1, 5),
    provenance="std",
    reference="Draelos and Carin 2020 (arXiv:2011.08891), completeness; Higham and Mary 2019, rounding",
    advice="Discard the map and report a bug of the explanation engine or of the model's layer.",
)
def broken_identity(evidence: Evidence) -> Result:
    """Find maps of the top class that break completeness, the closed form or the replay by more than rounding.

    Behind a linear head the signed HiResCAM sums to the logit minus its bias; behind average pooling Grad-CAM is
    HiResCAM; and the layer's activations give the logit again. Where the head is not linear, nothing is owed.
    """
    proofs = {proof.kind: proof for one in top_explanations(evidence) for proof in one.proofs}
    broken = [proof for proof in proofs.values() if proof.holds is False]
    kept = [proof for proof in proofs.values() if proof.holds]
    if not broken and not kept:
        return not_evaluable("No identity was checked for these maps.")
    worst = max(broken or kept, key=lambda proof: proof.relative)
    outcome = Outcome.CRITICAL if broken else Outcome.PASS
    names = ", ".join(proof.kind for proof in kept)
    text = " ".join(proof.sentence for proof in broken) or f"Within rounding: {names}."
    limit = worst.tolerance * worst.relative / worst.residual if worst.residual else None
    return Result(outcome, text, value=worst.relative, limit=limit, unit="share of the contributions")
