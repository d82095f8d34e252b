r"""What an explanation method is, and what it may ask of the model.

A method of the CAM family is a pure function of activations and gradients at one layer. Every other method gets a
`Request`: the model behind a few functions, so that no method touches hooks, modes or gradients of parameters itself.
Every method returns signed maps (N, T, \*grid), one per image and target, before any rectification or normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from audit_pipeline.registry import Registry

CamFunction = Callable[[Tensor, Tensor], Tensor]
Kind = Literal["cam", "layer", "input", "attention"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explainer:
    r"""One method with what the reader of a report must know about it.

    Attributes
    ----------
    kind : "cam": ``function(activations (N, C, \*S), gradients (N, T, C, \*S)) -> (N, T, \*S)``, from the one pass that
        all share; "layer": ``function(Request)`` with maps on the grid of the layer; "input": with maps on the grid of
        the image; "attention": with maps on the grid of tokens
    unit : what a value means, "logit" or another unit in words
    passes : what it costs beyond the shared pass, in words
    caution : what must be printed wherever the map appears
    defaults : its settings and their default values
    """

    name: str
    kind: Kind
    function: Callable[..., Tensor]
    sentence: str
    reference: str
    unit: str = "logit"
    passes: str = "none"
    caution: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    r"""What a method beside the CAM family may ask.

    Attributes
    ----------
    model : in evaluation mode; its parameters need no gradients and must get none
    images : (N, C, \*S) on the device of the model
    targets : class indices, the columns of the result
    logits : (N, K) of the shared pass
    layer : name of the target layer; activations : (N, C', \*S') at it, detached
    logits_of : images (M, C, \*S) -> logits (M, K), without a graph, in batches of `batch`
    differentiable : images (M, C, \*S) -> logits (M, K), with a graph back to the images
    at_layer : images (M, C, \*S) -> (activations (M, C', \*S'), gradients (M, T, C', \*S')) at the target layer
    replay : activations (M, C', \*S'), index of the image each belongs to (M,) -> logits (M, K): what the model answers
        when the layer gives these activations instead
    seed : of everything that draws random numbers; never the global state
    settings : the method's own, see ``Explainer.defaults``
    """

    model: nn.Module
    images: Tensor
    targets: tuple[int, ...]
    logits: Tensor
    layer: str
    activations: Tensor
    logits_of: Callable[[Tensor], Tensor]
    differentiable: Callable[[Tensor], Tensor]
    at_layer: Callable[[Tensor], tuple[Tensor, Tensor]]
    replay: Callable[[Tensor, Tensor], Tensor]
    batch: int
    seed: int
    settings: Mapping[str, Any]


EXPLAINERS: Registry[Explainer] = Registry("explainer", group="audit_pipeline.explainers")
"""Every method by name; `methods` registers those of this package."""
