"""The generated sentences of the statistics chapters, and what their charts say to those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from audit_pipeline.report import audit_text, numbers, text
from audit_pipeline.wording import counted

Row = Mapping[str, Any]

LABELS = "No study has a label that can be used. Supply input.labels, a CSV file with the columns study and label."
"""Why the chapters that need labels have nothing to say, and what to supply."""

COMPUTED = "This run was closed before these statistics were computed. Start the run again on its output to add them."
BANDS = (
    "Shaded in the ROC curve: at every threshold the joint 95 % region of sensitivity and specificity (Wilson, 97.5 % "
    "each), pointwise. Shaded in the other: 95 % Wilson interval of the precision at every threshold. Diamond: the "
    "recorded conclusions with 95 % intervals. AUROC: DeLong on the logit scale. Average precision: logit interval at "
    "the number of positives (Boyd 2013)."
)
CLUSTERED = " Patients have several studies here: all intervals count them as one (effective number of cases)."
RATES = (
    "Of the recorded conclusions. In brackets: 95 % intervals, Wilson for proportions, the log method for likelihood "
    "ratios; below 20 cases only the fraction. PPV and NPV hold at the prevalence of this cohort."
)
CALIBRATION = (
    "Perfect: slope 1, intercept and calibration in the large 0, observed/expected 1, Brier 0. Error: debiased, over "
    "bins of equal size, 0 where chance explains it; a perfect model stays below the null in 95 % of such cohorts. "
    "First study of every patient. Calibration is that at the prevalence of these studies."
)
RELIABILITY = (
    "Dots: share of positives in bins of equal size, against their mean probability, with 95 % Wilson intervals. Bars: "
    "studies by probability, positives upwards, negatives downwards."
)
BENEFIT = (
    "Net benefit: true calls less false ones, weighed by the odds of the threshold probability, per study (Vickers and "
    "Elkin 2006). Shaded: pointwise 95 % interval of the model. Model less all: the paired difference, with its own "
    "interval. Better: it and the net benefit of the model, which is the difference to acting on none, exclude 0, "
    "where at least 10 studies lie on either side of the threshold. Probabilities stand as given, see calibration."
)


def name_of(one: Row) -> str:
    """Return the name of a class inside a sentence."""
    return text.cut(str(one["name"]), text.LONGEST_NAME)


def estimate(found: Row | None, *, decimals: int | None = None) -> str:
    """Return a number with its interval; a proportion with its fraction, the fraction alone below 20 cases.

    >>> estimate({"value": 0.9137, "low": 0.8402, "high": 0.9611, "n": 60, "k": None}, decimals=3)
    '0.914 (0.840 to 0.961)'
    >>> estimate({"value": None, "low": None, "high": None, "n": 3, "k": None, "reason": "3 cases"})
    'not estimated: 3 cases'
    """
    if found is None:
        return numbers.MISSING
    if found.get("k") is not None:
        return audit_text.proportion(found)
    if found["value"] is None:
        return f"not estimated: {found.get('reason') or 'no reason recorded'}"

    def shown(value: float) -> str:
        return numbers.short(value) if decimals is None else numbers.fixed(value, decimals)

    if found["low"] is None or found["high"] is None:
        return f"{shown(found['value'])} (no interval)"
    return f"{shown(found['value'])} ({shown(found['low'])} to {shown(found['high'])})"


def cases(one: Row) -> str:
    """Return how many studies stand behind a class.

    >>> cases({"n": 60, "positives": 24, "patients": 57})
    '60 studies of 57 patients, 24 positive'
    """
    patients = "" if one["patients"] == one["n"] else f" of {counted(one['patients'], 'patient')}"
    return f"{counted(one['n'], 'study', 'studies')}{patients}, {one['positives']} positive"


def operating_words(one: Row) -> str:
    """Return what the diamond on the curves stands for."""
    at = "" if one["threshold"] is None else f" at {numbers.short(one['threshold'])}"
    return f"diamond: conclusions{at}"


def roc_alternative(one: Row) -> str:
    """Return what the ROC curve shows."""
    rates = one["rates"]
    return (
        f"ROC curve of {name_of(one)}, {cases(one)}: AUROC {estimate(one['auroc'], decimals=3)}; at the recorded "
        f"conclusions sensitivity {estimate(rates['sensitivity'])}, specificity {estimate(rates['specificity'])}."
    )


def precision_alternative(one: Row) -> str:
    """Return what the precision-recall curve shows."""
    area = estimate(one["curve"]["average_precision"], decimals=3)
    share = numbers.fixed(one["positives"] / one["n"], 3)
    return f"Precision against recall of {name_of(one)}: average precision {area}, prevalence {share}."


def scores_alternative(one: Row) -> str:
    """Return what the histograms of the probabilities show."""
    counts = one["scores"]
    low, high = (sum(counts[kind][: len(counts[kind]) // 2]) for kind in ("positives", "negatives"))
    return (
        f"Probabilities of {name_of(one)}: {low} of {one['positives']} positives and {high} of "
        f"{one['n'] - one['positives']} negatives lie below 0.5."
    )


def reliability_alternative(one: Row) -> str:
    """Return what the reliability diagram shows, bin by bin."""
    parts = [
        f"mean {numbers.fixed(part['mean'], 2)}: {part['observed']['k']} of {part['observed']['n']}"
        for part in one["reliability"]["bins"]
    ]
    return f"Positives by probability of {name_of(one)}: {'; '.join(parts)}."


def decision_alternative(one: Row) -> str:
    """Return what the decision curve shows."""
    return benefit_sentence(one)


def discrimination(classes: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on discrimination."""
    known = [one for one in classes if one["auroc"]["value"] is not None]
    if not known:
        reasons = f"{name_of(classes[0])}: {classes[0]['auroc']['reason'] or classes[0]['reason']}"
        more = "" if len(classes) == 1 else f", and likewise {counted(len(classes) - 1, 'more class', 'more classes')}"
        return f"No class can be judged: {reasons}{more}."
    if len(known) == 1:
        one = known[0]
        return (
            f"The AUROC of {name_of(one)} is {estimate(one['auroc'], decimals=3)} over {cases(one)}.{_left(classes, 1)}"
        )
    ordered = sorted(known, key=lambda one: (one["auroc"]["value"], one["name"]))
    ends = [f"{numbers.fixed(one['auroc']['value'], 3)} ({name_of(one)})" for one in (ordered[0], ordered[-1])]
    return (
        f"The AUROC of {len(known)} classes, each against the rest, lies between {ends[0]} and {ends[1]} over "
        f"{counted(classes[0]['n'], 'study', 'studies')}.{_left(classes, len(known))}"
    )


