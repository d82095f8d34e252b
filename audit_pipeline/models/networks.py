"""Networks by name: MONAI's 2D and 3D classifiers, those built around its encoders, and those of other packages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from audit_pipeline.card import ModelCard
from audit_pipeline.errors import ConfigError, ModelError
from audit_pipeline.registry import Registry, unknown_name

Factory = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One architecture. `classes`, `channels` and `size` name the keywords that take their numbers from the card.

    size : of the input; "" where the network takes any size
    """

    name: str
    sentence: str
    attribute: str
    classes: str = "out_channels"
    channels: str = "in_channels"
    size: str = ""

    def factory(self) -> Factory:
        """Return the constructor; importing it is what costs time, so listing does not."""
        module, _, attribute = self.attribute.rpartition(".")
        factory: Factory = getattr(importlib.import_module(module), attribute)
        return factory


NETWORKS: Registry[Network] = Registry("network", group="audit_pipeline.networks")

_MONAI = "monai.networks.nets."
for _name, _sentence, _classes, _channels in (
    ("densenet", "DenseNet with free widths and blocks", "out_channels", "in_channels"),
    ("densenet121", "DenseNet-121", "out_channels", "in_channels"),
    ("densenet169", "DenseNet-169", "out_channels", "in_channels"),
    ("resnet", "ResNet with free blocks and widths", "num_classes", "n_input_channels"),
    ("resnet10", "ResNet-10", "num_classes", "n_input_channels"),
    ("resnet18", "ResNet-18", "num_classes", "n_input_channels"),
    ("resnet34", "ResNet-34", "num_classes", "n_input_channels"),
    ("resnet50", "ResNet-50", "num_classes", "n_input_channels"),
    ("seresnet50", "SE-ResNet-50", "num_classes", "in_channels"),
):
    _attribute = {"densenet": "DenseNet", "resnet": "ResNet", "seresnet50": "SEResNet50"}.get(_name, _name)
    NETWORKS.add(
        _name,
        Network(
            name=_name,
            sentence=f"{_sentence}, 2D and 3D (MONAI)",
            attribute=_MONAI + _attribute,
            classes=_classes,
            channels=_channels,
        ),
    )

_OURS = "audit_pipeline.models.transformers."
NETWORKS.add(
    "vit",
    Network(
        name="vit",
        sentence="Vision transformer with class token, 2D and 3D (MONAI)",
        attribute=_OURS + "vit",
        classes="num_classes",
        size="img_size",
    ),
)
NETWORKS.add(
    "swin",
    Network(
        name="swin",
        sentence="Swin Transformer with norm, mean over tokens and linear head, 2D and 3D (MONAI's encoder)",
        attribute=_OURS + "SwinClassifier",
        classes="num_classes",
    ),
)


def build_network(card: ModelCard) -> nn.Module:
    """Return the untrained network that a card names; dimensions, channels and classes come from the card.

    Raises
    ------
    ConfigError
        The name is unknown, or an argument is not one of the network's.
    ModelError
        The network refuses its arguments.
    """
    assert card.network is not None
    network = NETWORKS[card.network.name]
    factory = network.factory()
    given = dict(card.network.args)
    fixed: dict[str, Any] = {
        "spatial_dims": card.spatial_dims,
        network.channels: card.channels,
        network.classes: len(card.classes),
    }
    if network.size:
        fixed[network.size] = card.network_size
    for name in fixed:
        if name in given:
            raise ConfigError(f"model.network.args.{name}: the card's own fields already say this; remove it")
    _require_known(factory, given, network.name)
    try:
        return factory(**fixed, **given)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(f"network {network.name!r} cannot be built from the card: {error}") from error


def describe(network: Network) -> Mapping[str, Any]:
    """Return keyword -> default of a network's constructor; imports it."""
    parameters = inspect.signature(network.factory()).parameters.values()
    return {one.name: None if one.default is inspect.Parameter.empty else one.default for one in parameters}


def _require_known(factory: Factory, given: Mapping[str, Any], name: str) -> None:
    parameters = inspect.signature(factory).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            raise ConfigError(f"model.network.args: {unknown_name(f'argument of {name}', key, list(parameters))}")
