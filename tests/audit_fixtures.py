"""A tiny model and tiny studies, enough to run the whole audit in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from audit_pipeline.card import read_card
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.models.networks import build_network
from audit_pipeline.models.weights import digest_of

AFFINE = np.array([[0, 0, 2.0, -30], [0, 2.5, 0, -40], [3.0, 0, 0, 10], [0, 0, 0, 1]])

BARE = {"pdf": "none", "html": "none"}
"""No reports: they are two thirds of the cost of a tiny audit; for tests that do not read them."""


def tiny_card(folder: Path, **change: Any) -> dict[str, Any]:
    """Write seeded weights of a small 3D network and return the card that pins them."""
    card = {
        "name": "tiny net",
        "version": "1",
        "task": "multiclass",
        "classes": ["clear", "nodule"],
        "thresholds": {"nodule": 0.5},
        "spatial_dims": 3,
        "input": {
            "orientation": "HPL",
            "spacing_mm": [3, 3, 3],
            "size": [24, 24, 24],
            "intensity": {"window": {"center": -600, "width": 1500}},
        },
        "network": {"name": "densenet", "args": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}},
        "weights": {"path": str(folder / "tiny.safetensors"), "sha256": "0" * 64},
    } | change
    if card.get("network"):
        torch.manual_seed(4)
        network = build_network(read_card(card))
        place = folder / f"tiny-{card['spatial_dims']}d.safetensors"
        save_file(network.state_dict(), place)
        card["weights"] = {"path": str(place), "sha256": digest_of(place)}
    return card


def tiny_volume(seed: int) -> np.ndarray:
    """A body of water in air with a bright ball somewhere, HU."""
    draw = np.random.default_rng(seed)
    z, y, x = np.indices((26, 30, 32))
    values = np.full(z.shape, -1000.0)
    values[((y - 15) / 12) ** 2 + ((x - 16) / 13) ** 2 < 1] = 0
    centre = draw.integers(8, 18, 3)
    values[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 12] = 60
    return (values + draw.normal(0, 10, values.shape)).astype(np.float32)


def write_studies(folder: Path, count: int) -> Path:
    """Write `count` NIfTI studies called study-0.nii.gz, study-1.nii.gz, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        content = nifti_bytes(tiny_volume(seed), AFFINE, (3.0, 2.5, 2.0))
        (folder / f"study-{seed}.nii.gz").write_bytes(content)
    return folder


def configuration(folder: Path, studies: Path, output: str = "run", **change: Any) -> dict[str, Any]:
    """Return a configuration over `studies` with the tiny model, writing to ``folder / output``."""
    return {
        "audit": {"name": "tiny audit", "intended_use": "tests", "level": "screen"},
        "input": {"paths": [str(studies)]},
        "model": {"card": tiny_card(folder)},
        "run": {"device": "cpu", "output": str(folder / output)},
    } | change
