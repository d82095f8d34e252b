"""The catalogue: every check there is, in the order of the codes."""

from __future__ import annotations

from collections.abc import Mapping

from audit_pipeline.checks import (  # noqa: F401 - importing a family registers its checks
    confidence,
    identity,
    intended,
    intensity,
    map_faith,
    map_location,
    map_shape,
    shift,
    slices,
)
from audit_pipeline.checks.declare import CHECKS, Check


def catalogue() -> Mapping[str, Check]:
    """Return every check by its name, in the order of the codes."""
    return dict(sorted(CHECKS.items(), key=lambda item: item[1].mode.code))
