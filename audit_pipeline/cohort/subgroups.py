"""Subgroups: whether the model does worse in one of them (E01), and whether the data could tell (E02)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from audit_pipeline.cohort.comparison import unpaired
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, clustered_proportion, effective, newcombe_difference
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import estimate_of, p_shown, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import benjamini_hochberg, holm
from audit_pipeline.records import Mask, Matrix
from audit_pipeline.terms import within
from audit_pipeline.wording import counted, listed, shown

MOST_LEVELS = 12
"""Values of a column beyond which it does not divide the studies into groups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """One metric in one group against the rest; `gap` is group minus rest, `planned` as declared beforehand."""

    question: str
    column: str
    level: str
    metric: str
    group: Estimate
    rest: Estimate
    gap: Estimate
    p_value: float
    planned: bool
    adjusted: float = 1.0

    @property
    def words(self) -> str:
        """The gap as a phrase."""
        assert self.gap.value is not None
        assert self.gap.low is not None
        assert self.gap.high is not None
        numbers = with_interval(self.gap.value, self.gap.low, self.gap.high)
        where = f"{within(self.column)} is {self.level}"
        return f"{self.metric} of {self.question} where {where}: {numbers} against the rest"


@cohort_check(
    "E01",
    title="Subgroup gap",
    sentence="The model does worse in one group of studies than in the others.",
    severity=(5, 4, 4),
    provenance="dom",
    reference="Newcombe 1998, DeLong 1988, Holm 1979, Benjamini and Hochberg 1995; FDA draft guidance 2025, X.A",
    advice="Limit the labelling to the groups that were shown to be safe, or train again with more of this group.",
    direction="above",
)
def subgroup_gap(cohort: Cohort, *, alpha: float = 0.05, margin: float = 0.05) -> CohortResult:
    """Compare sensitivity, specificity and AUROC of every group with the rest of the studies.

    Proportions by Fisher's exact test with Newcombe's interval, areas by DeLong's test for independent cases; where
    patients repeat, with the effective number of cases and Obuchowski's variance. Groups that were declared
    beforehand are adjusted by Holm, the others by Benjamini and Hochberg; where there are both, each gets half of
    `alpha`. A gap is flagged when its adjusted p-value is below that and it is at least `margin` wide. Predictive
    values follow prevalence and are left to E19.
    """
    gaps = compared_gaps(cohort)
    if not gaps:
        raise NotEvaluable(f"No group and its rest have {FEWEST} labelled positives or negatives each.")
    families = len({gap.planned for gap in gaps})
    level = alpha / families
    worst = min(gaps, key=lambda gap: (gap.adjusted, gap.p_value))
    found = [gap for gap in gaps if gap.adjusted < level and abs(gap.gap.value or 0.0) >= margin]
    size = abs(worst.gap.value or 0.0)
    tried = counted(len(gaps), "comparison")
    if found:
        message = (
            f"Of {tried}, {len(found)} {'shows' if len(found) == 1 else 'show'} a gap of at least {shown(margin)}: "
            f"{listed([one.words for one in found])}."
        )
    else:
        nearest = f"{worst.words}, adjusted {p_shown(worst.adjusted)}"
        message = f"None of {tried} shows a gap of at least {shown(margin)} beyond chance; nearest: {nearest}."
    return CohortResult(
        Outcome.FLAG if found else Outcome.PASS, message, value=size, limit=margin,
        unit=f"absolute gap in {worst.metric}", n=worst.group.n + worst.rest.n, low=_least(worst.gap),
        high=_most(worst.gap), p_value=min(1.0, worst.adjusted * families), is_planned=worst.planned,
        tables=(_gap_table(gaps),),
    )  # fmt: skip


def compared_gaps(cohort: Cohort) -> list[Gap]:
    """Return every comparison of a group with the rest that can be made, p-values adjusted, the surest first."""
    return _adjusted([gap for question in cohort.questions for gap in _gaps_of(cohort, question)])


def _least(gap: Estimate) -> float | None:
    low, high = gap.low, gap.high
    if low is None or high is None:
        return None
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high))


def _most(gap: Estimate) -> float | None:
    return None if gap.low is None or gap.high is None else max(abs(gap.low), abs(gap.high))


def divisions(cohort: Cohort) -> Iterator[tuple[str, str, Mask]]:
    """Return column, value and members of every group; of a column with two values only one group.

    The rarer value stands for a column with two, so that no comparison is counted twice.
    """
    for column, values in sorted(cohort.groups().items()):
        texts = np.asarray(values)
        known = texts != ""
        levels, counts = np.unique(texts[known], return_counts=True)
        if not 2 <= levels.size <= MOST_LEVELS:
            continue
        order = [levels[int(np.argmin(counts))]] if levels.size == 2 else list(levels)
        for level in order:
            yield column, str(level), texts == level


