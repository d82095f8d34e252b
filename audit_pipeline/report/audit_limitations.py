"""Limitations: what was not evaluable, too small, not calibrated or not measured, each from the numbers of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable

from audit_pipeline.findings import Outcome
from audit_pipeline.report import chapters, story_text, tables, text
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.audit_plan import limits
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import StudyRecord
from audit_pipeline.wording import counted

MOST_CODES = 12
GROUP_ROOM = 25 * mm
"""Of a page for a group to begin on it."""

SIZE_CHECKS = ("E15", "E02", "E17", "E18", "E16")
NOT_EVALUABLE, ERROR = str(Outcome.NOT_EVALUABLE), str(Outcome.ERROR)

Group = tuple[str, list[str]]


def chapter(
    records: Sequence[StudyRecord], summary: Summary, context: ReportContext, facts: AuditFacts
) -> list[Flowable]:
    """Return the chapter: groups of sentences, each group under its heading."""
    groups: list[Group] = [
        ("Not evaluable", [*_silent_checks(summary), *_silent_cohort_checks(summary), *_silent_gates(summary)]),
        ("Too small or left out", [*_small(summary)]),
        ("Not calibrated", [*_uncalibrated(records), *_unmeasured(summary, context)]),
        ("Not stated", [*_unstated(summary, context, facts)]),
        ("Not measured by an audit of this kind", list(story_text.NOT_MEASURED)),
    ]
    groups = [(title, lines) for title, lines in groups if lines]
    count = sum(len(lines) for _, lines in groups)
    items = chapters.opened("Limitations", "limitations", story_text.limitations_found(count))
    for title, lines in groups:
        rows = [(str(place), line) for place, line in enumerate(lines, 1)]
        heading = Heading(title, level=1)
        heading.keepWithNext = 0  # with it the whole group would move to the next page instead of going on there
        items += [CondPageBreak(GROUP_ROOM), heading, tables.pairs(rows, (8.0, 170.0))]
    return items


def _silent_checks(summary: Summary) -> Iterator[str]:
    """Yield the checks of single studies that could not answer, and those that broke down."""
    outcomes: Mapping[str, Mapping[str, int]] = summary.get("outcomes") or {}
    audited = int((summary.get("counts") or {}).get("audited", 0))
    for outcome, words in ((NOT_EVALUABLE, "not evaluable"), (ERROR, "broken down")):
        everywhere = [code for code, counts in outcomes.items() if audited and counts.get(outcome, 0) == audited]
        partly = {code: counts[outcome] for code, counts in outcomes.items() if 0 < counts.get(outcome, 0) < audited}
        if everywhere:
            yield f"Checks {words} in every audited study: {text.listed(sorted(everywhere), MOST_CODES)}."
        if partly:
            ranked = sorted(partly, key=lambda code: (-partly[code], code))
            named = [f"{code} in {partly[code]}" for code in ranked]
            yield f"Checks {words} in some of {audited} audited studies: {text.listed(named, MOST_CODES)}."


def _silent_cohort_checks(summary: Summary) -> Iterator[str]:
    for one in summary.get("cohort_checks") or ():
        if one["outcome"] in {NOT_EVALUABLE, ERROR}:
            yield f"{one['code']} {one['title']}: {one['message']}"
    if not summary.get("cohort_checks"):
        yield "The checks of the whole cohort did not run."


def _silent_gates(summary: Summary) -> Iterator[str]:
    for gate in summary.get("gates") or ():
        if gate["state"] == "not_evaluable":
            reason = str(gate["reason"]).rstrip(".") or "no interval"
            yield f"The promise \u201c{story_text.promise(gate)}\u201d could not be judged: {reason}."


def _small(summary: Summary) -> Iterator[str]:
    """Yield what is too small to judge, in the words of the checks that say so, and what was left out."""
    for code in SIZE_CHECKS:
        found = chapters.check(summary, code)
        if found is not None and found["outcome"] in {"note", "flag", "critical"}:
            yield f"{code} {found['title']}: {found['message']}"
    counts: Mapping[str, Any] = summary.get("counts") or {}
    lost = [f"{counts[name]} {name}" for name in ("refused", "failed", "excluded") if counts.get(name)]
    if lost:
        found = int(counts.get("found", 0))
        start = f"Of {counted(found, 'study', 'studies')} found: {text.listed(lost)}"
        yield f"{start}; the results are about the others."
    missing: Mapping[str, int] = (summary.get("flow") or {}).get("not_analysed") or {}
    if missing:
        named = [f"{count} {reason}" for reason, count in missing.items()]
        yield f"Audited but not analysed against a label: {text.listed(named)}."


def _uncalibrated(records: Sequence[StudyRecord]) -> Iterator[str]:
    """Yield how many measures had no clean studies of this site against which a flag is weighed."""
    limited: dict[str, list[bool]] = {}
    for record in records:
        for one in record.findings:
            if one.limit is not None and one.direction:
                limited.setdefault(one.code, []).append(one.calibrated)
    defaults = sorted(code for code, calibrated in limited.items() if not any(calibrated))
    if defaults:
        total = counted(len(limited), "measure with a limit", "measures with a limit")
        stands = "stands by its default limit" if len(defaults) == 1 else "stand by their default limits"
        yield (
            f"Of {total}, {len(defaults)} {stands} alone, without clean reference studies of this site that a flag is "
            f"weighed against: {text.listed(defaults, MOST_CODES)}."
        )


def _unmeasured(summary: Summary, context: ReportContext) -> Iterator[str]:
    """Yield the checks whose sensitivity the test bench did not measure."""
    rows = summary.get("fmea") or ()
    unknown = sorted(str(row["code"]) for row in rows if row["sensitivity"] is None)
    if unknown:
        modes = counted(len(unknown), "failure mode")
        yield f"The sensitivity of the check was not measured for {modes}: {text.listed(unknown, MOST_CODES)}."
    if context.disabled_checks:
        yield text.not_run(context.disabled_checks)


def _unstated(summary: Summary, context: ReportContext, facts: AuditFacts) -> Iterator[str]:
    plan = summary.get("plan") or {}
    if not summary.get("gates"):
        yield f"{story_text.NO_PLAN} {story_text.NO_PLAN_ADVICE}"
    if plan.get("is_changed"):
        yield story_text.PLAN_CHANGED
    if not context.intended_use.strip():
        yield "The intended use is not stated: audit.intended_use, or intended_use in the model card."
    if not limits(facts):
        yield "What the model may be applied to is not stated: allowed in the model card."
    if not str(facts.card.get("thresholds_from") or "").strip():
        yield "Where the operating points come from is not stated: thresholds_from in the model card."
    if not story_text.level_counts(summary, "Period"):
        yield "The period of the studies is not stated: the column period in the labels file."
