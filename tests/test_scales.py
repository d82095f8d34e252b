"""Display scales: comparable, in the unit of the map, and never a stretch of nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from audit_pipeline.errors import ExplainError
from audit_pipeline.scales import cohort_scale, map_scale, study_scale

MAP = np.array([[-4.0, 1.0], [2.0, 3.0]], np.float32)


def test_a_signed_scale_is_symmetric_about_zero_up_to_the_strongest_value():
    scale = map_scale(MAP, 1e-6)
    assert (scale.low, scale.high, scale.unit, scale.reason) == (-4.0, 4.0, "logit", "")
    assert scale.rule == "largest absolute value of this map"


def test_a_positive_scale_runs_from_zero_to_the_strongest_evidence_for_the_class():
    scale = map_scale(MAP, 1e-6, sign="positive")
    assert (scale.low, scale.high) == (0.0, 3.0)


def test_a_percentile_is_that_of_the_values_above_the_floor():
    values = np.concatenate([np.zeros(1000), np.arange(1.0, 102.0)]).astype(np.float32)
    scale = map_scale(values, 0.5, percentile=90)
    assert scale.high == pytest.approx(91.0)
    assert "percentile 90" in scale.rule


@given(arrays(np.float32, (3, 4, 5), elements=st.floats(-10, 10, width=32)), st.floats(0, 12), st.floats(0.1, 100))
def test_no_limit_ever_lies_below_the_signal_floor(values, floor, percentile):
    for sign in ("signed", "positive"):
        scale = map_scale(values, floor, sign=sign, percentile=percentile)
        strongest = np.abs(values).max() if sign == "signed" else values.max()
        if scale.high is None:
            assert strongest <= floor or strongest <= 0
            assert scale.low is None
            assert scale.reason
        else:
            assert floor < scale.high <= strongest


def test_a_map_below_its_floor_gets_no_scale_and_the_reason_with_its_numbers():
    scale = map_scale(MAP * 1e-9, 1e-6)
    assert (scale.low, scale.high) == (None, None)
    assert scale.reason == "the strongest value is 4e-09 logit, not above the floor of 1e-06"


def test_a_map_of_evidence_against_the_class_has_a_signed_scale_but_no_positive_one():
    values = -np.abs(MAP)
    assert map_scale(values, 1e-6).high == 4.0
    assert "evidence for the class" in map_scale(values, 1e-6, sign="positive").reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_gets_no_scale(bad):
    values = MAP.copy()
    values[0, 0] = bad
    assert map_scale(values, 1e-6).reason == "a value is not finite"
    assert study_scale([MAP, values], [0, 0]).high is None


def test_all_maps_of_a_study_share_the_limit_of_the_strongest():
    scale = study_scale([MAP, 0.1 * MAP, -2 * MAP], [1e-6] * 3)
    assert (scale.low, scale.high) == (-8.0, 8.0)


def test_a_map_of_noise_does_not_change_the_scale_of_a_study():
    noise = np.full(10_000, 1e-8, np.float32)
    alone = study_scale([MAP], [1e-6], percentile=50)
    assert study_scale([MAP, noise], [1e-6, 1e-6], percentile=50).high == alone.high
    assert study_scale([noise], [1e-6]).high is None


def test_a_class_over_the_cohort_has_one_scale_from_the_limits_of_its_maps():
    limits, floors = [1.0, 2.0, 3.0, 1e-9], [1e-6] * 4
    assert cohort_scale(limits, floors, class_name="nodule").high == 3.0
    scale = cohort_scale(limits, floors, percentile=50, class_name="nodule")
    assert (scale.low, scale.high) == (-2.0, 2.0)
    assert scale.rule == "percentile 50 of the absolute values above the floor of 4 maps of nodule over the cohort"


@pytest.mark.parametrize(("limits", "words"), [([1e-9], "no map"), ([], "no map"), ([np.nan], "not finite")])
def test_a_cohort_without_evidence_has_no_scale(limits, words):
    scale = cohort_scale(limits, [1e-6] * len(limits))
    assert scale.high is None
    assert words in scale.reason


@pytest.mark.parametrize(("settings", "words"), [({"sign": "both"}, "both"), ({"percentile": 0}, "found 0")])
def test_an_impossible_scale_is_refused(settings, words):
    with pytest.raises(ExplainError, match=words):
        map_scale(MAP, 0.0, **settings)
