r"""Infidelity, max-sensitivity, average drop and increase: does the map predict what changes of the image do?

Every function takes any number of spatial axes and runs on the device of the images.

References
----------
C.-K. Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019, arXiv:1901.09392: definitions 2.1
(infidelity) and 3.1 (max-sensitivity).
A. Chattopadhay et al., Grad-CAM++, WACV 2018, doi:10.1109/WACV.2018.00097: average drop, increase in confidence.
D. L. Donoho, I. M. Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994, doi:10.1093/biomet/81.3.425: noise
from the median of the finest wavelet coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import INFILL_SHARE, blurred
from audit_pipeline.explain.faithfulness import LogitsOf, on_grid, require_finite, score_of_target
from audit_pipeline.explain.intervals import Estimate, bootstrap, mean_estimate, no_estimate
from audit_pipeline.records import Matrix

Vector = NDArray[np.float64]
Key = TypeVar("Key")
Perturbation = Literal["noise", "blocks"]

NORMAL_QUARTILE = 0.6744897501960817
"""The median of |z| for a standard normal z."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Infidelity:
    """How far the map is from predicting what perturbations do.

    value : mean squared error of the predicted change, equation 1, in squared units of the score
    scale : factor that makes the map predict best; None when it predicts nothing
    unexplained : share of the mean squared change left after scaling, 0 for a perfect map and 1 for a useless one
    """

    value: Estimate
    scale: float | None
    unexplained: Estimate


def infidelity(
    image: Tensor,
    values: Tensor,
    target: int,
    logits_of: LogitsOf,
    *,
    kind: Perturbation = "blocks",
    draws: int = 64,
    batch: int = 16,
    seed: int = 0,
) -> Infidelity:
    r"""Return the infidelity :math:`E[(I^\top \Phi - (f(x) - f(x - I)))^2]` of a map.

    ``noise`` draws I from a normal distribution with the noise of the image as deviation, for maps like gradients: a
    value is a change of the logit per unit of the image. ``blocks`` blurs a random block, a quarter to a half of every
    side, for maps of contributions: :math:`I^\top \Phi` is then the sum of the map over the block, a map on a
    coarser grid being spread over the voxels of its cells so that its sum stays what it is.

    Parameters
    ----------
    image : (C, \*S); values : (\*grid); logits_of : (M, C, \*S) -> (M, K)

    Raises
    ------
    ExplainError
        The map or an answer is not finite.
    """
    asked = {0: (values, target)}
    return infidelities(image, asked, logits_of, kind=kind, draws=draws, batch=batch, seed=seed)[0]


def infidelities(
    image: Tensor,
    asked: Mapping[Key, tuple[Tensor, int]],
    logits_of: LogitsOf,
    *,
    kind: Perturbation = "blocks",
    draws: int = 64,
    batch: int = 16,
    seed: int = 0,
) -> dict[Key, Infidelity]:
    """Return `infidelity` of several maps, each with its target, from the same forward passes."""
    size, generator = tuple(image.shape[1:]), torch.Generator().manual_seed(seed)
    contributions, predicted, actual = {}, {}, {}
    for key, (values, _) in asked.items():
        require_finite(values)
        share = values.numel() / image[0].numel() if kind == "blocks" else 1
        contributions[key] = on_grid(values, size).double() * share
        predicted[key], actual[key] = list[Tensor](), list[Tensor]()
    background, deviation = blurred(image[None], share=INFILL_SHARE)[0], image_noise(image)
    whole = logits_of(image[None])
    for first in range(0, draws, batch):
        count = min(batch, draws - first)
        if kind == "noise":
            weights = deviation * torch.randn((count, *image.shape), generator=generator).to(image)
            changed = image - weights
        else:
            weights = _blocks(size, count, generator).to(image.device)[:, None]
            changed = torch.where(weights, background, image)
        answers = logits_of(changed)
        for key, (_, target) in asked.items():
            predicted[key].append((weights.double() * contributions[key]).flatten(1).sum(1))
            before, after = (score_of_target(logits, target, "logit") for logits in (whole, answers))
            actual[key].append(before - after)
    return {
        key: _infidelity(torch.cat(predicted[key]).cpu().numpy(), torch.cat(actual[key]).cpu().numpy(), seed)
        for key in asked
    }