def _left(classes: Sequence[Row], known: int) -> str:
    left = len(classes) - known
    return f" {counted(left, 'class has', 'classes have')} too few cases." if left else ""


def shown_of(shown: int, total: int) -> str:
    """Return which classes are drawn when not all are; "" when all are.

    >>> shown_of(2, 2), shown_of(6, 14)
    ('', 'Drawn: the 6 classes with the lowest AUROC; the other 8 stand in the table and in cohort.json.')
    """
    if shown == total:
        return ""
    rest = f"the other {total - shown} stand in the table and in cohort.json"
    return f"Drawn: the {shown} classes with the lowest AUROC; {rest}."


def rates(classes: Sequence[Row], confusion: Row | None) -> str:
    """Return the sentence that opens the chapter on rates."""
    if confusion is not None and len(classes) > 1:
        counts = confusion["counts"]
        right, total = sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))
        return f"The conclusion is the label in {numbers.share(right, total)} of the labelled studies."
    if len(classes) == 1:
        found = classes[0]["rates"]
        return (
            f"For {name_of(classes[0])} the recorded conclusions miss {found['false_negatives']} of "
            f"{found['false_negatives'] + found['true_positives']} positives and call {found['false_positives']} of "
            f"{found['false_positives'] + found['true_negatives']} negatives."
        )
    missed, called = (sum(one["rates"][key] for one in classes) for key in ("false_negatives", "false_positives"))
    return (
        f"Over {len(classes)} classes the recorded conclusions miss {counted(missed, 'positive')} and call "
        f"{counted(called, 'negative')}."
    )


