"""Other images of a study and the answers they get (C15)."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_prediction

from audit_pipeline.checks.siblings import series_disagree
from audit_pipeline.evidence import Sibling
from audit_pipeline.findings import Outcome


def judged(*others, own=(0.9, 0.1)):
    siblings = tuple(Sibling(difference="ConvolutionKernel B60f instead of B30f", probabilities=one) for one in others)
    return series_disagree(make_evidence(prediction=make_prediction(own), siblings=siblings))


@pytest.mark.parametrize(
    ("other", "outcome", "change"),
    [
        ((0.9, 0.1), Outcome.PASS, 0.0),
        ((0.71, 0.29), Outcome.PASS, 0.19),
        ((0.6, 0.4), Outcome.FLAG, 0.3),
        ((0.1, 0.9), Outcome.FLAG, 0.8),
    ],
)
def test_the_largest_change_of_a_probability_decides(other, outcome, change):
    finding = judged(other)
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(change)


def test_the_worst_of_several_images_counts_and_is_named():
    finding = judged((0.88, 0.12), (0.3, 0.7))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(0.6)
    assert "2 other images of the study were asked about" in finding.message
    assert "with ConvolutionKernel B60f instead of B30f the probability of class a is 0.3 instead of 0.9" in (
        finding.message
    )
    assert "1 other image turns the conclusion." in finding.message


def test_a_small_change_across_the_threshold_is_a_note():
    finding = judged((0.49, 0.51), own=(0.52, 0.48))
    assert finding.outcome is Outcome.NOTE


def test_images_that_were_not_looked_for_or_not_taken_are_no_pass():
    assert series_disagree(make_evidence()).outcome is Outcome.NOT_EVALUABLE
    none = series_disagree(make_evidence(siblings=()))
    assert none.message == "The study holds no other image that the model takes."
    refused = series_disagree(make_evidence(siblings=(Sibling(difference="KVP 80 instead of 120", reason="too thin"),)))
    assert refused.outcome is Outcome.NOT_EVALUABLE
    assert "(KVP 80 instead of 120: too thin)" in refused.message


def test_a_probability_that_is_not_finite_is_left_to_its_own_check():
    assert judged((np.nan, 0.1)).outcome is Outcome.NOT_EVALUABLE
