"""Wilson's interval against its definition, published values and its coverage."""

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.cohort.proportions import Z_95, proportion, wilson


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_solve_the_score_equation_and_hold_the_share(counts):
    k, n = counts
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(k / n - bound) == pytest.approx(Z_95 * math.sqrt(bound * (1 - bound) / n), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (9, 10), (45, 50), (90, 100), (400, 400)])
def test_the_interval_equals_the_one_of_scipy(k, n):
    theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_published_bounds_of_ninety_per_cent_are_met():
    assert [round(bound, 2) for bound in wilson(45, 50)] == [0.79, 0.96]
    assert [round(bound, 2) for bound in wilson(90, 100)] == [0.83, 0.94]


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_counting_the_failures_mirrors_the_interval(counts):
    k, n = counts
    low, high = wilson(k, n)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))


def test_all_and_none_reach_the_ends_exactly():
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(k, n)


def test_fewer_than_ten_cases_have_a_fraction_and_a_reason_but_no_interval():
    few = proportion(7, 9)
    assert (few.k, few.n, few.low, few.high) == (7, 9, None, None)
    assert few.reason == "9 cases, an interval needs 10"
    assert proportion(0, 0).low is None
    assert proportion(7, 10).low == pytest.approx(wilson(7, 10)[0])
