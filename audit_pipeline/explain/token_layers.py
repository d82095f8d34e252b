"""Which layer of a transformer a map is taken from, and where its tokens lie.

Layers are chosen and grids are verified on seeded noise, not on the images: the answer belongs to the network and the
size of its input, and no study of a run can change it for the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from audit_pipeline.errors import LayerError
from audit_pipeline.explain.layers import CONVOLUTIONS
from audit_pipeline.explain.tokens import Seen, TokenGrid, graph_at, modules_seen, probe_grid, probe_sequence
from audit_pipeline.registry import unknown_name

SMALLEST_SHARE = 1e-6
"""Share of the gradient below which a token counts as not read."""

CANCELLED_SHARE = 1e-2
"""Share of |gradient x activation| below which its sum over channels counts as cancelled."""

WINDOWED = ("WindowAttention", "ShiftedWindowAttention")
"""MONAI's and torchvision's attention inside windows: tokens stay on a grid."""

ATTENTION_KINDS = ("SABlock", "MultiheadAttention", *WINDOWED)
"""MONAI's attention over all tokens, PyTorch's, and those in windows."""

LIBRARIES = ("monai.", "torch.nn.", "torchvision.")


@dataclass(slots=True)
class Inspection:
    """What was found out about one network at one size of its input, each thing once."""

    seen: tuple[Seen, ...]
    is_transformer: bool
    grids: dict[str, TokenGrid] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    chosen: dict[bool, Seen] = field(default_factory=dict)


_INSPECTED: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Inspection]] = WeakKeyDictionary()


def is_transformer(model: nn.Module, images: Tensor) -> bool:
    r"""Return whether tokens come last: attention, or a normalisation of a sequence, runs behind every convolution.

    images : (N, C, \*S); only shape, type and device are used
    """
    is_possible = any(
        _attention_kind(kind) or issubclass(kind, nn.LayerNorm) for kind in set(map(type, model.modules()))
    )
    return is_possible and inspected(model, images).is_transformer


def choose_token_layer(model: nn.Module, images: Tensor, batch: int, *, complete: bool = True) -> Seen:
    r"""Return the last layer of tokens whose patches the logits depend on and whose places are verified.

    Behind the last attention a head that reads only the class token gives every patch a gradient of zero, so such
    layers are passed over.

    Parameters
    ----------
    images : (N, C, \*S); only shape, type and device are used
    complete : whether to pass over layers in front of a layer normalisation, where gradient x activation cancels: the
        logit does not change when a token is scaled (Euler's theorem for degree 0)

    Raises
    ------
    LayerError
        No layer of tokens is read, or none can be placed in the image.
    """
    known = inspected(model, images)
    if complete not in known.chosen:
        known.chosen[complete] = _chosen(model, images, batch, complete=complete)
    return known.chosen[complete]


def _chosen(model: nn.Module, images: Tensor, batch: int, *, complete: bool) -> Seen:
    layers = _token_layers(model, images)
    reason = ", or a layer normalisation right behind it makes gradient x activation vanish" if complete else ""
    refusal = f"the logits do not depend on the places of any layer of tokens{reason}; name another layer or method"
    gradients = gradients_on_noise(model, layers, images)
    for one in reversed(layers):
        activations, gradient = gradients[one.name]
        if gradient is None or not bool((gradient != 0).any()) or (complete and _cancels(activations, gradient)):
            continue
        try:
            tokens = placed(model, one, images, batch)
        except LayerError as error:
            refusal = str(error)
            continue
        if reads_patches(tokens, gradient):
            return one
    raise LayerError(refusal)


def _token_layers(model: nn.Module, images: Tensor) -> list[Seen]:
    """Return the layers to choose from in the order of the network: grids of windows, or the stream of tokens."""
    kinds, seen = attention_kinds(model), inspected(model, images).seen
    grids = [one for one in seen if _has_grid(one, images)]
    if kinds & set(WINDOWED):
        _require_even(seen, grids, images)
        return grids
    stream = sequences(seen, "its layer")
    behind = seen.index(stream[-1])
    return [*stream, *(one for one in grids if seen.index(one) > behind and one.shape[1] > 1)]


def _require_even(seen: Sequence[Seen], grids: Sequence[Seen], images: Tensor) -> None:
    """Refuse an input whose sides the stages of the network pad, rather than fall back to a stage that fits."""
    extended = [
        one for one in seen if len(one.shape) == images.ndim and min(max(one.shape[2:]), max(one.shape[1:-1])) > 1
    ]
    if not extended or extended[-1] not in grids:
        sides = "x".join(map(str, images.shape[2:]))
        raise LayerError(
            f"the last grid of tokens does not tile an input of {sides} evenly, so its cells have no even places; "
            "use an input whose sides are multiples of the stride of the network, or name an earlier layer"
        )


def token_stages(model: nn.Module, images: Tensor, batch: int) -> tuple[str, ...]:
    r"""Return the layers of tokens to compare: blocks around an attention, and the one `choose_token_layer` takes.

    Those are left out whose places are not verified or not read by the logits, as behind the last attention of a
    network that reads its class token alone, and those where gradient x activation cancels. Of blocks inside each other
    the outermost counts.

    Parameters
    ----------
    images : (N, C, \*S); only shape, type and device are used

    Raises
    ------
    LayerError
        No layer of tokens is read, or none can be placed in the image.
    """
    chosen = choose_token_layer(model, images, batch)
    layers = _token_layers(model, images)
    around = [one for one in layers if _is_around_attention(model.get_submodule(one.name))]
    outermost = [one for one in around if not any(one.name.startswith(f"{other.name}.") for other in around)]
    gradients = gradients_on_noise(model, layers, images)
    compared = [one for one in layers if one == chosen or one in outermost]
    return tuple(one.name for one in compared if _is_usable(model, one, images, batch, *gradients[one.name]))


def _is_usable(
    model: nn.Module, one: Seen, images: Tensor, batch: int, activations: Tensor, gradient: Tensor | None
) -> bool:
    if gradient is None or not bool((gradient != 0).any()) or _cancels(activations, gradient):
        return False
    try:
        return reads_patches(placed(model, one, images, batch), gradient)
    except LayerError:
        return False


def _is_around_attention(module: nn.Module) -> bool:
    inside = [part for part in module.modules() if part is not module]
    return not _attention_kind(type(module)) and any(_attention_kind(type(part)) for part in inside)


def named_token_layer(model: nn.Module, name: str, images: Tensor, batch: int, *, complete: bool) -> Seen:
    """Return a layer of tokens by its name.

    Raises
    ------
    LayerError
        There is no such layer, its places contradict the probe or are not read, or gradient x activation cancels.
    """
    by_name = {one.name: one for one in inspected(model, images).seen if len(one.shape) in {3, images.ndim}}
    if name not in by_name:
        raise LayerError(unknown_name("layer of tokens", name, list(by_name)))
    one = by_name[name]
    tokens = placed(model, one, images, batch)
    activations, gradient = gradients_on_noise(model, [one], images)[name]
    is_read = gradient is not None and bool((gradient != 0).any()) and reads_patches(tokens, gradient)
    if gradient is None or not is_read or (complete and _cancels(activations, gradient)):
        reason = ", or a layer normalisation right behind it makes gradient x activation vanish" if complete else ""
        raise LayerError(
            f"the logits do not depend on the places of layer {name!r}{reason}; name another layer or method"
        )
    return one


def placed(model: nn.Module, seen: Seen, images: Tensor, batch: int) -> TokenGrid:
    r"""Return the verified grid of a layer's tokens; that of a sequence is probed where the sequence begins.

    images : (N, C, \*S); only shape, type and device are used

    Raises
    ------
    LayerError
        The position probe contradicts every grid that the layer could have.
    """
    known = inspected(model, images)
    begin = next(one for one in known.seen if one.shape == seen.shape) if len(seen.shape) == 3 else seen
    if begin.name in known.refusals:
        raise LayerError(known.refusals[begin.name])
    if begin.name not in known.grids:
        image = _noise(images)
        try:
            known.grids[begin.name] = (
                probe_sequence(model, begin.name, begin.shape[1], image, batch)
                if len(seen.shape) == 3
                else probe_grid(model, begin, image, batch)
            )
        except LayerError as error:
            known.refusals[begin.name] = str(error)
            raise
    return known.grids[begin.name]


def sequences(seen: Sequence[Seen], otherwise: str) -> list[Seen]:
    """Return the layers of the residual stream: those with the most frequent shape of a sequence of tokens.

    otherwise : the layer to offer where there is none

    Raises
    ------
    LayerError
        No layer returns a sequence.
    """
    shapes = [one.shape for one in seen if len(one.shape) == 3 and one.shape[1] > 1]
    if not shapes:
        raise LayerError(
            f"no layer returns a sequence of tokens (N, L, C); for convolutions use gradcam at {otherwise!r}"
        )
    stream = max(dict.fromkeys(shapes), key=shapes.count)
    return [one for one in seen if one.shape == stream]


def attention_kinds(model: nn.Module) -> set[str]:
    """Return which known kinds of attention a network holds."""
    return {kind for module in model.modules() if (kind := _attention_kind(type(module)))}


def full_attention(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return MONAI's blocks of attention over all tokens by name, in the order of the network."""
    return [(name, module) for name, module in model.named_modules() if _attention_kind(type(module)) == "SABlock"]


def _attention_kind(kind: type[nn.Module]) -> str:
    """Return which known attention a class is, or nothing; by name, so that no library is imported to find out."""
    known = (ancestor for ancestor in kind.__mro__ if ancestor.__module__.startswith(LIBRARIES))
    return next((one.__name__ for one in known if one.__name__ in ATTENTION_KINDS), "")


def inspected(model: nn.Module, images: Tensor) -> Inspection:
    """Return what was found out about a network at the size of these images; it grows with what is asked."""
    by_shape = _INSPECTED.setdefault(model, {})
    shape = tuple(images.shape[1:])
    if shape not in by_shape:
        noise = _noise(images)
        by_shape[shape] = Inspection(tuple(modules_seen(model, noise)), _tokens_come_last(model, noise))
    return by_shape[shape]


def _noise(images: Tensor) -> Tensor:
    """Return one seeded input (1, C, *S) of the type and on the device of the images."""
    return torch.randn(1, *images.shape[1:], generator=torch.Generator().manual_seed(0)).to(images)


def _tokens_come_last(model: nn.Module, image: Tensor) -> bool:
    ends: list[bool] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(module, CONVOLUTIONS):
            if isinstance(output, Tensor) and output.ndim == image.ndim and max(output.shape[2:]) > 1:
                ends.append(False)
        elif _attention_kind(type(module)) or (isinstance(output, Tensor) and output.ndim == 3 and output.shape[1] > 1):
            ends.append(True)

    kinds = (*CONVOLUTIONS, nn.LayerNorm)
    watched = [module for module in model.modules() if isinstance(module, kinds) or _attention_kind(type(module))]
    handles = [module.register_forward_hook(note) for module in watched]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return bool(ends) and ends[-1]


def _has_grid(seen: Seen, images: Tensor) -> bool:
    sides = images.shape[2:]
    if len(seen.shape) != images.ndim or max(seen.shape[2:]) == 1:
        return False
    return any(
        max(grid) > 1 and all(side % size == 0 for side, size in zip(sides, grid, strict=True))
        for grid in (seen.shape[2:], seen.shape[1:-1])
    )


def gradients_on_noise(
    model: nn.Module, layers: Sequence[Seen], images: Tensor
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return activation and gradient of a mixture of all logits at each layer, None where nothing depends on it."""
    found, logits = graph_at(model, [one.name for one in layers], _noise(images))
    if not logits.requires_grad:
        return {name: (values.detach(), None) for name, values in found.items()}
    mixture = (logits[0] * torch.arange(1, logits.shape[1] + 1, device=logits.device)).sum()
    gradients = torch.autograd.grad(mixture, list(found.values()), allow_unused=True)
    return {name: (values.detach(), one) for (name, values), one in zip(found.items(), gradients, strict=True)}


def reads_patches(tokens: TokenGrid, gradient: Tensor) -> bool:
    """Return whether a gradient at a layer reaches the patches, and not only the class tokens."""
    share = float(tokens.to_grid(gradient).abs().sum()) / float(gradient.abs().sum())
    return share > SMALLEST_SHARE


def _cancels(activations: Tensor, gradient: Tensor) -> bool:
    """Return whether gradient x activation sums to nothing over the channels of every token."""
    product = (gradient * activations).float()
    axes = (2,) if product.ndim == 3 else (1, product.ndim - 1)
    return any(
        float(product.sum(dim=axis).abs().sum()) <= CANCELLED_SHARE * float(product.abs().sum()) for axis in axes
    )
