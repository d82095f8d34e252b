"""Hidden strata (E03): curved features of a model are no kind of their own, a kind of their own is one still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.bench.plants_cohort import COHORT_PLANTS
from audit_pipeline.cohort.strata import KNOTS, curve_base, hidden_stratum, unexplained
from audit_pipeline.findings import Outcome

BENDS = {
    "parabola": lambda odds, slope, level: slope * odds + 0.6 * level * odds**2,
    "rectifier": lambda odds, slope, level: 3 * np.maximum(slope * odds + level, 0),
    "saturation": lambda odds, slope, level: 4 * np.tanh(1.5 * odds + level),
}


def bent(cohort, name, draw):
    """The cohort with features that follow the log-odds along a curve, each its own, and noise."""
    odds = cohort.logits[:, 1] - cohort.logits[:, 0]
    columns = [BENDS[name](odds, *draw.normal(size=2)) + draw.normal(size=odds.size) for _ in range(12)]
    return replace(cohort, features=np.column_stack(columns).astype(np.float32))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list(BENDS))
def test_features_that_follow_the_log_odds_along_a_curve_are_no_stratum(name, seed):
    draw = np.random.default_rng(seed)
    found = hidden_stratum(bent(clean_cohort(400, draw), name, draw))
    assert found.finding.outcome is Outcome.PASS, found.finding.message


@pytest.mark.parametrize("seed", [100, 101])
def test_a_kind_of_study_that_the_model_gets_wrong_is_found_still(seed):
    cohort = COHORT_PLANTS["hidden_kind"].plant(600, 4, np.random.default_rng(seed))
    assert hidden_stratum(cohort).finding.outcome is Outcome.FLAG


def test_the_base_holds_every_natural_spline_and_is_straight_outside_the_knots():
    from scipy.interpolate import CubicSpline

    known = np.random.default_rng(2).normal(size=400)
    knots = np.quantile(known, KNOTS)
    curve = CubicSpline(knots, np.sin(3 * knots), bc_type="natural")
    inside = np.linspace(knots[0], knots[-1], 200)
    base = curve_base(inside, known)
    assert base.shape == (200, len(KNOTS))
    weights, *_ = np.linalg.lstsq(base, curve(inside), rcond=None)
    assert base @ weights == pytest.approx(curve(inside), abs=1e-8)
    beyond = curve_base(knots[-1] + np.arange(1, 4.0), known) @ weights
    assert np.diff(beyond, 2) == pytest.approx(0, abs=1e-8)


def test_few_studies_give_a_straight_line():
    assert curve_base(np.arange(5.0), np.arange(20.0)).shape == (5, 2)
    assert curve_base(np.arange(5.0), np.zeros(200)).shape == (5, 2)


def test_what_a_curve_explains_leaves_no_trace():
    draw = np.random.default_rng(3)
    cohort = clean_cohort(400, draw)
    odds = cohort.logits[:, 1] - cohort.logits[:, 0]
    noise = draw.normal(size=odds.size)
    cohort = replace(cohort, features=np.column_stack([3 * np.tanh(odds) + noise, noise]).astype(np.float32))
    (question,) = cohort.questions
    rest = unexplained(cohort, question, np.ones(question.rows.size, dtype=bool))
    assert abs(np.corrcoef(rest[:, 0], np.tanh(odds[question.rows]))[0, 1]) < 0.1
    assert np.corrcoef(rest[:, 0], noise[question.rows])[0, 1] > 0.95
