"""The statistics chapters of the audit report, drawn from ``cohort.json`` alone; `CHAPTERS` holds them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer

from audit_pipeline.report import (
    audit_cohort,
    cohort_pages,
    curve_charts,
    layout,
    numbers,
    statistics_text,
    tables,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.wording import counted

Row: TypeAlias = Mapping[str, Any]
Chapter: TypeAlias = Callable[[Row, ReportContext], list[Flowable]]

MOST_DRAWN = 6
"""Classes with curves of their own; the lowest AUROC first where there are more."""

MOST_CLASSES = 12
"""Of a confusion matrix on paper."""

MOST_MIXED = 15
"""Rows of the list that stands in for a larger matrix."""

GAP_MM = 5.0
MOST_BESIDE = 2
"""Classes whose charts have their numbers beside them."""

MODEL, ABOVE = ("model", "low", "high"), ("above_all", "above_all_low", "above_all_high")
BENEFITS_AT = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)


def chapters(summary: Row, context: ReportContext) -> list[Flowable]:
    """Return every statistics chapter in the order of the report."""
    return [part for chapter in CHAPTERS.values() for part in chapter(summary, context)]


def discrimination(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return areas, curves with bands and the spread of the probabilities."""
    classes, missing = _classes("Discrimination", summary, ("E15",))
    if missing:
        return missing
    drawn = _drawn([one for one in classes if one["curve"] is not None])
    head = ("Class", "Studies", "Positive", "AUROC", "Average precision", "Prevalence")
    rows = [
        [
            str(one["name"]),
            numbers.number(one["n"]),
            numbers.number(one["positives"]),
            statistics_text.estimate(one["auroc"], decimals=3),
            statistics_text.estimate(one["curve"]["average_precision"], decimals=3)
            if one["curve"]
            else numbers.MISSING,
            statistics_text.estimate(one["rates"]["prevalence"]),
        ]
        for one in classes
    ]
    parts: list[Flowable] = [
        Heading("Discrimination"),
        tables.words(statistics_text.discrimination(classes), "body"),
        cohort_pages.fitted(head, rows, (1, 2)),
    ]
    for one in drawn:
        charts = [[curve_charts.roc(one)], [curve_charts.precision_recall(one)], [curve_charts.scores(one)]]
        row = layout.columns_mm(charts, (56, 56, 56), GAP_MM)
        parts.append(KeepTogether([Heading(str(one["name"]), level=1), row]))
    if drawn:
        shown = statistics_text.shown_of(len(drawn), len(classes))
        parts.append(tables.words(f"{shown} {_clustered(statistics_text.BANDS, summary)}".strip(), "caption"))
    return [*parts, *cohort_pages.of_codes(summary, ("E15",)), _end()]


