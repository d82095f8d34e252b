"""Small networks in 2D and 3D with the heads and traps that explanation engines stumble over."""

from __future__ import annotations

import pytest
import torch
from torch import nn

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class Net(nn.Module):
    """Two convolutions with a stride each, a ReLU (in place on request), and a pooled or a flat linear head."""

    def __init__(self, dimensions: int, head: str, *, in_place: bool = False, classes: int = 3, side: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(CONV[dimensions](1, 6, 3, 2, 1), nn.ReLU(inplace=in_place))
        self.stage = nn.Sequential(CONV[dimensions](6, 8, 3, 2, 1), NORM[dimensions](8))
        self.act = nn.ReLU(inplace=in_place)
        self.head = head
        self.pool = POOL[dimensions](1)
        cells = (side // 4) ** dimensions
        self.fc = nn.Linear(8 if head == "pooled" else 8 * cells, classes)

    def forward(self, images):
        features = self.act(self.stage(self.stem(images)))
        return self.fc((self.pool(features) if self.head == "pooled" else features).flatten(1))


@pytest.fixture
def make_net():
    """Return a factory of seeded networks in evaluation mode with non-trivial batch statistics."""

    def make(dimensions=3, head="pooled", **kwargs) -> Net:
        torch.manual_seed(7)
        net = Net(dimensions, head, **kwargs).eval()
        net.stage[1].running_mean.normal_(0, 0.1)
        net.stage[1].running_var.uniform_(0.5, 1.5)
        return net

    return make


@pytest.fixture
def make_batch():
    """Return a factory of seeded image batches."""

    def make(dimensions=3, count=2, side=16):
        return torch.randn(count, 1, *[side] * dimensions, generator=torch.Generator().manual_seed(3))

    return make
