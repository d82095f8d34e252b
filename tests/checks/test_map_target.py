"""Maps of the wrong class, and maps that are the same for every class."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_explanation, make_prediction

from audit_pipeline.checks.map_target import class_insensitive, wrong_target
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task

RANDOM = np.random.default_rng(0)
ONE, OTHER = RANDOM.normal(size=(2, 6, 6))


def named(values, target, **changes):
    return replace(make_explanation(values, target=target), target_name=f"class {'ab'[target]}", **changes)


def pair(first=ONE, second=OTHER, again=ONE, **changes):
    answer = Answer(
        logits=np.zeros((1, 2)), probabilities=np.full((1, 2), 0.5), maps=np.asarray(again, dtype=np.float32)[None]
    )
    return make_evidence(named(first, 0), named(second, 1), answers={"again": answer}, **changes)


def test_the_right_map_under_the_right_name_passes():
    assert wrong_target(pair()).outcome is Outcome.PASS
    assert wrong_target(make_evidence()).outcome is Outcome.NOT_EVALUABLE


def test_exchanged_and_copied_maps_of_classes_are_found():
    assert "is that of class b" in wrong_target(pair(OTHER, ONE)).message
    assert wrong_target(pair(OTHER, OTHER)).outcome is Outcome.CRITICAL


def test_a_foreign_map_is_not_called_that_of_another_class():
    assert wrong_target(pair(ONE[::-1], OTHER)).outcome is Outcome.PASS


def test_an_index_that_is_not_that_of_the_name_is_critical():
    wrong = replace(named(ONE, 0), target=1)
    assert wrong_target(make_evidence(wrong)).outcome is Outcome.CRITICAL
    assert wrong_target(make_evidence(replace(wrong, target=7))).outcome is Outcome.CRITICAL


def test_a_map_of_a_class_that_was_not_reported_is_critical():
    finding = wrong_target(make_evidence(named(ONE, 1)))
    assert finding.outcome is Outcome.CRITICAL
    assert "reports class a" in finding.message


def test_a_saturated_output_is_critical():
    one = named(ONE, 0, blank="saturated", blank_sentence="Saturated: explain the logit.")
    assert "explain the logit" in wrong_target(make_evidence(one)).message


@pytest.mark.parametrize(
    ("second", "outcome"), [(ONE + 0.001, Outcome.FLAG), (ONE + 0.35 * OTHER, Outcome.NOTE), (OTHER, Outcome.PASS)]
)
def test_alike_maps_of_two_classes_are_found_by_their_rank_correlation(second, outcome):
    assert class_insensitive(pair(ONE, second)).outcome is outcome


def test_one_output_or_one_map_has_no_second_class():
    single = make_evidence(named(ONE, 0), prediction=make_prediction((0.9,), task=Task.BINARY))
    assert class_insensitive(single).outcome is Outcome.NOT_EVALUABLE
    assert class_insensitive(make_evidence(named(ONE, 0))).outcome is Outcome.NOT_EVALUABLE
    assert class_insensitive(pair(ONE, np.zeros((6, 6)))).outcome is Outcome.NOT_EVALUABLE
    assert class_insensitive(pair(ONE, np.ones((6, 6)))).outcome is Outcome.NOT_EVALUABLE
