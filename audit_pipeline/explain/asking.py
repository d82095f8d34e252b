"""Asking the model again with changed inputs, as the checks do: NumPy in and out, the model left as it was."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.forward import eager, like_the_model
from audit_pipeline.explain.over_parts import one_part
from audit_pipeline.explain.parts import explain_whole
from audit_pipeline.explain.randomisation import draw_parameters, layers_in_order
from audit_pipeline.explain.ranking import stages
from audit_pipeline.records import Floats

BATCH_ELEMENTS = 2**23
"""Elements of the inputs that go through the network together."""

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)

RANDOM_SHARE = 0.25
"""The last quarter of the layers with parameters counts as the last block."""


def maps_of(
    network: nn.Module,
    inputs: Floats,
    *,
    method: str,
    layer: str,
    target: int,
    pooling: Any = "global",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Return logits (n, K) and raw signed maps (n, *grid) of one class, method and layer for inputs (n, C, *S)."""
    size = max(1, BATCH_ELEMENTS // max(1, inputs[0].size))
    logits, maps = [], []
    for start in range(0, len(inputs), size):
        found = explain_whole(
            network,
            torch.from_numpy(np.array(inputs[start : start + size])),
            methods=(method,),
            layer=layer,
            targets=(target,),
            pooling=pooling,
            settings={name: values for name, values in (settings or {}).items() if name == method},
            seed=seed,
        )
        logits.append(found.logits.cpu().numpy())
        maps.append(found.values[method][:, 0].cpu().numpy())
    return np.concatenate(logits), np.concatenate(maps)


def stage_before(network: nn.Module, inputs: Floats, layer: str) -> str:
    """Return the layer that ends the stage before that of `layer`: the last with the next finer grid.

    Raises
    ------
    ExplainError
        `layer` is the first stage, or its grid is none of the network's stages.
    """
    images = like_the_model(network, torch.from_numpy(np.array(inputs[:1])))
    names = stages(*one_part(network, images))
    grids = {name: place for place, name in enumerate(names)}
    place = grids.get(layer, len(names) - 1)
    if place == 0:
        raise ExplainError(f"layer {layer} is the first stage of the network, so there is none before it")
    return names[place - 1]


def with_random_block(network: nn.Module, inputs: Floats, seed: int) -> nn.Module:
    """Return a copy of the network whose last block of layers has new random parameters.

    References
    ----------
    J. Adebayo et al., Sanity checks for saliency maps, 2018, arXiv:1810.03292, section 3.1.
    """
    model = eager(network)
    images = like_the_model(model, torch.from_numpy(np.array(inputs[:1])))

    def run(one: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = one(images)
        return logits

    names = layers_in_order(model, run)
    changed = deepcopy(model)
    modules = dict(changed.named_modules())
    count = max(1, round(RANDOM_SHARE * len(names)))
    for place, name in enumerate(names[::-1][:count]):
        draw_parameters(modules[name], torch.Generator().manual_seed(seed * 100_003 + place))
    return changed


def input_gradient(network: nn.Module, inputs: Floats, target: int) -> Floats:
    """Return the gradient of a logit by the input, (n, C, *S), one input at a time."""
    model = eager(network)
    rows = []
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad = False
        for one in inputs:
            images = like_the_model(model, torch.from_numpy(np.array(one[None]))).requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(model(images)[:, target].sum(), images)
            rows.append(gradient.float().cpu().numpy())
    finally:
        for parameter, was in flags:
            parameter.requires_grad = was
    return np.concatenate(rows)


def dropout_draws(network: nn.Module, inputs: Floats, draws: int, seed: int) -> Floats:
    """Return the logits (draws, K) of one input (1, C, *S), with the dropout layers of a copy of the network at work.

    Raises
    ------
    ExplainError
        No layer of the network drops anything.

    References
    ----------
    Y. Gal, Z. Ghahramani, Dropout as a Bayesian approximation, 2016, arXiv:1506.02142.
    """
    changed = deepcopy(eager(network))
    layers = [one for one in changed.modules() if isinstance(one, DROPOUT) and one.p > 0]
    if not layers:
        raise ExplainError("no layer of the network drops anything")
    for one in layers:
        one.train()
    images = like_the_model(changed, torch.from_numpy(np.array(inputs[:1])))
    with torch.no_grad(), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(seed)
        rows = [changed(images) for _ in range(draws)]
    return torch.cat(rows).float().cpu().numpy()
