r"""Proofs that come with every map: sums that must agree, with the rounding error that is allowed and no more.

Completeness. Let f be the output of a class as a function of the layer's activations A. If f is affine along the ray
from 0 to A, then :math:`\sum \nabla f(A) \odot A = f(A) - f(0)`: the signed HiResCAM sums to the output minus its bias,
f(0). Linear heads are affine along every ray, and so are heads of rectifiers without bias. Whether this head is, is
measured at A / 2, and nothing is owed where it is not.

Tolerances. A sum of n float32 products has a relative error of :math:`\lambda \sqrt{n} u` with
:math:`u = 2^{-24}`, for :math:`\lambda` a small constant, with high probability (Higham and Mary 2019, Theorem 2.4; the
certain bound n u would be hundreds of times wider). Errors are relative to the sum of absolute products, so cancelling
evidence is given the room it needs, and a tampered map is not.

References
----------
Draelos and Carin, Use HiResCAM instead of Grad-CAM, arXiv:2011.08891, section on completeness for one linear layer.
Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41 (2019) A2815-A2835,
doi:10.1137/18M1226312: theorem 2.4 with equations 2.1 and 2.3, as numbered in the preprint MIMS EPrint 2018.33, and
theorem 3.1 for inner products. It holds for rounding errors that are independent with mean zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import UNIFORM_GRADIENT
from audit_pipeline.proofs import Proof

ProofKind = Literal["completeness", "closed form", "replay"]
Replay = Callable[[Tensor, Tensor], Tensor]
r"""Activations (M, C, \*S), index of the image each belongs to (M,) -> logits (M, K); see ``Request.replay``."""

FLOAT32 = 2.0**-24
"""Unit roundoff of float32; 2^-11 for TF32, 2^-8 for bfloat16."""

CONFIDENCE = 8.0
"""The constant of the probabilistic bound: it fails with a chance below 2 exp(-32), 3e-14, for each product.

A sum of a million products then misses it with a chance below 3e-8."""

BEND_SHARE = 1 / 8
"""Share of the tolerance that a linear head may deviate by at half the activations.

A curved head misses the sum by more than it bends there: 4 times for a square, 5.3 times for a cube. With an eighth, a
faint curve cannot pass for a broken map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ray:
    """What the model answers along the ray from activations 0 to those of the images; each (N, K) float64.

    full, half, zero : logits replayed at A, A / 2 and 0; `zero` is the bias of a linear head
    """

    full: Tensor
    half: Tensor
    zero: Tensor


def along_the_ray(activations: Tensor, replay: Replay) -> Ray:
    r"""Replay the activations (N, C, \*S) whole, halved and at zero; the given tensor stays unchanged."""
    index = torch.arange(len(activations), device=activations.device)
    answers = [replay(share * activations.detach(), index).double() for share in (1.0, 0.5, 0.0)]
    return Ray(full=answers[0], half=answers[1], zero=answers[2])


def rounding(terms: int, unit_roundoff: float = FLOAT32) -> float:
    """Return the relative error of a sum of so many products.

    >>> f"{rounding(14_000):.1e}"
    '5.6e-05'
    """
    return CONFIDENCE * sqrt(terms) * unit_roundoff


def completeness(
    maps: Tensor,
    activations: Tensor,
    gradients: Tensor,
    ray: Ray,
    targets: Sequence[int],
    unit_roundoff: float = FLOAT32,
) -> tuple[tuple[Proof, ...], ...]:
    r"""Return, for every image and target, whether the signed HiResCAM sums to the output minus its bias.

    Parameters
    ----------
    maps : (N, T, \*S) signed HiResCAM, raw
    activations : (N, C, \*S); gradients : (N, T, C, \*S)
    ray : from `along_the_ray` on the same activations
    targets : class indices of the T maps
    unit_roundoff : of the arithmetic of the model

    Raises
    ------
    ExplainError
        The shapes do not belong together.
    """
    _require(maps, activations, gradients, targets)
    sums = maps.double().flatten(2).sum(2)
    energy = _energy(activations, gradients)
    full, half, zero = (logits[:, list(targets)] for logits in (ray.full, ray.half, ray.zero))
    scale = energy + full.abs() + zero.abs()
    tolerance = rounding(activations[0].numel(), unit_roundoff) * scale
    bend = (half - (full + zero) / 2).abs()
    residual = (sums + zero - full).abs()
    return _per_case(
        lambda n, t: _complete(float(residual[n, t]), float(tolerance[n, t]), float(scale[n, t]), float(bend[n, t])),
        residual,
    )


def _complete(residual: float, tolerance: float, scale: float, bend: float) -> Proof:
    is_owed = bend <= BEND_SHARE * tolerance
    holds = residual <= tolerance if is_owed else None
    if holds is None:
        sentence = (
            f"The head behind the layer is not linear (at half the activations it is off by {bend:.3g}), so the map "
            f"need not sum to the output; it misses it by {residual:.3g}."
        )
    else:
        verdict = "is the output" if holds else "is NOT the output, so the map or the gradient is wrong"
        sentence = (
            f"The sum of the map plus the bias {verdict}: residual {residual:.2g}, rounding allows {tolerance:.2g}."
        )
    return _proof("completeness", residual, tolerance, scale, sentence, holds=holds)


