"""What an embedded classifier is worth on phantoms it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.demo.examples import Example
from audit_pipeline.explain.engine import explain_batch


@dataclass(frozen=True, slots=True)
class Scores:
    """Logit differences in favour of a nodule, (N,), labels, pooled features (N, C), and distances of the peak.

    peak_cells : (N,) from the peak of the map to the nodule, in cells; NaN without a nodule
    """

    logits: Tensor
    labels: Tensor
    features: Tensor
    peak_cells: Tensor


def evidence(logits: Tensor) -> Tensor:
    """Return the logit in favour of a nodule: the only one, or the difference of the two."""
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def scores(network: nn.Module, given: Sequence[Example], card: ModelCard) -> Scores:
    """Return logits and features, and for every nodule the distance of the map's peak in cells."""
    logits, features, distances = [], [], torch.full((len(given),), torch.nan)
    target = len(card.classes) - 1
    for number, one in enumerate(given):
        maps = explain_batch(network, torch.from_numpy(one.values)[None], methods=["hirescam"], targets=[target])
        logits.append(evidence(maps.logits))
        features.append(maps.features)
        if one.centre is not None:
            values = maps.values["hirescam"][0, 0]
            peak = np.unravel_index(int(values.argmax()), values.shape)
            cells = [size / full for size, full in zip(values.shape, one.values.shape[1:], strict=True)]
            place = [(middle + 0.5) * cell - 0.5 for middle, cell in zip(one.centre, cells, strict=True)]
            distances[number] = float(np.abs(np.array(peak) - place).max())
    labels = torch.tensor([one.label for one in given])
    return Scores(torch.cat(logits), labels, torch.cat(features), distances)


def best_threshold(tuning: Scores) -> float:
    """Return the probability threshold with the largest Youden index on the tuning phantoms, midway in its range."""
    chances = torch.sigmoid(tuning.logits)
    cuts = torch.linspace(0.05, 0.95, 181)
    called = chances[None] >= cuts[:, None]
    sensitivity = called[:, tuning.labels].float().mean(1)
    specificity = (~called[:, ~tuning.labels]).float().mean(1)
    youden = sensitivity + specificity
    best = cuts[youden >= youden.max() - 1e-6]
    return round(float(best.median()), 3)


def performance(held_out: Scores, threshold: float) -> dict[str, Any]:
    """Return what the held-out phantoms say, as the card states it: AUROC with its 95 % interval and counts."""
    scores = held_out.logits.double().numpy()
    labels = held_out.labels.numpy()
    area = discrimination(scores.tolist(), labels.tolist())
    assert area.auroc is not None
    assert area.low is not None
    assert area.high is not None
    called = torch.sigmoid(held_out.logits).numpy() >= threshold
    return {
        "held_out_auroc": round(area.auroc, 4),
        "held_out_auroc_interval_95": [round(area.low, 4), round(area.high, 4)],
        "held_out_sensitivity": f"{int(called[labels].sum())}/{int(labels.sum())}",
        "held_out_specificity": f"{int((~called[~labels]).sum())}/{int((~labels).sum())}",
    }


def peaks_on_nodules(held_out: Scores, threshold: float) -> str:
    """Return of how many nodules that are called at `threshold` the peak of the map lies within one cell."""
    called = held_out.peak_cells[(torch.sigmoid(held_out.logits) >= threshold) & held_out.labels]
    return f"{int((called <= 1.0).sum())}/{len(called)}"
