"""The summary of a cohort and the order of its records."""

import json
import random
from dataclasses import asdict

import pytest

from audit_pipeline.cohort import summarise, worst_first
from audit_pipeline.findings import Finding, Outcome, Verdict
from audit_pipeline.records import Status, Task
from audit_pipeline.study_record import Failure, ModelFacts, PredictionFacts, StudyRecord

MODEL = ModelFacts(
    name="m", version="1", task="multiclass", classes=("a", "b"), card_sha256="", weights_sha256="", network="n"
)


def predicted(first, task=Task.MULTICLASS, names=("a", "b"), threshold=0.5):
    values = {names[0]: first} if len(names) == 1 else {names[0]: first, names[1]: 1 - first}
    return PredictionFacts(
        task=task,
        logits=dict.fromkeys(names, 0.0),
        probabilities=values,
        predicted=tuple(name for name, value in values.items() if value > threshold),
        thresholds={names[0]: threshold},
        device="cpu",
        precision="fp32",
    )


def finding(code, outcome):
    return Finding(code=code, name=code, family=code[0], outcome=outcome, message="m")


def record(key, label=None, first=0.9, verdict=(Outcome.PASS, Outcome.PASS), findings=(), **changes):
    return StudyRecord(
        study=key,
        status=changes.pop("status", Status.AUDITED),
        model=MODEL,
        label=label,
        prediction=changes.pop("prediction", predicted(first)),
        verdict=verdict and Verdict(prediction=verdict[0], explanation=verdict[1]),
        findings=tuple(findings),
        **changes,
    )


def refused(key, code="MissingSlicesError", status=Status.REFUSED):
    failure = Failure(code=code, message="m", stage="load")
    return record(key, status=status, prediction=None, verdict=None, error=failure)


def test_counts_add_up_and_refusals_are_counted_by_code():
    summary = summarise([record("1"), refused("2"), refused("3"), refused("4", "ModelError", Status.FAILED)])
    assert summary.counts == {"found": 4, "audited": 1, "refused": 2, "failed": 1}
    assert summary.refusals == {"MissingSlicesError": 2, "ModelError": 1}


def test_outcomes_are_counted_by_study_and_code():
    summary = summarise(
        [
            record("1", findings=[finding("D05", Outcome.PASS), finding("A01", Outcome.FLAG)]),
            record("2", findings=[finding("D05", Outcome.CRITICAL), finding("D05", Outcome.PASS)]),
            record("3", findings=[finding("D05", Outcome.NOT_EVALUABLE)]),
        ]
    )
    assert summary.outcomes == {"A01": {"flag": 1}, "D05": {"pass": 1, "critical": 1, "not_evaluable": 1}}


def test_the_two_verdicts_are_counted_apart():
    summary = summarise(
        [
            record("1", verdict=(Outcome.PASS, Outcome.FLAG)),
            record("2", verdict=(Outcome.PASS, Outcome.PASS)),
            refused("3"),
        ]
    )
    assert summary.verdicts == {"prediction": {"pass": 2}, "explanation": {"pass": 1, "flag": 1}}


def labelled(positives, negatives, correct_positives, correct_negatives):
    """Return studies of class a and b whose conclusions are right as often as told."""
    return [
        *(record(f"p{i}", label="a", first=0.9 if i < correct_positives else 0.2) for i in range(positives)),
        *(record(f"n{i}", label="b", first=0.1 if i < correct_negatives else 0.7) for i in range(negatives)),
    ]


