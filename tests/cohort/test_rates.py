"""Rates of conclusions: equal to scikit-learn and to closed forms, without a number where one would be invented."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, class_likelihood_ratios, confusion_matrix, precision_score
from statsmodels.stats.proportion import proportion_confint

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.cohort.rates import confusion, rates, ratio
from audit_pipeline.cohort.record import Question


def question(truth, called):
    truth, called = np.asarray(truth, dtype=bool), np.asarray(called, dtype=bool)
    return Question(name="nodule", place=1, rows=np.arange(truth.size), truth=truth, called=called,
                    scores=called.astype(float))  # fmt: skip


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(1)
    truth = random.random(160) < 0.4
    return truth, truth ^ (random.random(160) < 0.2)


def test_counts_and_shares_are_those_of_scikit_learn(case):
    truth, called = case
    found = rates(question(truth, called), np.arange(160))
    negatives, false, missed, hits = confusion_matrix(truth, called).ravel()
    assert (found.true_negatives, found.false_positives) == (negatives, false)
    assert (found.false_negatives, found.true_positives) == (missed, hits)
    assert found.positive_predictive_value.value == pytest.approx(precision_score(truth, called))
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, called))
    wanted = class_likelihood_ratios(truth, called)
    assert (found.positive_likelihood_ratio.value, found.negative_likelihood_ratio.value) == pytest.approx(wanted)


def test_proportions_have_wilson_intervals(case):
    truth, called = case
    found = rates(question(truth, called), np.arange(160))
    for one in (found.sensitivity, found.specificity, found.negative_predictive_value, found.accuracy):
        assert (one.low, one.high) == pytest.approx(proportion_confint(one.k, one.n, method="wilson"))


def test_the_interval_of_balanced_accuracy_adds_the_squared_distances(case):
    truth, called = case
    found = rates(question(truth, called), np.arange(160))
    below = sqrt(sum((one.value - one.low) ** 2 for one in (found.sensitivity, found.specificity))) / 2
    assert found.balanced_accuracy.low == pytest.approx(found.balanced_accuracy.value - below)


def test_likelihood_ratios_have_the_interval_of_the_log_method():
    found = ratio((60, 80), (15, 100), 180)
    error = sqrt(1 / 60 - 1 / 80 + 1 / 15 - 1 / 100)
    centre = log(60 / 80 / 0.15)
    assert (found.low, found.high) == pytest.approx((exp(centre - 1.96 * error), exp(centre + 1.96 * error)), rel=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "value", "reason"),
    [
        ((9, 10), (0, 20), None, "the ratio divides by a rate of 0"),
        ((0, 10), (0, 20), None, "both rates are 0"),
        ((0, 10), (5, 20), 0.0, "no interval: the first rate is 0"),
        ((0, 0), (5, 20), None, "a kind of case is missing"),
    ],
)
def test_without_a_ratio_or_interval_the_reason_is_said(first, second, value, reason):
    found = ratio(first, second, 30)
    assert (found.value, found.low, found.reason) == (value, None, reason)


def test_a_class_without_negatives_has_no_specificity_and_no_balanced_accuracy():
    found = rates(question([True] * 12, [True] * 12), np.arange(12))
    assert found.specificity.value is None
    assert found.balanced_accuracy.value is None
    assert found.sensitivity.value == 1


def test_repeated_patients_widen_the_intervals(case):
    truth, called = (np.repeat(one, 4) for one in case)
    apart, together = (rates(question(truth, called), of) for of in (np.arange(640), np.repeat(np.arange(160), 4)))
    assert together.sensitivity.low < apart.sensitivity.low
    assert together.positive_likelihood_ratio.low < apart.positive_likelihood_ratio.low


def test_the_confusion_matrix_counts_labels_in_rows_and_conclusions_in_columns():
    cohort = clean_cohort(200, np.random.default_rng(2))
    rows = cohort.questions[0].rows
    wanted = confusion_matrix(cohort.truth[rows].argmax(axis=1), cohort.called[rows].argmax(axis=1))
    found = confusion(cohort)
    assert found.classes == cohort.classes
    assert np.asarray(found.counts).tolist() == wanted.tolist()
