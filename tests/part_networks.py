"""Networks with weights set by hand, so that what they see in an image is known: they answer to what is bright."""

from __future__ import annotations

import torch
from torch import nn

CELL = 2


class Bright(nn.Module):
    """Cells of two voxels along every axis; what is brighter than 0.5 speaks for the second class, here as often."""

    def __init__(self, dimensions: int, channels: int = 1, *, total: bool = False) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.total = total
        self.features = nn.Sequential(convolution(channels, 1, CELL, CELL), nn.ReLU())
        with torch.no_grad():
            self.features[0].weight.zero_()
            self.features[0].weight[0, channels // 2] = 1 / CELL**dimensions
            self.features[0].bias.fill_(-0.5)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-4.0], [4.0]]))
            self.head.bias.copy_(torch.tensor([0.1, -0.1]))

    def forward(self, images):
        places = self.features(images).flatten(2)
        return self.head(places.sum(2) if self.total else places.mean(2))


class Wide(nn.Module):
    """Two padded convolutions with a stride each and a sum over all places: any size of the input is a valid one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.features = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv3d(4, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, images):
        return self.head(self.features(images).flatten(2).sum(2))


def slices() -> nn.Module:
    """A 2D network for slices."""
    return Bright(2)


def neighbours() -> nn.Module:
    """A 2D network of three channels that looks at the middle one."""
    return Bright(2, channels=3)


def volumes() -> nn.Module:
    """A 3D network for windows."""
    return Bright(3)


def wide() -> nn.Module:
    """A 3D network whose cells see beyond their own voxels."""
    return Wide()
