"""Ladders of changed inputs: shares of conclusions that stay, and areas compared on the same studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from audit_pipeline.cohort.comparison import paired
from audit_pipeline.cohort.gather import cohort_of
from audit_pipeline.cohort.robustness import ladders
from audit_pipeline.study_record import AnswerFacts
from tests.cohort.cohorts import record

COUNT = 60


def answer(probability, amount=None, *, group="corruption", name="noise", reason=""):
    chances = {} if reason else {"clear": 1 - probability, "nodule": probability}
    return AnswerFacts(
        group=group, name=name, sentence=f"{name} {amount}.", probabilities=chances, amount=amount, unit="grey levels",
        unchanged=0.0, reason=reason,
    )  # fmt: skip


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(2)
    truth = random.random(COUNT) < 0.5
    odds = random.normal(np.where(truth, 1.2, -1.2))
    plain, mild, strong = (1 / (1 + np.exp(-(odds + random.normal(0, spread, COUNT)))) for spread in (0, 0.6, 3))
    records = [
        replace(
            record(place, plain[place], "nodule" if truth[place] else "clear"),
            answers=(answer(strong[place], 2.0), answer(mild[place], 0.5), answer(0.5, group="falsification",
                                                                                   name="body_removed")),
        )
        for place in range(COUNT)
    ]  # fmt: skip
    return records, truth, plain, mild, strong


def test_steps_stand_in_the_order_of_their_amount(case):
    found = ladders(cohort_of(case[0]), case[0])
    assert [(one.group, one.name) for one in found] == [("corruption", "noise"), ("falsification", "body_removed")]
    assert [step.amount for step in found[0].steps] == [(0.5, 0.5), (2.0, 2.0)]
    assert found[1].steps[0].amount is None


def test_the_share_of_conclusions_that_stay_is_counted(case):
    records, _, plain, mild, strong = case
    steps = ladders(cohort_of(records), records)[0].steps
    for step, changed in zip(steps, (mild, strong), strict=True):
        assert (step.stays.k, step.stays.n) == (int(((plain >= 0.5) == (changed >= 0.5)).sum()), COUNT)


def test_areas_and_their_difference_are_those_of_the_same_studies(case):
    records, truth, plain, mild, strong = case
    steps = ladders(cohort_of(records), records)[0].steps
    for step, changed in zip(steps, (mild, strong), strict=True):
        (one,) = step.classes
        assert one.auroc.value == pytest.approx(roc_auc_score(truth, changed))
        assert one.unchanged == pytest.approx(roc_auc_score(truth, plain))
        wanted = paired(changed, plain, truth)
        assert (one.difference.value, one.difference.low, one.difference.high) == pytest.approx(
            (wanted.value, wanted.low, wanted.high)
        )


def test_an_even_answer_to_everyone_has_an_area_of_one_half(case):
    found = ladders(cohort_of(case[0]), case[0])[1]
    assert found.steps[0].classes[0].auroc.value == 0.5


def test_without_labels_only_the_conclusions_are_compared(case):
    records = [replace(one, label=None) for one in case[0]]
    steps = ladders(cohort_of(records), records)[0].steps
    assert all(step.classes == () for step in steps)
    assert steps[0].stays.n == COUNT


def test_studies_that_were_not_asked_or_asked_otherwise_are_left_out(case):
    records = list(case[0])
    records[0] = replace(records[0], answers=(answer(0.5, reason="No noise could be added."),))
    records[1] = replace(records[1], answers=(answer(0.5, 1.0),))
    found = ladders(cohort_of(records), records)[0]
    assert [step.stays.n for step in found.steps] == [COUNT - 2, COUNT - 2]


def test_records_without_answers_have_no_ladder():
    records = [record(place, 0.4, "clear") for place in range(3)]
    assert ladders(cohort_of(records), records) == []
