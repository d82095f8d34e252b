"""Networks that read an image in parts, slice by slice or window by window, as one network over the whole image.

`OverParts` is a network over images whose logits are the aggregate of those of the parts, so everything that asks a
model again (checks, perturbation, curves) asks about the whole image. `explain_whole` stands in for
`engine.explain_batch`: maps at a layer come from the engine, part by part, and are put together over the image; methods
on the grid of the image see the network over the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.alignment import cell_centres
from audit_pipeline.explain.engine import Maps, Targets, _settings, explain_batch
from audit_pipeline.explain.fingerprint import unchanged
from audit_pipeline.explain.forward import like_the_model
from audit_pipeline.explain.layers import evaluating
from audit_pipeline.explain.method import Request
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.part_proofs import combined
from audit_pipeline.explain.slicewise import Aggregation, Slices, aggregate, slice_weights
from audit_pipeline.explain.windows import Windows
from audit_pipeline.records import Floats, Matrix

BATCH = 8
"""Parts in one forward pass."""

AT_A_LAYER_TOO = frozenset({"guided_gradcam"})
"""Methods on the grid of the image that need a layer: they explain the parts and are put together."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeMaps(Maps):
    """Maps of images read in parts.

    part_logits : (N, P, K) of every part; weights : (N, P, K), derivative of the logit of the image by that of the part
    """

    part_logits: Tensor
    weights: Tensor


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


def explain_whole(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[str] = ("gradcam",),
    targets: Targets = None,
    spacing_mm: Sequence[float | None] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    **more: Any,
) -> Maps:
    r"""Explain a batch of whole images; arguments, errors and result are those of `engine.explain_batch`.

    For `OverParts` the result is `WholeMaps`, and the layer is one of the network of a part. Maps of slices are stacked
    on a first axis, each times its weight: (T, slices, \*grid); maps of windows are stitched raw, with one
    normalisation, and keep the unit of a window's logit. Grad-CAM pools within a part, so a volume of one slice has the
    map of that slice.
    """
    if not isinstance(model, OverParts):
        return explain_batch(
            model,
            images,
            methods=methods,
            targets=targets,
            spacing_mm=spacing_mm,
            settings=settings,
            seed=seed,
            **more,
        )
    like_image = [one for one in methods if EXPLAINERS[one].kind == "input" and one not in AT_A_LAYER_TOO]
    like_parts = [one for one in methods if one not in like_image]
    steps = None if spacing_mm is None else model.cutting.spacing(spacing_mm)
    given = {"spacing_mm": steps, "settings": settings, "seed": seed, **more}
    with torch.inference_mode(mode=False):
        found = [
            _of_parts(model, image, like_parts, targets, given) for image in like_the_model(model, images.detach())
        ]
        if like_image:
            with unchanged(model), evaluating(model):
                found = [
                    _with_input_methods(model, image[None], maps, like_image, given)
                    for image, maps in zip(like_the_model(model, images.detach()), found, strict=True)
                ]
    together = _batched(found)
    return replace(together, values={method: together.values[method] for method in methods})


def _of_parts(
    model: OverParts, image: Tensor, methods: Sequence[str], targets: Targets, given: Mapping[str, Any]
) -> WholeMaps:
    """Return the maps of one image (C, *S) that come from a layer, one part after the other put together."""
    shape = tuple(image.shape[1:])
    count = model.cutting.count(shape)
    if callable(targets):
        with torch.no_grad(), evaluating(model):
            logits = model.whole(model.part_logits(image).float())
        targets = targets(logits[None])
    pieces = [
        explain_batch(
            model.network,
            model.cutting.take(image, first, min(first + BATCH, count)),
            methods=methods,
            targets=targets,
            **given,
        )
        for first in range(0, count, BATCH)
    ]
    chosen = list(pieces[0].targets)
    part_logits = torch.cat([piece.logits for piece in pieces])
    weights = model.weights(part_logits)
    columns = weights[:, chosen]
    floors = torch.cat([piece.signal_floor for piece in pieces])
    scale = columns if isinstance(model.cutting, Slices) else torch.ones_like(columns)
    return WholeMaps(
        values={method: _assembled(model, pieces, method, columns, shape) for method in methods},
        logits=model.whole(part_logits)[None],
        layer=pieces[0].layer,
        targets=pieces[0].targets,
        features=torch.cat([piece.features for piece in pieces]).mean(dim=0, keepdim=True),
        signal_floor=(scale * floors).amax(dim=0, keepdim=True),
        gradient_is_uniform=torch.cat([piece.gradient_is_uniform for piece in pieces]).all()[None],
        verification=combined([piece.verification for piece in pieces], columns, model.cutting.noun),
        part_logits=part_logits[None],
        weights=weights[None],
    )


def _assembled(model: OverParts, pieces: Sequence[Maps], method: str, weights: Tensor, shape: Sequence[int]) -> Tensor:
    maps = torch.cat([piece.values[method].float() for piece in pieces])
    return torch.from_numpy(model.cutting.assemble(maps, weights, shape))[None]


def _with_input_methods(
    model: OverParts, image: Tensor, maps: WholeMaps, methods: Sequence[str], given: Mapping[str, Any]
) -> WholeMaps:
    """Return the maps of one image (1, C, *S) with those of methods that ask about the whole image."""

    def logits_of(others: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model(one[None]).float() for one in others])

    def differentiable(others: Tensor) -> Tensor:
        with torch.enable_grad():
            return cast("Tensor", model(others))

    request = Request(
        model=model,
        images=image,
        targets=maps.targets,
        logits=maps.logits,
        layer=maps.layer,
        activations=torch.empty(0),
        logits_of=logits_of,
        differentiable=differentiable,
        at_layer=_no_layer,
        replay=_no_layer,
        batch=int(given.get("batch", BATCH)),
        seed=int(given["seed"]),
        settings={},
    )
    found = dict(maps.values)
    for method in methods:
        own = replace(request, settings=_settings(method, given["settings"]))
        found[method] = EXPLAINERS[method].function(own).detach().float()
    return replace(maps, values=found)


def _no_layer(_given: Tensor, _index: Tensor | None = None) -> Any:
    raise ExplainError("this method asks for a layer over the whole image, and the network reads the image in parts")


def _batched(found: Sequence[WholeMaps]) -> WholeMaps:
    """Return the maps of images of one shape as one batch."""
    first = found[0]
    if len(found) == 1:
        return first
    proofs = [one.verification for one in found if one.verification is not None]
    tensors: dict[str, Any] = {
        name: torch.cat([getattr(one, name) for one in found])
        for name in ("logits", "features", "signal_floor", "gradient_is_uniform", "part_logits", "weights")
    }
    return replace(
        first,
        values={method: torch.cat([one.values[method] for one in found]) for method in first.values},
        verification=None
        if first.verification is None
        else replace(
            first.verification,
            proofs=tuple(row for one in proofs for row in one.proofs),
            facts=tuple(row for one in proofs for row in one.facts),
        ),
        **tensors,
    )


def explain_input(model: nn.Module, values: Floats, **settings: Any) -> Maps:
    r"""Explain one prepared input (C, \*S); the same settings and errors as `explain_whole`."""
    return explain_whole(model, torch.from_numpy(np.array(values))[None], **settings)
