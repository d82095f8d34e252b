"""The numbers inside the cohort checks: closed forms, other libraries as oracles, and rates over simulated cohorts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from statsmodels.stats.proportion import confint_proportions_2indep

from audit_pipeline.bench.cohort_case import drawn
from audit_pipeline.cohort.association import association, field_of
from audit_pipeline.cohort.calibration import calibration, calibration_error, log_likelihood, recalibration
from audit_pipeline.cohort.drift import stability_index
from audit_pipeline.cohort.leakage import near_duplicates
from audit_pipeline.cohort.maps import with_the_others
from audit_pipeline.cohort.operating_point import at_prevalence, optima, predictive_values
from audit_pipeline.cohort.precision import design_effect
from audit_pipeline.cohort.proportions import clustered_proportion, effective, newcombe_difference, wilson, wilson_share
from audit_pipeline.cohort.rates import rates
from audit_pipeline.cohort.record import Question
from audit_pipeline.cohort.reference_standard import agreement_of, noise_of
from audit_pipeline.cohort.subgroups import detectable_gap


@pytest.fixture
def draw():
    return np.random.default_rng(11)


def test_newcombe_equals_statsmodels():
    expected = confint_proportions_2indep(30, 40, 50, 90, method="newcomb", compare="diff")
    assert newcombe_difference((30, 40), (50, 90)) == pytest.approx(expected, abs=1e-9)


def test_independent_cases_lose_nothing_and_copies_count_once(draw):
    hits = draw.random(100) < 0.7
    assert effective(hits, np.arange(100)) == (int(hits.sum()), 100)
    k, n = effective(np.tile(hits, 3), np.tile(np.arange(100), 3))
    assert n == pytest.approx(100, abs=2)
    assert k / n == pytest.approx(hits.mean(), abs=0.01)


def test_all_right_in_few_patients_is_worth_the_number_of_patients():
    assert effective(np.ones(60, dtype=bool), np.repeat(np.arange(12), 5)) == (12, 12)
    assert effective(np.ones(6, dtype=bool), np.zeros(6, dtype=np.int64)) == (1, 1)
    assert effective(np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)) == (0, 0)


def test_a_clustered_share_has_the_interval_of_its_effective_number(draw):
    hits, clusters = np.tile(draw.random(100) < 0.7, 3), np.tile(np.arange(100), 3)
    found = clustered_proportion(hits, clusters)
    assert (found.k, found.n) == (int(hits.sum()), 300)
    assert found.high - found.low == pytest.approx(np.ptp(wilson(round(100 * hits.mean()), 100)), rel=0.03)
    assert clustered_proportion(np.ones(30, dtype=bool), np.repeat(np.arange(5), 6)).low is None
    assert wilson_share(0.9, 10) == pytest.approx(wilson(9, 10))


def test_the_detectable_gap_is_found_with_the_power_it_promises(draw):
    gap = detectable_gap(80, 400, 0.9, 0.8)
    hits = 0
    for _ in range(400):
        first, second = draw.binomial(80, 0.9 - gap), draw.binomial(400, 0.9)
        pooled = (first + second) / 480
        hits += abs(first / 80 - second / 400) > 1.96 * np.sqrt(pooled * (1 - pooled) * (1 / 80 + 1 / 400))
    assert hits / 400 == pytest.approx(0.8, abs=0.08)
    assert detectable_gap(1, 100, 0.9, 0.8) is None


def test_calibration_recovers_a_slope_and_an_intercept_that_were_planted(draw):
    made = drawn(20000, draw)
    found = recalibration(2 * made.odds + 1, made.truth)
    assert found.slope.value == pytest.approx(0.5, abs=0.03)
    assert found.intercept.value == pytest.approx(-0.5, abs=0.08)
    assert found.p_value < 1e-10


@pytest.mark.parametrize("positives_added", [0.0, -3.0])
def test_slope_and_intercept_are_those_of_a_generalised_linear_model(draw, positives_added):
    made = drawn(300, draw)
    truth = draw.random(300) < 1 / (1 + np.exp(-0.7 * made.odds - positives_added))
    found = recalibration(made.odds, truth)
    fitted = GLM(truth.astype(float), np.column_stack([np.ones(300), made.odds]), family=Binomial()).fit(tol=1e-12)
    for one, value, (low, high) in zip((found.intercept, found.slope), fitted.params, fitted.conf_int(), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((value, low, high), rel=1e-6, abs=1e-8)
    ratio = 2 * (fitted.llf - log_likelihood(made.odds, truth))
    assert found.p_value == pytest.approx(np.exp(-ratio / 2), rel=1e-6)


def test_a_perfect_model_is_called_miscalibrated_in_one_of_twenty_cohorts(draw):
    joint = error = 0
    for seed in range(200):
        made = drawn(80, draw)
        found = calibration(1 / (1 + np.exp(-made.odds)), made.truth, draws=200, seed=seed)
        joint, error = joint + (found.p_joint < 0.05), error + (found.p_error < 0.05)
    assert joint <= 20
    assert error <= 20


def test_separated_labels_and_equal_probabilities_have_a_test_but_no_slope():
    truth = np.arange(40) < 20
    odds = np.where(truth, 3.0, -3.0)
    separated = recalibration(odds, truth)
    assert separated.slope.value is None
    assert "separated" in separated.slope.reason
    assert separated.p_value == pytest.approx(np.exp(-40 * np.log1p(np.exp(-3.0))), rel=1e-9)
    assert "equal" in recalibration(np.zeros(40), truth).slope.reason


def test_the_calibration_error_of_a_perfect_model_does_not_grow_as_cases_get_fewer(draw):
    mean = {}
    for n in (50, 1000):
        errors = []
        for _ in range(100):
            made = drawn(n, draw)
            errors.append(calibration_error(1 / (1 + np.exp(-made.odds)), made.truth, 10) ** 2)
        mean[n] = np.mean(errors)
    assert mean[50] < 0.12**2 / 2
    assert mean[1000] < 0.027**2 / 2


def test_kappa_equals_other_libraries(draw):
    truth = draw.random(200) < 0.4
    labels = np.array([np.where(truth ^ (draw.random(200) < slips), "a", "b") for slips in (0.1, 0.2, 0.3)]).T
    assert agreement_of(labels[:, :2])[0] == pytest.approx(cohen_kappa_score(labels[:, 0], labels[:, 1]))
    assert agreement_of(labels)[0] == pytest.approx(fleiss_kappa(aggregate_raters(labels)[0]))


def test_ac1_stays_high_for_rare_findings_on_which_readers_agree():
    labels = np.array([["no", "no"]] * 118 + [["yes", "no"], ["no", "yes"]])
    kappa, agreement = agreement_of(labels)
    share = 118 / 120
    chance = 2 * (1 / 120) * (119 / 120)
    assert kappa < 0
    assert agreement == pytest.approx((share - chance) / (1 - chance))
    assert agreement_of(np.full((5, 2), "a")) == (1.0, 1.0)


def test_flipped_labels_are_estimated_and_miscalibration_is_not_taken_for_them(draw):
    made = drawn(3000, draw)
    flipped = made.truth ^ (draw.random(3000) < 0.08)
    found = noise_of(3 * made.odds - 1, flipped)
    assert found.low <= 0.08 <= found.high
    assert found.p_value < 1e-6
    assert noise_of(3 * made.odds - 1, made.truth).rate < 0.02


def test_clean_labels_are_called_noisy_in_at_most_one_of_twenty_cohorts(draw):
    hits = sum(noise_of(made.odds, made.truth).p_value < 0.05 for made in (drawn(150, draw) for _ in range(60)))
    assert hits <= 7


def test_the_design_effect_of_copies_is_their_number():
    values = np.repeat(np.random.default_rng(1).normal(size=50), 4)
    assert design_effect(values, np.repeat(np.arange(50), 4)) == pytest.approx(4.0)


def test_the_stability_index_is_nothing_without_change_whatever_the_size(draw):
    found = [stability_index(draw.normal(size=60), draw.normal(size=60)) for _ in range(200)]
    assert np.mean(found) < 0.13
    assert stability_index(draw.normal(size=3000), draw.normal(1.0, 1.0, 3000)) == pytest.approx(1.0, rel=0.2)


def test_predictive_values_follow_bayes_and_are_missing_where_the_model_never_says_so():
    positive, negative = predictive_values(0.9, 0.8, 0.1)
    assert positive == pytest.approx(0.09 / 0.27)
    assert negative == pytest.approx(0.72 / 0.73)
    assert predictive_values(0.0, 1.0, 0.1) == (None, pytest.approx(0.9))


def question_of(hits, missed, false, quiet):
    truth = np.repeat([True, True, False, False], [hits, missed, false, quiet])
    called = np.repeat([True, False, True, False], [hits, missed, false, quiet])
    rows = np.arange(truth.size)
    return Question(name="nodule", place=0, rows=rows, truth=truth, called=called, scores=called.astype(float))


def test_predictive_values_at_a_prevalence_have_the_interval_of_the_likelihood_ratio():
    found = rates(question_of(90, 10, 20, 80), np.arange(200))
    positive, negative = at_prevalence(found, 0.1)
    assert (positive.value, negative.value) == pytest.approx(predictive_values(0.9, 0.8, 0.1))
    odds = np.asarray([3.02, 6.70]) / 9  # interval of the ratio by Simel et al., times the odds of the prevalence
    assert (positive.low, positive.high) == pytest.approx(odds / (1 + odds), abs=2e-3)
    assert negative.low < negative.value < negative.high < 1
    assert positive.n == 200


def test_at_the_prevalence_of_the_cohort_they_are_those_of_the_cohort():
    found = rates(question_of(30, 10, 20, 80), np.arange(140))
    positive, negative = at_prevalence(found, 40 / 140)
    assert positive.value == pytest.approx(30 / 50)
    assert negative.value == pytest.approx(80 / 90)


def test_without_a_false_positive_there_is_a_value_and_no_interval():
    positive = at_prevalence(rates(question_of(30, 10, 0, 80), np.arange(120)), 0.1)[0]
    assert (positive.value, positive.low, positive.high) == (1.0, None, None)
    assert positive.reason


def test_the_optimum_of_youden_is_found_by_trying_every_threshold(draw):
    scores = draw.random(60)
    truth = draw.random(60) < scores
    youden = {t: (scores[truth] >= t).mean() - (scores[~truth] >= t).mean() for t in scores}
    assert max(youden, key=youden.get) in optima(scores, truth)["Youden's index"]


def test_near_duplicates_are_found_through_noise_and_neighbours_are_not(draw):
    shared = 5 * draw.normal(size=144)
    images = (shared + draw.normal(size=(60, 144))).astype(np.float32)
    images[41] = images[7] * 1.1 + 0.3 + draw.normal(0, 0.02, 144)
    assert near_duplicates(images, 0.95) == [(7, 41)]
    assert near_duplicates(images[:4], 0.95) == []


def test_a_map_is_compared_with_the_mean_of_the_others_not_with_itself():
    maps = np.eye(3)
    expected = [np.corrcoef(maps[one], np.delete(maps, one, axis=0).mean(axis=0))[0, 1] for one in range(3)]
    assert with_the_others(maps) == pytest.approx(expected)


def test_an_association_holds_the_labels_apart(draw):
    labels = np.where(draw.random(400) < 0.5, "ill", "well")
    site = np.where(draw.random(400) < np.where(labels == "ill", 0.9, 0.1), "A", "B")
    odds = np.where(labels == "ill", 3.0, -3.0) + draw.normal(size=400)
    field = field_of("site", list(site))
    confounded = association(odds, field, labels.tolist())
    naive = association(odds, field, ["all"] * 400)
    assert confounded.p_value > 0.01
    assert naive.p_value < 1e-20
    assert association(odds + (site == "A"), field, labels.tolist()).p_value < 1e-6


def test_an_effect_has_the_interval_of_the_value_that_moves_most(draw):
    labels = np.repeat(["ill", "well"], 60)
    site = np.tile(["A", "B", "C"], 40)
    odds = np.where(labels == "ill", 3.0, -3.0) + draw.normal(size=120) + 1.5 * (site == "C")
    found = association(odds, field_of("site", list(site)), labels.tolist())
    area = float(norm.cdf(1.5 / 2**0.5))
    assert found.low < found.effect < found.high
    assert found.low < area - 0.5 < found.high
    same = association(draw.normal(size=120), field_of("site", list(site)), labels.tolist())
    assert same.low == 0
    assert 0 < same.effect < same.high < 0.5


def test_numbers_are_associated_by_rank_and_missing_ones_are_left_out(draw):
    values = [None, *draw.normal(size=199).tolist()]
    odds = np.concatenate([[0.0], np.asarray(values[1:]) + draw.normal(size=199)])
    found = association(odds, field_of("KVP", values), ["all"] * 200)
    assert found.n == 199
    assert found.p_value < 1e-10
    assert found.effect > 0.2


def test_fields_that_are_constant_empty_or_identify_are_no_fields():
    assert field_of("x", ["a"] * 20) is None
    assert field_of("x", [None] * 15 + ["a", "b"] * 2) is None
    assert field_of("x", [f"text {one}" for one in range(30)]) is None
    assert field_of("PatientAge", ["047Y", "006M", "050Y", "061Y", None]).numbers[1] == 0.5
    assert field_of("slices", [1, 2, 1, 2]).texts == ("1", "2", "1", "2")
