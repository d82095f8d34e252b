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

PROBES = (1.0, 1.0, 10.0, 10.0, 10.0, 100.0, 100.0, 100.0)
"""Strengths of the random activations that show whether a logit depends on the layer, in those of the image."""

SAME_SHARE = 1e-6
"""Largest change of a logit, relative to it and to 1, that is rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Proofs and facts by image and target.

    proofs : [image][target] -> completeness, closed form and replay; () where anything is not finite
    facts : [image][target] -> what is known about the gradient
    """

    proofs: tuple[tuple[tuple[Proof, ...], ...], ...]
    facts: tuple[tuple[GradientFacts, ...], ...]


def verify(
    activations: Tensor,
    gradients: Tensor,
    logits: Tensor,
    targets: Sequence[int],
    replay: Replay,
    dtype: torch.dtype = torch.float32,
) -> Verification:
    r"""Return the proofs of the CAM family at one layer. It costs three replays behind the layer.

    Parameters
    ----------
    activations : (N, C, \*S) and gradients (N, T, C, \*S), both detached, of the pass that gave logits (N, K)
    replay : activations, index of the image -> logits; see `method.Request`
    dtype : in which the model computes
    """
    unit = FLOAT32 if dtype == torch.float32 else float(torch.finfo(dtype).eps) / 2
    ray = along_the_ray(activations, replay)
    maps, pooled = hirescam(activations, gradients), gradcam(activations, gradients)
    kinds = (
        completeness(maps, activations, gradients, ray, targets, unit),
        closed_form(pooled, maps, activations, gradients, unit),
        tail_replay(logits, ray, activations, targets, unit),
    )
    images, columns = range(len(activations)), range(len(targets))
    is_used = gradients.flatten(2).any(dim=2)
    if not bool(is_used.all()):
        is_used |= reached(activations, ray.full, replay)[:, list(targets)]
    facts = tuple(
        tuple(
            gradient_facts(
                activations[n],
                gradients[n, t] if bool(is_used[n, t]) else None,
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


def reached(activations: Tensor, logits: Tensor, replay: Replay) -> Tensor:
    r"""Return (N, K) bool: whether a path leads from the layer to each logit.

    Autograd answers with zeros for both a class that no path leads to and one behind units that are silent at this
    image. So the layer gives something else: random activations of both signs, up to a hundred times as strong as those
    of the image. A logit that stays the same to within rounding does not depend on the layer.

    Parameters
    ----------
    activations : (N, C, \*S); logits : (N, K) replayed from them
    """
    index = torch.arange(len(activations), device=activations.device)
    generator = torch.Generator().manual_seed(0)
    strength = activations.abs().flatten(1).amax(dim=1)
    strength = torch.where(strength > 0, strength, 1.0).reshape(-1, *[1] * (activations.ndim - 1))
    found = torch.zeros_like(logits, dtype=torch.bool)
    for factor in PROBES:
        # a level of its own for every channel, because noise alone is averaged away by a head that pools
        levels = torch.randn(activations.shape[1], generator=generator).reshape(-1, *[1] * (activations.ndim - 2))
        noise = levels + torch.randn(activations.shape[1:], generator=generator)
        answers = replay(factor * strength * noise.to(activations), index).double()
        # written so that an answer that is not finite counts as another one
        found |= ~((answers - logits).abs() <= SAME_SHARE * logits.abs().clamp(min=1.0))
    return found


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
