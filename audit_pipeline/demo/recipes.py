"""What the embedded classifiers are, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from audit_pipeline.demo.chest_findings import FINDINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A model card without weights, and the course of training.

    crop : size of a crop on the prepared grid; crop_pairs, tune_pairs : twins per step; head_pairs : twins the head is
    fitted to; penalty : weight of misplaced evidence, in logits, beside the loss
    """

    card: dict[str, Any]
    crop: tuple[int, ...]
    crop_steps: int
    crop_pairs: int
    crop_rate: float
    head_pairs: int
    tune_steps: int
    tune_pairs: int
    tune_rate: float
    penalty: float


RECIPES: dict[str, Recipe] = {
    "ct_3d": Recipe(
        card={
            "name": "phantom nodule 3D",
            "version": "1.0",
            "task": "multiclass",
            "classes": ["clear", "nodule"],
            "spatial_dims": 3,
            "channels": 1,
            "input": {
                "orientation": "HPL",
                "spacing_mm": [3.5, 3.0, 3.0],
                "size": [80, 96, 112],
                "intensity": {"window": {"center": -350, "width": 1300}},
            },
            "network": {
                "name": "densenet",
                "args": {"init_features": 16, "growth_rate": 12, "block_config": [3, 4]},
            },
            "intended_use": "Demonstration on phantom chest CT: is there a nodule of 6 to 20 mm? Not for diagnosis.",
            "allowed": {"modality": ["CT"], "body_part": ["CHEST"]},
        },
        crop=(24, 32, 32),
        crop_steps=2500,
        crop_pairs=12,
        crop_rate=3e-3,
        head_pairs=200,
        tune_steps=700,
        tune_pairs=2,
        tune_rate=2e-4,
        penalty=0.5,
    ),
    "cxr_2d": Recipe(
        card={
            "name": "phantom nodule 2D",
            "version": "1.0",
            "task": "binary",
            "classes": ["nodule"],
            "spatial_dims": 2,
            "channels": 1,
            "input": {
                "spacing_mm": None,
                "size": [256, 256],
                "intensity": {"percentile": {"low": 1, "high": 99}},
            },
            "network": {
                "name": "densenet",
                "args": {"init_features": 16, "growth_rate": 12, "block_config": [3, 4, 4]},
            },
            "intended_use": (
                "Demonstration on phantom radiographs: is there a calcified nodule of 6 to 20 mm? Not for diagnosis."
            ),
            "allowed": {"modality": ["CR", "DX"], "body_part": ["CHEST"], "view": ["PA", "AP"]},
        },
        crop=(64, 64),
        crop_steps=3000,
        crop_pairs=16,
        crop_rate=3e-3,
        head_pairs=400,
        tune_steps=900,
        tune_pairs=8,
        tune_rate=3e-4,
        penalty=0.1,
    ),
}


SAMPLES: dict[str, Recipe] = {
    "findings_2d": Recipe(
        card={
            "name": "phantom findings 2D",
            "version": "1.0",
            "task": "multilabel",
            "classes": list(FINDINGS),
            "spatial_dims": 2,
            "channels": 1,
            "input": RECIPES["cxr_2d"].card["input"],
            "network": RECIPES["cxr_2d"].card["network"],
            "intended_use": (
                "Demonstration on phantom radiographs: which of five findings are there? Not for diagnosis."
            ),
            "allowed": RECIPES["cxr_2d"].card["allowed"],
        },
        crop=(),
        crop_steps=0,
        crop_pairs=0,
        crop_rate=0,
        head_pairs=0,
        tune_steps=2000,
        tune_pairs=16,
        tune_rate=2e-3,
        penalty=0,
    ),
    "slices_2d": Recipe(
        card={
            "name": "phantom nodule by slices",
            "version": "1.0",
            "task": "binary",
            "classes": ["nodule"],
            "spatial_dims": 2,
            "channels": 3,
            "input": {
                "orientation": "HPL",
                "spacing_mm": [2.5, 2.5],
                "size": [112, 128],
                "slices": "stack",
                "intensity": {"window": {"center": -350, "width": 1300}},
            },
            "aggregate": "topk",
            "topk": 2,
            "network": {
                "name": "densenet",
                "args": {"init_features": 16, "growth_rate": 12, "block_config": [3, 4]},
            },
            "intended_use": "Demonstration on phantom chest CT: is there a nodule of 6 to 20 mm? Not for diagnosis.",
            "allowed": {"modality": ["CT"], "body_part": ["CHEST"]},
        },
        crop=(48, 48),
        crop_steps=800,
        crop_pairs=16,
        crop_rate=3e-3,
        head_pairs=300,
        tune_steps=300,
        tune_pairs=10,
        tune_rate=5e-4,
        penalty=0.2,
    ),
}
"""The classifiers of the sample reports, which `make demo` does not need: one with several labels, one for slices."""


def card_text(card: Mapping[str, Any]) -> str:
    """Return an embedded card as it stands in its file."""
    body = yaml.safe_dump(dict(card), sort_keys=False, width=120)
    return f"# Written by audit_pipeline.demo.train and audit_pipeline.demo.references.\n{body}"
