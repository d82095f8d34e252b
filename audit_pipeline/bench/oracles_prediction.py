"""Hand-written networks with a known fault of the prediction, in 2D and in 3D.

All are the bright-region reader of `oracles` with something wrong added; at strength 0 they answer as the reader does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from audit_pipeline.bench.oracles import Reader, oracle

BODY = 0.35
"""Model input above which a voxel counts as bright."""


class Wrapped(nn.Module):
    """A reader whose evidence for class 1 something is added to.

    Attributes
    ----------
    strength : of what is added; 0 leaves the reader as it is
    offset : added to the evidence for class 1 over class 0, to place the answer on either side
    """

    def __init__(self, axes: int, gain: float = 1.0) -> None:
        """Build the reader for `axes` spatial axes; `gain` is that of its own evidence."""
        super().__init__()
        self.reader = Reader(axes, level=BODY, gain=gain)
        self.strength = 0.0
        self.offset = 0.0

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        logits: Tensor = self.reader(images)
        evidence = self.strength * self.added(images) + self.offset
        return logits + torch.stack([-evidence, evidence], dim=1) / 2

    def added(self, images: Tensor) -> Tensor:
        """Return what is added to the evidence for class 1 at strength 1, (N,)."""
        return images.new_zeros(len(images))


class Striding(Wrapped):
    """Adds the sign of the finest stripes along the columns, which a shift by one column turns round."""

    def added(self, images: Tensor) -> Tensor:
        """Return the difference of even and odd columns, tapered towards the edges, pressed to -1 or 1."""
        size = images.shape[-1]
        taper = torch.hann_window(size, dtype=images.dtype, device=images.device)
        stripes = taper * (1 - 2 * (torch.arange(size, device=images.device) % 2)).to(images.dtype)
        return torch.tanh(1e6 * (images * stripes).flatten(1).mean(dim=1))


class Placed(Wrapped):
    """Adds the place of the centre of mass along the columns about `centre`, in thousandths of the width."""

    def __init__(self, axes: int) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__(axes)
        self.centre = 0.5

    def added(self, images: Tensor) -> Tensor:
        """Return the place of the centre of mass less `centre`, 1 for a thousandth of the width."""
        mass = images[:, 0].flatten(1, -2).sum(dim=1)
        places = torch.linspace(0, 1, mass.shape[-1], dtype=mass.dtype, device=mass.device)
        middle = (mass * places).sum(dim=1) / (mass.sum(dim=1) + 1e-6)
        return 1000 * (middle - self.centre)


class Grainy(Wrapped):
    """Adds the roughness of the image along the columns above `level`, which noise raises and blur lowers."""

    def __init__(self, axes: int) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__(axes)
        self.level = 0.0

    def added(self, images: Tensor) -> Tensor:
        """Return the mean size of the second differences less `level`."""
        return roughness(images) - self.level


def roughness(images: Tensor) -> Tensor:
    """Return the mean size of the second differences along the last axis, (N,)."""
    second = images[..., :-2] - 2 * images[..., 1:-1] + images[..., 2:]
    return second.abs().flatten(1).mean(dim=1)


class Steep(Wrapped):
    """Adds the input under signs of a checkerboard: smooth images leave it near 0, a small step moves it far."""

    def added(self, images: Tensor) -> Tensor:
        """Return the sum of the input under the signs."""
        signs = torch.ones((), dtype=images.dtype, device=images.device)
        for axis in range(2, images.ndim):
            line = (1 - 2 * (torch.arange(images.shape[axis], device=images.device) % 2)).to(images.dtype)
            signs = signs * line.reshape([-1 if one == axis else 1 for one in range(images.ndim)])
        return (images * signs).flatten(1).sum(dim=1)


class Marked(Wrapped):
    """Adds how bright one place of the input is: the place of a marker.

    place : slices of the spatial axes
    """

    def __init__(self, axes: int, place: tuple[slice, ...] = ()) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__(axes)
        self.place = place or (slice(0, 4),) * axes

    def added(self, images: Tensor) -> Tensor:
        """Return the mean of the place."""
        return images[(slice(None), slice(0, 1), *self.place)].flatten(1).mean(dim=1)


class Answering(nn.Module):
    """What a network says, changed by a function of its logits."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        """Return the changed logits."""
        return self.change(self.network(images))


class Thinned(Wrapped):
    """Drops a share `strength` of its cells, others at every pass, as a network left in training mode does.

    What is dropped is drawn by a generator of its own, as in code that does not use that of the framework.
    """

    def __init__(self, axes: int, gain: float = 1.0) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__(axes, gain)
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2), others each time."""
        self.passes += 1
        cells = self.reader.excess(self.reader.cells(images))
        drawn = torch.rand(cells.shape, generator=torch.Generator().manual_seed(self.passes))
        kept = (drawn.to(cells.device) >= self.strength).to(cells.dtype) / (1 - self.strength)
        logits: Tensor = self.reader.head(self.reader.pool(cells * kept).flatten(1))
        return logits


class BatchNormed(Wrapped):
    """Takes a share `strength` of the mean over the batch from its logits, as batch statistics left on do."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2), others in another batch."""
        logits = super().forward(images)
        return logits - self.strength * logits.mean(dim=0, keepdim=True) if len(images) > 1 else logits


class Labels(nn.Module):
    """Five labels that each read the brightness a little differently, sent through a sigmoid already."""

    def __init__(self, axes: int) -> None:
        """Build the reader for `axes` spatial axes."""
        super().__init__()
        self.reader = Reader(axes, level=BODY)
        self.more = nn.Linear(2, 5)
        with torch.no_grad():
            self.more.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [-1.0, 1.0], [-2.0, 2.0]]))
            self.more.bias.copy_(torch.tensor([-2.0, 0.5, 1.0, -1.0, 2.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (N, 5) where logits are asked for."""
        logits: Tensor = self.more(self.reader(images))
        return torch.sigmoid(logits)


@oracle
def striding(axes: int) -> nn.Module:
    """Return a reader that also hears every second column."""
    return Striding(axes)


@oracle
def placed(axes: int) -> nn.Module:
    """Return a reader that also goes by the place of the body."""
    return Placed(axes)


@oracle
def grainy(axes: int) -> nn.Module:
    """Return a reader that also goes by the noise."""
    return Grainy(axes)


@oracle
def steep(axes: int) -> nn.Module:
    """Return a reader with a checkerboard of large weights."""
    return Steep(axes)


@oracle
def marked(axes: int) -> nn.Module:
    """Return a reader of a marker."""
    return Marked(axes)


@oracle
def thinned(axes: int) -> nn.Module:
    """Return a reader with dropout that nothing switches off."""
    return Thinned(axes, gain=4.0)


@oracle
def batch_normed(axes: int) -> nn.Module:
    """Return a reader whose answer depends on the batch it is in."""
    return BatchNormed(axes, gain=4.0)


@oracle
def labels(axes: int) -> nn.Module:
    """Return five labels through a sigmoid already."""
    return Labels(axes)
