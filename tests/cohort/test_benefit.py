"""Decision curves: the net benefit is the published formula, its interval that of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.cohort.benefit import benefit


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(4)
    scores = random.beta(1, 2, 500)
    return scores, random.random(500) < scores


def test_the_net_benefit_follows_from_sensitivity_specificity_and_prevalence(case):
    scores, truth = case
    found = benefit(scores, truth, np.arange(500))
    share = truth.mean()
    for place in (4, 29, 59):
        threshold = found.thresholds[place]
        called = scores >= threshold
        odds = threshold / (1 - threshold)
        wanted = called[truth].mean() * share - called[~truth].mean() * (1 - share) * odds
        assert found.model[place] == pytest.approx(wanted, abs=1e-6)
        assert found.treat_all[place] == pytest.approx(share - (1 - share) * odds, abs=1e-6)


def test_the_interval_is_that_of_a_mean_over_independent_studies(case):
    scores, truth = case
    found = benefit(scores, truth, np.arange(500))
    gain = np.where(scores >= 0.3, np.where(truth, 1, -0.3 / 0.7), 0)
    reach = 1.959964 * gain.std(ddof=1) / np.sqrt(500)
    assert found.high[29] - found.model[29] == pytest.approx(reach, abs=2e-6)
    assert found.model[29] - found.low[29] == pytest.approx(reach, abs=2e-6)


def test_the_difference_to_acting_on_all_is_paired(case):
    scores, truth = case
    found = benefit(scores, truth, np.arange(500))
    lost = np.where(scores >= 0.3, 0, np.where(truth, 1, -0.3 / 0.7))  # what the model leaves out of acting on all
    assert found.above_all[29] == pytest.approx(found.model[29] - found.treat_all[29], abs=2e-6)
    reach = 1.959964 * lost.std(ddof=1) / np.sqrt(500)
    assert found.above_all_low[29] == pytest.approx(found.above_all[29] - reach, abs=2e-6)
    assert found.above_all_high[29] == pytest.approx(found.above_all[29] + reach, abs=2e-6)


def test_at_a_declared_prevalence_the_rates_found_here_decide(case):
    scores, truth = case
    assert benefit(scores, truth, np.arange(500)).is_better_declared == ()
    found = benefit(scores, truth, np.arange(500), 0.05)
    for place in (4, 9, 29):
        called, odds = scores >= found.thresholds[place], found.thresholds[place] / (1 - found.thresholds[place])
        model = 0.05 * called[truth].mean() - 0.95 * called[~truth].mean() * odds
        assert found.is_better_declared[place] == (model > max(0, 0.05 - 0.95 * odds))
    assert 0 < sum(found.is_better_declared) < sum(found.is_better), "rarer disease, fewer thresholds"


def test_no_interval_reaches_above_that_of_the_prevalence_which_no_net_benefit_exceeds():
    truth = np.arange(60) < 30
    scores = np.where(truth, 0.99, 0.1)
    scores[-2:] = 0.99
    found = benefit(scores, truth, np.arange(60))
    assert max(found.high) == pytest.approx(0.5 + 1.959964 * truth.std(ddof=1) / np.sqrt(60), abs=2e-6)
    assert found.high[94] == max(found.high), "two false calls at a threshold of 0.95 alone would reach 0.76"


def test_studies_of_the_same_patient_count_as_one(case):
    scores, truth = case
    single = benefit(scores, truth, np.arange(500))
    repeated = benefit(np.repeat(scores, 2), np.repeat(truth, 2), np.repeat(np.arange(500), 2))
    assert repeated.model == single.model
    assert repeated.high == pytest.approx(single.high, abs=2e-6)


def test_a_good_model_is_better_in_the_middle_and_noise_is_better_nowhere(case):
    scores, truth = case
    assert any(benefit(scores, truth, np.arange(500)).is_better[20:60])
    noise = np.random.default_rng(9).beta(1, 2, 500)
    assert not any(benefit(noise, truth, np.arange(500)).is_better)


def test_a_difference_in_fewer_than_ten_studies_shows_nothing():
    truth = np.arange(200) < 100
    scores = np.where(truth, 0.9, 0.8)
    scores[-5:] = 0.01
    found = benefit(scores, truth, np.arange(200))
    assert not found.is_better[49]


def test_too_few_cases_or_patients_have_no_curve(case):
    scores, truth = case
    assert benefit(scores, np.arange(500) < 9, np.arange(500)) is None
    assert benefit(scores, truth, np.arange(500) % 9) is None
