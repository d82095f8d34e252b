"""Every subgroup beside the whole: rates and AUROC with intervals, and which groups are too small to judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import FEWEST, clustered_proportion
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.subgroups import Gap, area_estimate, compared_gaps, every_group
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.records import Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """The difference of a group from the rest of its column, its p-value adjusted with all others of its family."""

    difference: Estimate
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One group for one class, or with an empty column the whole cohort.

    is_planned : the comparison was declared beforehand
    is_too_small : fewer than 10 patients of a kind, so that nothing is compared for this kind
    against : metric -> difference from the rest; of a column with two values only the rarer one is compared
    """

    question: str
    column: str
    level: str
    is_planned: bool
    is_too_small: bool
    positives: int
    negatives: int
    sensitivity: Estimate
    specificity: Estimate
    auroc: Estimate
    against: dict[str, Against]


def forest(cohort: Cohort) -> list[Row]:
    """Return a row per class and group, after the row of the whole cohort; columns and values in alphabetical order."""
    gaps: dict[tuple[str, str, str], list[Gap]] = {}
    for gap in compared_gaps(cohort):
        gaps.setdefault((gap.question, gap.column, gap.level), []).append(gap)
    rows: list[Row] = []
    groups = [(column, level, members) for column, level, members in every_group(cohort)]
    for question in cohort.questions:
        everything = np.ones(question.rows.size, dtype=np.bool_)
        rows.append(_row(cohort, question, ("", ""), everything, []))
        for column, level, members in groups:
            own = gaps.get((question.name, column, level), [])
            rows.append(_row(cohort, question, (column, level), members[question.rows], own))
    return rows


def _row(cohort: Cohort, question: Question, named: tuple[str, str], inside: Mask, gaps: list[Gap]) -> Row:
    truth, called = question.truth[inside], question.called[inside]
    clusters = cohort.clusters[question.rows][inside]
    patients = [int(np.unique(clusters[kind]).size) for kind in (truth, ~truth)]
    return Row(
        question=question.name,
        column=named[0],
        level=named[1],
        is_planned=named[0] in cohort.plan.groups,
        is_too_small=min(patients) < FEWEST,
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        sensitivity=estimate_of(clustered_proportion(called[truth], clusters[truth])),
        specificity=estimate_of(clustered_proportion(~called[~truth], clusters[~truth])),
        auroc=area_estimate(question.scores[inside], truth, clusters),
        against={gap.metric: Against(difference=gap.gap, p_value=gap.adjusted) for gap in gaps},
    )
