"""Which layer a map should come from, by evidence: every stage of a network explained from one pass and compared.

Four things are measured for each stage: how much of the logit its HiResCAM accounts for, how small its cells are, how
much better its strongest places are than places at random for the model's answer, and how little its map changes under
noise. Stages that account for the whole logit come first, because only their maps are what the model computed; among
equals the mean of the four ranks decides, and then the order of the network, the latest first. Over several images the
numbers are means, and the ranks are those of the means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from audit_pipeline.agreement import spearman
from audit_pipeline.errors import LayerError
from audit_pipeline.explain.cam import hirescam
from audit_pipeline.explain.faithfulness import CurveSettings, deletion_insertion
from audit_pipeline.explain.fingerprint import unchanged
from audit_pipeline.explain.forward import cut_forward, eager, gradients_at, like_the_model, logits_of, replayed
from audit_pipeline.explain.gridded import with_layers
from audit_pipeline.explain.layers import candidates, evaluating
from audit_pipeline.explain.token_layers import is_transformer, token_stages
from audit_pipeline.study_record import LayerFacts

NOISE_SHARE = 0.02
"""Standard deviation of the noise, as a share of the range of the image."""
NOISY_COPIES = 3
COMPLETE_WITHIN = 0.01
"""A map that misses no more than this share of the logit accounts for it."""
CURVES = CurveSettings(steps=4, nulls=4, batch=8, infill="blurred")
"""Blurring costs a tenth of ROAD in 3D, and misleads in deletion alone, not in insertion less deletion, which counts
here (see `faithfulness.TRUSTED`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerEvidence(LayerFacts):
    """What speaks for one layer on one image, or as means over several.

    p_value : of the gain among shifted maps; None without a null, and over several images
    """

    p_value: float | None


def stages(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Return one layer per grid of the network: the last with its channels and grid that follows a convolution.

    Of a transformer the blocks whose places the logits depend on, see `token_layers.token_stages`.

    Raises
    ------
    LayerError
        No layer with a convolution keeps a spatial output, or no layer of tokens is read.
    """
    if is_transformer(model, images):
        return token_stages(model, images, CURVES.batch)
    last: dict[tuple[int, ...], str] = {}
    has_convolution = False
    for one in candidates(model, images):
        has_convolution |= one.holds_convolution
        if one.calls == 1 and has_convolution and math.prod(one.grid) > 1:
            last[one.grid] = one.name
    if not last:
        raise LayerError("no layer with a convolution keeps a spatial output for this input; use a larger input")
    return tuple(last.values())


def rank_layers(
    model: nn.Module,
    image: Tensor,
    target: int | Callable[[Tensor], Sequence[int]],
    *,
    layers: Sequence[str] | None = None,
    also: Sequence[str] = (),
    spacing_mm: Sequence[float | None] | None = None,
    seed: int = 0,
) -> tuple[LayerEvidence, ...]:
    r"""Return the evidence for each layer, best first. The model leaves as it came.

    Parameters
    ----------
    image : (C, \*S) floating point
    target : class index, or a function that chooses it from the logits (1, K): the first that it returns
    layers : names to compare; None takes one per grid of the network, see `stages`; also : further names
    spacing_mm : of the image, one entry per axis

    Raises
    ------
    LayerError, ExplainError
        As `engine.explain_batch`.
    """
    model = eager(model)
    with torch.inference_mode(mode=False), unchanged(model), evaluating(model):
        given = like_the_model(model, image.detach().clone())[None]
        names = tuple(layers) if layers is not None else stages(model, given)
        names += tuple(name for name in also if name not in names)
        copies = torch.cat([given, _noisy(given, seed)])
        with torch.no_grad():
            chosen = target if isinstance(target, int) else int(target(model(given).float())[0])
        shown, modules = with_layers(model, names, given, CURVES.batch)
        maps, nodes, logits = _maps(shown, modules, copies, chosen)
        found = [
            LayerEvidence(
                layer=name,
                rank=0,
                mean_rank=0.0,
                grid=tuple(maps[name].shape[1:]),
                channels=nodes[name].shape[1],
                **_resolution(maps[name].shape[1:], given.shape[2:], spacing_mm),
                unaccounted=_unaccounted(
                    shown, modules[name], given, nodes[name][:1], maps[name][0], logits[0], chosen
                ),
                **_faithfulness(model, given[0], maps[name][0], chosen),
                stability=_stability(maps[name]),
            )
            for name in names
        ]
    return _ranked(found)


def combined(rankings: Sequence[Sequence[LayerEvidence]]) -> tuple[LayerEvidence, ...]:
    """Return the evidence on several images as means, ranked anew; what an image does not tell is left out of its mean.

    rankings : one per image of the same size, so of the same layers
    """
    if len(rankings) == 1:
        return tuple(rankings[0])
    found = []
    for first in sorted(rankings[0], key=lambda one: -math.prod(one.grid)):
        own = [one for ranking in rankings for one in ranking if one.layer == first.layer]
        found.append(
            replace(
                first,
                unaccounted=float(np.mean([one.unaccounted for one in own])),
                cell_mm=_mean([one.cell_mm for one in own]),
                gain=_mean([one.gain for one in own]),
                stability=_mean([one.stability for one in own]),
                p_value=None,
            )
        )
    return _ranked(found)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def why(ranked: Sequence[LayerEvidence]) -> str:
    """Return in one sentence why the first layer won."""
    first, *others = ranked
    if not others:
        return f"{first.layer} is the only stage of the network with a grid."
    if first.unaccounted <= COMPLETE_WITHIN < min(one.unaccounted for one in others):
        least = min(one.unaccounted for one in others)
        return (
            f"{first.layer} is the only one of {len(ranked)} stages whose map accounts for the whole logit; the others "
            f"miss {least:.0%} of it and more."
        )
    among = "stages that account for the whole logit" if first.unaccounted <= COMPLETE_WITHIN else "stages"
    rival = others[0]
    return (
        f"{first.layer} has the best mean rank of the {among} over completeness, cell size, gain and stability: "
        f"{first.mean_rank:.2f}, the next is {rival.layer} with {rival.mean_rank:.2f}."
    )


def _noisy(images: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((NOISY_COPIES, *images.shape[1:]), generator=generator).to(images)
    return images + NOISE_SHARE * (images.max() - images.min()) * noise


def _maps(
    model: nn.Module, modules: Mapping[str, nn.Module], images: Tensor, target: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Return the HiResCAM of every image at each layer, (N, *grid), with activations and logits of the same pass."""
    nodes, logits = cut_forward(model, modules, images)
    ((_, gradients),) = gradients_at(nodes, logits, [target])
    held = {name: node.detach().float() for name, node in nodes.items()}
    maps = {name: hirescam(held[name], gradients[name])[:, 0] for name in modules}
    return maps, held, logits.detach().float()


def _resolution(grid: Sequence[int], size: Sequence[int], spacing_mm: Sequence[float | None] | None) -> dict[str, Any]:
    edges = [whole / cells for whole, cells in zip(size, grid, strict=True)]
    known = [None] * len(edges) if spacing_mm is None else list(spacing_mm)
    in_mm = [edge * step for edge, step in zip(edges, known, strict=True) if step is not None]
    return {
        "cell_pixels": float(np.exp(np.mean(np.log(edges)))),
        "cell_mm": float(np.exp(np.mean(np.log(in_mm)))) if len(in_mm) == len(edges) else None,
    }


def _unaccounted(
    model: nn.Module, module: nn.Module, image: Tensor, activations: Tensor, values: Tensor, logits: Tensor, target: int
) -> float:
    """Return the completeness residual, relative to what the activations add to the logit."""
    index = torch.zeros(1, dtype=torch.long, device=image.device)
    empty = replayed(model, module, image, torch.zeros_like(activations), index, 1)
    added = float(logits[target] - empty[0, target])
    return abs(float(values.double().sum()) - added) / max(abs(added), 1e-12)


def _faithfulness(model: nn.Module, image: Tensor, values: Tensor, target: int) -> dict[str, Any]:
    curves = deletion_insertion(image, values, target, lambda images: logits_of(model, images, CURVES.batch), CURVES)
    return {"gain": curves.between.excess, "p_value": curves.between.p_value}


def _stability(maps: Tensor) -> float | None:
    clean, *noisy = (one.double().cpu().numpy() for one in maps)
    found = [spearman(clean, one) for one in noisy]
    known = [one for one in found if one is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def _ranked(found: Sequence[LayerEvidence]) -> tuple[LayerEvidence, ...]:
    """Return the layers by the mean of their ranks, smallest first; what is not known ranks last.

    Layers that account for the whole logit do so equally well: what they miss is rounding.
    """
    worst = math.inf
    columns = [
        [max(one.unaccounted, COMPLETE_WITHIN) for one in found],
        [one.cell_pixels for one in found],
        [worst if one.gain is None else -one.gain for one in found],
        [worst if one.stability is None else -one.stability for one in found],
    ]
    means = np.mean([rankdata(column) for column in columns], axis=0)
    order = sorted(
        range(len(found)), key=lambda place: (found[place].unaccounted > COMPLETE_WITHIN, means[place], -place)
    )
    return tuple(
        replace(found[place], rank=rank, mean_rank=float(means[place])) for rank, place in enumerate(order, start=1)
    )
