"""Clean cases: phantoms that nothing was planted in, for the embedded models and for the hand-written networks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from audit_pipeline import demo
from audit_pipeline.bench.case import Case
from audit_pipeline.bench.oracles import ORACLES
from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.demo.examples import phantom_image
from audit_pipeline.models.classifier import Classifier, load_classifier
from audit_pipeline.records import Image, Scalar, StackFacts

EMBEDDED = {2: "cxr_2d", 3: "ct_3d"}
POOL = 24
"""Phantoms that cases with a hand-written network share; what is planted differs from case to case."""

HEADERS: dict[int, dict[str, Scalar]] = {
    2: {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientAge": "061Y", "BurnedInAnnotation": "NO"},
    3: {"BodyPartExamined": "CHEST", "PatientAge": "061Y", "SliceThickness": 2.5, "KVP": 120.0},
}
"""What a plain header says, by the number of axes; the fields are those that the loader keeps."""


def clean_case(seed: int, dimensions: int, network: str = "") -> Case:
    """Return a case without a fault.

    Parameters
    ----------
    network : name of a hand-written network; "" takes the embedded model and a phantom of its own
    """
    if network:
        image = _image(seed % POOL, dimensions)
        return Case(image=image, card=oracle_card(dimensions), network=ORACLES[network](dimensions), seed=seed)
    classifier = _embedded(dimensions)
    return Case(image=_image(seed, dimensions), card=classifier.card, network=classifier.network, seed=seed)


def oracle_card(dimensions: int) -> ModelCard:
    """Return the card of every hand-written network: the whole image in 64 x 64 pixels or 32 x 32 x 32 voxels."""
    window = {"window": {"center": -350, "width": 1300}}
    section: dict[str, Any] = {
        "size": [64, 64] if dimensions == 2 else [32, 32, 32],
        "spacing_mm": None,
        "intensity": {"percentile": {"low": 1, "high": 99}} if dimensions == 2 else window,
    }
    if dimensions == 3:
        section["orientation"] = "HPL"
    return read_card({
        "name": f"hand-written {dimensions}D", "version": "1", "task": "multiclass", "classes": ["absent", "present"],
        "spatial_dims": dimensions, "channels": 1, "input": section, "factory": "audit_pipeline.bench.oracles:reader",
        "allowed": {"modality": ["DX", "CR"] if dimensions == 2 else ["CT"]},
    })  # fmt: skip


@lru_cache(maxsize=2)
def _embedded(dimensions: int) -> Classifier:
    folder = Path(demo.__file__).parent / "weights"
    return load_classifier(read_card(folder / f"{EMBEDDED[dimensions]}.yaml"), device="cpu")


@lru_cache(maxsize=2 * POOL)
def _image(seed: int, dimensions: int) -> Image:
    image, _ = phantom_image(seed, dimensions)
    return replace(image, metadata=dict(HEADERS[dimensions]), stack=_stack(image) if dimensions == 3 else None)


def _stack(image: Image) -> StackFacts:
    step = float(np.linalg.norm(np.asarray(image.affine)[:3, 0]))
    return StackFacts(
        slices=image.shape[0], step_mm=step, residual_mm=0.0, largest_gap_ratio=1.0, smallest_gap_ratio=1.0
    )
