"""Negative evidence, maps that are not finite, weak and stretched maps."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation

from audit_pipeline.checks.map_signal import hidden_negative, not_finite_map, weak_map
from audit_pipeline.findings import Outcome


@pytest.mark.parametrize(
    ("negative", "outcome"), [(1, Outcome.PASS), (4, Outcome.NOTE), (39, Outcome.FLAG), (3, Outcome.PASS)]
)
@pytest.mark.parametrize("grid", [(2, 2), (2, 1, 2)])
def test_the_negative_share_is_the_sum_below_zero_over_the_absolute_sum(grid, negative, outcome):
    values = np.zeros(grid)
    values.flat[:2] = 1, -negative
    finding = hidden_negative(make_evidence(make_explanation(values)))
    assert finding.value == pytest.approx(negative / (1 + negative))
    assert finding.outcome is outcome


def test_a_map_without_anything_positive_is_wholly_negative():
    one = replace(make_explanation(-np.ones((4, 4))), blank="all negative")
    finding = hidden_negative(make_evidence(one))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, 1)
    assert hidden_negative(make_evidence(make_explanation(np.zeros((4, 4))))).outcome is Outcome.NOT_EVALUABLE


def test_values_that_are_not_finite_are_found_in_every_map():
    broken = focal((4, 4), (1, 1))
    broken[0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        maps = make_explanation(focal((4, 4), (1, 1))), make_explanation(broken, target=1)
    finding = not_finite_map(make_evidence(*maps))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value > 0
    assert not_finite_map(make_evidence(maps[0])).outcome is Outcome.PASS
    assert not_finite_map(make_evidence()).outcome is Outcome.NOT_EVALUABLE


def test_a_cause_that_is_not_finite_counts_where_the_map_is():
    one = replace(make_explanation(focal((4, 4), (1, 1))), blank="not finite")
    assert not_finite_map(make_evidence(one)).outcome is Outcome.CRITICAL


@pytest.mark.parametrize("grid", [(4, 4), (3, 4, 5)])
def test_the_peak_is_measured_in_logits(grid):
    finding = weak_map(make_evidence(make_explanation(0.25 * focal(grid, (1,) * len(grid)))))
    assert (finding.outcome, finding.value, finding.unit) == (Outcome.PASS, 0.25, "logit")


@pytest.mark.parametrize("highest", [1.0, 255.0])
def test_a_stretched_map_is_flagged_whatever_the_reference_says(highest):
    finding = weak_map(make_evidence(make_explanation(highest * focal((4, 4), (1, 1)))))
    assert (finding.outcome, finding.value, finding.provenance) == (Outcome.FLAG, None, "std")


def test_interpolation_cannot_leave_the_range_of_the_map():
    one = make_explanation(0.5 * focal((4, 4), (1, 1)))
    stretched = replace(one, on_input=one.on_input * np.float32(3))
    assert "cannot leave that range" in weak_map(make_evidence(stretched)).message


def test_a_blank_map_has_no_peak_to_judge():
    one = replace(make_explanation(focal((4, 4), (1, 1))), blank="below floor")
    assert weak_map(make_evidence(one)).outcome is Outcome.NOT_EVALUABLE
