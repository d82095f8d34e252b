"""Comparisons of areas: against brute force over pairs, and against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from audit_pipeline.cohort.comparison import (
    clustered_variance,
    influence,
    paired,
    placements,
    score_interval,
    score_variance,
    strata_sizes,
    stratified_area,
    unpaired,
)
from audit_pipeline.cohort.discrimination import delong, discrimination


def area_by_pairs(scores, truth):
    above = scores[truth][:, None] > scores[~truth][None]
    equal = scores[truth][:, None] == scores[~truth][None]
    return (above + 0.5 * equal).mean()


def cases(n=120, seed=0, shift=1.0):
    draw = np.random.default_rng(seed)
    truth = draw.random(n) < 0.4
    shared = draw.normal(size=n) + shift * truth
    return truth, np.round(shared + draw.normal(0, 0.5, n), 1), np.round(shared + draw.normal(0, 1.5, n), 1)


def test_a_placement_is_the_share_of_pairs_won_ties_one_half():
    truth, scores, _ = cases()
    found = placements(scores, truth)
    for place in (0, 5, 17, 40):
        others = scores[truth != truth[place]]
        wins = (scores[place] > others) if truth[place] else (scores[place] < others)
        assert found[place] == pytest.approx((wins + 0.5 * (scores[place] == others)).mean())


def test_the_paired_difference_is_that_of_the_areas_counted_over_pairs():
    truth, first, second = cases()
    found = paired(first, second, truth)
    assert found.value == pytest.approx(area_by_pairs(first, truth) - area_by_pairs(second, truth))


def test_the_paired_variance_is_delongs_covariance_written_out():
    truth, first, second = cases()
    variance = 0.0
    for kind in (truth, ~truth):
        covariance = np.cov(placements(first, truth)[kind], placements(second, truth)[kind])
        variance += (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / kind.sum()
    found = paired(first, second, truth)
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_the_paired_interval_agrees_with_the_bootstrap():
    truth, first, second = cases(300, 3)
    draw = np.random.default_rng(1)
    found = paired(first, second, truth)
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    gaps = []
    for _ in range(600):
        rows = np.concatenate([draw.choice(positives, positives.size), draw.choice(negatives, negatives.size)])
        gaps.append(area_by_pairs(first[rows], truth[rows]) - area_by_pairs(second[rows], truth[rows]))
    assert np.std(gaps) == pytest.approx((found.high - found.low) / (2 * 1.959964), rel=0.12)


def test_independent_variances_add_up_when_the_cases_differ():
    truth, first, _ = cases(400, 5)
    other, second, _ = cases(300, 6)
    found = unpaired((first, truth), (second, other))
    expected = delong(first[truth], first[~truth])[1] + delong(second[other], second[~other])[1]
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(np.sqrt(expected), rel=0.15)
    assert found.value == pytest.approx(area_by_pairs(first, truth) - area_by_pairs(second, other))


def test_a_small_group_that_is_separated_by_chance_is_not_certain_to_differ():
    truth = np.arange(20) < 10
    perfect = unpaired((np.where(truth, 1.0, 0.0) + np.arange(20) / 100, truth), (cases(300, 8)[1], cases(300, 8)[0]))
    assert delong(np.ones(10), np.zeros(10))[1] == 0
    assert perfect.p_value > 1e-4
    assert score_variance(0.85, (int(truth.sum()), int((~truth).sum()))) > 0


def test_unpaired_comparisons_of_equal_models_are_significant_in_one_of_twenty():
    hits = 0
    for seed in range(300):
        first, second = cases(80, 2 * seed), cases(80, 2 * seed + 1)
        hits += unpaired((first[1], first[0]), (second[1], second[0])).p_value < 0.05
    assert hits <= 27


def test_every_case_twice_doubles_the_variance_that_independence_would_give():
    truth, scores, _ = cases(150, 9)
    twice, labels = np.tile(scores, 2), np.tile(truth, 2)
    clusters = np.tile(np.arange(150), 2)
    single = clustered_variance(influence(scores, truth)[1], truth)
    double = clustered_variance(influence(twice, labels)[1], labels, clusters)
    naive = clustered_variance(influence(twice, labels)[1], labels)
    assert double == pytest.approx(single, rel=0.05)
    assert naive == pytest.approx(single / 2, rel=0.05)


def test_the_interval_of_an_area_widens_when_patients_repeat():
    truth, scores, _ = cases(150, 9)
    twice, labels, clusters = np.tile(scores, 2), np.tile(truth, 2), np.tile(np.arange(150), 2)
    clustered, naive = discrimination(twice, labels, clusters), discrimination(twice, labels)
    assert clustered.high - clustered.low == pytest.approx(np.sqrt(2) * (naive.high - naive.low), rel=0.1)
    assert "Obuchowski" in clustered.method


def test_within_strata_only_pairs_of_the_same_stratum_count():
    truth = np.array([True, False, True, False])
    scores = np.array([1.0, 2.0, 4.0, 3.0])
    assert stratified_area(scores, truth, ["a", "a", "b", "b"]) == 0.5
    assert stratified_area(scores, truth, ["a", "b", "a", "b"]) is None
    assert stratified_area(scores, truth, ["a"] * 4) == area_by_pairs(scores, truth)


def test_equal_scores_differ_by_nothing_with_certainty():
    truth, scores, _ = cases(60)
    found = paired(scores, scores, truth)
    assert (found.value, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_the_interval_of_an_area_within_strata_holds_the_truth_in_nineteen_of_twenty(distance):
    strata = np.repeat(["a", "b", "c"], [40, 20, 12])
    truth = np.arange(strata.size) % 3 == 0
    random, area, held = np.random.default_rng(1), float(norm.cdf(distance / 2**0.5)), 0
    for _ in range(400):
        scores = random.normal(distance * truth) + 5 * (strata == "b")
        low, high = score_interval(stratified_area(scores, truth, strata), *strata_sizes(truth, strata))
        held += low <= area <= high
    assert 0.93 <= held / 400 <= 0.985


def test_several_strata_vary_as_their_weighted_mean_and_one_as_itself():
    assert strata_sizes(np.asarray([True, False, True, False, True]), ["a", "a", "b", "b", "c"]) == [(1, 1), (1, 1)]
    assert score_variance(0.8, (10, 20), (10, 20)) == pytest.approx(score_variance(0.8, (10, 20)) / 2)