def _gaps_of(cohort: Cohort, question: Question) -> Iterator[Gap]:
    rows, clusters = question.rows, cohort.clusters[question.rows]
    columns = cohort.groups()
    for column, level, members in divisions(cohort):
        inside = members[rows]
        outside = ~inside & (np.asarray(columns[column])[rows] != "")
        for metric, kind, hits in (
            ("sensitivity", question.truth, question.called),
            ("specificity", ~question.truth, ~question.called),
        ):
            chosen, others = inside & kind, outside & kind
            k1, n1 = effective(hits[chosen], clusters[chosen])
            k2, n2 = effective(hits[others], clusters[others])
            if min(n1, n2) >= FEWEST:
                first = estimate_of(clustered_proportion(hits[chosen], clusters[chosen]))
                second = estimate_of(clustered_proportion(hits[others], clusters[others]))
                low, high = newcombe_difference((k1, n1), (k2, n2))
                gap = Estimate(
                    value=(first.value or 0.0) - (second.value or 0.0), low=low, high=high, n=first.n + second.n
                )
                p_value = _fisher((k1, n1), (k2, n2))
                planned = column in cohort.plan.groups
                yield Gap(
                    question=question.name, column=column, level=level, metric=metric, group=first, rest=second,
                    gap=gap, p_value=p_value, planned=planned,
                )  # fmt: skip
        yield from _area_gap(cohort, question, (column, level), (inside, outside))


def _fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    from scipy.stats import fisher_exact

    table = [[first[0], first[1] - first[0]], [second[0], second[1] - second[0]]]
    return float(fisher_exact(table).pvalue)


def _area_gap(cohort: Cohort, question: Question, named: tuple[str, str], sides: tuple[Mask, Mask]) -> Iterator[Gap]:
    clusters = cohort.clusters[question.rows]
    counts = [kind[side].sum() for side in sides for kind in (question.truth, ~question.truth)]
    distinct = [np.unique(clusters[side & kind]).size for side in sides for kind in (question.truth, ~question.truth)]
    if min(*counts, *distinct) < FEWEST:
        return
    (scores, truth), (others, labels) = ((question.scores[side], question.truth[side]) for side in sides)
    found = unpaired((scores, truth), (others, labels), (clusters[sides[0]], clusters[sides[1]]))
    first, second = (area_estimate(*pair) for pair in ((scores, truth), (others, labels)))
    yield Gap(
        question=question.name, column=named[0], level=named[1], metric="AUROC", group=first, rest=second,
        gap=Estimate(value=found.value, low=found.low, high=found.high, n=scores.size + others.size),
        p_value=found.p_value, planned=named[0] in cohort.plan.groups,
    )  # fmt: skip


def area_estimate(scores: Matrix, truth: Mask, clusters: Ints | None = None) -> Estimate:
    """Return an AUROC as a cell of a table."""
    from audit_pipeline.cohort.discrimination import discrimination

    found = discrimination(scores, truth, clusters)
    return Estimate(value=found.auroc, low=found.low, high=found.high, n=found.n, reason=found.reason)


def _adjusted(gaps: list[Gap]) -> list[Gap]:
    from dataclasses import replace

    adjusted = []
    for planned, method in ((True, holm), (False, benjamini_hochberg)):
        family = [gap for gap in gaps if gap.planned is planned]
        values = method([gap.p_value for gap in family])
        adjusted += [replace(gap, adjusted=float(value)) for gap, value in zip(family, values, strict=True)]
    return sorted(adjusted, key=lambda gap: (gap.adjusted, gap.p_value, gap.column, gap.level, gap.metric))


def _gap_table(gaps: list[Gap]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (gap.question, gap.column, gap.level, gap.metric, gap.group, gap.rest, gap.gap, gap.adjusted,
         "planned" if gap.planned else "exploratory")
        for gap in gaps
    ]  # fmt: skip
    return Table(
        title="Groups against the rest",
        head=("Class", "Column", "Value", "Metric", "In the group", "In the rest", "Difference", "Adjusted p", "Kind"),
        rows=tuple(rows),
        note="Planned groups: Holm; exploratory ones: Benjamini and Hochberg. Differences with 95 % "
        "intervals: of proportions Newcombe and Fisher's test, of AUROC DeLong with the variance of Newcombe (2006).",
    )


