from __future__ import annotations

import re
from dataclasses import replace

import pytest
import report_cases
from pdf_reading import fonts, page_count, placed_words, words
from report_cases import cohort, context

from audit_pipeline.report import reduced, render_audit, style


@pytest.fixture(scope="module")
def forty():
    return cohort(40)


@pytest.fixture(scope="module")
def forty_pdf(forty):
    return render_audit(*forty, context())


def test_page_one_counts_studies_and_verdicts_from_the_summary(forty, forty_pdf):
    first = words(forty_pdf, 0)
    assert "Of 40 studies found, 36 were audited and 4 refused; their period is not stated." in first
    assert "Every study found is accounted for." in first
    verdicts = forty[1]["verdicts"]
    critical, flagged = verdicts["explanation"]["critical"], verdicts["prediction"]["flag"]
    assert f"critical 0 {critical}" in first
    assert f"flag {flagged} 0" in first


def test_headline_numbers_carry_n_and_interval_and_fractions_below_20(forty_pdf):
    first = words(forty_pdf, 0)
    assert "0.914 (0.840 to 0.961)" in first
    assert "7 of 9" in first
    assert "0.870 (0.790 to 0.922), 87 of 100" in first
    assert "not evaluable: no negative case" in first
    assert "95 % intervals" in first
    assert "77.8 %" not in first


def test_twenty_studies_stand_on_one_page_of_the_index():
    records, summary, thumbnails = cohort(20)
    content = render_audit(records, summary, thumbnails, context())
    pages = [words(content, page) for page in range(page_count(content))]
    index = next(page for page in pages if "Every study, worst first" in page)
    assert all(record.study in index for record in records)


def test_the_reason_for_a_missing_auroc_takes_two_lines_at_most():
    records, summary, thumbnails = cohort(20)
    reason = "9 positives and 8 negatives, 10 of each are needed"
    rows = [{**row, "auroc": None, "reason": reason} for row in summary["performance"]]
    content = render_audit(records, {**summary, "performance": rows}, thumbnails, context())
    lines = [box for box in placed_words(content, 0) if any(one in box[4] for one in ("9 positives", "are needed"))]
    tops, bottoms = [top for *_, top, _ in lines[::2]], [bottom for _, bottom, *_ in lines[1::2]]
    assert len(lines) == 2 * len(rows)
    assert all(top - bottom < 2 * style.TABLE * 1.25 for top, bottom in zip(tops, bottoms, strict=True))


def test_the_three_findings_that_matter_most_are_ranked(forty_pdf):
    first = words(forty_pdf, 0)
    places = [first.index(phrase) for phrase in ("D19 Methods disagree.", "D21 Unfaithful map.", "C04 Close to the")]
    assert places == sorted(places)
    assert "of 36 audited studies" in first


def test_every_audited_study_is_listed_in_the_given_order_with_class_verdicts_and_codes(forty, forty_pdf):
    text = " ".join(words(forty_pdf, page) for page in range(1, page_count(forty_pdf)))
    keys = [record.study for record in forty[0] if record.error is None]
    places = [text.index(key) for key in keys]
    assert places == sorted(places)
    assert "nodule 0.897 flag C04 critical D19 D19, D21, C04" in text


def test_every_refused_study_is_listed_with_its_reason(forty, forty_pdf):
    text = words(forty_pdf)
    for record in forty[0]:
        if record.error is not None:
            assert f"{record.study} refused MissingSlicesError The slice positions leave 2 gaps" in text


def test_checks_are_counted_over_the_cohort(forty, forty_pdf):
    text = words(forty_pdf)
    counts = forty[1]["outcomes"]["D19"]["critical"]
    assert f"D19 Methods disagree {counts} 0 0 0 0 0" in text
    assert f"A01 Missing or unevenly spaced slices 0 0 0 0 0 {36}" in text


@pytest.mark.parametrize("count", [0, 1])
def test_an_audit_of_none_or_one_study_is_a_whole_report(count):
    content = render_audit(*cohort(count), context())
    text = words(content)
    assert ("No study was found" in text) == (count == 0)
    assert "Provenance" in text
    assert "verify RUN" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_a_summary_without_its_parts_is_printed_as_not_evaluable(forty):
    content = render_audit(forty[0], {}, {}, context(failure_modes={}))
    text = words(content)
    assert "not evaluable: without labels" in text
    assert "No check ran." in text


def test_codes_without_metadata_take_their_title_from_the_findings(forty):
    assert "D19 Methods disagree." in words(render_audit(*forty, context(failure_modes={})), 0)


def test_the_same_audit_gives_the_same_bytes(forty, forty_pdf):
    assert render_audit(*forty, context()) == forty_pdf


def test_all_fonts_of_the_audit_are_embedded(forty_pdf):
    assert all(kind == "/TrueType" and is_embedded for _, kind, is_embedded in fonts(forty_pdf))


def test_nothing_runs_off_a_page_also_with_hostile_text(forty):
    hostile = "<img src='file:///etc/hostname'/> \u0000 " + "x" * 3000
    records = [
        replace(record, study=f"{hostile[:40]}{place}", label=hostile, findings=(), prediction=None)
        for place, record in enumerate(forty[0])
    ]
    mode = replace(report_cases.MODES["D19"], title=hostile, advice=hostile)
    summary = {**forty[1], "refusals": {hostile: 1}}
    content = render_audit(records, summary, {}, context(audit_name=hostile, failure_modes={"D19": mode}))
    for page in range(page_count(content)):
        for left, bottom, right, top, text in placed_words(content, page):
            assert left >= 44, text
            assert right <= 595 - 44, text
            assert bottom > 20, text
            assert top < 842 - 20, text


@pytest.mark.untraced
def test_hundreds_of_studies_make_a_document():
    records, summary, thumbnails = cohort(40)
    small = {key: reduced(panel) for key, panel in list(thumbnails.items())[:5]}
    many = [replace(record, study=f"{place:06x}{record.study[6:]}") for place in range(8) for record in records]
    content = render_audit(many, summary, small, context())
    text = words(content)
    assert all(record.study in text for record in many[::37])
    assert f"page {page_count(content)} of {page_count(content)}" in words(content, page_count(content) - 1)
