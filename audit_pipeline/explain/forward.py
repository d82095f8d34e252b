"""One forward pass with a cut at the target layer, and what else a method may run on the model.

The hook at the target layer detaches its output into a leaf and hands a copy of the leaf on, so that nothing before the
layer is remembered, the backward pass stops at the leaf, and no parameter receives a gradient. An in-place operation
after the layer works on the copy: activation and gradient always belong to the layer's own output.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError, LayerError

STACKED_ELEMENTS = 3_000_000
"""Elements of the gradients that are held at once, so that memory does not grow with the classes."""


def eager(model: nn.Module) -> nn.Module:
    """Return the module that does the work inside `torch.compile` and (Distributed)DataParallel.

    Hooks on a compiled graph make it compile again or are not called, and a replicated model has a layer per device:
    the same weights are run eagerly on one device instead.

    Raises
    ------
    ExplainError
        The model is a script, whose layers cannot be cut.
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            break
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise ExplainError("a scripted model has no layers that can be cut; give the Python module with its state_dict")
    return model


@contextmanager
def without_autocast() -> Iterator[None]:
    """Compute in the precision of the weights, in whatever autocast the caller is.

    A hook cannot tell which operations of the caller's model autocast would round, and the sums of a map must not be
    rounded to 8 bits.
    """
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def like_the_model(model: nn.Module, images: Tensor) -> Tensor:
    """Return images on the device and in the floating-point type of the model's first parameter."""
    parameter = next((one for one in model.parameters() if one.is_floating_point()), None)
    return images if parameter is None else images.to(parameter.device, parameter.dtype)


def cut_forward(model: nn.Module, modules: Mapping[str, nn.Module], images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    r"""Return the activations at each layer, (N, C, \*S), and the logits that hang on them, (N, K).

    The activations of the layer that runs first are a leaf; those of a later one hang on it where it depends on it.

    Raises
    ------
    LayerError
        A layer does not run, runs more than once, or has no spatial output.
    ExplainError
        The model returns no logits.
    """
    nodes: dict[str, Tensor] = {}

    def cutting(name: str) -> Callable[[nn.Module, object, object], Tensor]:
        def cut(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            _require_spatial(output, images, name, calls=2 if name in nodes else 1)
            assert isinstance(output, Tensor)
            torch.set_grad_enabled(mode=True)
            # a copy goes on, so that an in-place operation after the layer does not reach its activations
            nodes[name] = output.clone() if output.requires_grad else output.detach().clone().requires_grad_()
            return nodes[name].clone()

        return cut

    handles = [module.register_forward_hook(cutting(name)) for name, module in modules.items()]
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        for handle in handles:
            handle.remove()
    lacking = [name for name in modules if name not in nodes]
    if lacking:
        raise LayerError(f"layer {lacking[0]!r} does not run in a forward pass; name a layer that does")
    _require_logits(logits, images.shape[0])
    return nodes, logits


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
        hint = (
            "; it returns several things: name the one that holds the logits in model.output of the card, or give a "
            "module that returns it alone"
            if isinstance(logits, tuple | list | Mapping)
            else ""
        )
        raise ExplainError(f"the model must return logits of shape ({count}, K), found {found}{hint}")


def gradients_at(
    nodes: Mapping[str, Tensor], logits: Tensor, targets: Sequence[int]
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    r"""Yield which targets, and the gradient of their logits at each layer, (N, t, C, \*S) float32.

    So many targets at a time as fit into `STACKED_ELEMENTS`, in one traversal of the graph where every operation behind
    the layer has a batching rule, else one after the other. A target that does not use a layer has gradient 0 there,
    as one behind silent units has; `verification.reached` tells them apart.

    Raises
    ------
    LayerError
        No target uses a layer.
    """
    leaves = tuple(nodes.values())
    columns = logits[:, list(targets)].sum(dim=0)
    together = max(1, STACKED_ELEMENTS // sum(leaf.numel() for leaf in leaves))
    for start in range(0, len(targets), together):
        chunk = slice(start, min(start + together, len(targets)))
        found = _gradients(leaves, columns, chunk)
        unused = [name for name, one in zip(nodes, found, strict=True) if one is None]
        if unused:
            raise LayerError(f"the logits do not depend on layer {unused[0]!r}; name a layer between image and logits")
        yield (
            chunk,
            {name: one.transpose(0, 1).float() for name, one in zip(nodes, found, strict=True) if one is not None},
        )


def _gradients(leaves: Sequence[Tensor], columns: Tensor, chunk: slice) -> Sequence[Tensor | None]:
    """Return the gradients (t, N, C, *S) of the columns in `chunk`, None for a leaf that no column uses."""
    if not columns.requires_grad:
        return [None] * len(leaves)
    if chunk.stop - chunk.start > 1:
        rows = torch.eye(len(columns), dtype=columns.dtype, device=columns.device)[chunk]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an operation without a batching rule is slow and warns
                return torch.autograd.grad(
                    columns, leaves, rows, retain_graph=True, allow_unused=True, is_grads_batched=True
                )
        except (RuntimeError, Warning):
            pass
    rows_of = [torch.autograd.grad(column, leaves, retain_graph=True, allow_unused=True) for column in columns[chunk]]
    return [_stacked(leaf, [row[place] for row in rows_of]) for place, leaf in enumerate(leaves)]


def _stacked(leaf: Tensor, gradients: Sequence[Tensor | None]) -> Tensor | None:
    if all(one is None for one in gradients):
        return None
    return torch.stack([torch.zeros_like(leaf) if one is None else one for one in gradients])


def logits_of(model: nn.Module, images: Tensor, batch: int) -> Tensor:
    """Return the logits (M, K) of images (M, C, *S), float32, without a graph, `batch` at a time."""
    with torch.no_grad():
        return torch.cat([model(part).float() for part in torch.split(images, batch)])


def replayed(
    model: nn.Module, module: nn.Module, images: Tensor, activations: Tensor, index: Tensor, batch: int
) -> Tensor:
    """Return the logits (M, K) when `module` gives `activations` (M, C, *S) instead of its own output.

    index : (M,) the image each activation belongs to; paths that bypass the layer see that image
    """
    parts = []
    for chosen, given in zip(torch.split(index, batch), torch.split(activations, batch), strict=True):

        def substitute(_module: nn.Module, _inputs: object, output: Tensor, given: Tensor = given) -> Tensor:
            return given.to(output.dtype, copy=True)  # the next module may work in place

        handle = module.register_forward_hook(substitute)
        try:
            with torch.no_grad():
                parts.append(model(images[chosen]).float())
        finally:
            handle.remove()
    return torch.cat(parts)