@cohort_check(
    "E02",
    title="Subgroup too small to judge",
    sentence="A group has so few cases that a harmful gap would not be seen.",
    severity=(4, 5, 5),
    provenance="dom",
    reference="Power of the difference of two proportions, normal approximation; Fleiss 2003, section 4.2",
    advice="Collect more studies of this group before anything is claimed for it.",
    direction="below",
)
def subgroup_too_small(
    cohort: Cohort, *, margin: float = 0.15, power: float = 0.8, expected: float = 0.9
) -> CohortResult:
    """Count the positives and negatives of every group, and compute the gap that `power` would find.

    The detectable gap is the drop from the rest (from `expected` where the rest has none) that a two-sided test at
    5 % finds with probability `power`. A group that was declared beforehand with fewer than 10 cases of a kind is
    flagged; one that is not declared, or has 10 but would only show gaps wider than `margin`, is noted.
    """
    sizes = list(_sizes(cohort, expected, power))
    if not sizes:
        raise NotEvaluable("No column divides the labelled studies into groups.")
    empty = [one for one in sizes if one.own < FEWEST]
    blind = [one for one in sizes if one.own >= FEWEST and one.gap is None]
    weak = [one for one in sizes if one.gap is not None and one.gap > margin]
    parts = [f"fewer than {FEWEST} cases: {_listed(empty)}"] if empty else []
    if weak:
        span = " to ".join(dict.fromkeys(shown(pick(one.gap or 0.0 for one in weak)) for pick in (min, max)))
        parts.append(f"only gaps from {span} on would be found (power {shown(power)}): {_listed(weak)}")
    parts += [f"too few in the rest for any gap: {_listed(blind)}"] if blind else []
    message = f"Of {counted(len(sizes), 'count')} in groups, {'; '.join(parts) or 'all are large enough'}."
    is_declared_empty = any(one.column in cohort.plan.groups for one in empty)
    outcome = Outcome.FLAG if is_declared_empty else Outcome.NOTE if parts else Outcome.PASS
    rows: list[tuple[Cell, ...]] = [
        (one.question, one.column, one.level, one.kind, one.own, one.rest, one.gap) for one in sizes
    ]
    table = Table(
        title="Size of the groups", rows=tuple(sorted(rows, key=lambda row: (row[4], row[:4]))),
        head=("Class", "Column", "Value", "Kind", "Patients", "In the rest", "Detectable gap"),
        note=f"Gap from {shown(expected)} found with power {shown(power)} at 5 %; a dash: too few cases for any.",
    )  # fmt: skip
    fewest = min(one.own for one in sizes)
    return CohortResult(
        outcome, message, value=fewest, limit=FEWEST, unit="patients", n=len(cohort.keys), tables=(table,)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """The positives or negatives of one class in one group: patients there and in the rest, and the detectable gap."""

    question: str
    column: str
    level: str
    kind: str
    own: int
    rest: int
    gap: float | None

    @property
    def words(self) -> str:
        """The group with its number of cases: ``patient sex F (1 negative of nodule)``."""
        return f"{within(self.column)} {self.level} ({counted(self.own, self.kind[:-1])} of {self.question})"


def _sizes(cohort: Cohort, expected: float, power: float) -> Iterator[Size]:
    for question in cohort.questions:
        clusters = cohort.clusters[question.rows]
        for column, level, members in every_group(cohort):
            inside = members[question.rows]
            for kind, cases in (("positives", question.truth), ("negatives", ~question.truth)):
                own, rest = (np.unique(clusters[side & cases]).size for side in (inside, ~inside))
                gap = detectable_gap(own, rest, expected, power) if own >= FEWEST else None
                yield Size(question=question.name, column=column, level=level, kind=kind, own=own, rest=rest, gap=gap)


def _listed(sizes: Sequence[Size]) -> str:
    return listed([one.words for one in sizes], most=4)


def every_group(cohort: Cohort) -> Iterator[tuple[str, str, Mask]]:
    """Return column, value and members of every group, also of both values of a column with two."""
    for column, values in sorted(cohort.groups().items()):
        texts = np.asarray(values)
        levels = np.unique(texts[texts != ""])
        if levels.size <= MOST_LEVELS:
            yield from ((column, str(level), texts == level) for level in levels)


def detectable_gap(group: int, rest: int, expected: float, power: float) -> float | None:
    """Return the smallest drop below `expected` that a two-sided test at 5 % finds with `power`; None: none does.

    Examples
    --------
    >>> round(detectable_gap(100, 1000, 0.9, 0.8), 2)
    0.1
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if min(group, rest) < 2:
        return None
    wanted = float(norm.ppf(power))

    def excess(gap: float) -> float:
        low = expected - gap
        pooled = (group * low + rest * expected) / (group + rest)
        null = sqrt(pooled * (1 - pooled) * (1 / group + 1 / rest))
        spread = sqrt(low * (1 - low) / group + expected * (1 - expected) / rest)
        return (gap - 1.959963984540054 * null) / spread - wanted

    widest = expected - 1e-6
    return float(brentq(excess, 1e-9, widest)) if excess(widest) > 0 else None
