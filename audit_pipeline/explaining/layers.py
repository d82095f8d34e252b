"""Where the cells of the explained layer look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from audit_pipeline.explain.forward import eager, like_the_model
from audit_pipeline.explain.over_parts import OverParts, one_part
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explaining.measures import Subject

Facts = dict[str, Any]


def field_facts(subject: Subject, layer: str, spacing_mm: Sequence[float | None]) -> Facts:
    """Return stride and receptive field of the cells of a layer, in pixels of the model input and in mm.

    Of a network that reads an image in parts they are those within a part.
    """
    network = eager(subject.network)
    images = like_the_model(network, subject.image[None])
    if isinstance(network, OverParts):
        spacing_mm = network.cutting.spacing(spacing_mm)
        network, images = one_part(network, images)
    found = receptive_fields(network, layer, images, seed=subject.seed)
    in_mm = {f"{what}_mm": found.in_mm(spacing_mm, what) for what in ("stride", "offset", "theoretical", "effective")}
    return asdict(found) | in_mm
