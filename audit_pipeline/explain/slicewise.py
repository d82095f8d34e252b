r"""2D models on volumes: the maps of the slices stacked, weighted by what each slice gives to the logit of the volume.

The logit of the volume is an aggregate of the slice logits, :math:`y_k = a(z_{1k}, \dots, z_{Sk})`. By the chain rule
the gradient of :math:`y_k` at a layer of slice s is :math:`\partial a / \partial z_{sk}` times the gradient of that
slice, so every map that is linear in the gradient (Grad-CAM, HiResCAM, XGrad-CAM) is the slice's map times that weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError

Aggregation = Literal["max", "mean", "topk"]
ExplainImages = Callable[[Tensor], tuple[Tensor, Tensor]]
r"""Images (N, C, \*S) -> logits (N, K), raw signed maps (N, T, \*grid)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    r"""The maps of a volume that a 2D model read slice by slice.

    Attributes
    ----------
    values : (T, slices, \*grid) float32, signed, in units of the logit of the volume; a slice that does not enter the
        aggregate is exactly 0
    slice_values : (T, slices, \*grid) float32, the maps of the slices alone, in units of their own logits
    logits : (K,) of the volume; slice_logits : (slices, K)
    weights : (slices, K), derivative of the volume's logit by the slice's logit; a column sums to 1
    targets : class indices, the first axis of the values
    rule : the aggregation in words
    """

    values: Tensor
    slice_values: Tensor
    logits: Tensor
    slice_logits: Tensor
    weights: Tensor
    targets: tuple[int, ...]
    rule: str


def slice_weights(slice_logits: Tensor, aggregation: Aggregation, k: int = 1) -> Tensor:
    """Return the derivative of the aggregate by every slice logit, (slices, K); equal logits favour the first slice.

    Parameters
    ----------
    slice_logits : (slices, K)
    aggregation : "max", "mean", or "topk" for the mean of the k largest logits of each class
    k : slices that "topk" averages

    Raises
    ------
    ExplainError
        The aggregation is unknown, there is no slice, or k is not between 1 and the number of slices.
    """
    count = len(slice_logits)
    chosen = {"max": 1, "mean": count, "topk": k}.get(aggregation)
    if chosen is None:
        raise ExplainError(f"aggregation must be max, mean or topk, found {aggregation!r}")
    if not 1 <= chosen <= count:
        raise ExplainError(f"topk needs between 1 and {count} slices, the number of slices here, found k = {chosen}")
    order = torch.sort(slice_logits, dim=0, descending=True, stable=True).indices[:chosen]
    return torch.zeros_like(slice_logits).scatter_(0, order, 1.0 / chosen)


def aggregate(slice_logits: Tensor, aggregation: Aggregation, k: int = 1) -> Tensor:
    """Return the logits of the volume, (K,), from those of its slices, (slices, K); errors as in `slice_weights`."""
    weights = slice_weights(slice_logits, aggregation, k)
    return torch.where(weights > 0, weights * slice_logits, 0.0).sum(dim=0)


def stack_slices(
    explain: ExplainImages,
    slices: Tensor,
    targets: Sequence[int],
    *,
    aggregation: Aggregation = "max",
    k: int = 1,
    batch: int = 8,
) -> Stack:
    r"""Explain a volume slice by slice, `batch` slices at a time, and stack the maps.

    Parameters
    ----------
    explain : images (N, C, \*S) -> logits (N, K) and maps (N, T, \*grid); the maps must be linear in the gradient
    slices : (slices, C, \*S), in anatomical order
    targets : class indices of the T maps

    Raises
    ------
    ExplainError
        As in `slice_weights`; or the maps do not have one column per target.
    """
    found = [explain(part) for part in torch.split(slices, batch)]
    slice_logits = torch.cat([logits for logits, _ in found]).float()
    maps = torch.cat([values for _, values in found]).float().transpose(0, 1)
    if maps.shape[0] != len(targets):
        raise ExplainError(f"expected one map per target, {len(targets)}, found {maps.shape[0]}")
    weights = slice_weights(slice_logits, aggregation, k)
    columns = weights[:, list(targets)].T
    spread = columns.reshape(*columns.shape, *(1 for _ in maps.shape[2:]))
    return Stack(
        values=torch.where(spread > 0, spread * maps, 0.0),
        slice_values=maps,
        logits=aggregate(slice_logits, aggregation, k),
        slice_logits=slice_logits,
        weights=weights,
        targets=tuple(targets),
        rule={"max": "highest slice", "mean": "mean of all slices"}.get(aggregation, f"mean of the {k} highest slices"),
    )