def test_performance_is_that_of_a_cohort_counted_by_hand():
    row = summarise(labelled(20, 30, 18, 24)).performance[0]
    assert (row["class"], row["n"], row["positives"], row["threshold"]) == ("a", 50, 20, 0.5)
    assert (row["sensitivity"].k, row["sensitivity"].n) == (18, 20)
    assert (row["specificity"].k, row["specificity"].n) == (24, 30)
    wins = 18 * 30 + 2 * 24  # 0.9 beats all, 0.2 beats 0.1
    assert row["auroc"] == pytest.approx(wins / 600)
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_a_small_cohort_has_fractions_and_reasons_but_no_estimates():
    row = summarise(labelled(4, 30, 3, 24)).performance[0]
    assert row["auroc"] is None
    assert "4 positives" in row["reason"]
    assert (row["sensitivity"].k, row["sensitivity"].n, row["sensitivity"].low) == (3, 4, None)
    assert row["specificity"].low is not None


def test_without_labels_there_is_no_performance():
    assert summarise([record("1"), record("2", label=" ")]).performance == ()
    assert summarise([]).performance == ()


def test_a_label_that_names_no_class_is_counted_and_left_out():
    summary = summarise([record("1", label="a"), record("2", label="typo")])
    assert (summary.labelled, summary.unknown_labels) == (1, 1)
    assert summary.performance[0]["n"] == 1


def test_studies_outside_the_intended_use_are_counted_and_the_rates_without_them_stand_beside():
    outside = [
        record("p", label="a", first=0.1, findings=[finding("A21", Outcome.CRITICAL)]),
        record("q", label="b", first=0.9, findings=[finding("A22", Outcome.FLAG)]),
        record("r", findings=[finding("A21", Outcome.CRITICAL)]),
    ]
    summary = summarise(
        [*labelled(20, 30, 18, 24), *outside, record("s", "a", findings=[finding("A22", Outcome.NOTE)])]
    )
    assert summary.outside_use == ("p", "q")
    rates = [(row["sensitivity"].k, row["sensitivity"].n, row["specificity"].k, row["specificity"].n)
             for row in (summary.performance[0], summary.inside_use[0])]  # fmt: skip
    assert rates == [(19, 22, 24, 31), (19, 21, 24, 30)]
    assert (summarise(labelled(20, 30, 18, 24)).outside_use, summarise(labelled(2, 3, 1, 2)).inside_use) == ((), ())


def test_refused_studies_have_no_part_in_the_performance():
    assert summarise([record("1", label="a"), refused("2")]).labelled == 1


def test_the_summary_is_json_without_nan_and_independent_of_the_order():
    records = [*labelled(20, 30, 18, 24), refused("x"), record("y", findings=[finding("C01", Outcome.FLAG)])]
    text = json.dumps(asdict(summarise(records)), allow_nan=False)
    random.Random(0).shuffle(records)
    assert json.dumps(asdict(summarise(records)), allow_nan=False) == text
    assert json.loads(text)["performance"][0]["class"] == "a"
    assert json.loads(text)["performance"][0]["sensitivity"]["k"] == 18


def test_worst_first_follows_its_rule_whatever_the_given_order():
    right = [
        refused("f", status=Status.FAILED),
        refused("r"),
        record("c2", verdict=(Outcome.PASS, Outcome.CRITICAL), findings=[finding("D05", Outcome.CRITICAL)] * 2),
        record("c1", verdict=(Outcome.CRITICAL, Outcome.PASS), findings=[finding("C08", Outcome.CRITICAL)]),
        record("e", verdict=(Outcome.ERROR, Outcome.PASS)),
        record("f2", verdict=(Outcome.FLAG, Outcome.PASS), findings=[finding("C01", Outcome.FLAG)] * 2),
        record("f1", verdict=(Outcome.FLAG, Outcome.PASS), findings=[finding("C01", Outcome.FLAG)]),
        record("n", verdict=(Outcome.PASS, Outcome.NOT_EVALUABLE)),
        record("o", verdict=(Outcome.NOTE, Outcome.PASS)),
        record("p1"),
        record("p2"),
    ]
    for seed in range(5):
        shuffled = right.copy()
        random.Random(seed).shuffle(shuffled)
        assert [one.study for one in worst_first(shuffled)] == [one.study for one in right]
