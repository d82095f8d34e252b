"""The generated sentences of the audit report, beside those of `text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit_pipeline.findings import FailureMode
from audit_pipeline.report import numbers, text, vocabulary
from audit_pipeline.wording import counted

COUNT_NAMES = {
    "found": "found",
    "excluded": "excluded",
    "refused": "refused before the model",
    "failed": "failed afterwards",
    "audited": "audited",
}
NO_PERFORMANCE = "not evaluable: without labels neither AUROC nor sensitivity can be stated."
SCALED_TO = {
    "map": "of the map",
    "study": "of the study's maps",
    "class": "of the class over the cohort, so that studies can be compared",
}
"""``report.scale`` -> whose maximum the last colour of a thumbnail stands for."""


def thumbnail_note(scale: str) -> str:
    """Return what the thumbnails show; `scale` is ``report.scale``."""
    return (
        f"Map: the key slice with the evidence of the first method, scaled to the maximum {SCALED_TO[scale]}; "
        "hatched: not evidence."
    )


def balance(counts: Mapping[str, int]) -> str:
    """Return whether the counts of studies add up, as a sentence."""
    parts = sum(counts.get(name, 0) for name in ("audited", "refused", "failed", "excluded"))
    found = counts.get("found", 0)
    if parts == found:
        return "Every study found is accounted for."
    return f"The counts do not add up: {found} found, {parts} accounted for."


def interval(low: float | None, high: float | None, show: Any = numbers.probability) -> str:
    """Return an interval in words; "no interval" when an end is missing."""
    return "no interval" if low is None or high is None else f"{show(low)} to {show(high)}"


def proportion(facts: Mapping[str, Any] | None) -> str:
    """Return k of n with its interval: the fraction alone below 20 cases."""
    if not facts or not facts.get("n"):
        return f"not evaluable: {(facts or {}).get('reason') or 'no cases'}"
    hits, total = int(facts["k"]), int(facts["n"])
    if total < 20:
        return f"{hits} of {total}"
    return f"{numbers.fixed(hits / total, 3)} ({interval(facts.get('low'), facts.get('high'))}), {hits} of {total}"


def auroc(row: Mapping[str, Any]) -> str:
    """Return the area under the ROC curve with its interval, or why there is none."""
    if row.get("auroc") is None:
        return f"not evaluable: {row.get('reason') or 'no reason recorded'}"
    return f"{numbers.fixed(row['auroc'], 3)} ({interval(row.get('auroc_low'), row.get('auroc_high'))})"


def cohort_finding(counts: Mapping[str, int], audited: int) -> str:
    """Return in how many studies a check spoke, worst outcome first."""
    parts = [
        f"{vocabulary.OUTCOME_WORDS[outcome]} in {counts[outcome.value]}"
        for outcome in vocabulary.MATTERING
        if counts.get(outcome.value)
    ]
    return f"{text.capital(text.listed(parts))} of {counted(audited, 'audited study', 'audited studies')}."


def most_important(
    outcomes: Mapping[str, Mapping[str, int]], modes: Mapping[str, FailureMode], limit: int = 3
) -> list[str]:
    """Return the codes that matter most: by worst outcome, then severity, then number of studies."""

    def rank(code: str) -> tuple[int, int, int, str]:
        counts = outcomes[code]
        worst = min(place for place, outcome in enumerate(vocabulary.WORST_FIRST) if counts.get(outcome.value))
        severity = modes[code].severity[0] if code in modes else 0
        raised = sum(counts.get(outcome.value, 0) for outcome in vocabulary.MATTERING)
        return worst, -severity, -raised, code

    raised = [
        code for code, counts in outcomes.items() if any(counts.get(outcome.value) for outcome in vocabulary.MATTERING)
    ]
    return sorted(raised, key=rank)[:limit]


def nothing_raised(audited: int) -> str:
    """Return the sentence when no check raised anything.

    >>> nothing_raised(0), nothing_raised(1)
    ('No study was audited, so no check could raise anything.', 'No check ended in flag, critical or error in 1 study.')
    """
    if audited == 0:
        return "No study was audited, so no check could raise anything."
    return f"No check ended in flag, critical or error in {counted(audited, 'study', 'studies')}."


def outside_use(studies: Sequence[str], inside: Sequence[Mapping[str, Any]], limit: int = 3) -> str:
    """Return that some of the labelled studies are not of the intended use, and the rates without them; "" for none.

    Parameters
    ----------
    studies : their keys; inside : rows of performance without them; limit : keys and classes that are named

    >>> nodule = {"class": "nodule", "sensitivity": {"k": 7, "n": 8}, "specificity": {"k": 8, "n": 8}}
    >>> print(outside_use(["0a1b"], [nodule]))
    1 of these studies is not of the intended use (A21 or A22): 0a1b; the plan does not leave it out. Without it, \
sensitivity and specificity: nodule 7 of 8 and 8 of 8.
    """
    if not studies:
        return ""
    found = [f"{row['class']} {proportion(row['sensitivity'])} and {proportion(row['specificity'])}" for row in inside]
    left = f"; {counted(len(found) - limit, 'more class', 'more classes')} in cohort.json" if len(found) > limit else ""
    pronoun = "it" if len(studies) == 1 else "them"
    rates = f" Without {pronoun}, sensitivity and specificity: {'; '.join(found[:limit])}{left}." if found else ""
    return (
        f"{len(studies)} of these studies {'is' if len(studies) == 1 else 'are'} not of the intended use (A21 or A22): "
        f"{text.listed(studies, limit)}; the plan does not leave {pronoun} out.{rates}"
    )


def performance_note(confidence: float | None, methods: Sequence[str] = (), unknown_labels: int = 0) -> str:
    """Return what the brackets mean; level and method of the intervals are named when the summary states them.

    >>> performance_note(0.95, ["DeLong"]).split(".")[0]
    'In brackets: 95 % intervals (AUROC: DeLong)'
    """
    level = f"{numbers.short(100 * confidence)} % intervals" if confidence is not None else "intervals"
    named = f" (AUROC: {text.listed(methods)})" if methods else ""
    unknown = ""
    if unknown_labels:
        one = counted(unknown_labels, "study has a label", "studies have a label")
        unknown = f" {one} that names no class of the model; not counted here."
    return (
        f"In brackets: {level}{named}. Below 20 cases only the fraction is printed. Sensitivity and specificity are "
        f"those of the recorded conclusions, at the threshold where the class has one.{unknown}"
    )
