"""The flow of studies: every step is the one before it less what was left out, and wrong is wrong against the label."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audit_pipeline.cohort.flow import flow_of, is_wrong, why_not_analysed
from audit_pipeline.cohort.summary import summarise
from audit_pipeline.records import Status
from audit_pipeline.study_record import Failure
from tests.cohort.cohorts import record


def lost(place, status, code):
    error = Failure(code=code, message="m", stage="load")
    return replace(record(place, 0.9, "nodule"), status=status, error=error, prediction=None)


RECORDS = [
    record(0, 0.9, "nodule"),
    record(1, 0.9, "clear"),
    record(2, 0.2, None),
    record(3, 0.2, "what is this"),
    record(4, 0.2, "clear", {"split": "Train"}),
    lost(5, Status.REFUSED, "MissingSlicesError"),
    lost(6, Status.REFUSED, "MissingSlicesError"),
    lost(7, Status.REFUSED, "PixelDataError"),
    lost(8, Status.FAILED, "ModelError"),
]
EXCLUDED = {"the same study was found before": 2, "beyond the limit": 1}


def test_the_flow_names_every_reason_with_its_count():
    assert flow_of(RECORDS, EXCLUDED) == {
        "received": 12,
        "excluded": {"beyond the limit": 1, "the same study was found before": 2},
        "refused": {"MissingSlicesError": 2, "PixelDataError": 1},
        "failed": {"ModelError": 1},
        "audited": 5,
        "not_analysed": {"helped to make the model": 1, "label names no class": 1, "no label": 1},
        "analysed": 2,
    }


@pytest.mark.parametrize("count", range(len(RECORDS) + 1))
def test_the_counts_add_up_whatever_the_studies(count):
    flow = flow_of(RECORDS[:count], EXCLUDED)
    parts = sum(sum(flow[name].values()) for name in ("excluded", "refused", "failed"))
    assert flow["received"] == parts + flow["audited"]
    assert flow["audited"] == sum(flow["not_analysed"].values()) + flow["analysed"]


def test_what_is_analysed_is_what_the_performance_stands_on():
    summary = summarise(RECORDS)
    flow = flow_of(RECORDS, {})
    assert flow["analysed"] == summary.labelled
    assert flow["not_analysed"]["label names no class"] == summary.unknown_labels


def test_a_study_without_a_usable_label_is_neither_right_nor_wrong():
    assert [is_wrong(one) for one in RECORDS] == [False, True, None, None, None, None, None, None, None]


def test_a_study_that_helped_to_make_the_model_is_not_analysed_although_it_has_a_label():
    assert why_not_analysed(RECORDS[4]) == "helped to make the model"
