from __future__ import annotations

import re
from itertools import pairwise

import pytest
from html_reading import read, words
from pdf_reading import words as pdf_words
from report_cases import cohort, context

from audit_pipeline.findings import FailureMode
from audit_pipeline.report import render_audit, render_audit_html

HOSTILE = "<svg/onload=alert(1)>\"'&amp;"


@pytest.fixture(scope="module")
def forty():
    return cohort(40)


@pytest.fixture(scope="module")
def pages(forty):
    return {record.study: f"studies/{record.study}/report.html" for record in forty[0]}


@pytest.fixture(scope="module")
def page(forty, pages):
    return render_audit_html(*forty, context(), pages)


@pytest.fixture(scope="module")
def document(page):
    return read(page)


def test_every_word_of_the_pdf_but_its_page_numbers_stands_on_the_page(forty, page):
    printed = {word for word in re.findall(r"[\w.]+", pdf_words(render_audit(*forty, context()))) if len(word) > 2}
    shown = set(re.findall(r"[\w.]+", f"page {words(page)}"))
    assert not {
        word for word in printed - shown if not any(word in one or one in word for one in shown if len(one) > 3)
    }


def test_the_numbers_of_the_summary_stand_on_the_page(forty, page):
    shown = words(page)
    for fact in (
        "0.914 (0.840 to 0.961)",
        "7 of 9",
        "0.870 (0.790 to 0.922), 87 of 100",
        "Every study found is accounted",
    ):
        assert fact in shown, fact
    counts = forty[1]["counts"]
    assert f"found {counts['found']}" in shown
    assert f"audited {counts['audited']}" in shown
    for one in (record for record in forty[0] if record.error):
        assert one.error.message in shown


def test_every_study_leads_to_its_page_and_nothing_else_leads_out(forty, pages, document):
    leading = [one.attributes["href"] for one in document.all("a") if not one.attributes["href"].startswith("#")]
    assert set(leading) == set(pages.values())
    assert len(leading) == 2 * len(pages), "a tile of the contact sheet and a row of the index"
    for record in forty[0]:
        assert pages[record.study] in leading


def test_without_pages_of_the_studies_no_link_leads_out(forty):
    document = read(render_audit_html(*forty, context()))
    assert all(one.attributes["href"].startswith("#") for one in document.all("a"))


def test_every_study_with_a_slice_has_a_described_thumbnail(forty, document):
    described = [one.attributes["aria-label"] for one in document.all("svg", class_="thumbnail")]
    assert len(described) == 2 * len(forty[2]), "raw and under the map"
    assert all("axial, slice 40" in one for one in described)
    assert any("Colours from 0 to 3.39." in one for one in described)


def test_rows_of_studies_carry_both_verdicts_for_the_filter(forty, document):
    table = next(one for one in document.all("table") if one.one("caption").words == "Every study, worst first")
    rows = list(table.one("tbody").all("tr"))
    audited = [record for record in forty[0] if record.verdict]
    assert [row.attributes["data-outcomes"].split() for row in rows] == [
        [record.verdict.prediction.value, record.verdict.explanation.value] for record in audited
    ]
    assert document.one("fieldset", data_filter=table.attributes["data-region"])


@pytest.mark.parametrize("count", [0, 1, 12])
def test_headings_descend_one_level_at_a_time_from_a_single_first(count):
    document = read(render_audit_html(*cohort(count), context()))
    levels = [int(one.name[1]) for one in document.all() if re.fullmatch("h[1-6]", one.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_arguments_give_the_same_bytes(forty, page, pages):
    assert render_audit_html(*forty, context(), pages) == page


def test_hostile_names_stay_text_and_addresses_are_quoted():
    records, summary, thumbnails = cohort(3)
    mode = FailureMode(
        code="D19", name=HOSTILE, title=HOSTILE, family="D", sentence="", severity=(5, 5, 5), provenance="dom",
        reference="", advice=HOSTILE,
    )  # fmt: skip
    summary = {**summary, "refusals": {HOSTILE: 2}}
    pages = {records[0].study: f'studies/{records[0].study}/"><script>'}
    names = context(audit_name=HOSTILE, failure_modes={"D19": mode}, disabled_checks=(HOSTILE,))
    page = render_audit_html(records, summary, thumbnails, names, pages)
    document = read(page)
    assert len(list(document.all("script"))) == 1
    assert not [key for one in document.all() for key in one.attributes if key.startswith("on")]
    assert HOSTILE in words(page)
    assert "%22%3E%3Cscript%3E" in page.decode()


def test_two_hundred_thumbnails_keep_the_page_below_six_megabytes():
    records, summary, thumbnails = cohort(200)
    assert len(render_audit_html(records, summary, thumbnails, context())) < 6_000_000