def calibration(classes: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on calibration."""
    known = [one for one in classes if one["reliability"] is not None]
    if not known:
        return "Calibration is not evaluable: no class has 10 positives and 10 negatives of different patients."
    if len(known) == 1:
        one, found = known[0], known[0]["reliability"]
        expected = numbers.fixed(found["positives"] / found["observed_expected"]["value"], 1)
        return (
            f"{name_of(one)}: {found['positives']} positive where the probabilities promise {expected}"
            f" (observed/expected {estimate(found['observed_expected'])}, n = {found['n']}); {_tilt(found['slope'])}."
        )
    off = [
        one
        for one in known
        if _misses(one["reliability"]["in_the_large"], 0) or _misses(one["reliability"]["slope"], 1)
    ]
    named = text.listed([name_of(one) for one in off], 4)
    told = f"the interval of slope or level misses perfect calibration in {len(off)} ({named})" if off else (
        "no interval of slope or level misses perfect calibration"
    )  # fmt: skip
    return f"Of {len(known)} classes, {told}; unadjusted, see E08 for the test."


def _tilt(slope: Row) -> str:
    """Return what the slope of the log-odds says."""
    if slope["value"] is None:
        return f"the slope is not estimated: {slope['reason']}"
    shown = f"slope {estimate(slope)}"
    if slope["high"] < 1:
        return f"{shown}: the probabilities are too extreme"
    if slope["low"] > 1:
        return f"{shown}: the probabilities are not extreme enough"
    return f"{shown}, whose interval holds 1"


def _is_off(found: Row) -> bool:
    """Return whether an interval of level or slope misses perfect calibration."""
    return _misses(found["in_the_large"], 0) or _misses(found["slope"], 1)


def _misses(found: Row, perfect: float) -> bool:
    return found["low"] is not None and not found["low"] <= perfect <= found["high"]


def decision(classes: Sequence[Row]) -> str:
    """Return the sentence that opens the chapter on the decision curve."""
    known = [one for one in classes if one["benefit"] is not None]
    if not known:
        return "The net benefit is not evaluable: no class has 10 labelled positives and 10 negatives."
    if len(known) == 1:
        return benefit_sentence(known[0])
    useful = [one for one in known if any(one["benefit"]["is_better"])]
    return (
        f"For {len(useful)} of {len(known)} classes acting on the model is shown to be better than acting on all or on "
        "none at some threshold probability."
    )


def benefit_sentence(one: Row) -> str:
    """Return at which threshold probabilities acting on a class is shown to be better than both defaults."""
    found = one["benefit"]
    ranges = ranges_of(found["thresholds"], found["is_better"])
    here = f"at their prevalence of {numbers.fixed(one['positives'] / one['n'], 3)} (n = {found['n']})"
    if not ranges:
        return (
            f"In these studies, {here}, acting on {name_of(one)} is at no threshold probability shown to be better "
            f"than acting on all or on none.{_declared(found)}"
        )
    return (
        f"In these studies, {here}, acting on {name_of(one)} is better than acting on all and on none for threshold "
        f"probabilities {text.listed(ranges)}, by the pointwise 95 % intervals of the difference.{_declared(found)}"
    )


def benefit_at(found: Row, keys: tuple[str, str, str], place: int) -> str:
    """Return a net benefit with its interval; a dash where an earlier version, which closed the run, had none."""
    if keys[0] not in found:
        return numbers.MISSING
    value, low, high = (numbers.fixed(found[key][place], 3) for key in keys)
    return f"{value} ({low} to {high})"


def _declared(found: Row) -> str:
    """Return where the net benefit is above both defaults at the declared prevalence; "" where none is declared."""
    declared = found.get("is_better_declared")  # an earlier version, which closed the run, had none
    if not declared:
        return ""
    ranges = ranges_of(found["thresholds"], declared)
    where = f"for {text.listed(ranges)}" if ranges else "for none"
    return f" At the declared prevalence, with the rates found here, it is so {where} (no interval)."


def ranges_of(places: Sequence[float], holds: Sequence[bool]) -> list[str]:
    """Return the runs of places where something holds.

    >>> ranges_of([0.1, 0.2, 0.3, 0.4], [True, True, False, True])
    ['0.1 to 0.2', '0.4']
    """
    found = []
    for is_held, run in groupby(zip(places, holds, strict=True), key=lambda pair: pair[1]):
        ends = [place for place, _ in run]
        if is_held:
            low, high = numbers.short(ends[0]), numbers.short(ends[-1])
            found.append(low if low == high else f"{low} to {high}")
    return found


def forest_alternative(rows: Sequence[Row]) -> str:
    """Return what a forest shows: the groups with their sensitivity and specificity."""
    parts = [
        f"{row['column'] or 'all'} {row['level']}: sensitivity {_or_small(row['sensitivity'])}, specificity "
        f"{_or_small(row['specificity'])}"
        for row in rows
    ]
    return f"Subgroups of {text.cut(str(rows[0]['question']), text.LONGEST_NAME)}. {'; '.join(parts)}."


def _or_small(found: Row) -> str:
    return too_small(found) if found["low"] is None else estimate(found)


def too_small(found: Row) -> str:
    """Return that a group is too small to judge, with the fraction where there is one.

    >>> too_small({"k": 4, "n": 6, "value": 0.67, "low": None}), too_small({"k": None, "n": 9, "value": None})
    ('too small to judge: 4 of 6', 'too small to judge')
    """
    if not found["n"]:
        return "no case"
    return f"too small to judge: {found['k']} of {found['n']}" if found["k"] is not None else "too small to judge"


def chance(value: float) -> str:
    """Return a p-value, never rounded to a certainty.

    >>> chance(0.0321), chance(1e-9), chance(1.0)
    ('0.032', '<0.0001', '1')
    """
    return "<0.0001" if value < 1e-4 else numbers.short(value, 2)


def amount_title(one: Row) -> str:
    """Return the title of the axis of a ladder: its unit, or that the steps are only counted."""
    if one["steps"][0]["amount"] is None:
        return "change"
    return f"amount ({one['unit']})" if one["unit"] else "amount"


def ladder_alternative(one: Row) -> str:
    """Return what a ladder shows, step by step."""
    parts = []
    for step in one["steps"]:
        words = f"{text.cut(str(step['sentence']).rstrip('.'), 80)}: conclusion stays in {estimate(step['stays'])}"
        areas = [f"AUROC of {name_of(found)} {estimate(found['auroc'], decimals=3)}" for found in step["classes"][:4]]
        parts.append(", ".join([words, *areas]))
    return f"{'; '.join(parts)}."


def spread_alternative(gauge: Row) -> str:
    """Return how a measure is spread over the studies."""
    low, _, middle, _, high = (numbers.short(value) for value in gauge["quantiles"])
    limit = "" if gauge["limit"] is None else f", limit {numbers.short(gauge['limit'])}"
    return f"{gauge['code']}: 5 % {low}, median {middle}, 95 % {high} of {gauge['n']} values{limit}."
