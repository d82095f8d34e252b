"""The engine: one forward pass, a graph only behind the target layer, every class and every method from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import Pooling, block_size, fused, pooled_gradcam, uniform, upsample
from audit_pipeline.explain.closed import CLOSED_FORMS, Chunks, joined, weighed
from audit_pipeline.explain.fingerprint import unchanged
from audit_pipeline.explain.forward import (
    cut_forward,
    eager,
    gradients_at,
    like_the_model,
    logits_of,
    replayed,
    without_autocast,
)
from audit_pipeline.explain.gridded import OnGrids, with_layers
from audit_pipeline.explain.layers import choose_layer, evaluating
from audit_pipeline.explain.method import CamFunction, Request
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.pooling import blocks_of, pooling_length_mm
from audit_pipeline.explain.tail import tail_of
from audit_pipeline.explain.token_layers import choose_token_layer, is_transformer
from audit_pipeline.explain.verification import Verification, verify
from audit_pipeline.records import Floats

Functions = Mapping[str, CamFunction]
Targets = Sequence[int] | Callable[[Tensor], Sequence[int]] | None

SIGNAL_FLOOR = 1e-6
"""Share of mean |activation| x mean |weight| x channels below which a map is numerically zero (check D05)."""

_AXES = ((nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3))


@dataclass(frozen=True, kw_only=True, slots=True)
class Maps:
    """Raw maps of one batch.

    Attributes
    ----------
    values : method -> (N, len(targets), *grid) float32, signed, before ReLU and any normalisation; the grid is that of
        the layer, of the image or of tokens, the unit the logit unless the method says otherwise
    logits : (N, K) float32
    layer : name of the module the maps come from
    targets : class indices, the second axis of `values`
    features : (N, C) float32, spatial mean of the activations
    signal_floor : (N, len(targets)) float32, below which a map is numerically zero
    gradient_is_uniform : (N,) bool, whether every gradient is constant over space, as behind global average pooling;
        then Grad-CAM and HiResCAM are equal
    verification : proofs of the maps and facts about their gradients, when they were asked for
    """

    values: dict[str, Tensor]
    logits: Tensor
    layer: str
    targets: tuple[int, ...]
    features: Tensor
    signal_floor: Tensor
    gradient_is_uniform: Tensor
    verification: Verification | None = None

    def upsample(self, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the maps on the image grid, half-pixel (tri)linear; the same keys as `values`."""
        return {method: upsample(values, tuple(size)) for method, values in self.values.items()}


def explain_batch(  # noqa: PLR0913 - the contract names them, each by keyword
    model: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[str] = ("gradcam",),
    layer: str | Sequence[str] | None = None,
    targets: Targets = None,
    pooling: Pooling = "global",
    spacing_mm: Sequence[float | None] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    batch: int = 8,
    prove: bool = False,
) -> Maps:
    """Explain a batch: all classes and methods from one forward pass and one partial backward pass per class.

    The model leaves as it came: modes, gradients, hooks and random state are unchanged, also after an error. The
    caller's autocast is switched off meanwhile: maps and logits are those in the precision of the weights.

    Parameters
    ----------
    model : torch.nn.Module returning logits (N, K)
    images : (N, C, H, W) or (N, C, D, H, W) floating point
    methods : names from ``list explainers``
    layer : module name; None chooses the last convolutional stage, or in a transformer the last layer of tokens whose
        patches the logits depend on, on their grid; of several names, shallow to deep, the last counts, and
        ``layercam`` is fused over all of them
    targets : class indices, the same for every image; None means all K classes; or a function that chooses them from
        the logits (N, K) of this pass
    pooling : how ``gradcam`` pools the gradient: "global", "none", blocks of this many cells, one number or one per
        axis, or blocks of a length such as "12 mm", which needs `spacing_mm`
    spacing_mm : of the images, one entry per axis
    settings : method -> its own settings, see ``list explainers``
    seed : of the methods that draw random numbers; the global random state is neither read nor changed
    batch : images in one forward pass of the methods that need many
    prove : also check what the maps owe, see ``Maps.verification``; costs three passes behind the layer

    Returns
    -------
    Maps

    Raises
    ------
    ExplainError
        The images, targets or the model's output have the wrong shape or are not finite.
    LayerError
        The layer does not exist, has no spatial output, runs more than once, or does not lead to the logits.
    """
    model = eager(model)
    _require_images(images, model)
    functions = _functions(methods, pooling, images.shape[2:], spacing_mm)
    with torch.inference_mode(mode=False), without_autocast(), unchanged(model), evaluating(model):
        given = images.detach().clone() if images.is_inference() else images.detach()
        given = like_the_model(model, given)
        shown, modules = with_layers(model, _names(model, layer, given, batch), given, batch)
        nodes, logits = cut_forward(shown, modules, given)
        chosen = _targets(targets, logits)
        found = gradients_at(nodes, logits, chosen)
        # the proofs look at the same gradients again; without them a few are held at a time
        chunks = list(found) if prove else found
        maps = _maps(nodes, logits, functions, chosen, chunks, _closed(functions, pooling))
        name, module = maps.layer, modules[maps.layer]
        others = [method for method in methods if EXPLAINERS[method].kind != "cam"]
        if others:
            request = _request(shown, module, given, nodes[name].detach(), maps, seed, batch)
            own = {method: replace(request, model=model, settings=settings_of(method, settings)) for method in others}
            maps.values.update({method: EXPLAINERS[method].function(own[method]).detach().float() for method in others})
        verification = _verified(shown, module, given, nodes[name].detach(), chunks, maps, batch) if prove else None
        return replace(maps, values={method: maps.values[method] for method in methods}, verification=verification)


