"""From records to a cohort."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.cohort.gather import cohort_of
from audit_pipeline.cohort.record import Plan
from audit_pipeline.findings import Outcome
from tests.cohort.cohorts import finding, record, refused, traits


@pytest.fixture
def records():
    return [
        record(3, 0.9, "nodule", {"patient": "p1", "site": "A", "sex": "F", "split": "test", "reader_1": "nodule"}),
        record(1, 0.2, "clear", {"patient": "p1", "site": "B", "sex": "M", "split": "train", "cause": "motion"},
               findings=[finding("D02", Outcome.FLAG, 1.5), finding("D02", Outcome.PASS, 0.5)]),
        record(2, 0.7, "something else", header={"KVP": 120.0}),
        record(5, 0.4, None),
        refused(4, "nodule", {"sex": "F"}),
    ]  # fmt: skip


def test_rows_stand_in_the_order_of_the_keys_whatever_the_order_of_the_records(records):
    first, second = cohort_of(records), cohort_of(records[::-1])
    assert first.keys == second.keys == tuple(sorted(first.keys))
    assert first.probabilities[:, 1].tolist() == second.probabilities[:, 1].tolist() == [0.2, 0.7, 0.9, 0.4]


def test_labels_become_truth_and_unknown_ones_are_unlabelled(records):
    cohort = cohort_of(records)
    assert cohort.is_labelled.tolist() == [True, False, True, False]
    assert cohort.truth[cohort.is_labelled, 1].tolist() == [False, True]
    assert cohort.called[:, 1].tolist() == [False, True, True, False]


def test_facts_find_their_places(records):
    cohort = cohort_of(records)
    assert cohort.patients == ("p1", "", "p1", "")
    assert cohort.sites == ("B", "", "A", "")
    assert cohort.subgroups == {"sex": ("M", "", "F", "")}
    assert cohort.readers == {"reader_1": ("", "", "nodule", "")}
    assert cohort.causes[0] == "motion"
    assert cohort.header == {"KVP": (None, 120.0, None, None)}
    assert cohort.has_repeats


def test_studies_that_helped_to_make_the_model_are_not_asked_and_are_in_no_group(records):
    cohort = cohort_of(records)
    (question,) = cohort.questions
    assert question.name == "nodule"
    assert question.rows.tolist() == [2]
    assert "sex" not in cohort.groups()


def test_the_worst_outcome_of_a_code_counts_and_measures_are_missing_where_there_are_none(records):
    cohort = cohort_of(records)
    assert cohort.outcomes["D02"] == ("flag", "", "", "")
    assert np.isfinite(cohort.measures["D02"]).tolist() == [True, False, False, False]


def test_studies_without_a_prediction_are_kept_apart_with_their_truth(records):
    (left,) = cohort_of(records).left_out
    assert (left.reason, left.truth, left.facts) == ("MissingSlicesError", frozenset({"nodule"}), {"sex": "F"})


def test_features_are_there_only_when_every_study_has_them(records):
    audited = [one.study for one in records if one.prediction]
    all_of_them = {key: traits(place) for place, key in enumerate(audited)}
    assert cohort_of(records, all_of_them).features.shape == (4, 6)
    all_of_them.pop(audited[0])
    assert cohort_of(records, all_of_them).features is None


def test_the_panel_is_read_from_the_values_of_the_traits(records):
    values = {"body_removed|nodule": 0.3, "body_removed|clear": 0.7, "blur": 2.0, "x|other class": 1.0}
    cohort = cohort_of(records, {records[0].study: traits(0, values)})
    assert list(cohort.panel) == ["body_removed"]
    assert cohort.panel["body_removed"][2].tolist() == [0.7, 0.3]
    assert np.isnan(cohort.panel["body_removed"][0]).all()


def test_maps_on_different_grids_are_not_put_side_by_side(records):
    same = {one.study: (1, np.ones((2, 3), np.float32)) for one in records[:2]}
    cohort = cohort_of(records, maps=same)
    assert cohort.maps.shape == (4, 6)
    assert cohort.targets.tolist() == [1, -1, 1, -1]
    other = {**same, records[2].study: (1, np.ones((3, 3), np.float32))}
    assert cohort_of(records, maps=other).maps is None


def test_without_an_audited_study_there_is_no_cohort():
    assert cohort_of([refused(1)]) is None


def test_arrays_are_sealed_and_the_first_study_of_a_patient_stands_for_all(records):
    cohort = cohort_of(records, plan=Plan(groups=("sex",)))
    with pytest.raises(ValueError, match="read-only"):
        cohort.probabilities[0, 0] = 1
    assert cohort.one_per_patient(np.arange(4)).tolist() == [0, 1, 3]
    assert cohort.plan.groups == ("sex",)


def test_measures_in_the_header_divide_no_cohort_and_words_do():
    headers = [
        {"Manufacturer": maker, "ImagerPixelSpacing": pixel, "PatientAge": age, "KVP": voltage}
        for maker, pixel, age, voltage in (("A", "0.14\\0.14", "061Y", 80.0), ("B", "0.15\\0.15", "062Y", 120.0))
    ]
    cohort = cohort_of([record(place, 0.4, "clear", header=headers[place % 2]) for place in range(4)])
    assert dict(cohort.groups()) == {"Manufacturer": ("A", "B", "A", "B")}
