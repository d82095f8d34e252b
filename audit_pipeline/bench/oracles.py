"""Networks with weights written by hand, whose evidence is therefore known, in 2D and in 3D."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from audit_pipeline.registry import Registry

ORACLES: Registry[Callable[[int], nn.Module]] = Registry("oracle", group="audit_pipeline.oracles")
"""Name -> function of the number of spatial axes that returns a network (N, 1, *S) -> (N, 2)."""


def oracle(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    """Register a function under its own name as a hand-written network."""
    ORACLES.add(make.__name__, make)
    return make


class Reader(nn.Module):
    """A network that averages its input over cells, compares with a level, weighs the excess, and pools.

    ``z_k = sum over cells of w_k(cell) relu(mean of the cell - level) + b_k``: the evidence of class k at a cell is the
    term of that cell.

    Parameters
    ----------
    cell : edge of a cell in voxels; level : of the input at which a cell begins to count; gain : of the excess
    """

    def __init__(self, axes: int, *, cell: int = 8, level: float = 0.5, gain: float = 1.0) -> None:
        """Build the network for `axes` spatial axes."""
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[axes - 2]
        self.cells = convolution(1, 2, kernel_size=cell, stride=cell)
        self.excess = nn.ReLU()
        self.pool: nn.Module = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 2](1)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.cells.weight.fill_(gain / cell**axes)
            self.cells.weight[1].mul_(-1)
            torch.as_tensor(self.cells.bias).copy_(torch.tensor([-level * gain, level * gain]))
            self.head.weight.copy_(torch.tensor([[0.0, 4.0], [4.0, 0.0]]))
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        values: Tensor = self.head(self.pool(self.excess(self.cells(images))).flatten(1))
        return values


@oracle
def brightness(axes: int) -> nn.Module:
    """Class 1 is what is bright anywhere, class 0 what is dark."""
    return Reader(axes)
