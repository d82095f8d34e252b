"""Closing a run: the tables, the cohort summary, the audit report, the chain over all files; and rendering it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit_pipeline.checks import catalogue
from audit_pipeline.cohort.summary import summarise, worst_first
from audit_pipeline.config import AuditConfig
from audit_pipeline.load import NOTES
from audit_pipeline.pipeline import render
from audit_pipeline.records import Panel, Status
from audit_pipeline.report import ReportContext, render_audit
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.store.ledger import write_ledger
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.store.tables import findings_bytes, results_bytes
from audit_pipeline.study_record import StudyRecord

COHORT_SCHEMA = "audit-pipeline/cohort/1"
RUN_DIGITS = 12
MOST_THUMBNAILS = 200
"""Pictures in the audit report, for the worst studies; their slices are held in memory at once."""

OnProgress = Callable[[int, int, str], None]
"""Called with the studies done, the studies to do, and a sentence about the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """How a run ended.

    counts : found, audited, refused, failed, excluded; found is the sum of the others
    exit_code : 0 when every study was audited, 1 when some were refused or failed
    """

    folder: Path
    report: Path
    counts: Mapping[str, int]
    records: tuple[StudyRecord, ...]

    @property
    def exit_code(self) -> int:
        """What the command line returns."""
        return 1 if self.counts["refused"] or self.counts["failed"] else 0


def render_reports(run: Path, on_progress: OnProgress | None = None) -> AuditResult:
    """Render every report of a run again, from the stored records alone: no model, no images.

    Raises
    ------
    StoreError
        The folder is not a finished run, or a record is damaged.
    """
    folder = RunFolder(run)
    facts = folder.run()
    config = AuditConfig.model_validate(facts["configuration"])
    context = report_context(config, facts)
    records = folder.records()
    sampled = sampled_keys([record.study for record in records], config)
    for done, record in enumerate(records, 1):
        for name, content in render(record, _panels(folder, record), context, sampled).items():
            folder.write(f"studies/{record.study}/{name}", content)
        if on_progress:
            on_progress(done, len(records), f"{record.study} rendered")
    return close(folder, context, excluded=facts.get("counts", {}).get("excluded", 0))


def report_context(config: AuditConfig, run: Mapping[str, Any]) -> ReportContext:
    """Return what stands on every report of a run, from the configuration and the content of ``run.json``."""
    modes = [*(check.mode for check in catalogue().values()), *NOTES]
    return ReportContext(
        run=sha256(json_bytes(run["identity"]))[:RUN_DIGITS],
        audit_name=config.audit.name,
        intended_use=config.audit.intended_use or run["model"]["intended_use"],
        profile=config.report.profile,
        versions=run["versions"],
        settings=config.report,
        failure_modes={mode.code: mode for mode in modes},
        disabled_checks=tuple(config.checks.disable),
    )


def sampled_keys(keys: Sequence[str], config: AuditConfig) -> frozenset[str]:
    """Return the k studies that ``sample:k`` prints: those with the smallest digest of their key."""
    if not config.report.pdf.startswith("sample:"):
        return frozenset()
    count = int(config.report.pdf.removeprefix("sample:"))
    return frozenset(sorted(keys, key=lambda key: sha256(key.encode()))[:count])


def _panels(folder: RunFolder, record: StudyRecord, *, most: int | None = None) -> tuple[Panel, ...]:
    place = folder.study(record.study) / "figures.npz"
    return read_figures(place, most=most) if record.status is Status.AUDITED else ()


def close(folder: RunFolder, context: ReportContext, *, excluded: int) -> AuditResult:
    """Write everything that speaks of the whole cohort, and the chain over all files."""
    records = worst_first(folder.records())
    counts = {str(status): sum(record.status is status for record in records) for status in Status}
    counts = {"found": len(records) + excluded, **counts, "excluded": excluded}
    folder.write("results.parquet", results_bytes(records))
    folder.write("findings.parquet", findings_bytes(records))
    summary = {**asdict(summarise(records)), "counts": counts}
    folder.write_json("cohort.json", {"schema": COHORT_SCHEMA, **summary, "worst_first": [r.study for r in records]})
    thumbnails = {one.study: panel for one in records[:MOST_THUMBNAILS] for panel in _panels(folder, one, most=1)}
    folder.write("report.pdf", render_audit(records, summary, thumbnails, context))
    facts = {**folder.run(), "counts": counts, "end": datetime.now(UTC).isoformat(timespec="seconds")}
    folder.write_json("run.json", facts)
    write_ledger(folder.path)
    return AuditResult(folder=folder.path, report=folder.report, counts=counts, records=tuple(records))
