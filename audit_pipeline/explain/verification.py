"""What every map owes, checked for each image and class of a pass; and what is known about its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from audit_pipeline.explain.blank import GradientFacts, classify, gradient_facts
from audit_pipeline.explain.cam import gradcam, hirescam
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.proof import FLOAT32, Replay, along_the_ray, closed_form, completeness, tail_replay
from audit_pipeline.proofs import Proof
from audit_pipeline.records import Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Proofs and facts by image and target.

    proofs : [image][target] -> completeness, closed form and replay; () where anything is not finite
    facts : [image][target] -> what is known about the gradient
    """

    proofs: tuple[tuple[tuple[Proof, ...], ...], ...]
    facts: tuple[tuple[GradientFacts, ...], ...]


def verify(
    activations: Tensor, gradients: Tensor, logits: Tensor, targets: Sequence[int], replay: Replay
) -> Verification:
    r"""Return the proofs of the CAM family at one layer. It costs three replays behind the layer.

    Parameters
    ----------
    activations : (N, C, \*S) and gradients (N, T, C, \*S), both detached, of the pass that gave logits (N, K)
    replay : activations, index of the image -> logits; see `method.Request`
    """
    unit = FLOAT32 if logits.dtype == torch.float32 else float(torch.finfo(logits.dtype).eps) / 2
    ray = along_the_ray(activations, replay)
    maps, pooled = hirescam(activations, gradients), gradcam(activations, gradients)
    kinds = (
        completeness(maps, activations, gradients, ray, targets, unit),
        closed_form(pooled, maps, activations, gradients, unit),
        tail_replay(logits, ray, activations, targets, unit),
    )
    images, columns = range(len(activations)), range(len(targets))
    facts = tuple(
        tuple(
            gradient_facts(
                activations[n],
                gradients[n, t],
                float(logits[n, targets[t]]),
                float(ray.zero[n, targets[t]]),
            )
            for t in columns
        )
        for n in images
    )
    proofs = tuple(
        tuple(tuple(kind[n][t] for kind in kinds) if facts[n][t].is_finite else () for t in columns) for n in images
    )
    return Verification(proofs=proofs, facts=facts)


def judged(explanation: Explanation, verification: Verification | None, column: int) -> Explanation:
    """Return an explanation of the first image with its unit, why it is blank, and what it owes.

    column : of its target; proofs and reasons are those of the CAM family, whose maps come from this layer
    """
    method = EXPLAINERS[explanation.method]
    if verification is None or method.kind != "cam":
        return replace(explanation, unit=method.unit)
    blank = classify(explanation.values, verification.facts[0][column], explanation.signal_floor)
    return replace(
        explanation,
        unit=method.unit,
        blank="" if blank is None else blank.kind,
        blank_sentence="" if blank is None else blank.sentence,
        proofs=verification.proofs[0][column],
    )
