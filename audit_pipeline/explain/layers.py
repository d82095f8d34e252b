"""Which layer a map is taken from: candidates seen in one trial pass, the automatic choice, helpful refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from audit_pipeline.errors import LayerError
from audit_pipeline.registry import unknown_name

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module whose output has spatial extent.

    name : as in ``model.named_modules()``; channels, grid : shape of its output; calls : how often it ran in one pass;
    holds_convolution : whether it is or contains a convolution
    """

    name: str
    channels: int
    grid: tuple[int, ...]
    calls: int
    holds_convolution: bool


_CHOSEN: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], str]] = WeakKeyDictionary()


def candidates(model: nn.Module, images: Tensor) -> tuple[Candidate, ...]:
    """Return every module with a spatial output, in the order in which they finish one pass over the first image."""
    seen: dict[str, Candidate] = {}
    spatial = images.ndim - 2

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        holds = any(isinstance(part, CONVOLUTIONS) for part in module.modules())

        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == spatial + 2 and max(output.shape[2:]) > 1:
                calls = seen.pop(name).calls + 1 if name in seen else 1
                seen[name] = Candidate(name, output.shape[1], tuple(output.shape[2:]), calls, holds)

        return module.register_forward_hook(note)

    handles = [watch(name, module) for name, module in model.named_modules() if name]
    try:
        with evaluating(model), torch.no_grad():
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return tuple(seen.values())


def choose_layer(model: nn.Module, images: Tensor) -> str:
    """Return the last convolutional stage, its normalisation and activation included.

    That is the outermost module that finishes last among those holding a convolution, or the last module after it that
    keeps the same channels and grid. After the activation, Grad-CAM and HiResCAM agree for networks that pool globally
    and end in one linear layer; before it they do not, because the activation gates the gradient place by place.

    The choice is remembered per model and input shape, so a batch run pays for one trial pass.

    Raises
    ------
    LayerError
        No module has a convolution and a spatial output.
    """
    known = _CHOSEN.setdefault(model, {})
    shape = tuple(images.shape[1:])
    if shape not in known:
        seen = [one for one in candidates(model, images) if one.calls == 1]
        usable = [one for one in seen if one.holds_convolution]
        if not usable:
            raise LayerError(
                "no layer with a convolution keeps a spatial output for this input; name a layer in explain.layer "
                "or use a larger input"
            )
        stage = usable[-1]
        after = seen[seen.index(stage) :]
        alike = [one for one in after if (one.channels, one.grid) == (stage.channels, stage.grid)]
        known[shape] = alike[-1].name
    return known[shape]


def find_layer(model: nn.Module, name: str, images: Tensor) -> nn.Module:
    """Return the module called `name`.

    Raises
    ------
    LayerError
        There is no such module; the message lists the candidates with their channels and grid.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name in modules and name:
        return modules[name]
    seen = candidates(model, images)
    usable = [one for one in seen if one.holds_convolution]
    usable += [one for one in seen[-1:] if usable and not one.holds_convolution]
    listed = [f"{one.name} ({one.channels} channels, {'x'.join(map(str, one.grid))})" for one in usable]
    sentence = unknown_name("layer", name, [one.name for one in usable]).split(" Known:")[0]
    raise LayerError(f"{sentence} Candidates: {', '.join(listed)}")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and each back into its own mode afterwards, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        if any(mode for _, mode in modes):
            model.eval()
        yield
    finally:
        for module, mode in modes:
            if module.training != mode:
                module.training = mode
