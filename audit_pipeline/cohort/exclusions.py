"""Exclusions: whether the studies without a prediction are unlike the others, and what they could hide (E16)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from audit_pipeline.cohort.declare import Cell, CohortResult, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.wording import p_shown
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import benjamini_hochberg
from audit_pipeline.wording import counted, listed, shown

OWN_COLUMNS = frozenset({"patient", "period", "cause", "split"})
RAREST = 5
LEFT_OUT = "share left out"


@cohort_check(
    "E16",
    title="Exclusions are not random",
    sentence="The studies that got no prediction are unlike the others, or enough to overturn the result.",
    severity=(5, 4, 5),
    provenance="std",
    reference="FDA draft guidance 2025, appendix C: quality filters may drop hard cases; bounds, Manski 1990",
    advice="Report the bounds beside the result, and find out why these studies were lost.",
    direction="above",
)
def exclusions_not_random(cohort: Cohort, *, alpha: float = 0.05, goal: float = 0.0) -> CohortResult:
    """Compare the studies left out with the others, and bound sensitivity and specificity over all of them.

    Prevalence and the columns of the labels file by Fisher's exact and chi-squared tests, adjusted by Benjamini and
    Hochberg. The lower bounds count every left-out positive as missed and every left-out negative as called, and a
    study of unknown label as both. A bound breaks when it falls below the claim less its margin (below `goal` where
    nothing is claimed) while the result itself does not. Flagged when a test is significant, and when a bound breaks
    although labels are missing to test; noted when a bound breaks and the tests found no difference.
    """
    if not cohort.left_out:
        return CohortResult(
            Outcome.PASS,
            "No study that was found is without a prediction.",
            value=0.0,
            unit=LEFT_OUT,
            n=len(cohort.keys),
        )
    tests = [*_prevalence_tests(cohort), *_column_tests(cohort)]
    adjusted = benjamini_hochberg([p for _, p in tests])
    unlike = [f"{name} ({p_shown(float(p))})" for (name, _), p in zip(tests, adjusted, strict=True) if p < alpha]
    rows, crossed = _bounds(cohort, goal)
    if not rows and not tests:
        raise NotEvaluable(
            f"{counted(len(cohort.left_out), 'study', 'studies')} left out, and none has labels or facts."
        )
    share = len(cohort.left_out) / (len(cohort.left_out) + len(cohort.keys))
    parts = [
        f"{counted(len(cohort.left_out), 'study', 'studies')} of {len(cohort.left_out) + len(cohort.keys)} left out"
    ]
    parts += [f"they differ in {listed(unlike)}"] if unlike else [_no_difference(len(cohort.left_out))] if tests else []
    parts += [f"the worst case breaks {listed(crossed)}"] if crossed else []
    reasons = Counter(one.reason for one in cohort.left_out)
    tables = [Table(title="Why studies were left out", head=("Reason", "Studies"), rows=tuple(sorted(reasons.items())))]
    if rows:
        head = ("Class", "Metric", "Found", "Worst case", "Goal")
        tables.append(Table(title="Bounds over all studies", head=head, rows=tuple(rows)))
    smallest = float(adjusted.min()) if tests else None
    is_tested = all(one.truth is not None for one in cohort.left_out)
    outcome = Outcome.FLAG if unlike or (crossed and not is_tested) else Outcome.NOTE if crossed else Outcome.PASS
    return CohortResult(
        outcome, f"{'; '.join(parts)}.", value=share, unit=LEFT_OUT, n=len(cohort.left_out) + len(cohort.keys),
        p_value=smallest if is_tested or not crossed else None, tables=tuple(tables),
    )  # fmt: skip


def _no_difference(left_out: int) -> str:
    """Return what tests without a finding say, which of few studies is little.

    >>> _no_difference(1), _no_difference(40)
    ('no difference to the others was found, but 1 would hardly show one', 'no difference to the others was found')
    """
    found = "no difference to the others was found"
    return found if left_out >= FEWEST else f"{found}, but {left_out} would hardly show one"


def _prevalence_tests(cohort: Cohort) -> list[tuple[str, float]]:
    from scipy.stats import fisher_exact

    known = [one.truth for one in cohort.left_out if one.truth is not None]
    found = []
    for question in cohort.questions:
        lost = sum(question.name in truth for truth in known)
        if question.rows.size and known:
            kept = int(question.truth.sum())
            table = [[lost, len(known) - lost], [kept, int(question.rows.size) - kept]]
            found.append((f"prevalence of {question.name}", float(fisher_exact(table).pvalue)))
    return found


def _column_tests(cohort: Cohort) -> list[tuple[str, float]]:
    from scipy.stats import chi2_contingency

    columns = {name: values for name, values in {**cohort.subgroups, "site": cohort.sites}.items() if any(values)}
    found = []
    for name, values in sorted(columns.items()):
        lost = Counter(one.facts.get(name, "") for one in cohort.left_out if one.facts.get(name))
        kept = Counter(value for value in values if value)
        levels = [level for level in sorted(kept) if kept[level] + lost[level] >= RAREST]
        table = np.asarray([[counts[level] for level in levels] for counts in (lost, kept)])
        if len(levels) > 1 and table.sum(axis=1).min() >= RAREST:
            found.append((name, float(chi2_contingency(table, correction=False).pvalue)))
    return found


def _bounds(cohort: Cohort, goal: float) -> tuple[list[tuple[Cell, ...]], list[str]]:
    rows: list[tuple[Cell, ...]] = []
    crossed: list[str] = []
    for question in cohort.questions:
        claim = cohort.plan.claims.get(question.name)
        unknown = sum(one.truth is None for one in cohort.left_out)
        lost = sum(one.truth is not None and question.name in one.truth for one in cohort.left_out)
        others = len(cohort.left_out) - unknown - lost
        for metric, declared, missing in (
            ("sensitivity", claim and claim.sensitivity, lost + unknown),
            ("specificity", claim and claim.specificity, others + unknown),
        ):
            hits, total = _hits(question, metric)
            if not total:
                continue
            wanted = max(declared - claim.margin, 0.0) if claim and declared else goal
            found, worst = hits / total, hits / (total + missing)
            rows.append((question.name, metric, found, worst, wanted or None))
            if wanted and worst < wanted <= found:
                crossed.append(f"{metric} of {question.name} ({shown(worst)}, wanted {shown(wanted)})")
    return rows, crossed


def _hits(question: Question, metric: str) -> tuple[int, int]:
    kind = question.truth if metric == "sensitivity" else ~question.truth
    right = question.called if metric == "sensitivity" else ~question.called
    return int(right[kind].sum()), int(kind.sum())
