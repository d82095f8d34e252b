from __future__ import annotations

import pytest
from html_reading import read
from reportlab.platypus import KeepInFrame, Spacer
from reportlab.platypus.flowables import HRFlowable

from audit_pipeline.findings import Outcome
from audit_pipeline.report import fonts, layout, marks, tables
from audit_pipeline.report.document import Heading
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_story import NO_FORM, Writer


@pytest.fixture
def write():
    fonts.register()
    writer = Writer(Layers(10_000, 50), lambda _picture: "", frozenset({"A01", "B02"}), {"key": "studies/a b.html"})

    def written(story):
        with fonts.for_screen():
            return read(str(writer.write(story())).encode())

    return written


def test_a_part_that_has_no_form_on_a_page_is_named_and_not_dropped_in_silence(write):
    assert write(lambda: [HRFlowable()]).words == NO_FORM


def test_what_only_arranges_paper_leaves_nothing(write):
    assert write(lambda: [Spacer(1, 5)]).words == ""


def test_headings_keep_their_order_however_deep_the_paper_set_them(write):
    levels = [("a", "title", 0), ("b", "section", 1), ("c", "section", 2), ("d", "section", 1), ("e", "title", 0)]
    document = write(lambda: [Heading(words, name, level) for words, name, level in levels])
    assert [(one.name, one.words) for one in document.children] == [
        ("h1", "a"), ("h2", "b"), ("h3", "c"), ("h2", "d"), ("h2", "e"),
    ]  # fmt: skip


def test_a_line_over_a_table_becomes_its_caption_and_the_heading_does_where_there_is_none(write):
    document = write(
        lambda: [
            Heading("Above", "title"),
            tables.table(("a",), [["1"]], (20,)),
            tables.words("Size of the groups", "head"),
            Spacer(1, 1),
            tables.table(("a",), [["1"]], (20,)),
        ]
    )
    hidden, seen = document.all("caption")
    assert (hidden.words, hidden.attributes) == ("Above", {"class": "unseen"})
    assert (seen.words, seen.attributes) == ("Size of the groups", {})
    assert "p" not in {one.name for one in document.all()}


def test_numbers_leave_room_for_the_digits_they_lack_and_dashes_do_not(write):
    rows = [["x", "0.125"], ["y", "3.5"], ["z", "12"], ["w", "\u2013"]]
    document = write(lambda: [tables.table(("", "v"), rows, (20, 20), numeric=(1,))])
    assert [(one.words, one.attributes["class"]) for one in document.one("tbody").all("td")] == [
        ("0.125", "n m0"), ("3.5", "n m2"), ("12", "n m3 whole"), ("\u2013", "n"),
    ]  # fmt: skip


def test_the_first_words_of_a_row_are_its_head_and_a_row_of_a_check_gets_its_name_once(write):
    def story():
        row = [marks.MarkedWord(Outcome.FLAG), "A01", "text"]
        return [tables.table(("Outcome", "Code", "Finding"), [row, row], (20, 20, 40))]

    first, second = write(story).one("tbody").all("tr")
    assert [one.words for one in first.all("th", scope="row")] == ["A01"]
    assert first.attributes == {"id": "check-A01", "data-outcomes": "flag"}
    assert second.attributes == {"data-outcomes": "flag"}


def test_names_that_count_become_a_numbered_list_and_others_a_table_of_pairs(write):
    document = write(lambda: [tables.pairs([("1", "first"), ("2", "second")], (8, 40))])
    assert [one.words for one in document.one("ol").all("li")] == ["first", "second"]
    twice = write(lambda: [tables.pairs_twice([("a", "1 mm"), ("b", "2 mm"), ("c", "3 mm")], 178)])
    assert [(row.one("th").words, row.one("td").words) for row in twice.all("tr")] == [
        ("a", "1 mm"), ("b", "2 mm"), ("c", "3 mm"),
    ]  # fmt: skip


def test_a_table_that_was_measured_for_paper_reads_the_same(write):
    def measured():
        made = tables.pairs([("Spacing", "2 mm")], (24, 60))
        layout.stack_height([made], 300)
        return [made]

    assert write(measured).words == write(lambda: [tables.pairs([("Spacing", "2 mm")], (24, 60))]).words


def test_a_cell_with_an_address_leads_there(write):
    document = write(lambda: [tables.table(("Study",), [["key"], ["other"]], (20,))])
    (link,) = document.all("a")
    assert (link.words, link.attributes["href"]) == ("key", "studies/a%20b.html")


def test_paragraphs_keep_bold_words_line_ends_and_signs(write):
    from reportlab.platypus import Paragraph

    from audit_pipeline.report import style

    markup = f"{fonts.bold('a < b')}<br/>{fonts.markup('c & d')}"
    document = write(lambda: [KeepInFrame(100, 100, [Paragraph(markup, style.paragraph_style("table"))])])
    paragraph = document.one("p", class_="table")
    assert paragraph.words == "a < b c & d"
    assert paragraph.one("strong").words == "a < b"
    assert [one.name for one in paragraph.all()] == ["strong", "br"]
