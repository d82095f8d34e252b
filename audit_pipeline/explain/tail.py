"""The network behind the target layer as a function of its own, so that a replay does not run the trunk again.

The forward pass is traced symbolically. Only the modules around the layer are looked into; everything else, branches
and loops on values included, stays one step of the trace. What follows the layer becomes the tail; what it needs from
before the layer, skip connections, is computed once and kept for each image. Every tail is verified on its own batch
before it is used, and refused (None) when it does not give the logits of the network itself.
"""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

TOLERANCE = 1e-5
"""Largest difference between the tail's logits and the network's, as a share of the largest logit."""


class _Tracer(fx.Tracer):
    """Look only into the modules that contain the layer."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - the name fx calls it by
        return not self._layer.startswith(f"{module_qualified_name}.")


@dataclass(frozen=True, slots=True)
class Tail:
    r"""What follows a layer.

    Attributes
    ----------
    model : whose modules and parameters are used; nothing is copied
    graph : of the tail; its inputs are the layer's output and `kept`
    kept : tensors of the trunk that bypass the layer, one entry per image along their first axis
    dtype : of the layer's output
    """

    model: nn.Module
    graph: fx.Graph
    kept: tuple[Tensor, ...]
    dtype: torch.dtype

    def logits(self, activations: Tensor, index: Tensor) -> Tensor:
        r"""Return logits (M, K), with a graph where gradients are on.

        Parameters
        ----------
        activations : (M, C, \*S), given as the layer's output; they stay unchanged
        index : (M,) the image each belongs to, for what bypasses the layer
        """
        # a copy, because the first step behind the layer may work in place
        given = activations.to(self.dtype, copy=True)
        run = fx.Interpreter(self.model, graph=self.graph).run
        return _tensor(run(given, *(kept[index] for kept in self.kept), enable_io_processing=False))

    def __call__(self, activations: Tensor, index: Tensor, batch: int) -> Tensor:
        """Return logits (M, K) float32 without a graph, `batch` at a time: the tail's `forward.replayed`."""
        with torch.no_grad():
            parts = zip(torch.split(activations, batch), torch.split(index, batch), strict=True)
            return torch.cat([self.logits(given, chosen).float() for given, chosen in parts])


def tail_of(model: nn.Module, layer: str, images: Tensor, activations: Tensor, logits: Tensor) -> Tail | None:
    r"""Return the network behind `layer`, or None when it cannot be had or does not give the same logits.

    Parameters
    ----------
    model : in evaluation mode
    images : (N, C, \*S)
    activations : (N, C', \*S') of the layer for these images; logits : (N, K) of the same pass

    Notes
    -----
    None is returned when the modules around the layer carry hooks or branch on values, when the layer runs other than
    once, or when the verification fails. While it traces, `torch.fx` replaces the call of every module of the process:
    no other thread may run a network meanwhile.
    """
    if not _is_plain(model, layer):
        return None
    try:
        with torch.no_grad():
            tail = _split(model, layer, images, activations.dtype)
            return tail if tail is not None and _gives(tail, activations, logits) else None
    except Exception:  # noqa: BLE001 - whatever a foreign forward raises under tracing, the full replay still works
        return None


def _is_plain(model: nn.Module, layer: str) -> bool:
    """Whether the modules around the layer run as their class says, without hooks that the trace would call or skip."""
    parts = layer.split(".")
    around = [model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts))]
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return not any("forward" in vars(module) or any(getattr(module, kind) for kind in hooks) for module in around)


def _split(model: nn.Module, layer: str, images: Tensor, dtype: torch.dtype) -> Tail | None:
    parameters = list(inspect.signature(type(model).forward).parameters.values())[2:]
    defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    graph = _Tracer(layer).trace(model, defaults)
    starts = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    if len(starts) != 1:
        return None
    behind = _behind(graph, starts[0])
    if not any(node.op == "output" for node in behind):
        return None
    tail, outside = _subgraph(graph, behind, starts[0])
    kept = _values(model, graph, outside, images)
    if any(not isinstance(value, Tensor) or value.shape[:1] != images.shape[:1] for value in kept):
        return None
    return Tail(model, tail, tuple(_tensor(value) for value in kept), dtype)


def _behind(graph: fx.Graph, start: fx.Node) -> set[fx.Node]:
    """Return the nodes that depend on `start`, without it."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if any(one is start or one in found for one in node.all_input_nodes):
            found.add(node)
    return found


def _subgraph(graph: fx.Graph, behind: set[fx.Node], start: fx.Node) -> tuple[fx.Graph, list[fx.Node]]:
    """Return the graph of the nodes `behind` the layer, and the nodes whose values it takes from the trunk.

    Constants and sizes are computed again in the tail: a size must be that of the batch given, not of the trunk's.
    """
    inside = set(behind)
    for node in reversed(list(graph.nodes)):
        if node not in inside and node is not start and _is_cheap(node) and any(user in inside for user in node.users):
            inside.add(node)
    outside = [
        node
        for node in graph.nodes
        if node not in inside and node is not start and any(user in inside for user in node.users)
    ]
    tail = fx.Graph()
    copies = {start: tail.placeholder("activations")}
    copies |= {node: tail.placeholder(f"kept_{place}") for place, node in enumerate(outside)}
    for node in graph.nodes:
        if node in inside:
            copies[node] = tail.node_copy(node, copies.__getitem__)
    return tail, outside


def _is_cheap(node: fx.Node) -> bool:
    """Whether the value is a parameter, or a size read from a tensor."""
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and node.args[0].op != "get_attr" and _is_cheap(node.args[0])
    is_size = node.target is getattr or (node.op == "call_method" and node.target in {"size", "dim"})
    return is_size or node.op == "get_attr"


def _values(model: nn.Module, graph: fx.Graph, wanted: list[fx.Node], images: Tensor) -> list[Any]:
    """Return what the nodes of the trunk give for `images`; nothing runs when nothing is wanted."""
    if not wanted:
        return []
    needed = set(wanted)
    for node in reversed(list(graph.nodes)):
        if any(user in needed for user in node.users):
            needed.add(node)
    trunk = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in needed:
            copies[node] = trunk.node_copy(node, copies.__getitem__)
    trunk.output(tuple(copies[node] for node in wanted))
    given = [images] if next(iter(graph.nodes)) in needed else []
    return list(fx.Interpreter(model, graph=trunk).run(*given, enable_io_processing=False))


def _gives(tail: Tail, activations: Tensor, logits: Tensor) -> bool:
    """Whether the tail gives the logits, also when images change their order and one comes twice."""
    count = len(activations)
    index = torch.arange(count, device=activations.device)
    allowed = max(TOLERANCE, 4 * torch.finfo(tail.dtype).eps) * logits.detach().float().abs().max()
    return all(
        bool(((tail(activations[order], order, len(order)) - logits[order].float()).abs() <= allowed).all())
        for order in (index, torch.cat([index.flip(0), index[:1]]))
    )


def _tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(type(value).__name__)
    return value
