"""Measures against reference masks: closed forms, scikit-learn and SciPy as oracles, hostile maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import localisation as measures
from audit_pipeline.explain.intervals import FEWEST_CASES, bootstrap, mean_estimate
from audit_pipeline.explain.localisation import Case, localisation, localise

SHAPES = [(12, 10), (8, 9, 7)]


def ball(shape, centre, radius):
    grid = np.stack(np.meshgrid(*(np.arange(float(side)) for side in shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid - np.asarray(centre), axis=-1) <= radius


def case(values, mask, spacing=1.0):
    return Case(values=np.asarray(values, dtype=np.float32), mask=mask, spacing_mm=(spacing,) * mask.ndim)


def cohort(count=6, noise=0.4, shape=(16, 16, 16), empty=0):
    random, made = np.random.default_rng(5), []
    for number in range(count):
        mask = ball(shape, random.uniform(4, 11, len(shape)), 3.2)
        values = mask * random.uniform(0.5, 2) + noise * random.normal(size=shape)
        made.append(case(values, mask & (number >= empty)))
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_a_map_equal_to_the_mask_is_perfect_in_every_measure(shape):
    mask = ball(shape, [side / 2 for side in shape], 2.5)
    found = localise(case(3.0 * mask, mask))
    assert {getattr(found, name) for name in measures.MEASURES} == {1.0}
    assert found.reason == ""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_map_beside_the_mask_scores_nothing_but_by_chance(shape):
    mask = ball(shape, [1] * len(shape), 1.1)
    found = localise(case(1.0 * ball(shape, [side - 2 for side in shape], 1.1), mask), tolerance_mm=2)
    for name in ("pointing", "hit", "iou_otsu", "box_otsu", "mass_in_mask"):
        assert getattr(found, name) == 0, name
    assert found.auprc == pytest.approx(mask.mean())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=50).filter(
        lambda all_: any(hit for _, hit in all_)
    )
)
def test_average_precision_is_that_of_scikit_learn_with_ties(pairs):
    values, hits = (np.array(column) for column in zip(*pairs, strict=True))
    expected = average_precision_score(hits, values)
    assert measures.average_precision(values.astype(np.float32), hits) == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_average_precision_is_that_of_scikit_learn_on_continuous_maps(shape):
    values, mask = np.random.default_rng(1).normal(size=shape), ball(shape, [4] * len(shape), 2.2)
    assert measures.average_precision(values, mask) == pytest.approx(
        average_precision_score(mask.ravel(), values.ravel())
    )


def test_the_pointing_game_measures_in_mm_on_anisotropic_voxels():
    mask, values = np.zeros((5, 9, 9), dtype=bool), np.zeros((5, 9, 9))
    mask[0, 4, 4], values[2, 4, 4] = True, 1.0
    one = Case(values=values, mask=mask, spacing_mm=(5.0, 1.0, 1.0))
    assert localise(one, tolerance_mm=10.0).pointing == 1
    assert localise(one, tolerance_mm=9.9).pointing == 0
    assert localise(one, tolerance_mm=10.0).hit == 0


def test_without_a_spacing_there_is_no_pointing_game_but_all_else():
    mask = ball((6, 6), (2, 2), 1.1)
    found = localise(Case(values=1.0 * mask, mask=mask, spacing_mm=None))
    assert found.pointing is None
    assert found.hit == 1
    assert "spacing" in found.reason


def test_of_tied_peaks_the_share_inside_counts():
    mask, values = np.zeros((4, 4), dtype=bool), np.zeros((4, 4))
    mask[0, 0] = True
    values[0, 0] = values[3, 3] = values[0, 3] = values[3, 0] = 2.0
    assert localise(case(values, mask), tolerance_mm=0.5).hit == 0.25
    assert localise(case(values, mask), tolerance_mm=0.5).pointing == 0.25


def test_a_constant_map_scores_what_chance_gives():
    mask = ball((10, 10), (4, 4), 2.1)
    found = localise(case(np.ones((10, 10)), mask))
    for name in ("hit", "mass_in_mask", "auprc", "rank_accuracy"):
        assert getattr(found, name) == pytest.approx(mask.mean()), name
    assert found.iou_otsu == 0


@pytest.mark.parametrize("values", [np.full((6, 6), -1.0), np.zeros((6, 6)), -np.arange(1.0, 37).reshape(6, 6)])
def test_a_map_without_positive_evidence_is_a_miss_and_not_left_out(values):
    mask = ball((6, 6), (0, 0), 1.1)
    found = localise(case(values, mask))
    assert [found.pointing, found.hit, found.iou_otsu, found.box_otsu, found.mass_in_mask] == [0] * 5
    assert found.auprc > 0


def test_mass_and_rank_in_closed_form():
    mask = np.array([[True, True, False, False]])
    found = localise(case([[4.0, 1.0, 3.0, -8.0]], mask))
    assert found.mass_in_mask == pytest.approx(5 / 8)
    assert found.rank_accuracy == 0.5
    assert localise(case([[4.0, 1.0, 1.0, 1.0]], mask)).rank_accuracy == pytest.approx((1 + 1 / 3) / 2)


def test_an_empty_reference_mask_has_no_value_and_says_why():
    found = localise(case(np.ones((3, 3)), np.zeros((3, 3), dtype=bool)))
    assert {getattr(found, name) for name in measures.MEASURES} == {None}
    assert found.reason == "the reference mask is empty"


def test_one_voxel_is_found():
    found = localise(case(np.ones((1, 1, 1)), np.ones((1, 1, 1), dtype=bool)))
    assert (found.hit, found.mass_in_mask, found.auprc, found.rank_accuracy) == (1, 1, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_refused(bad):
    values = np.ones((3, 3))
    values[1, 1] = bad
    with pytest.raises(ExplainError, match="finite"):
        localise(case(values, np.eye(3, dtype=bool)))


def test_masks_of_another_shape_or_kind_are_refused():
    for mask in (np.ones((3, 4), dtype=bool), np.ones((3, 3))):
        with pytest.raises(ExplainError, match="bool of shape"):
            localise(Case(values=np.ones((3, 3)), mask=mask, spacing_mm=None))
    with pytest.raises(ExplainError, match="at least one"):
        localisation([])


def test_every_reference_box_wants_a_box_of_its_own_size():
    reference = ball((30, 30), (6, 6), 4.2) | ball((30, 30), (22, 22), 4.2)
    near = ball((30, 30), (6, 7), 4.2)
    assert measures.boxes_found(near, reference) == 0.5
    assert measures.boxes_found(ball((30, 30), (6, 6), 1.5), reference) == 0
    assert measures.boxes_found(near | ball((30, 30), (22, 22), 4.2), reference) == 1


def test_tuned_thresholds_are_never_tuned_on_their_own_case(monkeypatch):
    curves = np.zeros((5, len(measures.PEAK_SHARES)))
    curves[np.arange(5), [2, 5, 8, 11, 14]] = 1.0
    found, thresholds = measures._tuned(curves, 0, seed=0)
    assert found.value == 0
    assert len(thresholds) == 5


def test_a_threshold_that_is_best_everywhere_is_found():
    curves = np.tile(np.linspace(0.1, 0.5, len(measures.PEAK_SHARES))[::-1], (7, 1)) + np.arange(7)[:, None] / 100
    found, thresholds = measures._tuned(curves, 0, seed=1)
    assert set(thresholds) == {measures.PEAK_SHARES[0]}
    assert found.value == pytest.approx(0.53)


def test_one_case_cannot_tune_a_threshold():
    found = localisation(cohort(1))
    assert found.scores["iou_tuned"].value is None
    assert "at least 2" in found.scores["iou_tuned"].reason


def test_a_cohort_reports_every_measure_with_an_interval_around_it():
    found = localisation(cohort(8))
    assert set(found.scores) == {*measures.MEASURES, "iou_tuned", "box_tuned", "vxap"}
    for name in ("iou_otsu", "iou_tuned", "mass_in_mask", "auprc", "rank_accuracy", "vxap"):
        one = found.scores[name]
        assert 0 < one.low < one.value < one.high < 1, name
        assert "BCa" in one.method
    assert found.scores["iou_tuned"].value > found.scores["iou_otsu"].value - 0.05


def test_empty_masks_are_counted_not_scored():
    with_empty, without = localisation(cohort(6, empty=2)), localisation(cohort(6)[2:])
    for name, one in with_empty.scores.items():
        assert one.omitted == 2, name
        assert one.n == 4, name
        assert one.value == pytest.approx(without.scores[name].value), name


def test_only_empty_masks_give_no_value():
    found = localisation(cohort(3, empty=3))
    assert all(one.value is None and one.reason for one in found.scores.values())


def test_pooled_precision_is_that_of_all_voxels_on_the_scale_of_their_peaks():
    cases = cohort(4)
    pooled = np.concatenate([np.maximum(one.values, 0).ravel() / one.values.max() for one in cases])
    expected = average_precision_score(np.concatenate([one.mask.ravel() for one in cases]), pooled)
    assert localisation(cases).scores["vxap"].value == pytest.approx(expected, abs=2e-3)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=20).tolist()
    assert mean_estimate(values, seed=3) == mean_estimate(values, seed=3)
    assert mean_estimate(values, seed=3) != mean_estimate(values, seed=4)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_is_the_bca_of_scipy(skewed):
    values = np.random.default_rng(2).normal(size=30)
    values = np.exp(1.5 * values) if skewed else values
    ours = mean_estimate(values.tolist())
    peer = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0))
    width = peer.confidence_interval.high - peer.confidence_interval.low
    assert ours.low == pytest.approx(peer.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(peer.confidence_interval.high, abs=0.06 * width)


def test_nine_in_ten_intervals_hold_the_truth():
    random = np.random.default_rng(9)
    held = [one.low <= 0 <= one.high for one in (mean_estimate(random.normal(size=25).tolist()) for _ in range(200))]
    assert np.mean(held) > 0.9


def test_too_few_or_equal_cases_have_a_value_and_no_interval():
    few, equal = mean_estimate([0.1, 0.4]), mean_estimate([1.0] * 9)
    assert (few.value, few.low, few.high) == (0.25, None, None)
    assert str(FEWEST_CASES) in few.reason
    assert (equal.value, equal.low) == (1.0, None)
    assert "same value" in equal.reason
    assert mean_estimate([None, None]).reason == "none of 2 cases has a value"


def test_a_statistic_that_never_moves_has_no_interval():
    found = bootstrap(lambda weights: np.full(len(weights), 2.0), 5)
    assert (found.value, found.low) == (2.0, None)
    assert found.reason
