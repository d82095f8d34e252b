"""Small classifiers that learn a shortcut, and their clean twins: trained in seconds, the same weights every time.

Both see the same patients. For the first the cue goes with the nodule in nearly all of them, and is easier to see; for
the twin it is there at random, so that only the nodule helps. Whether a model really uses the cue is measured, not
assumed: its accuracy is taken where the cue says the opposite of the nodule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audit_pipeline.bench.trained_phantoms import HIGHEST, LOWEST, SHAPES, SPACINGS_MM, cued_image
from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Image, Mask

TRAINING_SEED, PROOF_SEED = 1_000_000, 2_000_000
CLASSES = ("clear", "nodule")
WIDTHS = (12, 24, 32)

RATE = 4e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How much is trained: patients, each with and without a nodule; passes over them; images per step.

    proof : new patients that the proof is made on
    """

    patients: int
    passes: int
    batch: int = 40
    proof: int = 100


EFFORTS = {2: Effort(patients=300, passes=14), 3: Effort(patients=240, passes=12, batch=16)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """Accuracy on new patients by how the cue goes with the nodule: as in training, at random, the other way round."""

    agreeing: float
    random: float
    opposing: float


class Small(nn.Module):
    """Three strided convolutions with batch normalisation, global maximum pooling and a linear head."""

    def __init__(self, axes: int) -> None:
        """Build the network for `axes` spatial axes."""
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[axes - 2]
        normalisation = (nn.BatchNorm2d, nn.BatchNorm3d)[axes - 2]
        layers: list[nn.Module] = []
        before = 1
        for width in WIDTHS:
            layers += [convolution(before, width, 3, stride=2, padding=1, bias=False), normalisation(width)]
            layers.append(nn.ReLU())
            before = width
        self.features = nn.Sequential(*layers)
        self.pool: nn.Module = (nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)[axes - 2](1)
        self.head = nn.Linear(before, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        values: Tensor = self.head(self.pool(self.features(images)).flatten(1))
        return values


def trained_card(dimensions: int) -> ModelCard:
    """Return the card of every trained model: the whole image on its own grid."""
    low, high = LOWEST[dimensions], HIGHEST[dimensions]
    scale = {"window": {"center": -300, "width": 1500}} if dimensions == 3 else {"range": {"low": low, "high": high}}
    section: dict[str, Any] = {
        "size": list(SHAPES[dimensions]), "spacing_mm": list(SPACINGS_MM[dimensions]), "intensity": scale,
    }  # fmt: skip
    if dimensions == 3:
        section["orientation"] = "HPL"
    return read_card({
        "name": f"shortcut bench {dimensions}D", "version": "1", "task": "multiclass", "classes": list(CLASSES),
        "thresholds": {CLASSES[1]: 0.5}, "spatial_dims": dimensions, "channels": 1, "input": section,
        "factory": "audit_pipeline.bench.trained_models:Small",
        "allowed": {"modality": ["DX"] if dimensions == 2 else ["CT"]},
    })  # fmt: skip


def cues_of(labels: Mask, agreement: float, random: np.random.Generator) -> Mask:
    """Return which studies bear the cue: that of the label in a share `agreement` of them, else the other."""
    return np.asarray(labels ^ (random.random(labels.size) >= agreement))


def labels_of(count: int) -> Mask:
    """Return alternating labels, half of them positive.

    >>> labels_of(4).tolist()
    [False, True, False, True]
    """
    return np.asarray(np.arange(count) % 2 == 1)


def inputs_of(images: Sequence[Image], card: ModelCard) -> Tensor:
    """Return the model inputs of images, (N, 1, *S)."""
    return torch.from_numpy(np.stack([prepare(one, card).values for one in images]))


def train(cue: str, dimensions: int, agreement: float, effort: Effort) -> nn.Module:
    """Return a network trained on patients whose cue agrees with the label in a share `agreement`.

    The result depends on the arguments alone: seeds are fixed, and one thread adds in one order.
    """
    random = np.random.default_rng([TRAINING_SEED, dimensions])
    labels = labels_of(2 * effort.patients)
    cued = cues_of(labels, agreement, random)
    images = [
        cued_image(cue, TRAINING_SEED + place // 2, dimensions, nodule=bool(label), cued=bool(one))
        for place, (label, one) in enumerate(zip(labels, cued, strict=True))
    ]
    inputs = inputs_of(images, trained_card(dimensions))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TRAINING_SEED + dimensions)
        return _fitted(Small(dimensions), inputs, torch.from_numpy(labels.astype(np.int64)), effort, random)


def _fitted(
    network: nn.Module, inputs: Tensor, labels: Tensor, effort: Effort, random: np.random.Generator
) -> nn.Module:
    """Return the network after training; both images of a patient stand in the same step."""
    pairs, step = len(labels) // 2, effort.batch // 2
    steps = effort.passes * (pairs // step)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    network.train()
    for _ in range(effort.passes):
        order = torch.from_numpy(random.permutation(pairs))
        for start in range(0, pairs - step + 1, step):
            chosen = torch.cat([2 * order[start : start + step], 2 * order[start : start + step] + 1])
            loss = functional.cross_entropy(network(inputs[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return network.eval()


def proof_of(network: nn.Module, cue: str, dimensions: int, effort: Effort) -> Proof:
    """Return the accuracy on new patients, each with the cue that agrees with the label and with the other."""
    labels = labels_of(effort.proof)
    card, shares = trained_card(dimensions), []
    for turned in (False, True):
        images = [
            cued_image(cue, PROOF_SEED + place, dimensions, nodule=bool(label), cued=bool(label) ^ turned)
            for place, label in enumerate(labels)
        ]
        with torch.inference_mode():
            called = network(inputs_of(images, card)).argmax(dim=1).numpy() == 1
        shares.append(float((called == labels).mean()))
    return Proof(agreeing=shares[0], random=sum(shares) / 2, opposing=shares[1])
