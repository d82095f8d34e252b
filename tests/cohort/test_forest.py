"""The forest of subgroups: every row is what the statistics of that group alone would be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.forest import forest
from audit_pipeline.cohort.proportions import proportion
from audit_pipeline.cohort.subgroups import compared_gaps


@pytest.fixture(scope="module")
def cohort():
    return clean_cohort(160, np.random.default_rng(6))


@pytest.fixture(scope="module")
def rows(cohort):
    return forest(cohort)


def test_the_first_row_is_the_whole_cohort_and_each_group_has_one(cohort, rows):
    assert (rows[0].column, rows[0].level) == ("", "")
    assert rows[0].positives + rows[0].negatives == cohort.questions[0].rows.size
    wanted = [(column, level) for column in sorted(cohort.groups())
              for level in sorted(set(cohort.groups()[column]) - {""})]  # fmt: skip
    assert [(row.column, row.level) for row in rows[1:]] == wanted


def test_a_row_holds_the_rates_and_the_area_of_its_group_alone(cohort, rows):
    question = cohort.questions[0]
    inside = np.asarray(cohort.groups()["sex"])[question.rows] == "F"
    truth, called = question.truth[inside], question.called[inside]
    row = next(row for row in rows if (row.column, row.level) == ("sex", "F"))
    wanted = proportion(int(called[truth].sum()), int(truth.sum()))
    assert (row.sensitivity.k, row.sensitivity.n) == (wanted.k, wanted.n)
    assert (row.sensitivity.low, row.sensitivity.high) == (wanted.low, wanted.high)
    assert row.auroc.value == discrimination(question.scores[inside], truth).auroc
    assert row.is_planned


def test_differences_and_adjusted_p_values_are_those_of_the_check(cohort, rows):
    gaps = {(gap.column, gap.level, gap.metric): gap for gap in compared_gaps(cohort)}
    told = {(row.column, row.level, metric): one for row in rows for metric, one in row.against.items()}
    assert set(told) == set(gaps)
    for key, one in told.items():
        assert one.p_value == gaps[key].adjusted
        assert one.difference == gaps[key].gap


def test_a_group_with_fewer_than_ten_of_a_kind_is_too_small_and_not_compared(cohort):
    rare = tuple("rare" if place < 8 else "common" for place in range(len(cohort.keys)))
    rows = forest(replace(cohort, subgroups={"scanner": rare}, header={}, sites=("",) * len(cohort.keys)))
    row = next(row for row in rows if row.level == "rare")
    assert row.is_too_small
    assert not row.against
    assert row.sensitivity.low is None
    assert row.sensitivity.n == row.positives