def _verified(
    model: nn.Module, module: nn.Module, images: Tensor, activations: Tensor, chunks: Chunks, maps: Maps, batch: int
) -> Verification:
    gradients = torch.cat([found[maps.layer] for _, found in chunks], dim=1)
    replay = _replay(model, module, images, activations, maps, batch)
    return verify(activations.float(), gradients, maps.logits, maps.targets, replay, activations.dtype)


def settings_of(method: str, given: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return the settings of a method: what is given over its defaults."""
    defaults, own = EXPLAINERS[method].defaults, (given or {}).get(method, {})
    unknown = sorted(set(own) - set(defaults))
    if unknown:
        known = ", ".join(defaults) or "none"
        raise ExplainError(f"{method} has no setting {', '.join(unknown)}; its settings are: {known}")
    return {**defaults, **own}


def _request(
    model: nn.Module, module: nn.Module, images: Tensor, activations: Tensor, maps: Maps, seed: int, batch: int
) -> Request:
    def at_layer(others: Tensor) -> tuple[Tensor, Tensor]:
        nodes, logits = cut_forward(model, {maps.layer: module}, others)
        gradients = [found[maps.layer] for _, found in gradients_at(nodes, logits, maps.targets)]
        return nodes[maps.layer].detach().float(), torch.cat(gradients, dim=1)

    def differentiable(others: Tensor) -> Tensor:
        with torch.enable_grad():
            return cast("Tensor", model(others))

    return Request(
        model=model,
        images=images,
        targets=maps.targets,
        logits=maps.logits,
        layer=maps.layer,
        activations=activations,
        logits_of=lambda others: logits_of(model, others, batch),
        differentiable=differentiable,
        at_layer=at_layer,
        replay=_replay(model, module, images, activations, maps, batch),
        batch=batch,
        seed=seed,
        settings={},
    )


def explain_input(model: nn.Module, values: Floats, **settings: Any) -> Maps:
    """Explain one prepared input (C, *S); the same settings and errors as `explain_batch`."""
    return explain_batch(model, torch.from_numpy(np.array(values))[None], **settings)


def _names(model: nn.Module, layer: str | Sequence[str] | None, images: Tensor, batch: int) -> tuple[str, ...]:
    """Return the names of the layers, shallow to deep as they were given."""
    if layer is None or layer == "auto":
        if is_transformer(model, images):
            return (choose_token_layer(model, images, batch).name,)
        return (choose_layer(model, images),)
    names = (layer,) if isinstance(layer, str) else tuple(layer)
    if not names or len(set(names)) < len(names):
        raise ExplainError(f"layers must be different names, found {list(names)}")
    return names


def _functions(
    methods: Sequence[str], pooling: Pooling, size: Sequence[int], spacing_mm: Sequence[float | None] | None
) -> dict[str, CamFunction]:
    if isinstance(methods, str):
        raise ExplainError(f"methods must be a sequence of names, found the single string {methods!r}")
    length_mm = pooling_length_mm(pooling)
    if length_mm is None and pooling not in {"global", "none"}:
        block_size(pooling)
    functions = {method: EXPLAINERS[method].function for method in methods if EXPLAINERS[method].kind == "cam"}
    if "gradcam" in functions:

        def gradcam_of(activations: Tensor, gradients: Tensor) -> Tensor:
            blocks = pooling if length_mm is None else blocks_of(length_mm, activations.shape[2:], size, spacing_mm)
            return pooled_gradcam(activations, gradients, pooling=blocks)

        functions["gradcam"] = gradcam_of
    return functions


def _closed(functions: Functions, pooling: Pooling) -> Functions:
    """Return the closed forms of the methods that have one; Grad-CAM over blocks must look at its blocks."""
    known = [method for method in functions if method in CLOSED_FORMS and (method != "gradcam" or pooling == "global")]
    return {method: CLOSED_FORMS[method] for method in known}


def _require_images(images: Tensor, model: nn.Module) -> None:
    if images.ndim not in {4, 5} or not images.is_floating_point() or images.shape[0] < 1:
        raise ExplainError(
            "images must be a floating-point batch (N, C, H, W) or (N, C, D, H, W), found "
            f"{tuple(images.shape)} of {str(images.dtype).removeprefix('torch.')}; add the batch axis with images[None]"
        )
    axes = next((axes for module in model.modules() for kind, axes in _AXES if isinstance(module, kind)), None)
    if axes is not None and axes != images.ndim - 2:
        raise ExplainError(
            f"the network convolves over {axes} axes and the images {tuple(images.shape)} have {images.ndim - 2}; "
            "add the batch axis with images[None], or give images of the right kind"
        )


def _targets(targets: Targets, logits: Tensor) -> tuple[int, ...]:
    classes = logits.shape[1]
    if targets is None:
        return tuple(range(classes))
    wanted = targets(logits.detach()) if callable(targets) else targets
    chosen = tuple(int(target) for target in wanted)
    if not chosen or not all(0 <= target < classes for target in chosen):
        raise ExplainError(f"targets must be class indices from 0 to {classes - 1}, found {list(chosen)}")
    return chosen


def _fused(nodes: Mapping[str, Tensor], gradients: Mapping[str, Tensor], function: CamFunction) -> Tensor:
    """Return one map of several layers on the finest of their grids."""
    maps = [function(node.detach().float(), gradients[name]) for name, node in nodes.items()]
    finest = max((tuple(one.shape[2:]) for one in maps), key=math.prod)
    return fused(maps, finest)


def _replay(
    model: nn.Module, module: nn.Module, images: Tensor, activations: Tensor, maps: Maps, batch: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the logits of given activations: from the tail alone where it can be cut off, else through the model."""
    tail: list[Callable[[Tensor, Tensor, int], Tensor] | None] = []

    def replay(given: Tensor, index: Tensor) -> Tensor:
        if not tail:
            tail.append(
                model.tail(maps.layer, images, activations, maps.logits)
                if isinstance(model, OnGrids)
                else tail_of(model, maps.layer, images, activations, maps.logits)
            )
        if tail[0] is not None:
            return tail[0](given, index, batch)
        return replayed(model, module, images, given, index, batch)

    return replay


def _maps(
    nodes: Mapping[str, Tensor],
    logits: Tensor,
    functions: Functions,
    targets: tuple[int, ...],
    chunks: Chunks,
    closed: Functions,
) -> Maps:
    *shallow, layer = nodes
    values = nodes[layer].detach().float()
    spatial = tuple(range(2, values.ndim))
    strength = SIGNAL_FLOOR * values.shape[1] * values.abs().flatten(1).mean(1, keepdim=True)
    columns: dict[str, list[Tensor]] = {method: [] for method in functions}
    floors: list[Tensor] = []
    is_uniform = torch.ones(len(values), dtype=torch.bool, device=values.device)
    is_closed = not shallow and set(functions) <= set(closed)
    for found, weights in joined(chunks, layer) if is_closed else weighed(chunks, layer):
        gradients = found[layer]
        for method, function in functions.items():
            if shallow and method == "layercam":
                column = _fused(nodes, found, function)
            elif weights is not None and method in closed:
                column = closed[method](values, weights)
            else:
                column = function(values, gradients)
            columns[method].append(column)
        means = gradients.flatten(3).mean(dim=3) if weights is None else weights
        floors.append(strength * means.abs().mean(dim=2))
        is_uniform &= uniform(gradients if weights is None else weights.unsqueeze(3)).all(dim=1)
    return Maps(
        values={method: torch.cat(column, dim=1) for method, column in columns.items()},
        logits=logits.detach().float(),
        layer=layer,
        targets=targets,
        features=values.mean(dim=spatial),
        signal_floor=torch.cat(floors, dim=1),
        gradient_is_uniform=is_uniform,
    )