def conclusions(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return the confusion matrix, the rates of the recorded conclusions, and what was declared for them."""
    title = "Conclusions: confusion and rates"
    classes, missing = _classes(title, summary, ("E09", "E10", "E19"))
    if missing:
        return missing
    confusion = summary["statistics"]["confusion"]
    parts: list[Flowable] = [Heading(title), tables.words(statistics_text.rates(classes, confusion), "body")]
    if confusion is not None:
        parts += _confusion(confusion)
    parts += _rates(classes)
    parts.append(tables.words(_clustered(statistics_text.RATES, summary), "caption"))
    return [*parts, *cohort_pages.of_codes(summary, ("E09", "E10", "E19"), tables_of=("E09", "E19")), _end()]


def _rates(classes: Sequence[Row]) -> list[Flowable]:
    """Return counts and rates in three tables, each a row per class."""
    counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    head = ("Class", "Threshold", "TP", "FP", "FN", "TN", "Sensitivity", "Specificity")
    rows = [
        [
            str(one["name"]),
            numbers.short(one["threshold"]),
            *(numbers.number(one["rates"][key]) for key in counts),
            *(statistics_text.estimate(one["rates"][key]) for key in ("sensitivity", "specificity")),
        ]
        for one in classes
    ]
    shares = {"PPV": "positive_predictive_value", "NPV": "negative_predictive_value", "Accuracy": "accuracy"}
    ratios = {"LR+": "positive_likelihood_ratio", "LR\u2212": "negative_likelihood_ratio"}
    return [
        cohort_pages.fitted(head, rows, (1, 2, 3, 4, 5)),
        *_rates_by_name(classes, shares),
        *_rates_by_name(classes, {**ratios, "Balanced accuracy": "balanced_accuracy"}),
    ]


def _rates_by_name(classes: Sequence[Row], names: Mapping[str, str]) -> list[Flowable]:
    head = ("Class", *names)
    rows = [
        [str(one["name"]), *(statistics_text.estimate(one["rates"][key]) for key in names.values())] for one in classes
    ]
    return [Spacer(1, 1.5 * mm), cohort_pages.fitted(head, rows)]


def _confusion(confusion: Row) -> list[Flowable]:
    classes, counts = confusion["classes"], confusion["counts"]
    if len(classes) > MOST_CLASSES:
        return _mixed(classes, counts)
    head = ("Label", *(f"concluded {name}" for name in classes), "Studies")
    rows = [
        [
            f"labelled {name}",
            *(_of_row(count, sum(row)) for count in row),
            numbers.number(sum(row)),
        ]
        for name, row in zip(classes, counts, strict=True)
    ]
    return [cohort_pages.fitted(head, rows), Spacer(1, 1.5 * mm)]


def _of_row(count: int, total: int) -> str:
    """Return a count, with its share of the row from 20 studies on."""
    return f"{count}" if total < 20 else f"{count} ({numbers.fixed(count / total, 2)})"


def _mixed(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> list[Flowable]:
    """Return the commonest errors where the matrix is too wide for a page."""
    wrong = sorted(
        (-count, label, said)
        for label, row in zip(classes, counts, strict=True)
        for said, count in zip(classes, row, strict=True)
        if count and label != said
    )
    if not wrong:
        return []
    sizes = {name: sum(row) for name, row in zip(classes, counts, strict=True)}
    rows = [[label, said, f"{-count} of {sizes[label]}"] for count, label, said in wrong[:MOST_MIXED]]
    head = ("Label", "Concluded", "Studies")
    left = len(wrong) - len(rows)
    note = f"The commonest of {counted(len(wrong), 'kind')} of error; all stand in cohort.json." if left else ""
    drawn = cohort_pages.fitted(head, rows)
    return [drawn, tables.words(note, "caption")] if note else [drawn]


def calibration(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return the reliability diagrams and the numbers behind them."""
    classes, missing = _classes("Calibration", summary, ("E08",))
    if missing:
        return missing
    parts: list[Flowable] = [Heading("Calibration"), tables.words(statistics_text.calibration(classes), "body")]
    known = [one for one in classes if one["reliability"] is not None]
    if known:
        parts += _calibrated(known)
        drawn = _drawn(known)
        charts = [curve_charts.reliability(one) for one in drawn]
        shown = statistics_text.shown_of(len(drawn), len(classes))
        parts += _charts(charts, drawn, _bins, most=3)
        parts.append(tables.words(f"{shown} {statistics_text.RELIABILITY}".strip(), "caption"))
    return [*parts, *cohort_pages.of_codes(summary, ("E08",)), _end()]


def _calibrated(known: Sequence[Row]) -> list[Flowable]:
    head = (
        "Class",
        "n",
        "Slope",
        "In the large",
        "Observed/expected",
        "Brier",
        "Brier of prevalence",
        "Error",
        "Null 95 %",
    )
    rows = [
        [
            str(one["name"]),
            numbers.number(found["n"]),
            *(statistics_text.estimate(found[key]) for key in ("slope", "in_the_large", "observed_expected", "brier")),
            numbers.short(found["brier_of_prevalence"]),
            numbers.short(found["error"]),
            numbers.short(found["null_95"]),
        ]
        for one in known
        if (found := one["reliability"])
    ]
    made = cohort_pages.fitted(head, rows, (1,))
    return [made, tables.words(statistics_text.CALIBRATION, "caption")]


def decision_curve(summary: Row, _context: ReportContext) -> list[Flowable]:
    """Return the net benefit of acting on the model."""
    classes, missing = _classes("Decision curve", summary)
    if missing:
        return missing
    known = [one for one in classes if one["benefit"] is not None]
    parts: list[Flowable] = [Heading("Decision curve"), tables.words(statistics_text.decision(classes), "body")]
    if known:
        drawn = _drawn(known)
        charts = [curve_charts.decision(one) for one in drawn]
        shown = statistics_text.shown_of(len(drawn), len(classes))
        parts += _charts(charts, drawn, _benefits, most=2)
        parts.append(tables.words(f"{shown} {statistics_text.BENEFIT}".strip(), "caption"))
    return [*parts, _end()]


def _classes(title: str, summary: Row, codes: Sequence[str] = ()) -> tuple[list[Row], list[Flowable]]:
    """Return the classes, or instead of them the chapter that says in one line why there are none.

    Parameters
    ----------
    codes : checks of the cohort whose findings stand in the chapter in any case
    """
    statistics = summary.get("statistics")
    if statistics is not None and statistics["classes"]:
        return list(statistics["classes"]), []
    why = statistics_text.COMPUTED if statistics is None else statistics_text.LABELS
    told = cohort_pages.of_codes(summary, codes, tables_of=codes, is_answered=True)
    return [], [Heading(title), tables.words(f"Not evaluable. {why}", "body"), *told, _end()]


def _drawn(known: Sequence[Row]) -> list[Row]:
    """Return the classes that get charts: all in their order, or those with the lowest AUROC where there are many."""
    if len(known) <= MOST_DRAWN:
        return list(known)
    return sorted(known, key=lambda one: (one["auroc"]["value"], one["name"]))[:MOST_DRAWN]


def _charts(
    charts: Sequence[Flowable], drawn: Sequence[Row], numbers_of: Callable[[Row, float], Flowable], *, most: int
) -> list[Flowable]:
    """Return few charts with the numbers behind them, many as small ones, `most` in a row."""
    if len(drawn) <= MOST_BESIDE:
        return _beside(charts, drawn, numbers_of)
    return _in_rows(charts, [str(one["name"]) for one in drawn], most)


def _in_rows(charts: Sequence[Flowable], names: Sequence[str], most: int) -> list[Flowable]:
    """Return charts with their names side by side, `most` in a row."""
    parts: list[Flowable] = []
    for start in range(0, len(charts), most):
        chosen = list(zip(charts, names, strict=True))[start : start + most]
        stacks: list[list[Flowable]] = [[tables.words(name, "head", limit=60), chart] for chart, name in chosen]
        widths = [chart.width / mm for chart, _ in chosen]
        parts.append(KeepTogether([Spacer(1, 1.5 * mm), layout.columns_mm(stacks, widths, GAP_MM)]))
    return parts


def _beside(
    charts: Sequence[Flowable], drawn: Sequence[Row], numbers_of: Callable[[Row, float], Flowable]
) -> list[Flowable]:
    """Return each chart with the numbers behind it on its right."""
    parts: list[Flowable] = []
    for chart, one in zip(charts, drawn, strict=True):
        left = chart.width / mm
        right = cohort_pages.WIDTH_MM - left - GAP_MM
        beside = layout.columns_mm([[chart], [numbers_of(one, right)]], (left, right), GAP_MM)
        parts.append(KeepTogether([Spacer(1, 1.5 * mm), tables.words(str(one["name"]), "head", limit=60), beside]))
    return parts


def _bins(one: Row, width_mm: float) -> Flowable:
    """Return the bins of the reliability diagram in numbers."""
    head = ("Probability from", "to", "Mean", "Share positive")
    rows = [
        [
            *(numbers.probability(part[key]) for key in ("low", "high", "mean")),
            statistics_text.estimate(part["observed"]),
        ]
        for part in one["reliability"]["bins"]
    ]
    return cohort_pages.fitted(head, rows, page_mm=width_mm)


def _benefits(one: Row, width_mm: float) -> Flowable:
    """Return the decision curve in numbers at some threshold probabilities, that of the class among them."""
    found = one["benefit"]
    wanted = {*BENEFITS_AT, *([one["threshold"]] if one["threshold"] is not None else [])}
    grid = found["thresholds"]
    places = sorted({min(range(len(grid)), key=lambda at: abs(grid[at] - value)) for value in wanted})
    head = ("Threshold probability", "Net benefit of the model", "Of acting on all", "Model less all")
    rows = []
    for at in places:
        model, above = (statistics_text.benefit_at(found, keys, at) for keys in (MODEL, ABOVE))
        rows.append([numbers.short(grid[at]), model, numbers.fixed(found["treat_all"][at], 3), above])
    return cohort_pages.fitted(head, rows, page_mm=width_mm)


def _clustered(words: str, summary: Row) -> str:
    return words + (statistics_text.CLUSTERED if summary["statistics"]["has_repeats"] else "")


def _end() -> Flowable:
    """Return the space that divides chapters."""
    return Spacer(1, 4 * mm)


CHAPTERS: Mapping[str, Chapter] = {
    "reference_standard": audit_cohort.reference_standard,
    "discrimination": discrimination,
    "conclusions": conclusions,
    "calibration": calibration,
    "decision_curve": decision_curve,
    "subgroups": audit_cohort.subgroups,
    "robustness": audit_cohort.robustness,
    "drift": audit_cohort.drift,
    "shortcuts": audit_cohort.shortcuts,
    "strata": audit_cohort.strata,
    "explanations": audit_cohort.explanations,
    "detectors": audit_cohort.detectors,
    "independence": audit_cohort.independence,
    "cohort_checks": audit_cohort.cohort_checks,
    "fmea": audit_cohort.fmea,
}
"""Chapters by name, in the order of the report; each takes the summary and the context and begins with its heading.

Numbers of the ideal report: reference standard 5, discrimination 6, conclusions 7, calibration 8, decision curve 9,
subgroups 10, robustness 11, drift 12, shortcuts 13, strata 14, explanations 15, detectors 17, FMEA 18.
"""
