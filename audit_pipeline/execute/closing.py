"""Closing a run: the tables, the cohort summary, the audit report, the chain over all files; and rendering it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit_pipeline.checks import catalogue, error_rates
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.record import Plan
from audit_pipeline.cohort.summary import summarise, worst_first
from audit_pipeline.config import AuditConfig
from audit_pipeline.execute.cohort import concluded, gathered
from audit_pipeline.load import NOTES
from audit_pipeline.pipeline import render
from audit_pipeline.records import Panel, Status
from audit_pipeline.report import ReportContext, render_audit, render_audit_html
from audit_pipeline.scales import Scale, Sign, cohort_scale, largest
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.store.ledger import write_ledger
from audit_pipeline.store.run_folder import RunFolder, timeless_run
from audit_pipeline.store.tables import findings_bytes, fmea_bytes, results_bytes
from audit_pipeline.study_record import ExplanationFacts, StudyRecord

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
    return close(folder, context, config, excluded=facts.get("counts", {}).get("excluded", 0))


def report_context(config: AuditConfig, run: Mapping[str, Any]) -> ReportContext:
    """Return what stands on every report of a run, from the configuration and the content of ``run.json``."""
    modes = [*(check.mode for check in catalogue().values()), *NOTES]
    modes += [check.mode for check in cohort_catalogue().values()]
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


def cohort_scales(records: Sequence[StudyRecord], sign: Sign) -> Mapping[tuple[str, int], Scale]:
    """Return, for every method and target class, one scale over the maps of all studies."""
    groups: dict[tuple[str, int], list[ExplanationFacts]] = {}
    for record in records:
        for facts in record.explanations:
            groups.setdefault((facts.method, facts.target), []).append(facts)
    return {
        key: cohort_scale(
            [largest(one.statistics.min, one.statistics.max, sign) for one in alike],
            [one.signal_floor for one in alike],
            sign=sign,
            unit=alike[0].unit,
            class_name=alike[0].target_name,
        )
        for key, alike in groups.items()
    }


def _render_again(folder: RunFolder, records: Sequence[StudyRecord], context: ReportContext) -> None:
    """Render the study reports that exist anew, because what the colours stand for is known only now."""
    for record in records:
        place = folder.study(record.study)
        has_pdf = (place / "report.pdf").exists()
        if record.status is Status.AUDITED and (has_pdf or (place / "report.html").exists()):
            sampled = frozenset({record.study} if has_pdf else ())
            for name, content in render(record, _panels(folder, record), context, sampled).items():
                folder.write(f"studies/{record.study}/{name}", content)


def _of_the_cohort(
    folder: RunFolder,
    records: Sequence[StudyRecord],
    context: ReportContext,
    config: AuditConfig,
    plan: Plan | None,
    outcomes: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """Return what the checks of the cohort say, or said when the run was closed."""
    known = folder.cohort() if plan is None else {}
    if "cohort_checks" in known and "fmea" in known:
        return {key: known[key] for key in ("cohort_checks", "fmea")}
    cohort = gathered(folder, records, plan or Plan(), config)
    planted = {code: rates.found for code, rates in error_rates().items()}
    return concluded(cohort, config, context.failure_modes, outcomes, planted)


def close(
    folder: RunFolder, context: ReportContext, config: AuditConfig, *, excluded: int, plan: Plan | None = None
) -> AuditResult:
    """Write everything that speaks of the whole cohort, and the chain over all files.

    plan : what was declared beforehand; None renders again what the checks of the cohort said before
    """
    records = worst_first(folder.records())
    if context.settings.scale == "class":
        context = replace(context, cohort_scales=cohort_scales(records, context.settings.sign))
        _render_again(folder, records, context)
    counts = {str(status): sum(record.status is status for record in records) for status in Status}
    counts = {"found": len(records) + excluded, **counts, "excluded": excluded}
    folder.write("results.parquet", results_bytes(records))
    folder.write("findings.parquet", findings_bytes(records))
    summary: dict[str, Any] = {**asdict(summarise(records)), "counts": counts}
    summary |= _of_the_cohort(folder, records, context, config, plan, summary["outcomes"])
    folder.write("fmea.csv", fmea_bytes(summary["fmea"]))
    cohort = json_bytes({"schema": COHORT_SCHEMA, **summary, "worst_first": [r.study for r in records]})
    folder.write("cohort.json", cohort)
    thumbnails = {one.study: panel for one in records[:MOST_THUMBNAILS] for panel in _panels(folder, one, most=1)}
    facts = {**folder.run(), "counts": counts}
    attached = {"cohort.json": cohort, "run.json": timeless_run(facts)}
    folder.write("report.pdf", render_audit(records, summary, thumbnails, context, attached))
    if context.settings.html != "none":
        pages = {one.study: f"studies/{one.study}/report.html" for one in records}
        pages = {study: page for study, page in pages.items() if (folder.path / page).exists()}
        folder.write("report.html", render_audit_html(records, summary, thumbnails, context, pages))
    folder.write_json("run.json", {**facts, "end": datetime.now(UTC).isoformat(timespec="seconds")})
    write_ledger(folder.path)
    return AuditResult(folder=folder.path, report=folder.report, counts=counts, records=tuple(records))
