"""The chapters of the audit report about groups, changes, shortcuts, maps and detectors, from ``cohort.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer

from audit_pipeline.findings import Outcome
from audit_pipeline.report import (
    cohort_pages,
    cohort_text,
    group_charts,
    input_facts,
    layout,
    numbers,
    statistics_text,
    tables,
    text,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading

Row: TypeAlias = Mapping[str, Any]

MOST_FORESTS = 4
"""Classes with a forest of their own; the most positives first where there are more."""

MOST_LINES = 44
"""Of a forest on one page."""

MOST_CODES = 4
GRADES = ("1", "2", "3", "4", "5")
"""Of severity of a planted fault."""

LADDER_GROUPS = ("harmless", "corruption")


def reference_standard(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return what is known about the labels themselves."""
    return _of_checks("Reference standard", summary, ("E11", "E12"), "the labels")


def shortcuts(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return whether metadata or background tell the classes, and what the model says without the patient."""
    codes = ("E04", "E05", "E06", "E07")
    parts = _of_checks("Shortcuts", summary, codes, "shortcuts")
    taken = [one for one in _ladders(summary) if one["group"] == "falsification"]
    if not taken:
        return parts
    heading: list[Flowable] = [Heading("Answers without what matters, and without what should not", level=1)]
    return [*parts[:-1], *heading, *_steps(taken), tables.words(cohort_text.FALSIFICATION, "caption"), parts[-1]]


def strata(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return whether a kind of study that no column names fails."""
    return _of_checks("Hidden strata", summary, ("E03",), "hidden strata")


def independence(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return leakage, duplicates, sites, repeated patients and exclusions."""
    codes = ("E14", "A23", "E17", "E18", "E16")
    return _of_checks("Independence, sites and exclusions", summary, codes, "independence and exclusions")


def _of_checks(title: str, summary: Row, codes: Sequence[str], subject: str) -> list[Flowable]:
    checks = summary.get("cohort_checks") or ()
    words = cohort_text.how_ended(checks, codes, subject)
    found = [one for one in checks if one["code"] in codes]
    is_open = len(found) == 1 and found[0]["outcome"] == Outcome.NOT_EVALUABLE
    told = [] if is_open else cohort_pages.of_codes(summary, codes, tables_of=codes)
    return [Heading(title), tables.words(words, "body"), *told, _end()]


def cohort_checks(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return every check of the cohort in one table."""
    heading = Heading("Every check of the cohort")
    checks = summary.get("cohort_checks") or ()
    if not checks:
        return [heading, tables.words(cohort_pages.NO_CHECKS, "body"), _end()]
    words = tables.words(cohort_text.how_ended(checks, [str(one["code"]) for one in checks], "the cohort"), "body")
    return [heading, words, cohort_pages.overview(checks), tables.words(cohort_pages.EXPLORATORY, "caption"), _end()]


def fmea(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return the failure modes with severity, occurrence and detectability before and after."""
    rows = summary.get("fmea") or ()
    if not rows:
        heading = Heading("Failure modes and effects (FMEA)")
        return [heading, tables.words(cohort_text.NO_FMEA, "body"), _end()]
    heading, *table = cohort_pages.fmea_table(rows)
    return [heading, tables.words(cohort_text.fmea(rows), "body"), *table, _end()]


def subgroups(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return the forest of subgroups with its numbers, and what the comparisons found."""
    parts: list[Flowable] = [Heading("Subgroups")]
    statistics = summary.get("statistics") or {}
    rows = statistics.get("subgroups") or []
    if not any(row["column"] for row in rows):
        told = cohort_pages.of_codes(summary, ("E01", "E02"), tables_of=("E01",), is_answered=True)
        return [*parts, tables.words(cohort_text.no_groups(statistics), "body"), *told, _end()]
    parts.append(tables.words(cohort_text.subgroups(rows, summary.get("cohort_checks") or ()), "body"))
    by_class = {name: list(own) for name, own in groupby(rows, key=lambda row: str(row["question"]))}
    drawn = sorted(by_class, key=lambda name: -by_class[name][0]["positives"])[:MOST_FORESTS]
    for name in [one for one in by_class if one in drawn]:
        parts.append(Heading(name, level=1))
        parts += [group_charts.forest(part) for part in _pages(by_class[name])]
    parts.append(tables.words(cohort_text.forest_note(len(drawn), len(by_class)), "caption"))
    for name in [one for one in by_class if one in drawn]:
        parts += _numbers(name, by_class[name])
    return [*parts, *cohort_pages.of_codes(summary, ("E01", "E02"), tables_of=("E01",)), _end()]


def _pages(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of one class in parts that fit on a page, each after the row of the whole cohort."""
    parts: list[list[Row]] = [[rows[0]]]
    for _, own in groupby(rows[1:], key=lambda row: row["column"]):
        group = list(own)
        if len(parts[-1]) > 1 and len(parts[-1]) + len(group) > MOST_LINES:
            parts.append([rows[0]])
        parts[-1] += group
    return parts


def _numbers(name: str, rows: Sequence[Row]) -> list[Flowable]:
    head = ("Column", "Value", "Positive", "Negative", "Sensitivity", "Specificity", "AUROC")
    content = [
        [
            input_facts.field_name(str(row["column"])) if row["column"] else "all",
            str(row["level"]) or numbers.MISSING,
            numbers.number(row["positives"]),
            numbers.number(row["negatives"]),
            *(_rate(row[metric]) for metric in ("sensitivity", "specificity")),
            statistics_text.estimate(row["auroc"], decimals=3)
            if row["auroc"]["value"] is not None
            else numbers.MISSING,
        ]
        for row in rows
    ]
    title = tables.words(f"Groups of {name}", "head", limit=120)
    title.keepWithNext = 1
    made = cohort_pages.fitted(head, content, (2, 3))
    return [Spacer(1, 1.2 * mm), title, made]


def _rate(found: Row) -> str:
    return statistics_text.estimate(found) if found["n"] else numbers.MISSING


def robustness(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return what becomes of conclusions and of the AUROC when the input is changed harmlessly or mildly corrupted."""
    heading = Heading("Robustness")
    asked = [one for one in _ladders(summary) if one["group"] in LADDER_GROUPS]
    if not asked:
        return [heading, tables.words(cohort_text.NO_LADDER, "body"), _end()]
    parts: list[Flowable] = [heading, tables.words(cohort_text.ladders(asked), "body")]
    drawn = [one for one in asked if group_charts.is_drawn(one)]
    floor = group_charts.ladder_floor(drawn)
    charts = [group_charts.ladder(one, floor) for one in drawn]
    titles = [cohort_text.ladder_title(one) for one in drawn]
    for start in range(0, len(charts), 3):
        chosen = list(zip(titles, charts, strict=True))[start : start + 3]
        stacks: list[list[Flowable]] = [[tables.words(title, "head", limit=60), chart] for title, chart in chosen]
        parts.append(KeepTogether([layout.columns_mm(stacks, [56.0] * len(chosen), 5)]))
    return [*parts, *_steps(asked), tables.words(cohort_text.LADDER, "caption"), _end()]


def _ladders(summary: Row) -> list[Row]:
    return list((summary.get("statistics") or {}).get("ladders") or [])


def _steps(asked: Sequence[Row]) -> list[Flowable]:
    """Return a row per change of the input: what stays, and for the class that loses most its AUROC."""
    head = ("Change", "Amount", "Conclusion stays", "Class", "AUROC", "Difference", "n")
    rows = []
    for one in asked:
        for place, step in enumerate(one["steps"], start=1):
            worst = cohort_text.most_changed(step)
            rows.append(
                [
                    cohort_text.change(one, place),
                    cohort_text.amount(one, step),
                    statistics_text.estimate(step["stays"]),
                    str(worst["name"]) if worst else numbers.MISSING,
                    statistics_text.estimate(worst["auroc"], decimals=3) if worst else numbers.MISSING,
                    statistics_text.estimate(worst["difference"], decimals=3) if worst else numbers.MISSING,
                    numbers.number(worst["difference"]["n"] if worst else step["stays"]["n"]),
                ]
            )
    return [cohort_pages.fitted(head, rows, (6,))]


def drift(summary: Row, context: ReportContext) -> list[Flowable]:
    """Return how far the studies lie from the reference, and what changed between periods or from the baseline."""
    gauges = _gauges(summary, "B")
    checks = summary.get("cohort_checks") or ()
    words = f"{cohort_text.gauges(gauges)} {cohort_text.how_ended(checks, ('E13',), 'drift')}"
    parts: list[Flowable] = [Heading("Distribution and drift"), tables.words(words, "body")]
    return [*parts, *_spreads(gauges, context), *cohort_pages.of_codes(summary, ("E13",), tables_of=("E13",)), _end()]


def explanations(summary: Row, context: ReportContext) -> list[Flowable]:
    """Return how many maps passed their own tests, how large their evidence is, and what the map checks measured."""
    heading = Heading("Explanation quality")
    methods = (summary.get("statistics") or {}).get("maps") or []
    if not methods:
        return [heading, tables.words(cohort_text.NO_MAPS, "body"), _end()]
    head = (
        "Method",
        "Maps",
        "Passed their tests",
        "Critical",
        "Flag, error",
        "Blank",
        "Raised most",
        "Cells",
        "Peak",
    )
    rows = [
        [
            text.method(str(one["method"])),
            numbers.number(one["maps"]),
            statistics_text.estimate(one["passed"]),
            numbers.number(one["worst"].get("critical", 0)),
            numbers.number(one["worst"].get("flag", 0) + one["worst"].get("error", 0)),
            numbers.number(one["blank"]),
            cohort_text.codes(one["raised"], MOST_CODES),
            cohort_text.spread_words(one["positive_share"]),
            cohort_text.spread_words(one["peak"]),
        ]
        for one in methods
    ]
    parts: list[Flowable] = [heading, tables.words(cohort_text.maps(methods), "body")]
    parts += [cohort_pages.fitted(head, rows, (1, 3, 4, 5))]
    parts.append(tables.words(cohort_text.MAPS, "caption"))
    parts += _spreads(_gauges(summary, "D"), context)
    return [*parts, *cohort_pages.of_codes(summary, ("D26", "D27"), tables_of=("D26", "D27")), _end()]


def _gauges(summary: Row, family: str) -> list[Row]:
    found = (summary.get("statistics") or {}).get("gauges") or []
    return [one for one in found if str(one["code"]).startswith(family)]


def _spreads(gauges: Sequence[Row], context: ReportContext) -> list[Flowable]:
    """Return a row per check that gave an answer: how often it raised something, how its value is spread."""
    answered = [one for one in gauges if one["raised"]["n"]]
    if not answered:
        return []
    head = ("Code", "Check", "Raised", "Values", "5 %", "Median", "95 %", "Limit", "Spread and limit")
    rows: list[list[tables.Cell]] = []
    for one in answered:
        mode = context.failure_modes.get(str(one["code"]))
        low, middle, high = (one["quantiles"][place] if one["quantiles"] else None for place in (0, 2, 4))
        rows.append(
            [
                str(one["code"]),
                ", ".join(filter(None, [mode.title if mode else numbers.MISSING, str(one["unit"])])),
                statistics_text.estimate(one["raised"]),
                numbers.number(one["n"]),
                *(numbers.short(value) for value in (low, middle, high)),
                cohort_pages.limit_of(one),
                group_charts.spread(one, 20 * mm) if one["quantiles"] else numbers.MISSING,
            ]
        )
    widths = (11.0, 38.0, 39.0, 12.0, 15.0, 15.0, 15.0, 11.0, 22.0)
    made = tables.table(head, rows, widths, numeric=(3,))
    left = [str(one["code"]) for one in gauges if not one["raised"]["n"]]
    return [Spacer(1, 2 * mm), made, tables.words(cohort_text.spread_note(left), "caption")]


def detectors(summary: Row, context: ReportContext) -> list[Flowable]:
    """Return how often the checks err on planted faults and on clean studies, and whether their flags tell errors."""
    parts: list[Flowable] = [Heading("How often the checks err")]
    measured = summary.get("detectors") or ()
    parts.append(tables.words(cohort_text.detectors(measured), "body"))
    if measured:
        parts += _measured(measured, context)
    return [*parts, *cohort_pages.of_codes(summary, ("E20", "E21"), tables_of=("E20", "E21")), _end()]


def _measured(measured: Sequence[Row], context: ReportContext) -> list[Flowable]:
    head = ("Code", "Check", "Finds of planted faults", *(f"at {grade}" for grade in GRADES), "Quiet on clean studies")
    rows = []
    for one in measured:
        mode = context.failure_modes.get(str(one["code"]))
        rows.append(
            [
                str(one["code"]),
                mode.title if mode else numbers.MISSING,
                statistics_text.estimate(one["found"]) if one["found"]["n"] else numbers.MISSING,
                *(_fraction(one["by_severity"].get(grade)) for grade in GRADES),
                statistics_text.estimate(one["quiet"]) if one["quiet"]["n"] else numbers.MISSING,
            ]
        )
    made = tables.table(head, rows, (10.0, 43.0, 38.0, 9.5, 9.5, 9.5, 9.5, 9.5, 39.5), type_style="dense")
    return [tables.words(cohort_text.DETECTORS, "caption"), made]


def _fraction(found: Row | None) -> str:
    return f"{found['k']}/{found['n']}" if found else numbers.MISSING


def _end() -> Flowable:
    """Return the space that divides chapters."""
    return Spacer(1, 4 * mm)
