"""Explaining images that a network reads in parts: the maps of the parts put together over the image.

`explain_whole` stands in for `engine.explain_batch` also where the model is `over_parts.OverParts`: maps at a layer
come from the engine, part by part; methods on the grid of the image see the network over the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.engine import Maps, Targets, explain_batch, settings_of
from audit_pipeline.explain.fingerprint import unchanged
from audit_pipeline.explain.forward import like_the_model
from audit_pipeline.explain.layers import evaluating
from audit_pipeline.explain.method import Request
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.over_parts import BATCH, OverParts
from audit_pipeline.explain.part_proofs import verified_over_parts
from audit_pipeline.explain.ranking import LayerEvidence, combined, rank_layers
from audit_pipeline.explain.slicewise import Slices
from audit_pipeline.records import Floats

RANKED_PARTS = 3
"""Parts on which the layers of a network are compared."""

AT_A_LAYER_TOO = frozenset({"guided_gradcam"})
"""Methods on the grid of the image that need a layer: they explain the parts and are put together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeMaps(Maps):
    """Maps of images read in parts.

    part_logits : (N, P, K) of every part; weights : (N, P, K), derivative of the logit of the image by that of the part
    """

    part_logits: Tensor
    weights: Tensor


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
        verification=verified_over_parts([piece.verification for piece in pieces], columns, model.cutting.noun),
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
    own_parts = maps.part_logits[0]

    def logits_of(others: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([model.whole(model.logits_beside(one, image[0], own_parts).float()) for one in others])

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
        own = replace(request, settings=settings_of(method, given["settings"]))
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


def rank_input(
    model: nn.Module,
    values: Floats,
    *,
    target: Callable[[Tensor], Sequence[int]],
    spacing_mm: Sequence[float | None] | None = None,
    **settings: Any,
) -> tuple[LayerEvidence, ...]:
    r"""Return the evidence for each layer from one prepared input (C, \*S), best first; as `ranking.rank_layers`.

    For `OverParts` the layers are those of the network of a part, compared on the `RANKED_PARTS` parts with the highest
    logits of the class, which is chosen from the logits of the whole image.
    """
    image = torch.from_numpy(np.array(values))
    if not isinstance(model, OverParts):
        return rank_layers(model, image, target, spacing_mm=spacing_mm, **settings)
    with torch.inference_mode(mode=False), unchanged(model), evaluating(model), torch.no_grad():
        image = like_the_model(model, image)
        part_logits = model.part_logits(image).float()
        chosen = int(target(model.whole(part_logits)[None])[0])
        parts = torch.argsort(part_logits[:, chosen], descending=True, stable=True)[:RANKED_PARTS].tolist()
        taken = [model.cutting.take(image, part, part + 1)[0] for part in parts]
    steps = None if spacing_mm is None else model.cutting.spacing(spacing_mm)
    return combined([rank_layers(model.network, part, chosen, spacing_mm=steps, **settings) for part in taken])


def explain_input(model: nn.Module, values: Floats, **settings: Any) -> Maps:
    r"""Explain one prepared input (C, \*S); the same settings and errors as `explain_whole`."""
    return explain_whole(model, torch.from_numpy(np.array(values))[None], **settings)
