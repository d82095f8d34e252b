"""Removing what the map names: regions, polarity, faithfulness, curves."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_prediction, make_prepared

from audit_pipeline.checks.map_questions import NULL_SHIFTS, again, deleted, far_shifts, flipped, strongest
from audit_pipeline.checks.map_removal import (
    CURVE_SHIFTS,
    STEPS,
    claimed,
    inverted_map,
    unfaithful_curve,
    unfaithful_map,
)
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome
from audit_pipeline.records import PartScores

GRIDS = [(8, 8), (5, 6, 6)]


def evidence_with(falls, grid=(8, 8), peak=4.0, **changes):
    """Return evidence whose logit of 3 falls by `falls` where parts are removed."""
    logits = np.stack([3.0 - np.asarray(falls), np.zeros(len(falls))], axis=1)
    answer = Answer(logits=logits, probabilities=np.full_like(logits, 0.5))
    one = make_explanation(peak * focal(grid, (2,) * len(grid)))
    prediction = make_prediction(changes.pop("probabilities", (0.95, 0.05)), logits=(3.0, 0.0))
    return make_evidence(one, prediction=prediction, answers={"deleted": answer}, **changes)


NULL = [0.1, -0.2, 0.0, 0.3, 0.2]


def test_a_right_map_passes_both():
    evidence = evidence_with([2.8, -0.1, *NULL])
    assert inverted_map(evidence).outcome is Outcome.PASS
    assert inverted_map(evidence).value == pytest.approx(2.8 / 3)
    assert unfaithful_map(evidence).outcome is Outcome.PASS
    assert unfaithful_map(evidence).value == pytest.approx(0.7)


def test_an_inverted_map_is_critical():
    finding = inverted_map(evidence_with([-0.1, 2.8, *NULL]))
    assert (finding.outcome, finding.value) == (Outcome.CRITICAL, pytest.approx(-2.8 / 3))


def test_a_fall_that_other_places_cause_too_says_nothing_about_polarity():
    assert inverted_map(evidence_with([0.0, 2.8, 3.0, *NULL[1:]])).outcome is Outcome.PASS


@pytest.mark.parametrize("falls", [[0.2, 0.0, *NULL], [-1.0, 0.0, *NULL], [1.5, 0.0, 1.6, *NULL[1:]]])
def test_a_map_whose_removal_does_no_more_than_chance_is_unfaithful(falls):
    assert unfaithful_map(evidence_with(falls)).outcome is Outcome.FLAG


def test_where_other_slices_step_in_the_shifted_maps_alone_judge():
    parts = PartScores(
        kind="slice", rule="the largest", logits={"nodule": (3.0, 2.0, 1.0)}, counted={"nodule": (0,)}, axis=0,
        centres=((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (2.0, 0.0, 0.0)),
    )  # fmt: skip
    judged = (
        ([2.0, 0.0, *NULL], Outcome.PASS), ([0.5, 0.0, *NULL], Outcome.NOTE), ([0.2, 0.0, *NULL], Outcome.FLAG),
    )  # fmt: skip
    for falls, outcome in judged:
        evidence = evidence_with(falls)
        evidence = replace(evidence, prediction=replace(evidence.prediction, parts=parts))
        found = unfaithful_map(evidence)
        assert (found.outcome, found.limit) == (outcome, None)
        assert "other slices step in" in found.message


def test_a_map_with_less_than_a_tenth_of_evidence_says_what_was_removed():
    evidence = evidence_with([2.8, -0.1, *NULL])
    first = evidence.explanations[0]
    for side, said in ((4, "all that the map names (0.391 % of the input)"), (60, "the strongest 10 %")):
        values = np.zeros_like(first.on_input)
        values[:side, :side] = 1.0
        drawn = replace(evidence, explanations=(replace(first, on_input=values),))
        assert said in unfaithful_map(drawn).message


def test_a_convincing_fall_may_be_matched_once():
    assert unfaithful_map(evidence_with([2.5, 0.0, 2.6, *NULL[1:]])).outcome is Outcome.PASS
    assert unfaithful_map(evidence_with([2.5, 0.0, 2.6, 2.7, *NULL[2:]])).outcome is Outcome.FLAG


def test_a_map_that_claims_nothing_or_a_class_not_favoured_is_not_tested():
    assert unfaithful_map(evidence_with([0.0, 0.0, *NULL], peak=0.5)).outcome is Outcome.NOT_EVALUABLE
    unlikely = evidence_with([0.0, 0.0, *NULL], probabilities=(0.4, 0.6))
    assert unfaithful_map(unlikely).outcome is Outcome.NOT_EVALUABLE
    assert unfaithful_map(make_evidence()).outcome is Outcome.NOT_EVALUABLE


def test_the_claim_is_the_sum_of_the_strongest_tenth_of_the_cells():
    values = np.zeros((10, 10))
    values.flat[:12] = range(12, 0, -1)
    assert claimed(make_explanation(values)) == sum(range(3, 13))


@pytest.mark.parametrize("grid", GRIDS)
def test_the_strongest_tenth_is_a_tenth_and_shifts_are_far(grid):
    values = np.random.default_rng(0).normal(size=grid)
    chosen = strongest(values)
    assert chosen.sum() == round(0.1 * values.size)
    assert values[chosen].min() >= values[~chosen].max()
    for offset in far_shifts(values, np.random.default_rng(0)):
        assert max(min(part, size - part) / size for part, size in zip(offset, grid, strict=True)) >= 0.15


@pytest.mark.parametrize("grid", GRIDS)
def test_the_variants_have_the_stated_number_and_change_only_their_region(grid):
    one = make_explanation(focal(grid, (2,) * len(grid)))
    values = np.random.default_rng(1).random((1, *one.on_input.shape)).astype(np.float32)
    evidence = make_evidence(one, prepared=make_prepared(values))
    made = deleted(evidence, np.random.default_rng(0))
    assert made.shape == (2 + NULL_SHIFTS, *values.shape)
    assert (made[0] == values)[0][one.on_input <= 0].all()
    assert (made[1] == values)[0][one.on_input > 0.5].all()
    for axis, mirrored in enumerate(flipped(evidence, np.random.default_rng(0))):
        assert np.array_equal(np.flip(mirrored, axis + 1), values)
    assert np.array_equal(again(evidence, np.random.default_rng(0)), values[None])


class Eye:
    """A model whose logit is the sum of its input over one region."""

    def __init__(self, region):
        self.region = region

    def predict(self, inputs):
        logits = np.stack([inputs[:, 0, self.region].sum(axis=1, dtype=np.float64), np.zeros(len(inputs))], axis=1)
        return Answer(logits=logits, probabilities=np.full_like(logits, 0.5))


@pytest.mark.parametrize(("is_right", "outcome"), [(True, Outcome.PASS), (False, Outcome.FLAG)])
def test_whole_curves_tell_the_right_place_from_a_wrong_one(is_right, outcome):
    place = (1, 1) if is_right else (4, 4)
    one = make_explanation(5 * focal((6, 6), place), shape=(30, 30))
    region = np.zeros((30, 30), dtype=bool)
    region[5:10, 5:10] = True
    values = (0.1 + region)[None].astype(np.float32)
    evidence = make_evidence(one, prepared=make_prepared(values), model=Eye(region))
    assert unfaithful_curve(evidence).outcome is outcome
    assert unfaithful_curve(replace(evidence, model=None)).outcome is Outcome.NOT_EVALUABLE


def test_what_removal_said_is_kept_as_a_short_curve_with_the_extremes_of_the_shifted_copies():
    strong, weak = unfaithful_map(evidence_with([2.8, -0.1, *NULL])).curves
    assert (strong.kind, strong.null_shifts, strong.null_range) == ("deletion", 5, (0.0, 1.0))
    assert strong.shares == (0.0, 4 / 64), "the evidence of this map covers less than a tenth"
    assert strong.logits == pytest.approx((3.0, 0.2))
    assert strong.null_low == pytest.approx((3.0, 3.0 - max(NULL)))
    assert strong.null_middle == pytest.approx((3.0, 3.0 - float(np.median(NULL))))
    assert strong.null_high == pytest.approx((3.0, 3.0 - min(NULL)))
    assert (weak.kind, weak.logits, weak.null_shifts) == ("weakest", pytest.approx((3.0, 3.1)), 0)


def test_a_curve_ends_where_the_evidence_does_and_is_kept_where_the_claim_is_too_small_to_test():
    finding = unfaithful_map(evidence_with([0.0, 0.0, *NULL], peak=0.5))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert len(finding.curves) == 2
    small = evidence_with([2.8, -0.1, *NULL])
    (one,) = small.explanations
    few = np.full(one.on_input.shape, -1.0, np.float32)
    few.flat[:7] = 1.0
    kept = unfaithful_map(replace(small, explanations=(replace(one, on_input=few),))).curves[0]
    assert kept.shares == (0.0, pytest.approx(7 / few.size))


def test_answers_that_are_not_finite_give_no_curve():
    assert unfaithful_map(evidence_with([float("nan"), 0.0, *NULL])).curves == ()


def test_whole_curves_hold_the_answers_to_the_map_and_the_quantiles_of_its_shifts():
    one = make_explanation(5 * focal((6, 6), (1, 1)), shape=(30, 30))
    region = np.zeros((30, 30), dtype=bool)
    region[5:10, 5:10] = True
    values = (0.1 + region)[None].astype(np.float32)
    evidence = make_evidence(one, prepared=make_prepared(values), model=Eye(region))
    gone, kept = unfaithful_curve(evidence).curves
    own = evidence.prediction.logits[one.target]
    assert (gone.kind, kept.kind) == ("deletion", "insertion")
    assert (gone.shares, kept.shares) == ((0.0, *STEPS), (*STEPS, 1.0))
    assert gone.logits[0] == kept.logits[-1] == gone.null_low[0] == kept.null_high[-1] == own
    assert (gone.null_shifts, gone.null_range) == (CURVE_SHIFTS, (0.05, 0.95))
    for curve in (gone, kept):
        assert all(a <= b <= c for a, b, c in zip(curve.null_low, curve.null_middle, curve.null_high, strict=True))
    assert gone.logits[2] < gone.null_low[2], "what the map names goes first"
    assert kept.logits[1] > kept.null_high[1]
