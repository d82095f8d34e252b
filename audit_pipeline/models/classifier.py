"""A classifier ready to run: the network of a card with its weights, on a device, in evaluation mode."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard
from audit_pipeline.errors import ConfigError, ModelError
from audit_pipeline.models.networks import build_network
from audit_pipeline.models.weights import load_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """The network, where it runs, and what was asked for."""

    network: nn.Module
    card: ModelCard
    device: torch.device
    device_name: str
    weights_sha256: str


def load_classifier(card: ModelCard, *, device: str = "auto", allow_code: bool = False) -> Classifier:
    """Return the classifier of a card.

    Parameters
    ----------
    device : "auto" (a GPU when there is one), "cpu" or "cuda"
    allow_code : whether a Python factory named in the card may run

    Raises
    ------
    ModelError
        The network or its weights cannot be built as the card says, or the device is not there.
    ConfigError
        The card names a factory and code was not allowed.
    """
    place, name = choose_device(device)
    network = build_network(card) if card.factory is None else _from_factory(card, allow_code=allow_code)
    if card.weights is not None:
        load_weights(network, card.weights)
    if card.output is not None:
        network.register_forward_hook(LogitsEntry(card.output))
    return Classifier(
        network=network.to(place).eval(),
        card=card,
        device=place,
        device_name=name,
        weights_sha256="" if card.weights is None else card.weights.sha256,
    )


@dataclass(frozen=True, slots=True)
class LogitsEntry:
    """A forward hook that hands on one entry of what a network returns, so that its module names stay as they are.

    key : place in a tuple or list, or key of a mapping
    """

    key: str | int

    def __call__(self, _network: nn.Module, _inputs: object, output: object) -> Tensor:
        """Return the entry.

        Raises
        ------
        ModelError
            The output has no such entry, or it is not a tensor.
        """
        found: object = None
        if isinstance(output, Mapping):
            found, known = output.get(self.key), ", ".join(map(repr, output))
        elif isinstance(output, tuple | list):
            known = f"0 to {len(output) - 1}"
            if isinstance(self.key, int) and 0 <= self.key < len(output):
                found = output[self.key]
        else:
            raise ModelError(f"model.output: the network returns {type(output).__name__}, not a tuple; remove the key")
        if not isinstance(found, Tensor):
            what = "" if found is None else f" holds {type(found).__name__}, not logits;"
            raise ModelError(f"model.output: entry {self.key!r} of the network's output{what or ' is missing;'} "
                             f"its entries are {known}")  # fmt: skip
        return found


def choose_device(wanted: str) -> tuple[torch.device, str]:
    """Return the device and its name for the record; nothing falls back from a device that was asked for.

    Raises
    ------
    ModelError
        CUDA was asked for and there is no usable GPU.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ModelError("run.device is cuda, but PyTorch finds no usable GPU; use --device cpu or --device auto")
    if wanted == "cpu" or not has_gpu:
        return torch.device("cpu"), "cpu"
    return torch.device("cuda"), f"cuda ({torch.cuda.get_device_name()})"


def _from_factory(card: ModelCard, *, allow_code: bool) -> nn.Module:
    assert card.factory is not None
    if not allow_code:
        raise ConfigError(
            f"model.factory: {card.factory!r} would run Python code; review it, then start again with --allow-code"
        )
    module, colon, attribute = card.factory.partition(":")
    if not colon:
        raise ConfigError(f"model.factory: package.module:function is needed, found {card.factory!r}")
    try:
        factory: Callable[[], nn.Module] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model.factory: {card.factory!r} cannot be imported: {error}") from error
    network = factory()
    if not isinstance(network, nn.Module):
        raise ModelError(f"model.factory: {card.factory!r} returned {type(network).__name__}, not a torch.nn.Module")
    return network
