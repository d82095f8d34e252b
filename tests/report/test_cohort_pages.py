"""The section about the whole cohort: every printed number is the record's."""

from __future__ import annotations

import pytest
from pdf_reading import words
from report_cases import cohort, context

from audit_pipeline.report import render_audit
from audit_pipeline.report.cohort_pages import MOST_ROWS, WIDTH_MM, _of_column, cell, widths_of

CHECK = {
    "code": "E01", "name": "subgroup_gap", "family": "E", "title": "Subgroup gap", "outcome": "flag",
    "message": "Of 27 comparisons, 1 shows a gap.", "advice": "Collect more.", "value": 0.31, "limit": 0.05,
    "unit": "gap in sensitivity", "direction": "above", "n": 133, "interval": [0.155, 0.443],
    "kind": "exploratory", "p_value": 0.0312,
    "tables": [{
        "title": "Groups against the rest", "head": ["Column", "In the group", "Adjusted p"], "note": "Holm.",
        "rows": [
            ["Manufacturer", {"value": 0.5625, "low": 0.441, "high": 0.677, "n": 64, "k": 36, "reason": ""}, 1e-9],
            ["sex", {"value": 0.5, "low": None, "high": None, "n": 8, "k": 4, "reason": ""}, 0.25],
        ],
    }],
}  # fmt: skip
OPEN = {
    **CHECK, "code": "E12", "title": "Weak reference standard", "outcome": "not_evaluable", "message": "No readers.",
    "value": None, "limit": None, "interval": None, "n": 0, "kind": "rule", "tables": [], "p_value": None,
}  # fmt: skip
ROW = {
    "code": "E01", "title": "Subgroup gap", "severity": 5, "expected": 4, "occurrence": 5, "raised": 1, "judged": 1,
    "upper": 1.0, "undetected": 4, "sensitivity": 0.95, "planted": 60, "undetected_after": 1, "before": 100,
    "after": 25,
}  # fmt: skip


@pytest.fixture(scope="module")
def text():
    records, summary, thumbnails = cohort(3)
    whole = {**summary, "cohort_checks": [CHECK, OPEN], "fmea": [ROW, {**ROW, "code": "B07", "after": None}]}
    return words(render_audit(records, whole, thumbnails, context()))


def test_every_check_stands_in_the_overview_with_value_interval_unit_limit_and_n(text):
    assert "E01 Subgroup gap flag 0.31 (0.155 to 0.443) gap in sensitivity \u2264 0.05 133 0.031 exploratory" in text
    assert "E12 Weak reference standard not evaluable" in text


def test_a_pass_beyond_its_limit_is_marked_as_chance():
    records, summary, thumbnails = cohort(3)
    by_chance, kept = {**CHECK, "outcome": "pass"}, {**CHECK, "code": "E13", "outcome": "pass", "value": 0.02}
    told = words(render_audit(records, {**summary, "cohort_checks": [by_chance, kept]}, thumbnails, context()))
    assert "E01 Subgroup gap pass (chance) 0.31" in told
    assert "E13 Subgroup gap pass 0.02" in told


def test_a_flag_is_told_with_its_sentence_and_advice_and_marked_exploratory(text):
    assert "E01 Subgroup gap (exploratory)" in text
    assert "Of 27 comparisons, 1 shows a gap. Advice: Collect more." in text


def test_the_fields_of_a_table_are_words(text):
    assert "Manufacturer 0.56" in text
    assert _of_column("Field", "stored_max") == "Highest stored value"
    assert _of_column("Value", "age_band") == "age_band"


def test_what_could_not_be_judged_says_why(text):
    assert "No readers." in text


def test_tables_print_estimates_with_intervals_and_fractions_below_20(text):
    assert "0.562 (0.441 to 0.677), 36 of 64" in text or "0.563 (0.441 to 0.677), 36 of 64" in text
    assert "4 of 8" in text
    assert "<0.0001" in text


def test_the_fmea_table_prints_grades_and_products(text):
    assert "E01 Subgroup gap 5 5 1 of 1 4 100 0.95 1 25" in text


def test_without_checks_the_section_says_so_in_a_line():
    records, summary, thumbnails = cohort(1)
    assert "The checks of the whole cohort did not run." in words(render_audit(records, summary, thumbnails, context()))


def test_long_tables_are_cut_and_say_so():
    records, summary, thumbnails = cohort(1)
    table = {"title": "t", "head": ["Study", "Value"], "rows": [[f"s{one}", one] for one in range(50)], "note": ""}
    content = render_audit(records, {**summary, "cohort_checks": [{**CHECK, "tables": [table]}]}, thumbnails, context())
    assert f"{50 - MOST_ROWS} more rows stand in cohort.json." in words(content)


def test_columns_never_leave_the_page_and_never_break_a_word_while_there_is_room():
    head = ["Class", "Column", "Metric", "In the group", "Examples"]
    rows = [["nodule", "Manufacturer", "sensitivity", "0.856 (0.764 to 0.917), 65 of 76", "0123456789ab, " * 12]]
    widths = widths_of(head, rows)
    assert sum(widths) <= WIDTH_MM + 1e-6
    assert widths[1] > 16
    assert sum(widths_of(["W" * 400] * 3, [["W" * 400] * 3])) <= WIDTH_MM + 1e-6


def test_cells_without_a_number_say_why():
    assert cell({"value": None, "low": None, "high": None, "n": 3, "k": None, "reason": "too few"}) == "too few"
    assert cell({"value": 0.5, "low": None, "high": None, "n": 3, "k": None}) == "0.5"
    assert cell(value=True) == "True"


def test_page_one_names_what_the_whole_cohort_flagged_by_severity():
    records, summary, thumbnails = cohort(3)
    rows = [{**CHECK, "code": f"E{number:02d}", "message": f"Told by {number}."} for number in range(1, 7)]
    severities = [{**ROW, "code": one["code"], "severity": 1} for one in rows[:5]] + [{**ROW, "code": "E06"}]
    content = render_audit(records, {**summary, "cohort_checks": rows, "fmea": severities}, thumbnails, context())
    first = words(content, 0)
    assert [number for number in range(1, 7) if f"Told by {number}." in first] == [1, 2, 3, 6]
    assert first.index("Told by 6.") < first.index("Told by 1.")
    assert "2 more checks of the cohort raised a flag." in first
