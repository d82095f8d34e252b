r"""What an image without evidence looks like: the baselines that gradient and perturbation methods compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from audit_pipeline.errors import ExplainError

BLUR_SHARE = 0.1
"""Standard deviation of the blurred baseline as a share of each side of the image."""


def lowest(images: Tensor) -> Tensor:
    r"""Return images that hold, in every channel, the lowest value of that channel: air in CT, black in a radiograph.

    images : (N, C, \*S)
    """
    return images.amin(dim=tuple(range(2, images.ndim)), keepdim=True).expand_as(images).clone()


def blurred(images: Tensor) -> Tensor:
    r"""Return the images behind a Gaussian of `BLUR_SHARE` of each side; edges are continued, 2D and 3D alike."""
    smooth = images.float()
    for axis in range(2, images.ndim):
        moved = smooth.movedim(axis, -1)
        side = moved.shape[-1]
        sigma = BLUR_SHARE * side
        reach = math.ceil(3 * sigma)
        offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        lines = functional.pad(moved.reshape(-1, 1, side), (reach, reach), mode="replicate")
        convolved = functional.conv1d(lines, (kernel / kernel.sum())[None, None])
        smooth = convolved.reshape(moved.shape).movedim(-1, axis)
    return smooth.to(images.dtype)


BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "lowest": lowest,
    "zero": torch.zeros_like,
    "blurred": blurred,
}


def baseline_of(images: Tensor, name: object) -> Tensor:
    r"""Return the baseline of every image, (N, C, \*S).

    Raises
    ------
    ExplainError
        `name` is not one of `BASELINES`.
    """
    if name not in BASELINES:
        raise ExplainError(f"baseline must be one of {', '.join(BASELINES)}, found {name!r}")
    return BASELINES[str(name)](images)
