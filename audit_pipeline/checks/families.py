"""The catalogue: every check there is, in the order of the codes."""

from __future__ import annotations

from collections.abc import Mapping

from audit_pipeline.checks import (  # noqa: F401 - importing a family registers its checks
    aggregation,
    artefacts,
    confidence,
    dependence,
    field_of_view,
    foreign,
    harmless,
    hounsfield,
    identity,
    intended,
    intensity,
    laterality,
    map_artefacts,
    map_claims,
    map_faith,
    map_geometry,
    map_layers,
    map_location,
    map_removal,
    map_shape,
    map_signal,
    map_symmetry,
    map_target,
    margins,
    model_input,
    panel,
    reliance,
    resolution,
    sharpness,
    shift,
    shift_image,
    siblings,
    slices,
    stability,
    stack,
    trust,
)
from audit_pipeline.checks.declare import CHECKS, Check


def catalogue() -> Mapping[str, Check]:
    """Return every check by its name, in the order of the codes."""
    return dict(sorted(CHECKS.items(), key=lambda item: item[1].mode.code))
