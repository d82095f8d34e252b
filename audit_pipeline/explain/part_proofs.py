"""What the map of an image read in parts owes: the proofs of its parts, weighted as their logits are.

The logit of the image is the sum of weights times logits of the parts. Residuals and tolerances of the parts, weighted
in the same way, bound those of the whole; parts of weight 0 owe nothing, for they say nothing about the image.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from audit_pipeline.explain.blank import GradientFacts
from audit_pipeline.explain.verification import Verification
from audit_pipeline.proofs import Proof

_SAYS = {
    "completeness": ("the sum of the map plus the bias is the output", "the head behind the layer is not linear"),
    "closed form": ("Grad-CAM equals HiResCAM", "the head does not pool, so Grad-CAM and HiResCAM may differ"),
    "replay": ("replayed from the layer, the model gives its output again", "nothing was replayed"),
}
"""Kind of proof -> what it says when it is owed, and why it may not be."""


def verified_over_parts(found: Sequence[Verification | None], weights: Tensor, noun: str) -> Verification | None:
    """Return the verification of one image from those of batches of its parts, in order; None where one is missing.

    Parameters
    ----------
    weights : (P, T), derivative of the logits of the image by those of the parts
    noun : what a part is called
    """
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    proofs = [row for one in known for row in one.proofs]
    facts = [row for one in known for row in one.facts]
    columns = range(weights.shape[1])
    shares = weights.double().T.tolist()
    return Verification(
        proofs=(tuple(_proofs([row[t] for row in proofs], shares[t], noun) for t in columns),),
        facts=(tuple(_facts([row[t] for row in facts], shares[t]) for t in columns),),
    )


def _proofs(parts: Sequence[tuple[Proof, ...]], shares: Sequence[float], noun: str) -> tuple[Proof, ...]:
    counted = [(share, proofs) for share, proofs in zip(shares, parts, strict=True) if share > 0]
    if any(not proofs for _, proofs in counted):
        return ()
    kinds = [proof.kind for proof in counted[0][1]]
    return tuple(
        _weighted([(share, proofs[place]) for share, proofs in counted], noun) for place, _ in enumerate(kinds)
    )


def _weighted(counted: Sequence[tuple[float, Proof]], noun: str) -> Proof:
    first = counted[0][1]
    if len(counted) == 1 and counted[0][0] == 1:
        return first
    residual = sum(share * proof.residual for share, proof in counted)
    tolerance = sum(share * proof.tolerance for share, proof in counted)
    verdicts = [proof.holds for _, proof in counted]
    holds = False if False in verdicts else None if None in verdicts else True
    return Proof(
        kind=first.kind,
        residual=residual,
        relative=max(proof.relative for _, proof in counted),
        tolerance=tolerance,
        holds=holds,
        sentence=_sentence(first.kind, verdicts, residual, tolerance, noun),
    )


def _sentence(kind: str, verdicts: Sequence[bool | None], residual: float, tolerance: float, noun: str) -> str:
    says, excuse = _SAYS[kind]
    count, broken = len(verdicts), sum(one is False for one in verdicts)
    if broken:
        where = f"In {broken} of the {count} {noun}s that count it is NOT true that {says}"
        return f"{where}: residual {residual:.2g} in all, rounding allows {tolerance:.2g}."
    open_ = sum(one is None for one in verdicts)
    if open_:
        return f"In {open_} of the {count} {noun}s that count {excuse}; the residual is {residual:.3g} in all."
    return (
        f"In each of the {count} {noun}s that count, {says}, so it holds for the whole: residual at most "
        f"{residual:.2g}, rounding allows {tolerance:.2g}."
    )


def _facts(parts: Sequence[GradientFacts], shares: Sequence[float]) -> GradientFacts:
    counted = [(share, facts) for share, facts in zip(shares, parts, strict=True) if share > 0]
    zeros = [facts.output_at_zero for _, facts in counted]
    known = [zero for zero in zeros if zero is not None]
    at_zero = sum(share * zero for (share, _), zero in zip(counted, known, strict=True)) if known == zeros else None
    return GradientFacts(
        is_connected=any(facts.is_connected for _, facts in counted),
        is_finite=all(facts.is_finite for _, facts in counted),
        largest=max(share * facts.largest for share, facts in counted),
        activation=max(facts.activation for _, facts in counted),
        energy=sum(share * facts.energy for share, facts in counted),
        output=sum(share * facts.output for share, facts in counted),
        output_at_zero=at_zero,
    )
