"""Agreement of two maps against closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.agreement import pearson, spearman, top_overlap


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_spearman_equals_scipy_also_with_ties(pairs):
    one, other = np.asarray(pairs, dtype=float).T
    ours = spearman(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert ours is None
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(one, other).statistic, abs=1e-12)


def test_pearson_survives_the_smallest_and_largest_numbers():
    one = np.random.default_rng(2).normal(size=40)
    assert pearson(1e-30 * one, 1e30 * one) == pytest.approx(1)
    assert pearson(one, -one) == pytest.approx(-1)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_measures_of_two_maps_do_not_depend_on_flips_or_on_their_order(seed):
    one, other = np.random.default_rng(seed).normal(size=(2, 6, 6))
    for measure in (spearman, pearson, top_overlap):
        expected = measure(one, other)
        assert measure(one[::-1], other[::-1]) == pytest.approx(expected)
        assert measure(one.T, other.T) == pytest.approx(expected)
        assert measure(other, one) == pytest.approx(expected)


def test_the_overlap_is_one_for_equal_maps_and_zero_for_disjoint_tops():
    one, other = np.zeros(100), np.zeros(100)
    one[:10], other[90:] = np.arange(1, 11), np.arange(1, 11)
    assert top_overlap(one, one) == 1
    assert top_overlap(one, other) == 0


def test_half_of_the_top_tenth_in_common_overlaps_by_a_third():
    one, other = np.zeros(100), np.zeros(100)
    one[:10], other[5:15] = 1, 1
    assert top_overlap(one, other) == pytest.approx(5 / 15)


def test_the_overlap_of_strangers_is_that_of_chance():
    one, other = np.random.default_rng(0).normal(size=(2, 300, 300))
    assert top_overlap(one, other) == pytest.approx(0.1 / 1.9, abs=0.005)


def test_equal_values_overlap_by_chance_only():
    sparse, constant = np.zeros(1000), np.ones(1000)
    sparse[0] = 1
    assert top_overlap(constant, constant) == pytest.approx(0.1 / 1.9)
    assert top_overlap(sparse, sparse) == pytest.approx((1 + 99**2 / 999) / (200 - 1 - 99**2 / 999))


def test_ties_count_as_on_average_over_the_orders_of_the_tied():
    draw = np.random.default_rng(3)
    one, other = draw.integers(0, 3, size=(2, 400)).astype(float)
    shared = []
    for _ in range(3000):
        tops = [set(np.lexsort((draw.random(400), -values))[:40].tolist()) for values in (one, other)]
        shared.append(len(tops[0] & tops[1]))
    expected = np.mean(shared)
    assert top_overlap(one, other) == pytest.approx(expected / (80 - expected), rel=0.03)