def closed_form(
    gradcam: Tensor, hirescam: Tensor, activations: Tensor, gradients: Tensor, unit_roundoff: float = FLOAT32
) -> tuple[tuple[Proof, ...], ...]:
    r"""Return, for every image and target, whether Grad-CAM equals HiResCAM where the gradient is uniform over space.

    Behind global average pooling and one linear layer both are the class activation map :math:`W_k A / |S|`.

    Parameters
    ----------
    gradcam, hirescam : (N, T, \*S) raw and signed
    activations : (N, C, \*S); gradients : (N, T, C, \*S)
    """
    _require(hirescam, activations, gradients, range(hirescam.shape[1]))
    values, given = activations.double().abs().unsqueeze(1), gradients.double()
    spatial = tuple(range(3, given.ndim))
    deviation = (given - given.mean(dim=spatial, keepdim=True)).abs().amax(dim=spatial)
    largest = given.abs().flatten(2).amax(2)
    channels = values.flatten(3).amax(3)
    scale = (given.abs() * values).sum(2).flatten(2).amax(2)
    terms = activations[0, 0].numel() + activations.shape[1]
    tolerance = rounding(terms, unit_roundoff) * scale + (deviation * channels).sum(2)
    residual = (gradcam.double() - hirescam.double()).abs().flatten(2).amax(2)
    is_owed = deviation.amax(2) <= UNIFORM_GRADIENT * largest
    return _per_case(
        lambda n, t: _uniform(
            float(residual[n, t]), float(tolerance[n, t]), float(scale[n, t]), is_owed=bool(is_owed[n, t])
        ),
        residual,
    )


def _uniform(residual: float, tolerance: float, scale: float, *, is_owed: bool) -> Proof:
    holds = residual <= tolerance if is_owed else None
    if holds is None:
        sentence = f"The head does not pool, so Grad-CAM and HiResCAM may differ; they do by up to {residual:.3g}."
    else:
        verdict = "equals" if holds else "does NOT equal"
        sentence = (
            f"The gradient is uniform and Grad-CAM {verdict} HiResCAM: largest difference {residual:.2g}, "
            f"rounding allows {tolerance:.2g}."
        )
    return _proof("closed form", residual, tolerance, scale, sentence, holds=holds)


def tail_replay(
    logits: Tensor, ray: Ray, activations: Tensor, targets: Sequence[int], unit_roundoff: float = FLOAT32
) -> tuple[tuple[Proof, ...], ...]:
    r"""Return, for every image and target, whether the tail gives the logits again from the activations alone.

    It fails when the activations are not those the logits were made from: an in-place operation reached them, the layer
    ran twice, or the model draws random numbers.

    Parameters
    ----------
    logits : (N, K) of the pass that gave the activations (N, C, \*S)
    """
    found, again = (values.double()[:, list(targets)] for values in (logits, ray.full))
    zero = ray.zero[:, list(targets)]
    scale = torch.maximum(found.abs(), (found - zero).abs()) + zero.abs()
    tolerance = rounding(activations[0].numel(), unit_roundoff) * scale
    residual = (found - again).abs()
    return _per_case(
        lambda n, t: _replayed(float(residual[n, t]), float(tolerance[n, t]), float(scale[n, t])), residual
    )


def _replayed(residual: float, tolerance: float, scale: float) -> Proof:
    holds = residual <= tolerance
    verdict = "again" if holds else "NOT again, so these are not the activations behind the prediction"
    sentence = f"Replayed from the layer, the model gives its output {verdict}: difference {residual:.2g}."
    return _proof("replay", residual, tolerance, scale, sentence, holds=holds)


def _proof(
    kind: ProofKind, residual: float, tolerance: float, scale: float, sentence: str, *, holds: bool | None
) -> Proof:
    relative = residual / scale if scale > 0 else 0.0
    return Proof(kind=kind, residual=residual, relative=relative, tolerance=tolerance, holds=holds, sentence=sentence)


def _per_case(prove: Callable[[int, int], Proof], residual: Tensor) -> tuple[tuple[Proof, ...], ...]:
    images, targets = residual.shape
    return tuple(tuple(prove(image, target) for target in range(targets)) for image in range(images))


def _energy(activations: Tensor, gradients: Tensor) -> Tensor:
    """Return the sum of absolute gradient times activation, (N, T) float64."""
    columns = [
        (gradients[:, target] * activations).abs().flatten(1).sum(1, dtype=torch.float64)
        for target in range(gradients.shape[1])
    ]
    return torch.stack(columns, dim=1)


def _require(maps: Tensor, activations: Tensor, gradients: Tensor, targets: Sequence[int]) -> None:
    expected = (len(activations), len(targets), *activations.shape[2:])
    deep = (len(activations), len(targets), *activations.shape[1:])
    if tuple(maps.shape) != expected or tuple(gradients.shape) != deep:
        raise ExplainError(
            f"a proof needs maps {expected} and gradients {deep} for these activations and targets, found "
            f"{tuple(maps.shape)} and {tuple(gradients.shape)}"
        )
