r"""A transformer with its layers of tokens on their grids, so that they are layers like those of any network.

A transformer hands tokens on as a sequence (N, L, C), perhaps with class tokens, or as a grid with the channels last.
`on_grids` wraps the model so that such a layer passes through a module of its own with activations (N, C, \*grid):
everything that works on the layer of a convolutional network, gradients, replays and proofs, then works on tokens. The
class tokens go past that module, as a skip connection does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from audit_pipeline.errors import LayerError
from audit_pipeline.explain.layers import find_layer
from audit_pipeline.explain.tail import tail_of
from audit_pipeline.explain.token_layers import gradients_on_noise, inspected, is_transformer, placed, reads_patches
from audit_pipeline.explain.tokens import Seen, TokenGrid, outputs_at
from audit_pipeline.registry import unknown_name


class OnGrids(nn.Module):
    r"""A model whose layers of tokens pass through a module on their grid: ``modules`` of name -> that module.

    Its input and its output are those of the model, whose modules carry a hook only while it runs.
    """

    def __init__(self, model: nn.Module, grids: Mapping[str, TokenGrid]) -> None:
        super().__init__()
        self.model, self.grids = model, dict(grids)
        self.places = nn.ModuleList(nn.Identity() for _ in grids)

    @property
    def modules_by_name(self) -> dict[str, nn.Module]:
        """The module of each layer whose output is (N, C, *grid)."""
        return dict(zip(self.grids, self.places, strict=True))

    def forward(self, images: Tensor) -> object:
        """Return what the model returns."""

        def through(module: nn.Module, tokens: TokenGrid) -> Callable[[nn.Module, object, Tensor], Tensor]:
            return lambda _module, _inputs, output: tokens.from_grid(module(tokens.to_grid(output)), output)

        handles = [
            self.model.get_submodule(name).register_forward_hook(through(module, self.grids[name]))
            for name, module in self.modules_by_name.items()
        ]
        try:
            return self.model(images)
        finally:
            for handle in handles:
                handle.remove()

    def tail(
        self, name: str, images: Tensor, activations: Tensor, logits: Tensor
    ) -> Callable[[Tensor, Tensor, int], Tensor] | None:
        r"""Return the network behind a layer as a function of activations on its grid; None as for `tail.tail_of`.

        It takes activations (M, C, \*grid), the index of the image each belongs to, and how many run at a time.
        """
        if name not in self.grids:
            return tail_of(self.model, name, images, activations, logits)
        tokens, output = self.grids[name], outputs_at(self.model, self.model.get_submodule(name), images)
        tail = tail_of(self.model, name, images, output, logits)
        if tail is None:
            return None
        return lambda given, index, batch: tail(tokens.from_grid(given.to(output.dtype), output[index]), index, batch)


def with_layers(
    model: nn.Module, names: Sequence[str], images: Tensor, batch: int
) -> tuple[nn.Module, dict[str, nn.Module]]:
    r"""Return the model, with layers of tokens on their grids, and the modules whose outputs are (N, C, \*grid).

    Raises
    ------
    LayerError
        A layer does not exist, or `on_grids` refuses it.
    """
    shown = on_grids(model, names, images, batch)
    tokens = {} if shown is None else shown.modules_by_name
    modules = {name: tokens[name] if name in tokens else find_layer(model, name, images) for name in names}
    return (model if shown is None else shown), modules


def on_grids(model: nn.Module, names: Sequence[str], images: Tensor, batch: int) -> OnGrids | None:
    r"""Return the model with those of the named layers on their grids that hold tokens; None where none does.

    Raises
    ------
    LayerError
        A layer does not exist, the position probe contradicts its grid, or the head reads no patch behind it.
    """
    if not is_transformer(model, images):
        return None
    by_name = {one.name: one for one in inspected(model, images).seen}
    grids: dict[str, TokenGrid] = {}
    for name in names:
        if not name or name not in dict(model.named_modules()):
            known = [one.name for one in by_name.values() if len(one.shape) in {3, images.ndim}]
            raise LayerError(unknown_name("layer", name, known))
        seen = by_name.get(name)
        if seen is None or len(seen.shape) not in {3, images.ndim}:
            continue  # the cut at the layer says what is wrong with it
        tokens = placed(model, seen, images, batch)
        if tokens.layout != "channels first":
            grids[name] = tokens
        _require_read(model, seen, tokens, images)
    return OnGrids(model, grids) if grids else None


def _require_read(model: nn.Module, one: Seen, tokens: TokenGrid, images: Tensor) -> None:
    """Refuse a layer whose class tokens alone are read; a gradient of zero everywhere is a blank map, and told so."""
    _, gradient = gradients_on_noise(model, [one], images)[one.name]
    if gradient is not None and bool((gradient != 0).any()) and not reads_patches(tokens, gradient):
        raise LayerError(
            f"the logits do not depend on the places of layer {one.name!r}: behind it the head reads only its class "
            "token; name an earlier layer"
        )
