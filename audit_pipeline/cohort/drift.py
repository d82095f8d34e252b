"""Drift: whether studies, features or probabilities changed between two cohorts or two periods (E13)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.association import Field, field_of
from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.record import Cohort, Ints
from audit_pipeline.cohort.shortcuts import exceeds, out_of_fold
from audit_pipeline.cohort.wording import p_shown
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.records import Scalar
from audit_pipeline.terms import within
from audit_pipeline.wording import counted, listed, shown

Vector = NDArray[np.float64]
FEWEST_STUDIES = 20
"""On each side; below this no distribution can be compared."""

PSI_BINS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two groups of studies that are compared: a cohort and which of its studies, one per patient."""

    cohort: Cohort
    rows: Ints


LOWER_END = ", lower end"
NOTE = "Counts from: the smallest change that matters; of an AUROC the lower end of its interval must reach it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing compared: how large the change is in its own measure, from which size it counts, and its p-value."""

    what: str
    measure: str
    size: float
    least: float
    before: int
    after: int
    p_value: float
    adjusted: float = 1.0
    estimate: Estimate | None = None


@cohort_check(
    "E13",
    title="Drift",
    sentence="The studies, or what the model says of them, are no longer what they were.",
    severity=(4, 4, 5),
    provenance="dom",
    reference="Kolmogorov-Smirnov and chi-squared tests; Lopez-Paz and Oquab 2017 (arXiv:1610.06545), domain "
    "classifier; Rabanser 2019 (arXiv:1810.11953)",
    advice="Find out what changed before the next result is used; apply the rule for stopping.",
    direction="above",
)
def drift_found(cohort: Cohort, *, alpha: float = 0.05, domain: float = 0.6) -> CohortResult:
    """Compare this cohort with its baseline, or its last period with the earlier ones, see `drift`."""
    sides = _sides(cohort)
    changes = drift(*sides, domain=domain)
    if not changes:
        raise NotEvaluable("Nothing can be compared between the two groups of studies.")
    found = [one for one in changes if one.adjusted < alpha and one.size >= one.least]
    worst = found[0] if found else changes[0]
    between = "the baseline" if cohort.baseline is not None else "the earlier periods"
    counts = f"{sides[0].rows.size} against {counted(sides[1].rows.size, 'study', 'studies')}"
    told = listed(
        [
            f"{within(one.what)} ({one.measure} {shown(one.size)}, adjusted {p_shown(one.adjusted)})"
            for one in found or [worst]
        ]
    )
    message = f"Against {between}, {counts}: {'changed: ' if found else 'no change was shown; nearest: '}{told}."
    message += _expected(sides)
    rows: list[tuple[Cell, ...]] = [
        (
            one.what,
            one.measure.removesuffix(LOWER_END),
            one.estimate or one.size,
            one.least,
            one.before,
            one.after,
            one.adjusted,
        )
        for one in changes
    ]
    head = ("What", "Measure", "Change", "Counts from", "Before", "After", "Adjusted p")
    return CohortResult(
        Outcome.FLAG if found else Outcome.PASS, message, value=worst.size, limit=worst.least,
        unit=worst.measure, n=int(sides[0].rows.size + sides[1].rows.size), p_value=worst.adjusted,
        tables=(Table(title="Before and after", head=head, rows=tuple(rows), note=NOTE),),
    )  # fmt: skip


def _sides(cohort: Cohort) -> tuple[Side, Side]:
    if cohort.baseline is not None:
        sides = tuple(Side(cohort=one, rows=one.one_per_patient(_evaluated(one))) for one in (cohort.baseline, cohort))
    else:
        periods = np.asarray(cohort.periods)
        names = sorted(set(cohort.periods) - {""})
        if len(names) < 2:
            raise NotEvaluable("There is no baseline (cohort.baseline) and no column period with two values.")
        rows = _evaluated(cohort)
        parts = (rows[(periods[rows] != names[-1]) & (periods[rows] != "")], rows[periods[rows] == names[-1]])
        sides = tuple(Side(cohort=cohort, rows=cohort.one_per_patient(part)) for part in parts)
    if min(side.rows.size for side in sides) < FEWEST_STUDIES:
        raise NotEvaluable(
            f"{sides[0].rows.size} and {sides[1].rows.size} studies of different patients are compared, "
            f"{FEWEST_STUDIES} on each side are needed."
        )
    return sides[0], sides[1]


def _evaluated(cohort: Cohort) -> Ints:
    return np.flatnonzero(~cohort.is_development).astype(np.int64)


def drift(before: Side, after: Side, *, domain: float = 0.6) -> list[Change]:
    """Return what changed from one group of studies to another, adjusted by Holm, the surest first.

    Fields: Kolmogorov-Smirnov for numbers, chi-squared for texts. Output: the same on the log-odds of every class, with
    the population stability index less what chance gives it, ``(B - 1)(1/n + 1/m)`` for B bins. Features: AUROC of a
    classifier of before and after, of which the lower end must exceed `domain`. Prevalence where there are labels.
    """
    changes = [*_fields(before, after), *_outputs(before, after), *_prevalence(before, after)]
    features = _features(before, after, domain)
    changes += [features] if features else []
    adjusted = holm([one.p_value for one in changes])
    from dataclasses import replace

    known = [replace(one, adjusted=float(p)) for one, p in zip(changes, adjusted, strict=True)]
    return sorted(known, key=lambda one: (one.adjusted, one.p_value, -one.size / one.least))


