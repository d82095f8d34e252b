"""The clinical profile: who was examined goes from headers to ``linkage.csv``, and from there to study reports only.

Nothing of it reaches a record, a table, a log, a file name or ``run.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from audit_pipeline.config import CLINICAL, AuditConfig
from audit_pipeline.errors import StoreError
from audit_pipeline.execute.plan import Plan, linkage
from audit_pipeline.load import PATIENT_FIELDS, patient_of
from audit_pipeline.report import ReportContext
from audit_pipeline.store.run_folder import RunFolder


def require_profile(run: Mapping[str, Any], config: AuditConfig) -> None:
    """Refuse to go on with a run under another profile than the one that it began with.

    Raises
    ------
    StoreError
        The run folder was begun with another profile.
    """
    begun = run["configuration"]["report"]["profile"]
    if begun != config.report.profile:
        raise StoreError(
            f"the run folder was begun with report.profile {begun}, and {config.report.profile} is asked for now; "
            "a run keeps its profile: choose another --output"
        )


def clinical_rows(planned: Plan, config: AuditConfig) -> list[dict[str, str]]:
    """Return the rows of ``linkage.csv``, in the clinical profile with who was examined, when and as which visit."""
    rows = linkage(planned)
    if config.report.profile != CLINICAL:
        return rows
    by_key = {one.key: one.source for one in planned.work}
    return [row | (patient_of(by_key[row["study"]]) if row["study"] in by_key else {}) for row in rows]


def identified(context: ReportContext, folder: RunFolder) -> ReportContext:
    """Return the context with who was examined in every study; as it is in the de-identified profile.

    Raises
    ------
    StoreError
        The run has no linkage, or one that does not tell it.
    """
    if context.profile != CLINICAL:
        return context
    rows = folder.linkage()
    if any(name not in row for row in rows.values() for name in PATIENT_FIELDS):
        raise StoreError(
            "linkage.csv of this run does not tell who was examined; audit again with the clinical profile"
        )
    shown = (*PATIENT_FIELDS, "name")
    return replace(context, identities={key: {name: row[name] for name in shown} for key, row in rows.items()})
