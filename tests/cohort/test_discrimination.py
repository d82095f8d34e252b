"""AUROC and its interval against scikit-learn, closed forms, the bootstrap and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from audit_pipeline.cohort.comparison import score_interval
from audit_pipeline.cohort.discrimination import delong, discrimination


def cohort(positives, negatives, distance=1.0, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(distance, 1, positives), random.normal(0, 1, negatives)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40),
    st.lists(st.integers(0, 6), min_size=2, max_size=40),
)
def test_the_area_equals_that_of_scikit_learn_also_with_ties(positive, negative):
    area, variance = delong(np.asarray(positive, dtype=float), np.asarray(negative, dtype=float))
    truth = [1] * len(positive) + [0] * len(negative)
    assert area == pytest.approx(roc_auc_score(truth, positive + negative))
    assert variance >= 0


def test_the_variance_equals_its_definition_over_all_pairs():
    positive, negative = cohort(13, 17)
    wins = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    expected = wins.mean(axis=1).var(ddof=1) / 13 + wins.mean(axis=0).var(ddof=1) / 17
    assert delong(positive, negative) == pytest.approx((wins.mean(), expected))


def test_the_variance_agrees_with_the_bootstrap():
    positive, negative = cohort(80, 120)
    random = np.random.default_rng(1)
    areas = [delong(random.choice(positive, 80), random.choice(negative, 120))[0] for _ in range(2000)]
    assert np.sqrt(delong(positive, negative)[1]) == pytest.approx(np.std(areas), rel=0.08)


def test_the_interval_holds_the_truth_in_about_95_of_100_cohorts():
    from scipy.stats import norm

    truth = norm.cdf(1.5 / np.sqrt(2))
    held = 0
    for seed in range(600):
        positive, negative = cohort(25, 40, distance=1.5, seed=seed)
        found = discrimination([*positive, *negative], [True] * 25 + [False] * 40)
        held += found.low <= truth <= found.high
    assert held / 600 == pytest.approx(0.95, abs=0.025)


def test_the_interval_is_symmetric_on_the_logit_scale():
    positive, negative = cohort(30, 50)
    found = discrimination([*positive, *negative], [True] * 30 + [False] * 50)
    logit = [np.log(value / (1 - value)) for value in (found.low, found.auroc, found.high)]
    assert logit[1] - logit[0] == pytest.approx(logit[2] - logit[1])
    assert found.method == "DeLong, logit scale"
    assert (found.n, found.positives) == (80, 30)


def test_exchanging_the_classes_mirrors_area_and_interval():
    positive, negative = cohort(30, 50)
    scores = [*positive, *negative]
    one = discrimination(scores, [True] * 30 + [False] * 50)
    other = discrimination(scores, [False] * 30 + [True] * 50)
    assert (other.auroc, other.low, other.high) == pytest.approx((1 - one.auroc, 1 - one.high, 1 - one.low))


def test_complete_separation_still_has_a_width():
    found = discrimination([*range(20, 40), *range(20)], [True] * 20 + [False] * 20)
    assert (found.auroc, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.95
    assert found.method.startswith("Newcombe")
    reverse = discrimination([*range(20), *range(20, 40)], [True] * 20 + [False] * 20)
    assert (reverse.auroc, reverse.low) == (0.0, 0.0)
    assert reverse.high == pytest.approx(1 - found.low)


def test_equal_scores_have_the_area_one_half_and_a_width():
    found = discrimination([0.5] * 40, [True] * 20 + [False] * 20)
    assert found.auroc == 0.5
    assert found.low < 0.4
    assert found.high > 0.6


def test_more_cases_give_a_narrower_score_interval_around_the_area():
    wide, narrow = score_interval(0.9, (20, 20)), score_interval(0.9, (200, 200))
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


@pytest.mark.parametrize(("positives", "negatives"), [(9, 50), (50, 9), (0, 30), (0, 0)])
def test_too_few_cases_have_no_area_but_a_reason(positives, negatives):
    found = discrimination([0.5] * (positives + negatives), [True] * positives + [False] * negatives)
    assert (found.auroc, found.low, found.high) == (None, None, None)
    assert found.reason == f"{positives} positives and {negatives} negatives, 10 of each are needed"


def test_a_score_that_is_not_finite_has_no_area():
    found = discrimination([float("nan")] + [0.1] * 30, [True] * 15 + [False] * 16)
    assert (found.auroc, found.reason) == (None, "a score is not finite")
