"""Whether the map can be believed: agreement between methods (D19), what every map owes (D28)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.agreement import pearson, spearman, top_overlap
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.map_measures import coarsened
from audit_pipeline.checks.per_map import BADNESS, absence, top_explanations
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation
from audit_pipeline.terms import method
from audit_pipeline.wording import shown

PAIRS = (("gradcam", "hirescam"), ("gradcam", "occlusion"), ("hirescam", "occlusion"))


@check(
    "D19",
    title="Methods disagree",
    family="D",
    sentence="Two methods point to different places for the same class.",
    severity=(4, 4, 5),
    provenance="dom",
    reference="Draelos and Carin 2020 (arXiv:2011.08891): Grad-CAM can show places the model did not use",
    advice="Trust HiResCAM or occlusion over Grad-CAM; where the two must agree, report a bug.",
    direction="below",
    version=2,
)
def method_disagreement(
    evidence: Evidence, *, rank_limit: float = 0.50, overlap_limit: float = 0.20, identity_limit: float = 0.999
) -> Result:
    """Compare the Grad-CAM, HiResCAM and occlusion maps of the top class, two at a time, on the coarser grid.

    Flagged when Spearman's correlation of the raw signed maps is below `rank_limit` or the strongest tenths of the
    cells overlap (intersection over union) by less than `overlap_limit`. When global average pooling and one linear
    layer follow the target layer, Grad-CAM and HiResCAM are the same formula, so a Pearson correlation not above
    `identity_limit` is an error of computation and critical. Occlusion measures effects instead of gradients and
    moves in steps: it has to share the strongest places only. The worst pair is the finding.
    """
    by_method = {one.method: one for one in top_explanations(evidence)}
    pairs = [(by_method[one], by_method[other]) for one, other in PAIRS if {one, other} <= by_method.keys()]
    if not pairs:
        missing = [method(name) for name in PAIRS[0] if name not in by_method]
        return not_evaluable(
            f"The comparison needs {' and '.join(map(method, PAIRS[0]))} maps; there is no {' and no '.join(missing)}."
        )
    limits = (rank_limit, overlap_limit, identity_limit)
    results = [_compared(one, other, limits, is_pooled=evidence.head_is_pooled) for one, other in pairs]
    return max(results, key=lambda result: BADNESS.index(result.outcome))


def _compared(one: Explanation, other: Explanation, limits: tuple[float, float, float], *, is_pooled: bool) -> Result:
    reasons = [reason for reason in (absence(one), absence(other)) if reason]
    if reasons:
        return not_evaluable(sentence(*reasons))
    is_gradient = other.method in PAIRS[0]
    if is_gradient and one.grid != other.grid:
        return not_evaluable("The two maps lie on different grids.")
    if is_gradient and is_pooled:
        return _identity(one, other, limits[2])
    return _agreement(one, other, limits[0] if is_gradient else -1.0, limits[1])


def _identity(one: Explanation, other: Explanation, limit: float) -> Result:
    correlation = pearson(one.values, other.values)
    if correlation is None:
        return not_evaluable(f"A map of {one.target_name} is constant, so it has no correlation.")
    text = f"{method(one.method)} and {method(other.method)} for {one.target_name} correlate with r = {correlation:.4f}"
    if correlation > limit:
        text += f", as they must for pooling and one linear layer (limit {limit:.4g})."
        return Result(Outcome.PASS, text, value=correlation, limit=limit, unit="Pearson correlation")
    text += f", but for pooling and one linear layer they must agree (limit {limit:.4g}): the maps are wrong."
    return Result(Outcome.CRITICAL, text, value=correlation, limit=limit, unit="Pearson correlation", provenance="std")


def _agreement(one: Explanation, other: Explanation, rank_limit: float, overlap_limit: float) -> Result:
    shape = tuple(min(sizes) for sizes in zip(one.grid, other.grid, strict=True))
    correlation = spearman(coarsened(one.values, shape), coarsened(other.values, shape))
    if correlation is None:
        return not_evaluable(f"A map of {one.target_name} is constant, so it has no rank order.")
    overlap = top_overlap(np.maximum(one.on_input, 0), np.maximum(other.on_input, 0))
    text = (
        f"{method(one.method)} and {method(other.method)} for {one.target_name}: rank correlation "
        f"{shown(correlation)} (limit {shown(rank_limit)}), overlap of the strongest tenth "
        f"{shown(overlap)} (limit {shown(overlap_limit)})."
    )
    is_apart = correlation < rank_limit or overlap < overlap_limit
    outcome = Outcome.FLAG if is_apart else Outcome.PASS
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
