"""Curves of one class: counts as scikit-learn has them, bands that hold what they say, thinning to own points."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from audit_pipeline.cohort.curves import MOST_POINTS, curve


def drawn(n, seed=0, *, shift=1.2, decimals=None):
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    scores = 1 / (1 + np.exp(-random.normal(truth * shift, 1.0)))
    return (scores if decimals is None else scores.round(decimals)), truth


def alone(n):
    return np.arange(n)


def test_every_threshold_of_a_small_cohort_is_stored_with_the_counts_of_scikit_learn():
    scores, truth = drawn(90, decimals=2)
    found = curve(scores, truth, alone(90))
    false, hits, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    assert np.allclose(found.thresholds, thresholds[1:])
    assert np.allclose(np.asarray(found.true_positives) / found.positives, hits[1:])
    assert np.allclose(np.asarray(found.false_positives) / found.negatives, false[1:])
    precision, _, limits = precision_recall_curve(truth, scores)
    own = np.asarray(found.true_positives) / (np.asarray(found.true_positives) + np.asarray(found.false_positives))
    assert np.allclose(own[::-1][-len(limits) :], precision[:-1])


@pytest.mark.parametrize(("n", "decimals"), [(60, None), (700, None), (700, 1)])
def test_the_average_precision_is_that_of_scikit_learn_over_all_scores(n, decimals):
    scores, truth = drawn(n, 3, decimals=decimals)
    found = curve(scores, truth, alone(n)).average_precision
    assert found.value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    assert found.low < found.value < found.high


def test_the_interval_of_the_average_precision_is_symmetric_in_log_odds_with_the_published_width():
    scores, truth = drawn(400, 5)
    found = curve(scores, truth, alone(400)).average_precision
    odds = [np.log(one / (1 - one)) for one in (found.low, found.value, found.high)]
    width = 1.959963984540054 / np.sqrt(truth.sum() * found.value * (1 - found.value))
    assert odds[2] - odds[1] == pytest.approx(width)
    assert odds[1] - odds[0] == pytest.approx(width)


def test_a_long_curve_is_thinned_to_points_of_its_own_and_keeps_area_ends_and_the_operating_point():
    scores, truth = drawn(3000, 7)
    found = curve(scores, truth, alone(3000), keep=(0.437,))
    assert len(found.thresholds) <= MOST_POINTS < found.distinct
    for threshold, hits, false in zip(found.thresholds, found.true_positives, found.false_positives, strict=True):
        assert hits == (scores[truth] >= threshold).sum()
        assert false == (scores[~truth] >= threshold).sum()
    assert (found.true_positives[-1], found.false_positives[-1]) == (truth.sum(), (~truth).sum())
    at = ((scores[truth] >= 0.437).sum(), (scores[~truth] >= 0.437).sum())
    assert at in set(zip(found.true_positives, found.false_positives, strict=True))
    across = np.concatenate([[0], np.asarray(found.false_positives) / found.negatives])
    up = np.concatenate([[0], np.asarray(found.true_positives) / found.positives])
    assert np.trapezoid(up, across) == pytest.approx(roc_auc_score(truth, scores), abs=0.002)


def test_the_bands_are_wilson_intervals_at_every_threshold():
    scores, truth = drawn(120, 2)
    found = curve(scores, truth, alone(120))
    for place in (0, 20, 75):
        hits, false = found.true_positives[place], found.false_positives[place]
        wanted = proportion_confint(hits, found.positives, alpha=0.025, method="wilson")
        assert found.sensitivity[place] == pytest.approx(wanted, abs=1e-5)
        wanted = proportion_confint(false, found.negatives, alpha=0.025, method="wilson")
        assert found.fallout[place] == pytest.approx(wanted, abs=1e-5)
        wanted = proportion_confint(hits, hits + false, alpha=0.05, method="wilson")
        assert found.precision[place] == pytest.approx(wanted, abs=1e-5)


def test_the_joint_band_holds_the_true_point_in_at_least_95_of_100_cohorts():
    held, draws, threshold = 0, 250, 0.6
    truth_of = [1 - _normal(np.log(0.6 / 0.4) - shift) for shift in (1.2, 0.0)]
    for seed in range(draws):
        scores, truth = drawn(60, seed)
        found = curve(scores, truth, alone(60), keep=(threshold,))
        place = sum(one >= threshold for one in found.thresholds) - 1
        held += all(
            low <= value <= high
            for value, (low, high) in zip(truth_of, (found.sensitivity[place], found.fallout[place]), strict=True)
        )
    assert held / draws >= 0.93


def _normal(value):
    from scipy.stats import norm

    return norm.cdf(value)


def test_complete_separation_leaves_a_band_and_an_interval_of_some_width():
    truth = np.arange(40) < 20
    found = curve(np.where(truth, 0.9, 0.1), truth, alone(40))
    assert found.distinct == 2
    assert found.sensitivity[0][0] < 0.85
    assert found.fallout[0][1] > 0.15
    assert found.average_precision.value == 1
    assert found.average_precision.low == pytest.approx(proportion_confint(20, 20, method="wilson")[0])


def test_repeated_patients_widen_the_bands():
    scores, truth = drawn(200, 4)
    repeated = curve(np.repeat(scores, 3), np.repeat(truth, 3), np.repeat(alone(200), 3))
    single, tripled = (curve(scores, truth, alone(200)), curve(np.repeat(scores, 3), np.repeat(truth, 3), alone(600)))
    assert repeated.sensitivity[30] == pytest.approx(single.sensitivity[30], abs=0.02)
    assert np.ptp(tripled.sensitivity[30]) < 0.7 * np.ptp(repeated.sensitivity[30])
    assert repeated.average_precision.low == pytest.approx(single.average_precision.low, abs=1e-9)


def test_with_nine_positives_there_is_no_curve():
    scores, _ = drawn(50)
    assert curve(scores, np.arange(50) < 9, alone(50)) is None
