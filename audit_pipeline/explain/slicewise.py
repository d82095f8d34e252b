r"""2D networks on volumes: how slices are taken, what each gives to the logit of the volume, and their maps stacked.

The logit of the volume is an aggregate of the slice logits, :math:`y_k = a(z_{1k}, \dots, z_{Sk})`. By the chain rule
the gradient of :math:`y_k` at a layer of slice s is :math:`\partial a / \partial z_{sk}` times the gradient of that
slice, so every map that is linear in the gradient (CAM, Grad-CAM, HiResCAM, XGrad-CAM) is the slice's map times that
weight; maps of other methods are weighted in the same way, by what the slice gives to the logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.records import Floats, Matrix

Aggregation = Literal["max", "mean", "topk"]


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
    given = slice_logits.detach()
    order = torch.sort(given, dim=0, descending=True, stable=True).indices[:chosen]
    return torch.zeros_like(given).scatter_(0, order, 1.0 / chosen)


def aggregate(slice_logits: Tensor, aggregation: Aggregation, k: int = 1) -> Tensor:
    """Return the logits of the volume, (K,), from those of its slices, (slices, K); errors as in `slice_weights`.

    The gradient by the slice logits is `slice_weights`.
    """
    weights = slice_weights(slice_logits, aggregation, k)
    return torch.where(weights > 0, weights * slice_logits, 0.0).sum(dim=0)


def weighted_stack(maps: Tensor, weights: Tensor) -> Tensor:
    r"""Return the map of the volume, (T, slices, \*grid): each slice's map times its weight, else exactly 0.

    Parameters
    ----------
    maps : (slices, T, \*grid), signed, in units of the slices' own logits
    weights : (slices, T), see `slice_weights`
    """
    spread = weights.reshape(*weights.shape, *(1 for _ in maps.shape[2:]))
    return torch.where(spread > 0, spread * maps, 0.0).transpose(0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slices:
    """A volume read slice by slice along its first axis.

    neighbours : slices before and after each one that become channels beside it, those at the ends repeated; 0 takes
    every slice alone, with the channels of the volume
    """

    neighbours: int = 0

    @property
    def noun(self) -> str:
        """What a part is called."""
        return "slice"

    def count(self, shape: Sequence[int]) -> int:
        """Return the number of slices of a volume of this shape (D, H, W)."""
        return int(shape[0])

    def take(self, volume: Tensor, first: int, last: int) -> Tensor:
        """Return the slices `first` to `last` (exclusive) of a volume (C, D, H, W) as images (n, C', H, W).

        Raises
        ------
        ExplainError
            Neighbours become channels, and the volume has more than one channel of its own.
        """
        if not self.neighbours:
            return volume[:, first:last].transpose(0, 1)
        if len(volume) != 1:
            raise ExplainError(f"neighbouring slices are channels, so one is expected, found {len(volume)}")
        around = torch.arange(-self.neighbours, self.neighbours + 1, device=volume.device)
        places = torch.arange(first, last, device=volume.device)[:, None] + around
        return volume[0][places.clamp(0, volume.shape[1] - 1)]

    def centres(self, shape: Sequence[int]) -> Matrix:
        """Return the index of the centre of every slice in the volume, (slices, 3)."""
        middle = [(size - 1) / 2 for size in shape[1:]]
        return np.asarray([[float(place), *middle] for place in range(self.count(shape))])

    def spacing(self, spacing_mm: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return the spacing within a slice."""
        return tuple(spacing_mm[1:])

    def assemble(self, maps: Tensor, weights: Tensor, _shape: Sequence[int]) -> Floats:
        r"""Return the map of the volume, (T, slices, \*grid), from those of its slices; see `weighted_stack`."""
        return np.asarray(weighted_stack(maps.float(), weights).cpu().numpy(), dtype=np.float32)
