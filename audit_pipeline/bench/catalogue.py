"""Every plant and every hand-written network: importing this module registers them. And the modes to measure."""

from __future__ import annotations

import importlib
import pkgutil

from audit_pipeline import bench
from audit_pipeline.bench.plants import PLANTS
from audit_pipeline.checks import catalogue
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.execute.record_checks import record_modes
from audit_pipeline.findings import FailureMode

__all__ = ["PLANTS", "failure_modes"]

for _found in pkgutil.iter_modules(bench.__path__):
    if _found.name.startswith(("plants_", "oracles_")):
        importlib.import_module(f"{bench.__name__}.{_found.name}")


def failure_modes() -> tuple[FailureMode, ...]:
    """Return the failure mode of every check: of a study, of a cohort and of the record."""
    of_studies = tuple(entry.mode for entry in catalogue().values())
    of_cohorts = tuple(entry.mode for entry in cohort_catalogue().values())
    return of_studies + of_cohorts + record_modes()
