"""The engine: one forward pass, a graph only behind the target layer, every class and every method from it.

The hook at the target layer detaches its output into a leaf and hands a copy of the leaf on, so that nothing before the
layer is remembered, the backward pass stops at the leaf, and no parameter receives a gradient. An in-place operation
after the layer works on the copy: activation and gradient always belong to the layer's own output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError, LayerError
from audit_pipeline.explain.cam import EXPLAINERS, Pooling, block_size, pooled_gradcam, upsample
from audit_pipeline.explain.layers import choose_layer, evaluating, find_layer
from audit_pipeline.records import Floats

Targets = Sequence[int] | Callable[[Tensor], Sequence[int]] | None

SIGNAL_FLOOR = 1e-6
"""Share of mean |activation| x mean |weight| x channels below which a map is numerically zero (check D05)."""

UNIFORM_GRADIENT = 1e-5
"""Largest spatial deviation of the gradient, relative to its largest value, that still counts as uniform."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Maps:
    """Raw maps of one batch.

    Attributes
    ----------
    values : method -> (N, len(targets), *grid) float32, signed, before ReLU and any normalisation, in logit units
    logits : (N, K) float32
    layer : name of the module the maps come from
    targets : class indices, the second axis of `values`
    features : (N, C) float32, spatial mean of the activations
    signal_floor : (N, len(targets)) float32, below which a map is numerically zero
    gradient_is_uniform : (N,) bool, whether every gradient is constant over space, as behind global average pooling;
        then Grad-CAM and HiResCAM are equal
    """

    values: Mapping[str, Tensor]
    logits: Tensor
    layer: str
    targets: tuple[int, ...]
    features: Tensor
    signal_floor: Tensor
    gradient_is_uniform: Tensor

    def upsample(self, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the maps on the image grid, half-pixel (tri)linear; the same keys as `values`."""
        return {method: upsample(values, tuple(size)) for method, values in self.values.items()}


def explain_batch(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[str] = ("gradcam",),
    layer: str | None = None,
    targets: Targets = None,
    pooling: Pooling = "global",
) -> Maps:
    """Explain a batch: all classes and methods from one forward pass and one partial backward pass per class.

    The model leaves as it came: modes, gradients, hooks and random state are unchanged, also after an error.

    Parameters
    ----------
    model : torch.nn.Module returning logits (N, K)
    images : (N, C, H, W) or (N, C, D, H, W) floating point
    methods : names from ``list explainers``
    layer : module name; None chooses the last convolutional stage
    targets : class indices, the same for every image; None means all K classes; or a function that chooses them from
        the logits (N, K) of this pass
    pooling : how ``gradcam`` pools the gradient: "global", "none" or blocks of this many cells

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
    functions = _functions(methods, pooling)
    _require_images(images)
    with torch.inference_mode(mode=False), evaluating(model):
        given = images.detach().clone() if images.is_inference() else images.detach()
        given = given.to(_device_of(model, given.device))
        name = choose_layer(model, given) if layer in {None, "auto"} else str(layer)
        activations, logits = _forward(model, find_layer(model, name, given), name, given)
        chosen = _targets(targets, logits)
        return _maps(activations, logits, functions, chosen, name)


def explain_input(model: nn.Module, values: Floats, **settings: Any) -> Maps:
    """Explain one prepared input (C, *S); the same settings and errors as `explain_batch`."""
    return explain_batch(model, torch.from_numpy(np.array(values))[None], **settings)


def _functions(methods: Sequence[str], pooling: Pooling) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    if isinstance(methods, str):
        raise ExplainError(f"methods must be a sequence of names, found the single string {methods!r}")
    if pooling not in {"global", "none"}:
        block_size(pooling)
    functions = {method: EXPLAINERS[method].function for method in methods}
    if "gradcam" in functions:
        functions["gradcam"] = lambda activations, gradients: pooled_gradcam(activations, gradients, pooling=pooling)
    return functions


def _require_images(images: Tensor) -> None:
    if images.ndim not in {4, 5} or not images.is_floating_point() or images.shape[0] < 1:
        raise ExplainError(
            "images must be a floating-point batch (N, C, H, W) or (N, C, D, H, W), found "
            f"{tuple(images.shape)} of {str(images.dtype).removeprefix('torch.')}; add the batch axis with images[None]"
        )


def _device_of(model: nn.Module, otherwise: torch.device) -> torch.device:
    parameter = next(model.parameters(), None)
    return otherwise if parameter is None else parameter.device


def _forward(model: nn.Module, module: nn.Module, name: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the leaf at the layer, (N, C, *S), and the logits that hang on it, (N, K)."""
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        _require_spatial(output, images, name, calls=len(leaves) + 1)
        assert isinstance(output, Tensor)
        torch.set_grad_enabled(mode=True)
        leaf = output.detach().clone().requires_grad_()
        leaves.append(leaf)
        return leaf.clone()

    handle = module.register_forward_hook(cut)
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        handle.remove()
    if not leaves:
        raise LayerError(f"layer {name!r} does not run in a forward pass; name a layer that does")
    _require_logits(logits, images.shape[0])
    return leaves[0], logits


def _require_spatial(output: object, images: Tensor, name: str, calls: int) -> None:
    if calls > 1:
        raise LayerError(
            f"layer {name!r} runs more than once in a forward pass, so its map would mix two places of the network; "
            "name a module that runs once"
        )
    if not isinstance(output, Tensor):
        raise LayerError(f"layer {name!r} returns {type(output).__name__}, not one tensor; name a module inside it")
    if output.ndim != images.ndim or max(output.shape[2:]) == 1:
        raise LayerError(
            f"layer {name!r} returns shape {tuple(output.shape)}, which has no spatial extent for an input of shape "
            f"{tuple(images.shape)}; name an earlier layer"
        )


def _require_logits(logits: object, count: int) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != count:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ExplainError(f"the model must return logits of shape ({count}, K), found {found}")


def _targets(targets: Targets, logits: Tensor) -> tuple[int, ...]:
    classes = logits.shape[1]
    if targets is None:
        return tuple(range(classes))
    wanted = targets(logits.detach()) if callable(targets) else targets
    chosen = tuple(int(target) for target in wanted)
    if not chosen or not all(0 <= target < classes for target in chosen):
        raise ExplainError(f"targets must be class indices from 0 to {classes - 1}, found {list(chosen)}")
    return chosen


def _gradients(leaf: Tensor, logits: Tensor, targets: tuple[int, ...], layer: str) -> Iterator[Tensor]:
    """Yield the gradient of each target's logit, (N, C, *S) float32; zero for a target that does not use the layer."""
    is_connected = False
    for position, target in enumerate(targets):
        found = None
        if logits.requires_grad:
            keep = position < len(targets) - 1
            (found,) = torch.autograd.grad(logits[:, target].sum(), leaf, retain_graph=keep, allow_unused=True)
        is_connected |= found is not None
        yield torch.zeros_like(leaf, dtype=torch.float32) if found is None else found.float()
    if not is_connected:
        raise LayerError(f"the logits do not depend on layer {layer!r}; name a layer between the image and the logits")


def _maps(
    activations: Tensor,
    logits: Tensor,
    functions: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
    targets: tuple[int, ...],
    layer: str,
) -> Maps:
    columns: dict[str, list[Tensor]] = {method: [] for method in functions}
    floors: list[Tensor] = []
    leaf, values = activations, activations.detach().float()
    spatial = tuple(range(2, leaf.ndim))
    uniform = torch.ones(len(leaf), dtype=torch.bool, device=leaf.device)
    for gradient in _gradients(leaf, logits, targets, layer):
        for method, function in functions.items():
            columns[method].append(function(values, gradient.unsqueeze(1)))
        weights = gradient.mean(dim=spatial)
        floors.append(SIGNAL_FLOOR * values.abs().flatten(1).mean(1) * weights.abs().mean(1) * values.shape[1])
        deviation = (gradient - weights.reshape(*weights.shape, *(1 for _ in spatial))).abs().flatten(1).amax(1)
        uniform &= deviation <= UNIFORM_GRADIENT * gradient.abs().flatten(1).amax(1)
    return Maps(
        values={method: torch.cat(column, dim=1) for method, column in columns.items()},
        logits=logits.detach().float(),
        layer=layer,
        targets=targets,
        features=values.mean(dim=spatial),
        signal_floor=torch.stack(floors, dim=1),
        gradient_is_uniform=uniform,
    )
