"""Networks that read an image in parts, slice by slice or window by window, as one network over the whole image.

The logits of `OverParts` are the aggregate of those of the parts, so everything that asks a model again (checks,
perturbation, curves) asks about the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard
from audit_pipeline.explain.alignment import cell_centres
from audit_pipeline.explain.slicewise import Aggregation, Slices, aggregate, slice_weights
from audit_pipeline.explain.windows import Windows
from audit_pipeline.records import Floats, Matrix

BATCH = 8
"""Parts in one forward pass."""


class Cutting(Protocol):
    r"""How an image is read in parts: `slicewise.Slices` or `windows.Windows`; the image is (C, \*S), `shape` its S."""

    @property
    def noun(self) -> str:
        """What a part is called."""

    def count(self, shape: Sequence[int]) -> int:
        """Return the number of parts."""

    def take(self, volume: Tensor, first: int, last: int) -> Tensor:
        """Return the parts `first` to `last` (exclusive) as images of the network."""

    def centres(self, shape: Sequence[int]) -> Matrix:
        """Return the index of the centre of every part, (parts, axes)."""

    def spacing(self, spacing_mm: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return the spacing of a part."""

    def assemble(self, maps: Tensor, weights: Tensor, shape: Sequence[int], /) -> Floats:
        r"""Return the map of the image, (T, \*grid), from maps (P, T, \*grid) and weights (P, T) of its parts."""


class OverParts(nn.Module):
    """A network over images made of one over their parts: the aggregate of the parts' logits, class by class.

    Parameters
    ----------
    network : of one part, returning logits (n, K); its weights are used, not copied
    cutting : how an image is read in parts
    aggregation : "max", "mean", or "topk" for the mean of the k largest logits of each class
    k : parts that "topk" averages, all where the image has fewer
    """

    def __init__(self, network: nn.Module, cutting: Cutting, aggregation: Aggregation, k: int = 1) -> None:
        super().__init__()
        self.network, self.cutting, self.aggregation, self.k = network, cutting, aggregation, k
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        r"""Return the logits (N, K) of whole images (N, C, \*S)."""
        return torch.stack([self.whole(self.part_logits(image)) for image in images])

    def part_logits(self, image: Tensor) -> Tensor:
        r"""Return the logits (P, K) of the parts of one image (C, \*S), `BATCH` parts at a time."""
        count = self.cutting.count(image.shape[1:])
        return torch.cat(
            [
                self.network(self.cutting.take(image, first, min(first + BATCH, count)))
                for first in range(0, count, BATCH)
            ]
        )

    def logits_beside(self, image: Tensor, like: Tensor, part_logits: Tensor) -> Tensor:
        r"""Return the logits (P, K) of the parts of one image, from those of `like` where a part is the same.

        image, like : (C, \*S), one shape; part_logits : (P, K) of `like`
        """

        def part(of: Tensor, number: int) -> Tensor:
            return self.cutting.take(of, number, number + 1)

        changed = [one for one in range(len(part_logits)) if not torch.equal(part(image, one), part(like, one))]
        found = part_logits.clone()
        for first in range(0, len(changed), BATCH):
            several = changed[first : first + BATCH]
            found[several] = self.network(torch.cat([part(image, one) for one in several])).to(found.dtype)
        return found

    def whole(self, part_logits: Tensor) -> Tensor:
        """Return the logits (K,) of an image from those of its parts (P, K)."""
        return aggregate(part_logits, self.aggregation, min(self.k, len(part_logits)))

    def weights(self, part_logits: Tensor) -> Tensor:
        """Return the derivative of the logits of an image by those of its parts, (P, K)."""
        return slice_weights(part_logits, self.aggregation, min(self.k, len(part_logits)))

    def rule(self, count: int) -> str:
        """Return the aggregation of `count` parts in words.

        >>> OverParts(nn.Identity(), Slices(), "topk", 3).rule(20)
        'mean of the 3 highest of 20 slices'
        """
        parts = self.cutting.noun if count == 1 else f"{self.cutting.noun}s"
        if self.aggregation == "mean":
            return f"mean of {count} {parts}"
        if self.aggregation == "max" or min(self.k, count) == 1:
            return f"highest of {count} {parts}"
        return f"mean of the {min(self.k, count)} highest of {count} {parts}"


def over_parts(network: nn.Module, card: ModelCard) -> nn.Module:
    """Return the network over whole images that a card describes: `network` itself where it reads them at once."""
    if card.input.slices is not None:
        assert card.aggregate is not None
        neighbours = card.channels // 2 if card.input.slices == "stack" else 0
        return OverParts(network, Slices(neighbours=neighbours), card.aggregate, card.topk)
    if card.input.windows is None:
        return network
    given = card.input.windows
    windows = Windows(
        size=tuple(given.size),
        overlap=given.overlap,
        importance=given.importance,
        margin=given.margin,
        rule=given.aggregate,
        step=given.step,
    )
    return OverParts(network, windows, given.aggregate)


def cells_over_parts(model: nn.Module, layer: str, grid: Sequence[int], input_shape: Sequence[int]) -> Matrix | None:
    r"""Return `alignment.cell_centres` over the whole image: those of a part, repeated over all parts.

    A stack of slices has one cell per slice. Stitched windows keep the cells of a window as long as those line up.

    Parameters
    ----------
    grid : of the map of the whole image; input_shape : (C, \*S) of one image
    """
    if not isinstance(model, OverParts):
        return cell_centres(model, layer, grid, input_shape)
    channels, *sides = input_shape
    if isinstance(model.cutting, Slices):
        seen = 2 * model.cutting.neighbours + 1 if model.cutting.neighbours else channels
        plane = cell_centres(model.network, layer, grid[1:], (seen, *sides[1:]))
        cells = np.eye(4)
        cells[1:, 1:] = 0 if plane is None else plane
        return None if plane is None else cells
    size = cast("Windows", model.cutting).size
    if any(side * cells % whole for side, cells, whole in zip(size, grid, sides, strict=True)):
        return None
    own = [side * cells // whole for side, cells, whole in zip(size, grid, sides, strict=True)]
    found = cell_centres(model.network, layer, own, (channels, *size))
    edges = [whole / cells for whole, cells in zip(sides, grid, strict=True)]
    return found if found is not None and np.allclose(np.diag(found)[:-1], edges) else None


def one_part(model: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    r"""Return the network that has the layers, and images for it: for `OverParts` the middle part of each image.

    Parameters
    ----------
    images : (N, C, \*S) of the whole
    """
    if not isinstance(model, OverParts):
        return model, images
    middle = model.cutting.count(images.shape[2:]) // 2
    return model.network, torch.cat([model.cutting.take(image, middle, middle + 1) for image in images])
