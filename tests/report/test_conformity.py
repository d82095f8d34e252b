"""The conformity tables: every item has an answer that the run bears out, and the pages named hold the chapters."""

from __future__ import annotations

import io
import re

import pypdf
import pytest
from html_reading import read
from pdf_reading import words
from report_cases import context
from story_cases import facts_of, studies, summary_of, thumbnails_of

from audit_pipeline.errors import ReportError
from audit_pipeline.report import render_audit, render_audit_html
from audit_pipeline.report.audit_facts import AuditFacts
from audit_pipeline.report.conformity import TOPICS, Answer, Material, answered, place_of, standards
from audit_pipeline.report.document import PageNumbers, build
from audit_pipeline.report.frontage import of_audit
from audit_pipeline.report.tables import words as paragraph


def material(count=4, facts=None, **changes):
    records, _ = studies(count)
    summary = summary_of(records, changes.pop("cohort", None))
    return Material(
        records=records, summary={**summary, **changes}, context=context(), facts=facts or facts_of(records)
    )


JUDGED = {"class": "nodule", "auroc_low": 0.8, "sensitivity": {"k": 18, "n": 20, "low": 0.7}}


@pytest.fixture(scope="module")
def audit():
    records, panel = studies(24, wrong=2)
    return records, summary_of(records, {"gates": {"refused": 0.1}}), thumbnails_of(records, panel)


@pytest.fixture(scope="module")
def content(audit):
    return render_audit(*audit, context(), facts=facts_of(audit[0]))


def test_all_six_lists_are_there_with_the_numbers_of_their_items():
    found = {one.key: [item.item for item in one.items] for one in standards()}
    assert found["claim"] == [str(number) for number in range(1, 45)]
    assert len(found["stard_ai"]) == 48
    assert {item.rstrip("abcd") for item in found["stard_ai"]} == {str(number) for number in range(1, 41)}
    assert found["gmlp"] == [str(number) for number in range(1, 11)]
    assert {"1(a)", "2(g)", "3", "4", "5", "6", "7", "8", "9"} <= set(found["ai_act"])
    assert set(found["fda"]) == {
        "V", "VI.A", "VI.B", "VII", "VIII", "IX", "X", "X.A", "XI", "XII", "XIII",
        "App. B", "App. C", "App. D", "App. E",
    }  # fmt: skip
    assert len(found["chai"]) == len(set(found["chai"])) == 46


def test_every_topic_is_named_by_an_item_and_every_item_names_known_topics_and_what_to_supply():
    named = {topic for one in standards() for item in one.items for topic in item.topics}
    assert named == set(TOPICS)
    assert all(item.supply and item.words for one in standards() for item in one.items)


def test_an_item_without_a_topic_is_open_with_what_to_supply():
    found = {one.item.item: one for one in answered(standards()[0], material())}
    assert (found["44"].answer, found["44"].places) == (Answer.OPEN, ())
    assert found["44"].supply == "sources of funding and the role of the funders"


def test_an_item_is_answered_only_when_the_run_knows_its_topic():
    known = {one.item.item: one for one in answered(standards()[0], material(performance=[JUDGED]))}
    silent = {one.item.item: one for one in answered(standards()[0], material(performance=[]))}
    assert known["38"].answer is Answer.ANSWERED
    assert known["38"].places == ("#chapter-discrimination", "#chapter-conclusions")
    assert silent["38"].answer is Answer.OPEN
    few = {**JUDGED, "auroc_low": None, "sensitivity": {"k": 5, "n": 5, "low": None}}
    counts = {one.item.item: one for one in answered(standards()[0], material(performance=[few]))}
    assert counts["38"].answer is Answer.OPEN
    assert silent["38"].supply == "labels for the studies"


def test_an_item_that_asks_for_more_than_an_audit_knows_is_answered_in_part():
    found = {one.item.item: one for one in answered(standards()[0], material())}
    assert found["25"].answer is Answer.PARTLY
    assert found["25"].supply.startswith("development in the model card")
    bare = {one.item.item: one for one in answered(standards()[0], material(facts=AuditFacts()))}
    assert bare["25"].answer is Answer.OPEN


