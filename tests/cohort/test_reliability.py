"""Calibration to look at: closed forms and scikit-learn, bins that hold every study once."""

from __future__ import annotations

from itertools import pairwise
from math import exp, sqrt

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.proportion import proportion_confint

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.reliability import bins_of, brier, histogram, in_the_large, observed_expected, reliability


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(8)
    scores = random.beta(1.2, 2.0, 300)
    return scores, random.random(300) < scores


def test_bins_hold_every_study_once_in_order_with_wilson_intervals(case):
    scores, truth = case
    found = bins_of(scores, truth)
    assert len(found) == 10
    assert sum(one.observed.n for one in found) == 300
    assert sum(one.observed.k for one in found) == truth.sum()
    assert all(before.high <= after.low for before, after in pairwise(found))
    for one in found:
        inside = (scores >= one.low) & (scores <= one.high)
        assert one.observed.k == truth[inside].sum()
        assert one.mean == pytest.approx(scores[inside].mean())
        wanted = proportion_confint(one.observed.k, one.observed.n, method="wilson")
        assert (one.observed.low, one.observed.high) == pytest.approx(wanted)


def test_small_cohorts_have_fewer_bins_and_equal_scores_share_one(case):
    scores, truth = case
    assert len(bins_of(scores[:60], truth[:60])) == 3
    assert [one.observed.n for one in bins_of(np.full(50, 0.3), truth[:50])] == [50]
    assert bins_of(scores[:4], truth[:4])[0].observed.low is None


def test_histograms_count_every_study_also_at_0_and_1():
    found = histogram(np.asarray([0.0, 0.049, 0.05, 0.999, 1.0]), np.asarray([True, False, False, True, True]))
    assert found.positives[0] == 1
    assert found.positives[-1] == 2
    assert found.negatives[:2] == (1, 1)
    assert sum(found.positives) + sum(found.negatives) == 5


def test_the_brier_score_is_that_of_scikit_learn(case):
    scores, truth = case
    found = brier(scores, truth)
    assert found.value == pytest.approx(brier_score_loss(truth, scores))
    reach = 1.96 * ((scores - truth) ** 2).std(ddof=1) / sqrt(300)
    assert found.high - found.value == pytest.approx(reach, rel=1e-4)


def test_shifted_log_odds_are_found_back_as_calibration_in_the_large(case):
    scores, truth = case
    shifted = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + 0.8)))
    plain, moved = in_the_large(scores, truth), in_the_large(shifted, truth)
    assert moved.value == pytest.approx(plain.value - 0.8, abs=1e-6)
    level = 1 / (1 + np.exp(-(np.log(shifted / (1 - shifted)) + moved.value)))
    assert level.sum() == pytest.approx(truth.sum(), abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, 6.0, -12.0])
def test_calibration_in_the_large_is_that_of_a_generalised_linear_model(case, shift):
    scores, truth = case
    shifted = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + shift)))
    found = in_the_large(shifted, truth)
    model = GLM(truth.astype(float), np.ones((truth.size, 1)), family=Binomial(), offset=log_odds(shifted))
    fitted = model.fit(start_params=[-shift], tol=1e-12)
    assert found.value == pytest.approx(fitted.params[0], abs=1e-7)
    assert (found.low, found.high) == pytest.approx(tuple(fitted.conf_int()[0]), abs=1e-6)


def test_observed_over_expected_has_the_binomial_interval_on_the_log_scale(case):
    scores, truth = case
    found = observed_expected(scores, truth)
    k = truth.sum()
    assert found.value == pytest.approx(k / scores.sum())
    assert found.high / found.value == pytest.approx(exp(1.959964 * sqrt((1 - k / 300) / k)), rel=1e-6)


def test_a_calibrated_model_has_slope_1_level_0_and_an_error_below_its_null():
    cohort = clean_cohort(1500, np.random.default_rng(3))
    found = reliability(cohort, cohort.questions[0])
    assert found.slope.low < 1 < found.slope.high
    assert found.in_the_large.low < 0 < found.in_the_large.high
    assert found.observed_expected.low < 1 < found.observed_expected.high
    assert found.error < found.null_95
    assert found.brier.value < found.brier_of_prevalence


def test_only_the_first_study_of_a_patient_counts():
    cohort = clean_cohort(100, np.random.default_rng(3))
    found = reliability(cohort, cohort.questions[0])
    assert found.n == len({cohort.patients[row] for row in cohort.questions[0].rows})