def _blocks(size: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    r"""Return random blocks, (count, \*S) bool."""
    hidden = torch.ones((count, *size), dtype=torch.bool)
    for axis, length in enumerate(size, start=1):
        side = (length * (0.25 + 0.25 * torch.rand(count, generator=generator))).ceil()
        first = ((length - side + 1) * torch.rand(count, generator=generator)).floor()
        along = torch.arange(length)
        inside = (along >= first[:, None]) & (along < (first + side)[:, None])
        hidden &= inside.reshape(count, *(length if other == axis else 1 for other in range(1, len(size) + 1)))
    return hidden


def _infidelity(predicted: Vector, actual: Vector, seed: int) -> Infidelity:
    products = np.stack([predicted * predicted, predicted * actual, actual * actual], axis=1)
    value = mean_estimate([float(one) for one in (predicted - actual) ** 2], seed=seed, over="perturbations")
    own, _, change = products.sum(axis=0)
    if not own > 0 or not change > 0:
        reason = "the map predicts no change" if change > 0 else "no perturbation changed the model's answer"
        none = no_estimate(len(actual), 0, reason)
        return Infidelity(value=value, scale=None, unexplained=none)

    def unexplained(weights: Matrix) -> Vector:
        sums = np.maximum(weights @ products, [1e-300, -np.inf, 1e-300])
        return np.asarray(np.clip(1 - sums[:, 1] ** 2 / (sums[:, 0] * sums[:, 2]), 0, 1))

    left = bootstrap(unexplained, len(actual), seed=seed, over="perturbations")
    return Infidelity(value=value, scale=float(products[:, 1].sum() / own), unexplained=left)


def image_noise(image: Tensor) -> float:
    r"""Return the standard deviation of the noise of an image (C, \*S), robust against its structures.

    It is the median of the finest diagonal Haar coefficients over 0.6745, which is exact for independent normal noise;
    coefficients of exactly 0, as in padding, do not count. 0 for an image without noise.
    """
    detail = image.detach().double()
    for axis in range(1, image.ndim):
        length = detail.shape[axis] // 2 * 2
        if length:
            odd = detail.narrow(axis, 0, length)[(slice(None),) * axis + (slice(1, None, 2),)]
            even = detail.narrow(axis, 0, length)[(slice(None),) * axis + (slice(0, None, 2),)]
            detail = (odd - even) / 2**0.5
    sizes = detail.abs()[detail != 0]
    return float(sizes.median()) / NORMAL_QUARTILE if sizes.numel() else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """How much a map changes under changes that the noise of the image could make.

    largest : largest relative change in the Euclidean norm, 0 for a map that never moves; None with a reason
    mean : over the draws; radius : largest change of a voxel, in units of the image
    """

    largest: float | None
    mean: Estimate
    radius: float
    reason: str = ""


def max_sensitivity(
    explain: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    radius: float | None = None,
    draws: int = 16,
    batch: int = 8,
    seed: int = 0,
) -> Sensitivity:
    r"""Return :math:`\max_{\|y - x\|_\infty \le r} \|\Phi(y) - \Phi(x)\| / \|\Phi(x)\|` over random y.

    Parameters
    ----------
    explain : images (M, C, \*S) -> maps (M, \*grid), of one target
    image : (C, \*S)
    radius : in units of the image; None takes the noise of the image, see `image_noise`

    Raises
    ------
    ExplainError
        A map is not finite.
    """
    return max_sensitivities(
        lambda images: {0: explain(images)}, image, radius=radius, draws=draws, batch=batch, seed=seed
    )[0]


def max_sensitivities(
    explain: Callable[[Tensor], Mapping[Key, Tensor]],
    image: Tensor,
    *,
    radius: float | None = None,
    draws: int = 16,
    batch: int = 8,
    seed: int = 0,
) -> dict[Key, Sensitivity]:
    """Return `max_sensitivity` of several maps, which all see the same changed images."""
    reach = image_noise(image) if radius is None else radius
    own = dict(explain(image[None]))
    for maps in own.values():
        require_finite(maps)
    norms = {key: float(maps.double().norm()) for key, maps in own.items()}
    changes: dict[Key, list[float]] = {key: [] for key, norm in norms.items() if norm > 0 and reach > 0}
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, draws if changes else 0, batch):
        shape = (min(batch, draws - first), *image.shape)
        moved = explain(image + reach * (2 * torch.rand(shape, generator=generator) - 1).to(image))
        for key in changes:
            require_finite(moved[key], "the map of a changed image")
            changes[key] += ((moved[key] - own[key]).double().flatten(1).norm(dim=1) / norms[key]).tolist()
    return {key: _sensitivity(changes.get(key, []), norms[key], reach, seed) for key in own}


