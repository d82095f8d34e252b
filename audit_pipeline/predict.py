"""Stage 3b: logits, probabilities and the conclusion drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from audit_pipeline.card import ModelCard
from audit_pipeline.conclusion import conclude
from audit_pipeline.errors import ConfigError, ModelError
from audit_pipeline.records import Floats, Matrix, PartScores, Prediction, Task
from audit_pipeline.registry import unknown_name

BATCH_BYTES = 256 * 2**20
"""Model input of one forward pass stays below this, so that memory does not grow with the number of perturbations."""


def forward(network: nn.Module, device: torch.device, inputs: Floats) -> Matrix:
    """Return logits (N, K) float64 for prepared inputs (N, C, *S), in batches of bounded size.

    Raises
    ------
    ModelError
        The network does not return one row of logits per input.
    """
    per_input = max(1, int(inputs[0].nbytes))
    size = max(1, BATCH_BYTES // (per_input * 8))
    rows: list[Matrix] = []
    with torch.inference_mode():
        for start in range(0, len(inputs), size):
            batch = torch.from_numpy(np.array(inputs[start : start + size])).to(device)
            logits = network(batch)
            if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(batch):
                raise ModelError("the network must return one row of logits (N, K) per input")
            rows.append(logits.double().cpu().numpy())
    return np.concatenate(rows)


def probabilities(logits: Sequence[float], task: Task) -> tuple[float, ...]:
    """Return softmax for multiclass, sigmoid otherwise, in float64.

    >>> probabilities([0.0, 0.0], Task.MULTICLASS)
    (0.5, 0.5)
    """
    values = np.asarray(logits, dtype=np.float64)
    if task is Task.MULTICLASS:
        powers = np.exp(values - values.max())
        return tuple(float(value) for value in powers / powers.sum())
    return tuple(float(value) for value in 0.5 * (1 + np.tanh(values / 2)))


def predict(
    logits: Sequence[float],
    features: Sequence[float],
    card: ModelCard,
    device: str,
    *,
    parts: PartScores | None = None,
) -> Prediction:
    """Return the prediction that a row of logits stands for.

    Parameters
    ----------
    logits : (K,) in class order; they may be infinite or NaN, which check C08 then reports
    features : (C,) spatial means at the target layer
    parts : what the network said to the slices or windows that the logits are made of

    Raises
    ------
    ModelError
        The number of logits differs from the number of classes.
    """
    if len(logits) != len(card.classes):
        raise ModelError(
            f"the network returns {len(logits)} logits, the model card names {len(card.classes)} classes; "
            "correct classes or the network's number of outputs"
        )
    if not np.isfinite(logits).all():
        raise ModelError("the network returned logits that are not finite; run it in fp32 and check its weights")
    chances = probabilities(logits, card.task)
    return Prediction(
        task=card.task,
        classes=tuple(card.classes),
        logits=tuple(float(value) for value in logits),
        probabilities=chances,
        thresholds=dict(card.thresholds),
        predicted=conclude(card.classes, chances, card.thresholds, card.task),
        device=device,
        precision="fp32",
        features=tuple(float(value) for value in features),
        parts=parts,
    )


def part_scores(
    logits: Sequence[Sequence[float]],
    weights: Sequence[Sequence[float]],
    centres: Matrix,
    card: ModelCard,
    rule: str,
) -> PartScores:
    """Return what is kept of the slices or windows that the network read one by one.

    Parameters
    ----------
    logits : (P, K) of the parts; weights : (P, K), what each adds to the logit of the image
    centres : (P, n) source index of the centre of each part
    rule : how the logit of the image is made of them, in words
    """
    along = int(np.argmax(np.ptp(centres, axis=0))) if len(centres) > 1 else 0
    return PartScores(
        kind="slice" if card.input.slices else "window",
        rule=rule,
        logits={name: tuple(float(row[k]) for row in logits) for k, name in enumerate(card.classes)},
        counted={
            name: tuple(place for place, row in enumerate(weights) if row[k] > 0) for k, name in enumerate(card.classes)
        },
        centres=tuple(tuple(float(value) for value in centre) for centre in centres),
        axis=along if card.input.slices else None,
    )


def choose_targets(wanted: str | Sequence[str], logits: Sequence[float], card: ModelCard) -> tuple[int, ...]:
    """Return the classes to explain, most probable first.

    Parameters
    ----------
    wanted : "predicted", "all", "topN", or class names

    Raises
    ------
    ConfigError
        A name is not a class of the card, or the word is not one of the above.
    """
    order = sorted(range(len(card.classes)), key=lambda index: (-logits[index], index))
    if isinstance(wanted, str) and wanted.removeprefix("top").isdecimal() and wanted.startswith("top"):
        return tuple(order[: max(1, int(wanted.removeprefix("top")))])
    if wanted == "all":
        return tuple(order)
    if wanted == "predicted":
        chances = probabilities(logits, card.task)
        names: Sequence[str] = conclude(card.classes, chances, card.thresholds, card.task)
        return tuple(index for index in order if card.classes[index] in names) or (order[0],)
    names = [wanted] if isinstance(wanted, str) else wanted
    for name in names:
        if name not in card.classes:
            raise ConfigError(
                f"explain.targets: {unknown_name('class', name, card.classes)}; also predicted, all, topN"
            )
    return tuple(index for index in order if card.classes[index] in names)
