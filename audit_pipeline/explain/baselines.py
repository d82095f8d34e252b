r"""What an image without evidence looks like: the baselines that gradient and perturbation methods compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError

BLUR_SHARE = 0.1
"""Standard deviation of the blurred baseline as a share of each side of the image."""

INFILL_SHARE = 0.05
"""The same of the blurred infill of deletion curves and infidelity, which has to leave the coarse picture standing."""


def lowest(images: Tensor) -> Tensor:
    r"""Return images that hold, in every channel, the lowest value of that channel: air in CT, black in a radiograph.

    images : (N, C, \*S)
    """
    return images.amin(dim=tuple(range(2, images.ndim)), keepdim=True).expand_as(images).clone()


def blurred(images: Tensor, *, share: float = BLUR_SHARE) -> Tensor:
    r"""Return the images (N, C, \*S) behind a Gaussian, whose weights at the rim are those inside the image.

    share : standard deviation along each axis as a share of its length; 2D and 3D alike
    """
    for axis in range(2, images.ndim):
        places = torch.arange(images.shape[axis], dtype=torch.float64, device=images.device)
        apart = (places[:, None] - places) / max(share * len(places), 1e-6)
        weights = torch.exp(-0.5 * apart**2)
        weights = (weights / weights.sum(dim=1, keepdim=True)).to(images.dtype)
        images = (images.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return images


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
