"""Agreement of Grad-CAM and HiResCAM."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from evidence_factories import focal, make_evidence, make_explanation

from audit_pipeline.checks.map_faith import broken_identity, method_disagreement
from audit_pipeline.findings import Outcome
from audit_pipeline.proofs import Proof


def pair(one, other, **changes):
    return make_evidence(make_explanation(one), make_explanation(other, method="hirescam"), **changes)


@pytest.mark.parametrize("grid", [(7, 7), (4, 5, 6)])
def test_equal_maps_agree_and_unrelated_ones_do_not(grid):
    one, other = np.random.default_rng(0).normal(size=(2, *grid))
    assert method_disagreement(pair(one, 3 * one)).outcome is Outcome.PASS
    finding = method_disagreement(pair(one, other))
    assert finding.outcome is Outcome.FLAG
    expected = scipy.stats.spearmanr(one.astype("f4").ravel(), other.astype("f4").ravel()).statistic
    assert finding.value == pytest.approx(expected, abs=1e-6)
    assert finding.unit == "Spearman correlation"


def test_maps_of_equal_order_but_different_peaks_are_found_by_their_overlap():
    one = np.arange(196.0).reshape(14, 14)
    other = one.copy()
    other[-2:] = -1.0
    finding = method_disagreement(pair(one - 100, other - 100), rank_limit=0.0)
    assert finding.outcome is Outcome.FLAG
    assert finding.unit == "Spearman correlation"
    assert finding.value > 0
    assert "overlap of the strongest tenth 0 (limit 0.2)" in finding.message


@pytest.mark.parametrize("grid", [(7, 7), (4, 5, 6)])
def test_behind_pooling_and_one_linear_layer_a_difference_is_critical(grid):
    one = np.random.default_rng(1).normal(size=grid)
    other = one + 0.2 * np.random.default_rng(2).normal(size=grid)
    assert method_disagreement(pair(one, other)).outcome is Outcome.PASS
    finding = method_disagreement(pair(one, other, head_is_pooled=True))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.provenance == "std"
    assert method_disagreement(pair(one, 0.5 * one, head_is_pooled=True)).outcome is Outcome.PASS


def test_a_missing_method_is_named():
    finding = method_disagreement(make_evidence(make_explanation(focal((7, 7), (1, 1)))))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "no HiResCAM" in finding.message


def test_maps_of_another_class_are_not_compared():
    evidence = make_evidence(make_explanation(np.eye(7)), make_explanation(np.eye(7), method="hirescam", target=1))
    assert method_disagreement(evidence).outcome is Outcome.NOT_EVALUABLE


def test_an_empty_map_agrees_with_nothing():
    zero = np.zeros((7, 7))
    finding = method_disagreement(pair(zero, zero))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "D05" in finding.message


@pytest.mark.parametrize("linear", [True, False])
def test_a_constant_map_has_no_correlation(linear):
    evidence = pair(np.ones((7, 7)), np.eye(7), head_is_pooled=linear)
    assert method_disagreement(evidence).outcome is Outcome.NOT_EVALUABLE


def test_maps_of_different_grids_are_not_compared():
    one, other = make_explanation(np.eye(7)), make_explanation(np.eye(14), shape=(56, 56), method="hirescam")
    assert method_disagreement(make_evidence(one, other)).outcome is Outcome.NOT_EVALUABLE


def with_proofs(*holds):
    proofs = tuple(
        Proof(kind=kind, residual=2e-6, relative=1e-6, tolerance=4e-6, holds=one, sentence=f"The {kind} is {one}.")
        for kind, one in zip(("completeness", "closed form", "replay"), holds, strict=False)
    )
    return make_evidence(replace(make_explanation(focal((4, 4), (1, 1))), proofs=proofs))


def test_a_map_that_keeps_what_it_owes_passes_with_its_residual():
    finding = broken_identity(with_proofs(True, None, True))
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(1e-6)
    assert finding.limit == pytest.approx(2e-6)
    assert finding.message == "Within rounding: completeness, replay."


def test_one_broken_identity_is_critical_whatever_the_others_say():
    finding = broken_identity(with_proofs(True, False, True))
    assert finding.outcome is Outcome.CRITICAL
    assert "closed form is False" in finding.message


@pytest.mark.parametrize("holds", [(), (None, None)])
def test_where_nothing_is_owed_nothing_is_judged(holds):
    assert broken_identity(with_proofs(*holds)).outcome is Outcome.NOT_EVALUABLE
