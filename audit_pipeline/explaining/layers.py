"""What is known about the layers: the stages of the network ranked by evidence, and where the chosen one looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from audit_pipeline.explain.forward import eager, like_the_model
from audit_pipeline.explain.ranking import rank_layers
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explaining.measures import Subject

Facts = dict[str, Any]


def layer_facts(subject: Subject, target: int, spacing_mm: Sequence[float | None]) -> list[Facts]:
    """Return one stage per grid of the network, the best first."""
    found = rank_layers(subject.network, subject.image, target, spacing_mm=spacing_mm, seed=subject.seed)
    return [asdict(one) for one in found]


def field_facts(subject: Subject, layer: str, spacing_mm: Sequence[float | None]) -> Facts:
    """Return stride and receptive field of the cells of a layer, in pixels of the model input and in mm."""
    network = eager(subject.network)
    found = receptive_fields(network, layer, like_the_model(network, subject.image[None]), seed=subject.seed)
    in_mm = {f"{what}_mm": found.in_mm(spacing_mm, what) for what in ("stride", "offset", "theoretical", "effective")}
    return asdict(found) | in_mm
