"""What a report needs beside the record: how the run was called, which software made it, how it should look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from audit_pipeline.config import ReportSection
from audit_pipeline.findings import FailureMode
from audit_pipeline.scales import Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportContext:
    """Facts of the run that stand on every report.

    Attributes
    ----------
    run : 12 hexadecimal digits that identify the run
    audit_name : name of the audit, as configured
    intended_use : what the model is for, in one sentence; "" when it was not stated
    profile : ``deidentified`` or ``clinical``, printed in words on each page
    versions : software name -> version
    settings : paper, colour map and opacity
    failure_modes : code -> metadata of the check, for titles and severities
    disabled_checks : codes or names of checks that the configuration switched off
    identities : study -> name of a field -> its text, for the clinical profile alone; empty in the de-identified one
    cohort_scales : (method, target class) -> scale of the class over the cohort; empty before a run is closed
    """

    run: str
    audit_name: str
    intended_use: str = ""
    profile: str = "deidentified"
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: ReportSection = field(default_factory=ReportSection)
    failure_modes: Mapping[str, FailureMode] = field(default_factory=dict)
    disabled_checks: tuple[str, ...] = ()
    identities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cohort_scales: Mapping[tuple[str, int], Scale] = field(default_factory=dict)

    @property
    def software(self) -> str:
        """Name and version of this product, for metadata."""
        return f"audit_pipeline {self.versions.get('audit-pipeline', '')}".strip()
