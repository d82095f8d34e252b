"""Gates: a promise is met, not met or not shown by its interval; a share of the run by its count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.cohort.gates import GateState, by_interval, gates_of
from audit_pipeline.cohort.proportions import wilson
from audit_pipeline.cohort.summary import summarise
from audit_pipeline.config import CohortSection
from audit_pipeline.findings import Outcome, Verdict
from tests.cohort.cohorts import record


def cohort(positives=40, negatives=60, missed=4):
    """`missed` of the positives and none of the negatives are concluded wrongly."""
    draw = np.random.default_rng(1)
    records = [record(place, 0.1 if place < missed else 0.9, "nodule") for place in range(positives)]
    records += [record(100 + place, 0.05 + 0.3 * draw.random(), "clear") for place in range(negatives)]
    return summarise(records)


def gates(claim=None, summary=None, counts=None, **run):
    section = CohortSection.model_validate({"claims": {"nodule": claim} if claim else {}, "gates": run})
    return gates_of(summary or cohort(), section, {"found": 100} if counts is None else counts)


def test_a_claim_is_held_against_the_claim_less_its_margin_with_the_interval_of_the_summary():
    (gate,) = gates({"sensitivity": 0.8, "margin": 0.05})
    low, high = wilson(36, 40)
    assert (gate.measure, gate.class_name, gate.claimed, gate.limit, gate.side) == (
        "sensitivity", "nodule", 0.8, 0.75, "least",
    )  # fmt: skip
    assert (gate.k, gate.n, gate.value) == (36, 40, 0.9)
    assert (gate.low, gate.high) == (low, high)
    assert gate.state is GateState.MET


@pytest.mark.parametrize(
    ("claimed", "expected"), [(0.80, GateState.MET), (0.95, GateState.OPEN), (0.99, GateState.OPEN)]
)
def test_the_whole_interval_has_to_lie_on_the_promised_side(claimed, expected):
    (gate,) = gates({"sensitivity": claimed, "margin": 0.05})
    assert gate.state is expected


def test_a_promise_is_broken_only_when_no_part_of_the_interval_keeps_it():
    (gate,) = gates({"sensitivity": 0.9, "margin": 0}, cohort(missed=20))
    assert gate.state is GateState.NOT_MET
    assert gate.high < 0.9


def test_the_ends_of_the_interval_decide_exactly():
    assert by_interval(0.8, 0.9, 0.8) is GateState.MET
    assert by_interval(0.7, 0.8, 0.8) is GateState.OPEN
    assert by_interval(0.7, np.nextafter(0.8, 0), 0.8) is GateState.NOT_MET


def test_an_area_is_promised_like_a_rate():
    (gate,) = gates({"auroc": 0.7})
    summary = next(row for row in cohort().performance if row["class"] == "nodule")
    assert (gate.value, gate.low, gate.high, gate.n) == (
        summary["auroc"], summary["auroc_low"], summary["auroc_high"], 100,
    )  # fmt: skip
    assert gate.state is (GateState.MET if gate.low >= 0.65 else GateState.OPEN)


def test_a_half_width_is_that_of_each_claimed_measure_and_of_all_where_none_is_claimed():
    one, two = gates({"sensitivity": 0.8, "half_width": 0.11})
    assert (one.measure, two.measure) == ("sensitivity", "half_width of sensitivity")
    low, high = wilson(36, 40)
    assert two.value == pytest.approx((high - low) / 2)
    assert two.state is GateState.MET
    assert [gate.measure for gate in gates({"half_width": 0.2})] == [
        "half_width of auroc", "half_width of sensitivity", "half_width of specificity",
    ]  # fmt: skip


def test_too_few_cases_leave_a_promise_not_evaluable_with_the_reason():
    (gate,) = gates({"sensitivity": 0.9}, cohort(positives=9))
    assert gate.state is GateState.NOT_EVALUABLE
    assert gate.reason == "9 cases, an interval needs 10"
    assert (gate.k, gate.n) == (5, 9)


def test_without_labels_every_claim_is_not_evaluable():
    (gate,) = gates({"sensitivity": 0.9}, summarise([record(1, 0.9, None)]))
    assert gate.state is GateState.NOT_EVALUABLE
    assert gate.reason == "no study has a label that can be used"


def test_the_share_of_refused_and_failed_studies_is_of_those_given_to_the_pipeline():
    counts = {"found": 110, "excluded": 10, "refused": 4, "failed": 1}
    (gate,) = gates(counts=counts, refused=0.05)
    assert (gate.k, gate.n, gate.value, gate.state) == (5, 100, 0.05, GateState.MET)
    (broken,) = gates(counts=counts, refused=0.04)
    assert broken.state is GateState.NOT_MET


def test_critical_predictions_and_maps_are_counted_from_the_verdicts():
    records = [record(place, 0.9, "nodule") for place in range(30)]
    judged = [(Outcome.CRITICAL, Outcome.PASS)] * 3 + [(Outcome.PASS, Outcome.CRITICAL)] * 2
    records[:5] = [
        replace(one, verdict=Verdict(prediction=prediction, explanation=explanation))
        for one, (prediction, explanation) in zip(records, judged, strict=False)
    ]
    critical, maps = gates(summary=summarise(records), critical=0.1, rejected_maps=0.05)
    assert (critical.k, critical.n, critical.state) == (3, 30, GateState.MET)
    assert (maps.k, maps.n, maps.state) == (2, 30, GateState.NOT_MET)


def test_a_gate_over_no_study_is_not_evaluable():
    (gate,) = gates(summary=summarise([]), counts={}, refused=0.1)
    assert (gate.state, gate.reason) == (GateState.NOT_EVALUABLE, "no study")


def test_nothing_promised_is_no_gate():
    assert gates() == ()
