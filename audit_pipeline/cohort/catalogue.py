"""The catalogue of the cohort: every check there is, in the order of the codes."""

from __future__ import annotations

from collections.abc import Mapping

from audit_pipeline.cohort import (  # noqa: F401 - importing a module registers its checks
    audit_value,
    background,
    calibration,
    drift,
    exclusions,
    leakage,
    maps,
    operating_point,
    precision,
    reference_standard,
    shortcuts,
    strata,
    subgroups,
)
from audit_pipeline.cohort.declare import COHORT_CHECKS, CohortCheck


def cohort_catalogue() -> Mapping[str, CohortCheck]:
    """Return every cohort check by its name, in the order of the codes."""
    return dict(sorted(COHORT_CHECKS.items(), key=lambda item: item[1].mode.code))