def test_a_check_that_was_not_evaluable_answers_nothing():
    row = {"code": "E12", "outcome": "not_evaluable"}
    silent = {one.item.item: one for one in answered(standards()[0], material(cohort_checks=[row]))}
    spoke = {
        one.item.item: one for one in answered(standards()[0], material(cohort_checks=[{**row, "outcome": "pass"}]))
    }
    assert silent["18"].answer is Answer.OPEN
    assert spoke["18"].answer is Answer.PARTLY


def test_the_counts_of_the_opening_sentence_are_those_of_the_tables(content):
    shown = words(content)
    total, whole, part, left = (
        int(one)
        for one in re.search(
            r"Of (\d+) items of the lists below this report supports (\d+) fully and (\d+) in part; (\d+)", shown
        ).groups()
    )
    assert total == whole + part + left == sum(len(one.items) for one in standards())
    assert len(re.findall(r" answered, \d+ in part and \d+ open\.", shown)) == 6


def test_the_pages_in_the_tables_are_those_on_which_the_chapters_begin(audit, content):
    titles = {one.attributes["href"]: one.words for one in read(render_audit_html(*audit, context())).all("a")}
    pages = {title: number + 1 for number, found in chapter_titles(content).items() for title in found}
    found = Material(records=audit[0], summary=audit[1], context=context(), facts=facts_of(audit[0]))
    shown = words(content)
    checked = 0
    for standard in standards():
        for one in answered(standard, found):
            if not one.places:
                continue
            expected = ", ".join(str(page) for page in sorted({pages[titles[place]] for place in one.places}))
            row = f"{one.item.item} {one.item.words} {one.answer} {expected} "
            assert row in shown, row
            checked += 1
    assert checked > 60


def chapter_titles(content):
    """Page -> the titles of the outline that lead there."""
    reader = pypdf.PdfReader(io.BytesIO(content))
    found = {number: [] for number in range(len(reader.pages))}
    for one in reader.outline:
        if not isinstance(one, list):
            found[reader.get_destination_page_number(one)].append(one.title)
    return found


def test_digests_of_what_an_answer_is_drawn_from_stand_beside_it(content):
    shown = words(content)
    assert "cohort.json abababababab" in shown
    assert "run.json cdcdcdcdcdcd" in shown
    assert "records efefefefefef" in shown


def test_a_page_number_leads_to_its_chapter(content):
    reader = pypdf.PdfReader(io.BytesIO(content))
    place = next(number for number, titles in chapter_titles(content).items() if "Conformity tables" in titles)
    flow = next(number for number, titles in chapter_titles(content).items() if "Flow of studies" in titles)
    targets = {one.get_object()["/Dest"][0].idnum for one in reader.pages[place]["/Annots"]}
    assert reader.pages[flow].indirect_reference.idnum in targets


def test_a_place_that_is_not_in_the_report_is_refused_and_not_printed_wrongly():
    front = of_audit([], context())
    with pytest.raises(ReportError, match="points to #chapter-nowhere"):
        build([paragraph("words"), PageNumbers(("#chapter-nowhere",))], front)


def test_the_html_twin_links_every_answer_to_its_chapter(audit):
    document = read(render_audit_html(*audit, context(), facts=facts_of(audit[0])))
    names = {one.attributes["id"] for one in document.all() if "id" in one.attributes}
    targets = {one.attributes["href"][1:] for one in document.all("a") if one.attributes["href"].startswith("#")}
    assert targets <= names
    assert {place_of(topic.place)[1:] for topic in TOPICS.values()} <= names


def test_words_are_short_and_ours():
    longest = max(len(item.words) for one in standards() for item in one.items)
    assert longest <= 80
    assert not any("compl" in item.words for one in standards() for item in one.items)
