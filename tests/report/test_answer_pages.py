"""What the record holds of the answers: which are shown, which turn the decision, and the sentences."""

from __future__ import annotations

from dataclasses import replace

import answer_cases
import pytest
import report_cases

from audit_pipeline.report import answers
from audit_pipeline.study_record import AnswerFacts


@pytest.fixture(scope="module")
def record():
    return answer_cases.answered_case()[0]


def test_a_change_turns_the_decision_where_the_conclusion_is_another(record):
    turned = [one.sentence for one in record.answers if answers.is_turned(record.prediction, one)]
    assert turned == ["turned by 3.0 degrees", "The body is replaced by its surroundings."]


def test_the_sentence_names_the_unchanged_probability_both_extremes_and_how_many_turn_it(record):
    assert answers.strip_sentence(record) == (
        "nodule has 0.897 unchanged. Over 8 harmless changes it lies between 0.413 (turned by 3.0 degrees) and 0.922 "
        "(turned by -3.0 degrees); 1 change turns the decision. Asked 2 times again without a change: 0.897."
    )


def test_one_change_is_told_in_the_singular(record):
    one = replace(record, answers=record.answers[:1])
    assert answers.strip_sentence(one) == (
        "nodule has 0.897 unchanged. Over 1 harmless change it is 0.871 (shifted by (0, 2, 0) voxels); it does not "
        "turn the decision."
    )


def test_rungs_are_grouped_by_kind_and_ordered_by_amount_over_both_groups(record):
    found = {name: [row.amount for row in rows] for name, rows in answers.rungs(record).items()}
    assert found["gamma"] == [0.95, 1.05, 1.1]
    assert found["turn in the plane"] == [-3.0, 3.0]
    assert list(found) == [
        "shift in the plane", "shift along the slices", "turn in the plane", "gamma", "noise", "blur",
    ]  # fmt: skip


def test_what_was_not_asked_says_why():
    bare, _ = report_cases.volume_case()
    assert answers.reason(bare, "harmless", "Harmless changes") == (
        "Harmless changes: not asked. The record holds no answers."
    )
    row = AnswerFacts(group="harmless", name="benign", sentence="Ten changes.", reason="No check that ran asked.")
    assert answers.reason(replace(bare, answers=(row,)), "harmless", "Harmless changes") == (
        "Harmless changes: not asked. No check that ran asked."
    )
    assert answers.strip_sentence(replace(bare, answers=(row,))) == ""


def test_of_many_concluded_classes_the_four_most_probable_are_shown():
    record, _ = report_cases.many_classes_case(60)
    shown = answers.shown_classes(record.prediction)
    chances = record.prediction.probabilities
    assert shown == sorted(record.prediction.predicted, key=lambda name: -chances[name])[:4]


def test_labels_that_a_change_turns_come_first_are_named_and_give_the_range():
    record, _ = report_cases.many_classes_case(5)
    prediction = replace(
        record.prediction, task="multilabel", predicted=("finding 00",),
        probabilities={"finding 00": 0.95, "finding 01": 0.4}, thresholds={"finding 00": 0.5, "finding 01": 0.5},
    )  # fmt: skip
    rows = tuple(
        AnswerFacts(
            group="harmless", name="gamma", sentence=f"gamma {number}",
            probabilities={"finding 00": 0.94, "finding 01": second},
        )
        for number, second in enumerate((0.41, 0.62, 0.39))
    )  # fmt: skip
    assert answers.shown_classes(prediction, rows) == ["finding 01", "finding 00"]
    assert answers.turned(prediction, rows) == "1 change turns the decision on finding 01"
    changed = replace(record, prediction=prediction, answers=rows)
    assert "0.390 to 0.620" in answers.range_sentence(changed)
    assert answers.strip_sentence(changed).startswith("finding 01 has 0.400 unchanged.")
    assert answers.decision(prediction, rows[1]) == "becomes finding 00 and finding 01"


def test_where_nothing_is_concluded_the_most_probable_class_is_shown():
    record, _ = report_cases.radiograph_case()
    assert answers.shown_classes(record.prediction) == ["pneumothorax"]


def test_the_decision_of_an_answer_below_every_threshold_turns_to_no_class():
    record, _ = report_cases.radiograph_case()
    prediction = replace(record.prediction, probabilities={"pneumothorax": 0.9}, predicted=("pneumothorax",))
    row = AnswerFacts(group="falsification", name="noise", sentence="Noise.", probabilities={"pneumothorax": 0.2})
    assert answers.decision(prediction, row) == "becomes no class"
    assert answers.decision(prediction, replace(row, probabilities={"pneumothorax": 0.8})) == "stays"
