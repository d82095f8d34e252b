"""Closing a run: the tables, the cohort summary, the audit report, the chain over all files; and rendering it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from audit_pipeline.checks import catalogue, error_rates
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.record import Plan
from audit_pipeline.cohort.summary import summarise, worst_first
from audit_pipeline.config import AuditConfig
from audit_pipeline.execute import story
from audit_pipeline.execute.clinical import identified
from audit_pipeline.execute.cohort import KEPT, concluded, described, gathered
from audit_pipeline.execute.record_checks import outcomes_of, record_findings, record_modes, rows_of, run_evidence
from audit_pipeline.load import NOTES
from audit_pipeline.records import Panel, Status
from audit_pipeline.rendering import render
from audit_pipeline.report import Aside, ReportContext, render_audit, render_audit_html
from audit_pipeline.scales import Scale, Sign, cohort_scale, largest
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.store.ledger import require_as_written, write_ledger
from audit_pipeline.store.run_folder import RunFolder, timeless_run
from audit_pipeline.store.tables import findings_bytes, fmea_bytes, results_bytes
from audit_pipeline.study_record import ExplanationFacts, StudyRecord

COHORT_SCHEMA = "audit-pipeline/cohort/1"
RUN_DIGITS = 12
RECORDED = ("record.json", "figures.npz", "traits.npz")
"""Files of a study that reports and statistics are drawn from."""

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
        The folder is not a finished run, a file that it would be drawn from is not as the run wrote it, or a clinical
        run has lost its linkage.
    """
    folder = RunFolder(run)
    require_as_written(run, *RECORDED, "run.json", "cohort.json")
    facts = folder.run()
    config = AuditConfig.model_validate(facts["configuration"])
    context = identified(report_context(config, facts), folder)
    records = folder.records()
    sampled = sampled_keys([record.study for record in records], config)
    for done, record in enumerate(records, 1):
        for name, content in render(record, _panels(folder, record), context, sampled).items():
            folder.write(f"studies/{record.study}/{name}", content)
        if on_progress:
            on_progress(done, len(records), f"{record.study} rendered")
    left_out = facts.get("left_out") or _unexplained(facts.get("counts", {}).get("excluded", 0))
    return close(folder, context, config, excluded=left_out, records=records)


def _unexplained(count: int) -> dict[str, int]:
    """Return the exclusions of a run that kept no reasons."""
    return {"no reason recorded": count} if count else {}


def report_context(config: AuditConfig, run: Mapping[str, Any]) -> ReportContext:
    """Return what stands on every report of a run, from the configuration and the content of ``run.json``."""
    modes = [*(check.mode for check in catalogue().values()), *NOTES]
    modes += [*(check.mode for check in cohort_catalogue().values()), *record_modes()]
    return ReportContext(
        run=sha256(json_bytes({key: run[key] for key in ("identity", "configuration")}))[:RUN_DIGITS],
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
    kept = {key: known[key] for key in KEPT if key in known}
    if len(kept) == len(KEPT):
        return kept
    declared = plan or Plan(groups=tuple(config.cohort.groups), claims=config.cohort.claims)
    cohort = gathered(folder, records, declared, config)
    planted = {code: rates.found for code, rates in error_rates().items()}
    found = concluded(cohort, config, context.failure_modes, outcomes, planted)
    return {**found, **described(cohort, records), **kept}


def close(
    folder: RunFolder,
    context: ReportContext,
    config: AuditConfig,
    *,
    excluded: Mapping[str, int],
    plan: Plan | None = None,
    records: Sequence[StudyRecord] | None = None,
) -> AuditResult:
    """Write everything that speaks of the whole cohort, and the chain over all files.

    excluded : reason -> studies that got no record
    plan : what was declared beforehand; None renders again what the checks of the cohort said before
    records : of all studies where they were read already, so that memory holds them once
    """
    records = worst_first(folder.records() if records is None else records)
    if context.settings.scale == "class":
        context = replace(context, cohort_scales=cohort_scales(records, context.settings.sign))
        _render_again(folder, records, context)
    counts = {str(status): sum(record.status is status for record in records) for status in Status}
    lost = sum(excluded.values())
    counts = {"found": len(records) + lost, **counts, "excluded": lost}
    facts = {**folder.run(), "counts": counts, "left_out": dict(excluded)}
    if plan is not None and story.is_changed(facts, config):
        facts["plan_changed"] = True
    of_the_record = record_findings(run_evidence(facts, records))
    facts["record_checks"] = rows_of(of_the_record)
    folder.write("results.parquet", results_bytes(records))
    folder.write("findings.parquet", findings_bytes(records))
    found = summarise(records)
    summary: dict[str, Any] = {**asdict(found), "counts": counts}
    outcomes = {**summary["outcomes"], **outcomes_of(of_the_record)}
    summary |= _of_the_cohort(folder, records, context, config, plan, outcomes)
    summary |= story.told(records, found, facts, excluded)
    summary["reviews"] = story.reviewed(folder, records, context.failure_modes)
    folder.write("fmea.csv", fmea_bytes(summary["fmea"]))
    _write_reports(folder, records, summary, context, facts)
    folder.write_json("run.json", {**facts, "end": datetime.now(UTC).isoformat(timespec="seconds")})
    write_ledger(folder.path)
    return AuditResult(folder=folder.path, report=folder.report, counts=counts, records=tuple(records))


def _write_reports(
    folder: RunFolder,
    records: Sequence[StudyRecord],
    summary: Mapping[str, Any],
    context: ReportContext,
    facts: Mapping[str, Any],
) -> None:
    """Write ``cohort.json`` and the audit report drawn from it, for paper and for a browser."""
    cohort = json_bytes({"schema": COHORT_SCHEMA, **summary, "worst_first": [one.study for one in records]})
    folder.write("cohort.json", cohort)
    attached = {"cohort.json": cohort, "run.json": timeless_run(facts)}
    drawn_from = json.loads(cohort)
    with TemporaryFile(dir=folder.path) as file:  # beside the slices themselves: no pixel leaves the run folder
        aside = Aside(file)
        small, large = story.pictures(folder, records, summary, _first_panel, aside)
        told = story.facts(facts, records, large, attached)
        folder.write("report.pdf", render_audit(records, drawn_from, small, context, attached, told))
        if context.settings.html != "none":
            pages = {one.study: f"studies/{one.study}/report.html" for one in records}
            pages = {study: page for study, page in pages.items() if (folder.path / page).exists()}
            page = render_audit_html(records, drawn_from, small, context, pages, told, aside.put)
            folder.write("report.html", page)


def _first_panel(folder: RunFolder, record: StudyRecord) -> tuple[Panel, ...]:
    return _panels(folder, record, most=1)
