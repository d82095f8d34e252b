from __future__ import annotations

import pytest
from pdf_reading import page_count, words
from report_cases import context
from reportlab.lib.units import mm
from reportlab.platypus import PageBreak, Spacer

from audit_pipeline.errors import ReportError
from audit_pipeline.findings import Outcome
from audit_pipeline.report import document, figures, layout, marks, numbers, tables


def front(**changes):
    given = {"title": "t", "subject": "s", "header": "Study k", "model": "net 1", "digest": "d", "context": context()}
    return document.Frontage(**{**given, **changes})


def test_pages_are_numbered_with_their_total():
    content = document.build([Spacer(1, 1), PageBreak(), Spacer(1, 1), PageBreak(), Spacer(1, 1)], front())
    assert [f"page {page + 1} of 3" in words(content, page) for page in range(3)] == [True] * 3


def test_something_larger_than_a_page_is_a_report_error():
    with pytest.raises(ReportError, match="larger than a page"):
        document.build([layout.Columns([[Spacer(1, 400 * mm)]], [100], 0)], front())


def test_the_profile_stands_in_words_on_the_page():
    content = document.build([Spacer(1, 1)], front(context=context(profile="clinical")))
    assert "CLINICAL: contains identity" in words(content, 0)


def test_a_table_repeats_its_head_on_every_page():
    rows = [[f"row {number}", numbers.number(number)] for number in range(200)]
    content = document.build([tables.table(("Name", "Number"), rows, (60, 30), numeric=(1,))], front())
    assert page_count(content) > 2
    assert all("Name Number" in words(content, page) for page in range(page_count(content)))


def test_numbers_of_a_column_share_their_decimal_point():
    column = tables.decimals(["1", "0.25", "12.5", "\u2264 1.5", "\u2013"])
    assert len({one.tail for one in column}) == 1
    assert [tables.tail_of(word) > 0 for word in ("1", "0.25", "<0.001", "\u2264 1.5", "A.b", "\u2013")] == [
        False, True, True, True, False, False,
    ]  # fmt: skip


def test_as_many_groups_are_kept_as_fit():
    groups = [[Spacer(1, 10), Spacer(1, 10)] for _ in range(5)]
    assert [layout.fitting(groups, 50, height) for height in (0, 19, 20, 65, 100, 1000)] == [0, 0, 1, 3, 5, 5]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_own_mark_and_word(outcome):
    content = document.build([marks.MarkedWord(outcome, "3")], front())
    assert outcome.value.replace("_", " ") + " 3" in words(content, 0)


def test_the_scale_of_several_panels_is_the_one_at_which_all_fit():
    from report_cases import radiograph_panel

    wide = radiograph_panel(pixel_mm=(1.0, 4.0))
    tall = radiograph_panel(pixel_mm=(4.0, 1.0))
    assert figures.extent(wide) == (200.0, 640.0)
    assert figures.scale_for([wide, tall], 320, 800) == 0.5
    assert figures.extent(radiograph_panel(pixel_mm=None)) == (200, 160)