def _fields(before: Side, after: Side) -> Iterator[Change]:
    names = sorted(set(before.cohort.header) & set(after.cohort.header)) + sorted(
        set(before.cohort.subgroups) & set(after.cohort.subgroups)
    )
    for name in names:
        values: list[list[Scalar]] = [
            [_values(side.cohort, name)[row] for row in side.rows] for side in (before, after)
        ]
        field = field_of(name, [*values[0], *values[1]])
        if field is not None:
            cut = len(values[0])
            yield from _field(field, cut)


def _values(cohort: Cohort, name: str) -> Sequence[Scalar]:
    return cohort.header.get(name) or cohort.subgroups[name]


def _field(field: Field, cut: int) -> Iterator[Change]:
    from scipy.stats import chi2_contingency, ks_2samp

    if field.numbers is not None:
        first, second = (part[np.isfinite(part)] for part in (field.numbers[:cut], field.numbers[cut:]))
        if min(first.size, second.size) >= FEWEST_STUDIES:
            found = ks_2samp(first, second)
            yield Change(what=field.name, measure="KS distance", size=float(found.statistic), least=0.15,
                         before=first.size, after=second.size, p_value=float(found.pvalue))  # fmt: skip
        return
    texts = np.asarray(field.texts)
    levels = np.unique(texts)
    table = np.asarray([[(part == level).sum() for level in levels] for part in (texts[:cut], texts[cut:])])
    rare = table.sum(axis=0) < 10
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return
    distance = float(np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum() / 2)
    p_value = float(chi2_contingency(table, correction=False).pvalue)
    yield Change(what=field.name, measure="share moved", size=distance, least=0.1, before=int(table[0].sum()),
                 after=int(table[1].sum()), p_value=p_value)  # fmt: skip


def _outputs(before: Side, after: Side) -> Iterator[Change]:
    from scipy.stats import ks_2samp

    if before.cohort.classes != after.cohort.classes:
        return
    for question in after.cohort.questions:
        first, second = (log_odds(side.cohort.probabilities[side.rows, question.place]) for side in (before, after))
        found = ks_2samp(first, second)
        yield Change(what=f"probability of {question.name}", measure="stability index above chance", least=0.1,
                     size=stability_index(first, second), before=first.size, after=second.size,
                     p_value=float(found.pvalue))  # fmt: skip


def stability_index(before: Vector, after: Vector, bins: int = PSI_BINS) -> float:
    """Return the population stability index less its mean under no change; never below 0.

    ``sum (q - p) ln(q / p)`` over bins that hold equal shares of `before`, half a count added to each.
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    first, second = (np.bincount(np.digitize(one, edges), minlength=edges.size + 1) + 0.5 for one in (before, after))
    p, q = first / first.sum(), second / second.sum()
    chance = edges.size * (1 / before.size + 1 / after.size)
    return max(0.0, float(((q - p) * np.log(q / p)).sum()) - chance)


def _prevalence(before: Side, after: Side) -> Iterator[Change]:
    from scipy.stats import fisher_exact

    if before.cohort.classes != after.cohort.classes:
        return
    for question in after.cohort.questions:
        counts = []
        for side in (before, after):
            rows = side.rows[side.cohort.is_labelled[side.rows]]
            counts.append((int(side.cohort.truth[rows, question.place].sum()), rows.size))
        (k1, n1), (k2, n2) = counts
        if min(n1, n2) >= FEWEST_STUDIES:
            p_value = float(fisher_exact([[k1, n1 - k1], [k2, n2 - k2]]).pvalue)
            yield Change(what=f"prevalence of {question.name}", measure="difference", size=abs(k2 / n2 - k1 / n1),
                         least=0.05, before=n1, after=n2, p_value=p_value)  # fmt: skip


def _features(before: Side, after: Side, domain: float) -> Change | None:
    first, second = before.cohort.features, after.cohort.features
    if first is None or second is None or first.shape[1] != second.shape[1]:
        return None
    values = np.concatenate([first[before.rows], second[after.rows]]).astype(np.float64)
    is_after = np.arange(values.shape[0]) >= before.rows.size
    singles = np.arange(values.shape[0])
    scores = out_of_fold(values, is_after, singles, after.cohort.seed, components=min(10, values.shape[1]))
    if scores is None:
        return None
    found = discrimination(scores, is_after)
    if found.auroc is None or found.low is None:
        return None
    estimate = Estimate(value=found.auroc, low=found.low, high=found.high, n=found.n)
    return Change(what="features", measure=f"AUROC of before and after{LOWER_END}", size=found.low, least=domain,
                  before=before.rows.size, after=after.rows.size, p_value=exceeds(scores, is_after, singles, 0.5),
                  estimate=estimate)  # fmt: skip


def _expected(sides: tuple[Side, Side]) -> str:
    """Return the accuracy that the probabilities themselves promise, before and after, for exclusive classes."""
    if {side.cohort.task for side in sides} != {"multiclass"}:
        return ""
    means = [float(side.cohort.probabilities[side.rows].max(axis=1).mean()) for side in sides]
    return f" Mean confidence {shown(means[0])} before and {shown(means[1])} after."