def _sensitivity(changes: Sequence[float], norm: float, reach: float, seed: int) -> Sensitivity:
    if not changes:
        reason = "the map is zero everywhere" if norm == 0 else "the image has no noise; name a radius"
        return Sensitivity(largest=None, mean=no_estimate(0, 0, reason), radius=reach, reason=reason)
    return Sensitivity(largest=max(changes), mean=mean_estimate(changes, seed=seed, over="perturbations"), radius=reach)


@dataclass(frozen=True, kw_only=True, slots=True)
class DropAndIncrease:
    """What is left of the probability when only the map's region is shown.

    drop : mean of max(0, Y - O) / Y, 0 best; increase : share of images with O > Y, 1 best; drops : per image
    """

    drop: Estimate
    increase: Estimate
    drops: tuple[float, ...]


def drop_and_increase(
    images: Tensor,
    values: Tensor,
    targets: Sequence[int],
    logits_of: LogitsOf,
    *,
    score: Literal["softmax", "sigmoid"] = "softmax",
    level: float = 0.0,
    seed: int = 0,
) -> DropAndIncrease:
    r"""Return the average drop and increase over images.

    Every image is multiplied by the positive part of its map over its peak, voxel by voxel, and set to `level` where
    that is 0. Y is the probability of the target before, O after.

    Parameters
    ----------
    images : (N, C, \*S); values : (N, \*grid), one map for each image; targets : (N,)

    Raises
    ------
    ExplainError
        The numbers of images, maps and targets differ, or a map is not finite.
    """
    if not len(images) == len(values) == len(targets):
        raise ExplainError(
            f"every image needs a map and a target, found {len(images)} images, {len(values)} maps and "
            f"{len(targets)} targets"
        )
    require_finite(values)
    size = tuple(images.shape[2:])
    shown = torch.stack([on_grid(one, size).clamp(min=0) for one in values])[:, None]
    peaks = shown.flatten(1).amax(dim=1).reshape(-1, *(1 for _ in images.shape[1:]))
    weights = shown / torch.where(peaks > 0, peaks, 1.0)
    before, after = logits_of(images), logits_of(level + (images - level) * weights)
    drops, gains = [], []
    for row, target in enumerate(targets):
        whole, left = (float(score_of_target(one[row : row + 1], target, score)) for one in (before, after))
        drops.append(max(0.0, whole - left) / max(whole, float(np.finfo(np.float64).tiny)))
        gains.append(float(left > whole))
    return DropAndIncrease(
        drop=mean_estimate(drops, seed=seed), increase=mean_estimate(gains, seed=seed), drops=tuple(drops)
    )
