"""Where the cells of the explained layer look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from audit_pipeline.explain.forward import eager, like_the_model
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explaining.measures import Subject

Facts = dict[str, Any]


def field_facts(subject: Subject, layer: str, spacing_mm: Sequence[float | None]) -> Facts:
    """Return stride and receptive field of the cells of a layer, in pixels of the model input and in mm."""
    network = eager(subject.network)
    found = receptive_fields(network, layer, like_the_model(network, subject.image[None]), seed=subject.seed)
    in_mm = {f"{what}_mm": found.in_mm(spacing_mm, what) for what in ("stride", "offset", "theoretical", "effective")}
    return asdict(found) | in_mm
