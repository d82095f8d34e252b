"""The FMEA table."""

from __future__ import annotations

import pytest

from audit_pipeline.cohort.declare import CohortResult, finding_of
from audit_pipeline.cohort.fmea import fmea, occurrence_grade
from audit_pipeline.cohort.proportions import wilson
from audit_pipeline.findings import FailureMode, Outcome


def mode(code, severity):
    return FailureMode(
        code=code, name=code.lower(), title=f"title {code}", family=code[0], sentence="", severity=severity,
        provenance="dom", reference="", advice="",
    )  # fmt: skip


MODES = {"A01": mode("A01", (4, 3, 4)), "B07": mode("B07", (5, 2, 5)), "E01": mode("E01", (5, 4, 4))}


def test_rows_stand_by_severity_then_by_product():
    assert [row["code"] for row in fmea(MODES, {})] == ["E01", "B07", "A01"]


def test_occurrence_is_graded_from_the_studies_that_could_be_judged():
    rows = {
        row["code"]: row for row in fmea(MODES, {"A01": {"flag": 6, "critical": 2, "pass": 92, "not_evaluable": 50}})
    }
    row = rows["A01"]
    assert (row["raised"], row["judged"], row["occurrence"]) == (8, 100, 4)
    assert row["upper"] == pytest.approx(wilson(8, 100)[1])
    assert rows["B07"]["upper"] is None


@pytest.mark.parametrize(
    ("raised", "judged", "expected", "grade"),
    [(0, 100, 5, 1), (1, 200, 5, 2), (4, 100, 1, 3), (10, 100, 1, 4), (40, 100, 1, 5), (0, 99, 3, 3), (0, 0, 2, 2)],
)
def test_few_studies_never_lower_the_expected_grade(raised, judged, expected, grade):
    assert occurrence_grade(raised, judged, expected) == grade


def test_detectability_comes_from_the_planted_faults_that_were_found():
    rows = {row["code"]: row for row in fmea(MODES, {}, planted={"A01": (57, 60), "B07": (10, 60), "E01": (0, 0)})}
    assert (rows["A01"]["undetected_after"], rows["A01"]["after"]) == (1, 4 * 3 * 1)
    assert (rows["B07"]["undetected_after"], rows["B07"]["before"]) == (5, 5 * 2 * 5)
    assert (rows["E01"]["undetected_after"], rows["E01"]["after"]) == (None, None)


def test_a_finding_on_the_whole_cohort_counts_once():
    found = finding_of(MODES["E01"], CohortResult(Outcome.FLAG, ""))
    row = next(row for row in fmea(MODES, {}, [found]) if row["code"] == "E01")
    assert (row["raised"], row["judged"], row["occurrence"]) == (1, 1, 5)
