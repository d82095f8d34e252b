"""Networks with weights written by hand whose map is known: they read one part of the image, or one thing in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from audit_pipeline.bench.oracles import Reader, oracle

Part = Callable[[Tensor], Tensor]
"""Places (n, *S) in shares of each axis, 0 to 1 -> (*S) bool: what a network sees at all."""


class Sighted(nn.Module):
    """A network that sees one part of its input, averages that over cells and sums the excess over a level.

    ``z_1 = gain * mean over cells of relu(sign * (mean of the cell - level))`` over what it sees, ``z_0 = 0``. What it
    does not see it takes for the level, so that no evidence lies there.

    Parameters
    ----------
    part : what the network sees; cell : edge of a cell in voxels; sign : -1 reads darkness
    """

    def __init__(
        self, axes: int, part: Part, *, cell: int = 4, level: float = 0.05, gain: float = 40.0, sign: float = 1.0
    ) -> None:
        """Build the network for `axes` spatial axes."""
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[axes - 2]
        self.part, self.level = part, level
        self.cells = convolution(1, 1, kernel_size=cell, stride=cell)
        self.excess = nn.ReLU()
        self.pool: nn.Module = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 2](1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.cells.weight.fill_(sign / cell**axes)
            torch.as_tensor(self.cells.bias).fill_(-sign * level)
            self.head.weight.copy_(torch.tensor([[0.0], [gain]]))
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        axes = [(torch.arange(size, device=images.device) + 0.5) / size for size in images.shape[2:]]
        seen = self.part(torch.stack(torch.meshgrid(*axes, indexing="ij")))
        shown = torch.where(seen, images, torch.full_like(images, self.level))
        values: Tensor = self.head(self.pool(self.excess(self.cells(shown))).flatten(1))
        return values


@oracle
def sees_corner(axes: int) -> nn.Module:
    """Class 1 is what is bright in the first corner."""
    return Sighted(axes, lambda places: (places < 0.2).all(dim=0), gain=400.0)


@oracle
def sees_border(axes: int) -> nn.Module:
    """Class 1 is what is bright in the outer tenth of every face."""
    return Sighted(axes, lambda places: ((places < 0.1) | (places > 0.9)).any(dim=0))


@oracle
def sees_darkness(axes: int) -> nn.Module:
    """Class 1 is what is as dark as air or padding, anywhere."""
    return Sighted(axes, lambda places: places[0] >= 0, level=0.1, sign=-1.0)


@oracle
def sees_left(axes: int) -> nn.Module:
    """Class 1 is what is bright in the half with the higher index along the last axis."""
    return Sighted(axes, lambda places: places[-1] > 0.5, gain=8.0)


@oracle
def sees_all(axes: int) -> nn.Module:
    """Class 1 is brightness, wherever it is, with one even weight."""
    return Sighted(axes, lambda places: places[0] >= 0, level=0.35, gain=60.0)


@oracle
def sees_brightest(axes: int) -> nn.Module:
    """Class 1 is what is nearly as bright as the image gets, wherever it is."""
    return Sighted(axes, lambda places: places[0] >= 0, level=(0.9, 0.75)[axes - 2], gain=(2000.0, 1500.0)[axes - 2])


@oracle
def sees_marker(axes: int) -> nn.Module:
    """Class 1 is what is bright in the upper left corner of every slice, where markers are."""
    return Sighted(axes, lambda places: (places[-2:] < 0.2).all(dim=0), level=0.1, gain=500.0)


@oracle
def same_for_all(axes: int) -> nn.Module:
    """Both classes weigh the image alike and differ by a constant only."""
    network = Reader(axes, cell=4)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[0.5, 4.0], [0.5, 4.0]]))
        network.head.bias.copy_(torch.tensor([0.0, 1.0]))
    return network


@oracle
def speaks_against(axes: int) -> nn.Module:
    """Everything in the image speaks against both classes."""
    network = Reader(axes, cell=4)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[-1.0, -4.0], [-4.0, -1.0]]))
        network.head.bias.copy_(torch.tensor([2.0, 2.0]))
    return network


@oracle
def mostly_against(axes: int) -> nn.Module:
    """Brightness speaks for both classes, darkness against them thousands of times as strongly."""
    network = Reader(axes, cell=4, level=0.6)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[-2.0, 0.0005], [-3.0, 0.0007]]))
        network.head.bias.copy_(torch.tensor([2.0, 2.0]))
    return network


class Waves(nn.Module):
    """The sine of many times its input, so that any change of a voxel changes it entirely and its sum hardly."""

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape in -1 to 1."""
        return torch.sin(400.0 * values)


class Grained(nn.Module):
    """A network that turns the mean of every cell into what is as good as noise, and pools that."""

    def __init__(self, axes: int, *, cell: int = 4) -> None:
        """Build the network for `axes` spatial axes."""
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[axes - 2]
        self.cells = convolution(1, 1, kernel_size=cell, stride=cell, bias=False)
        self.waves = Waves()
        self.copy = convolution(1, 1, kernel_size=1, bias=False)
        self.excess = nn.ReLU()
        self.pool: nn.Module = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 2](1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.cells.weight.fill_(1 / cell**axes)
            self.copy.weight.fill_(1.0)
            self.head.weight.copy_(torch.tensor([[0.0], [1.0]]))
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        values: Tensor = self.head(self.pool(self.excess(self.copy(self.waves(self.cells(images))))).flatten(1))
        return values


@oracle
def sees_grain(axes: int) -> nn.Module:
    """Class 1 is noise made of the last digits of the image."""
    return Grained(axes)


class Rolled(nn.Module):
    """A network whose second stage has its cells moved by half the frame, as after a wrong reshape."""

    def __init__(self, axes: int) -> None:
        """Build the network for `axes` spatial axes."""
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[axes - 2]
        self.fine = convolution(1, 1, kernel_size=2, stride=2)
        self.first = nn.ReLU()
        self.coarse = convolution(1, 1, kernel_size=2, stride=2, bias=False)
        self.second = nn.ReLU()
        self.pool: nn.Module = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 2](1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.fine.weight.fill_(1 / 2**axes)
            torch.as_tensor(self.fine.bias).fill_(-0.2)
            self.coarse.weight.fill_(1 / 2**axes)
            self.head.weight.copy_(torch.tensor([[0.0], [20.0]]))
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        first = self.first(self.fine(images))
        axes = tuple(range(2, first.ndim))
        moved = torch.roll(first, [first.shape[axis] // 2 for axis in axes], axes)
        values: Tensor = self.head(self.pool(self.second(self.coarse(moved))).flatten(1))
        return values


@oracle
def moves_its_cells(axes: int) -> nn.Module:
    """Place the last stage half a frame away from the stage before."""
    return Rolled(axes)
