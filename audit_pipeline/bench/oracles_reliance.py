"""Hand-written networks that read what is not the patient: the rim of the picture, or which side is brighter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from audit_pipeline.bench.oracles import oracle
from audit_pipeline.bench.oracles_prediction import Wrapped

RIM = 0.05
"""Width of the rim that is read, as a share of each side."""


class Rimmed(Wrapped):
    """Adds how bright a rim is: that of every slice, or what `place` (*S) marks."""

    def __init__(self, axes: int, gain: float = 1.0, place: Tensor | None = None) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__(axes, gain)
        self.place = place

    def added(self, images: Tensor) -> Tensor:
        """Return the mean of the rim, (N,)."""
        if self.place is not None:
            return images[:, 0, self.place].mean(dim=1)
        rim = torch.ones(images.shape[2:], dtype=torch.bool, device=images.device)
        rows, columns = (max(1, round(RIM * size)) for size in images.shape[-2:])
        rim[..., rows:-rows, columns:-columns] = False
        return images[:, 0, rim].mean(dim=1)


class Sided(Wrapped):
    """Adds by how much the second half of the columns is brighter than the first."""

    def added(self, images: Tensor) -> Tensor:
        """Return the difference of the means of the halves, (N,)."""
        half = images.shape[-1] // 2
        return images[..., -half:].flatten(1).mean(dim=1) - images[..., :half].flatten(1).mean(dim=1)


@oracle
def rimmed(axes: int) -> nn.Module:
    """Return a reader of the rim."""
    return Rimmed(axes, gain=0.2)


@oracle
def sided(axes: int) -> nn.Module:
    """Return a reader of the brighter side."""
    return Sided(axes, gain=0.2)
