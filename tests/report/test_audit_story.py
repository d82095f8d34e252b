"""The story chapters of the audit report: they print what records and summary say, for any number of studies."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from html_reading import read
from html_reading import words as html_words
from pdf_reading import page_count, placed_words, words
from report_cases import context
from story_cases import facts_of, raised, studies, summary_of, thumbnails_of

from audit_pipeline.config import AuditConfig
from audit_pipeline.execute.story import is_changed, plan_facts
from audit_pipeline.report import (
    audit_cases,
    audit_flow,
    audit_front,
    audit_plan,
    cases,
    render_audit,
    render_audit_html,
)
from audit_pipeline.report.audit_flow import diagram, steps
from audit_pipeline.report.document import build
from audit_pipeline.report.frontage import of_audit
from audit_pipeline.report.story_text import reviews_found

CLAIMS = {"claims": {"nodule": {"sensitivity": 0.9, "specificity": 0.8, "half_width": 0.2, "prevalence": 0.02}},
          "groups": ["sex"], "gates": {"refused": 0.05}}  # fmt: skip
EXCLUDED = {"the same study was found before": 2}


def audit(count, cohort=None, **changes):
    """Arguments of `render_audit` but for the context."""
    excluded = changes.pop("excluded", {})
    records, panel = studies(count, **changes)
    return records, summary_of(records, cohort, excluded), thumbnails_of(records, panel)


def printed(parts):
    """The words of some parts of the report alone."""
    return words(build(parts, of_audit([], context())))


@pytest.fixture(scope="module")
def thirty():
    records, panel = studies(30, wrong=3, refused=3, failed=1)
    records = [raised(one, "B07", "D19") if one.study in {f"{2:012x}", f"{7:012x}"} else one for one in records]
    return records, summary_of(records, CLAIMS, EXCLUDED), thumbnails_of(records, panel)


@pytest.fixture(scope="module")
def thirty_pdf(thirty):
    return render_audit(*thirty, context(), facts=facts_of(thirty[0]))


@pytest.fixture(scope="module")
def shown(thirty_pdf):
    return words(thirty_pdf)


@pytest.fixture(scope="module")
def page(thirty):
    return render_audit_html(*thirty, context(), facts=facts_of(thirty[0]))


def test_page_one_holds_question_gates_headline_findings_and_counts_and_nothing_else(thirty_pdf):
    first = words(thirty_pdf, 0)
    order = [
        "asks whether the predictions of nodule-densenet 2.1 may be trusted", "Of 36 studies found, 30 were audited",
        "Promised before the run, and found", "Headline numbers", "What matters most", "From received to analysed",
    ]  # fmt: skip
    places = [first.index(one) for one in order]
    assert places == sorted(places)
    assert "Intended use and plan" not in first
    assert "Intended use and plan" in words(thirty_pdf, 1)


def test_every_gate_is_printed_with_promise_interval_n_and_answer(thirty, thirty_pdf):
    first = words(thirty_pdf, 0)
    gates = {gate["measure"]: gate for gate in thirty[1]["gates"]}
    sensitivity, refused = gates["sensitivity"], gates["refused"]
    assert sensitivity["n"] == 15
    told = "Sensitivity for nodule at least 0.85 (claimed 0.9 less its margin)"
    assert f"{told} {sensitivity['k']} of 15 15 not shown" in first
    assert (refused["k"], refused["n"]) == (4, 34)
    assert "Share of studies refused or failed at most 0.05 0.118 (0.047 to 0.266), 4 of 34 34 not met" in first
    states = [gate["state"] for gate in thirty[1]["gates"]]
    assert f"{states.count('not_met')} {'is' if states.count('not_met') == 1 else 'are'} not met" in first


def test_without_promises_page_one_says_so_and_what_to_supply():
    records, summary, _ = audit(2)
    first = printed(audit_front.first_page(records, summary, context()))
    assert "No claim and no gate was declared before the run, so nothing could be kept or broken." in first
    assert "Declare them in cohort.claims and cohort.gates" in first


def test_page_one_tells_the_rates_within_the_intended_use_where_studies_lie_outside():
    records, summary, _ = audit(30)
    row = summary["performance"][0]
    told = {**summary, "outside_use": [records[0].study], "inside_use": [row]}
    first = printed(audit_front.first_page(records, told, context()))
    assert f"1 of these studies is not of the intended use (A21 or A22): {records[0].study}" in first
    assert f"Without it, sensitivity and specificity: {row['class']} " in first
    assert "intended use (A21" not in printed(audit_front.first_page(records, summary, context()))


def test_the_plan_names_use_limits_operating_points_and_its_digest(thirty, shown):
    for fact in (
        "Flag chest CT with a solid nodule for a second reading",
        "Modalities: CT and Age, years: 18 to 90",
        "nodule 0.5",
        "the tuning set of 2024",
        "Groups compared as planned sex",
        "Prevalence where it will be used nodule 0.02",
        "Studies 1200",
        "Sites one and two",
    ):
        assert fact in shown, fact
    assert thirty[1]["plan"]["sha256"] in shown.replace(" ", "")


def test_the_digest_of_the_plan_changes_with_a_claim_and_not_with_the_studies():
    from story_cases import run_facts

    same, other = plan_facts(run_facts(CLAIMS)), plan_facts(run_facts({"claims": {"nodule": {"sensitivity": 0.8}}}))
    assert same["sha256"] == plan_facts(run_facts(CLAIMS))["sha256"] != other["sha256"]


def test_a_plan_that_was_changed_after_the_run_began_is_told():
    from story_cases import run_facts

    first = run_facts(CLAIMS)
    now = AuditConfig.model_validate({"model": {"card": {}}, "cohort": {"claims": {"nodule": {"sensitivity": 0.5}}}})
    assert is_changed(first, now)
    assert not is_changed(first, AuditConfig.model_validate({"model": {"card": {}}, "cohort": CLAIMS}))
    records, _ = studies(2)
    summary = summary_of(records, CLAIMS, plan_changed=True)
    told = printed(audit_plan.chapter(records, summary, context(), facts_of(records)))
    assert "The configuration was changed after the run had begun" in told


def test_the_boxes_of_the_flow_add_up_from_received_to_analysed(thirty):
    boxes = steps(thirty[1]["flow"])
    assert [(one.title, one.count) for one in boxes] == [
        ("Received", 36), ("Given to the pipeline", 34), ("Audited", 30), ("Labelled", 30),
        ("Analysed against the label", 30),
    ]  # fmt: skip
    for before, after in pairwise(boxes):
        assert before.count - sum(side.count for side in before.lost) == after.count


def test_the_diagram_of_the_flow_prints_every_count_and_reason(thirty, shown):
    for fact in ("Received n = 36", "Excluded before the audit n = 2", "the same study was found before 2",
                 "Refused before the model n = 3", "MissingSlicesError 3", "Failed afterwards n = 1", "ModelError 1",
                 "Analysed against the label n = 30"):  # fmt: skip
        assert fact in shown, fact
    assert "Slice positions leave gaps that are whole multiples of the slice step." in shown
    assert "Received 36 (excluded before the audit 2)" in diagram(thirty[1]["flow"]).alternative


def test_many_reasons_share_a_line_and_no_study_is_lost():
    records, _ = studies(3)
    summary = summary_of(records, excluded={f"reason {place}": place for place in range(1, 11)})
    shown = printed(audit_flow.chapter(summary))
    assert "Excluded before the audit n = 55" in shown
    assert "4 more reasons 10" in shown


def test_characteristics_are_printed_by_label_with_shares_from_twenty_on(thirty, shown):
    assert "All, n = 30" in shown
    assert "Label nodule, n = 15" in shown
    assert "F 15 (50.0 %)" in shown
    assert re.search(r"F 15 \(50\.0 %\) \d+ \d+", shown), "a share stands in a column of fewer than 20 studies"
    assert "30 audited studies of 15 patients" in shown


def test_a_wrong_study_has_a_card_before_a_raised_one(thirty):
    chosen = [one.study for one in cases(thirty[0], thirty[1])]
    wrong = thirty[1]["conclusions"]["wrong"]
    assert set(wrong) == {f"{place:012x}" for place in range(3)}
    assert set(chosen[:3]) == set(wrong)
    assert chosen[3] == f"{7:012x}"


def test_twenty_cards_are_shared_between_errors_and_flags_and_the_rest_is_counted():
    records, _ = studies(60, wrong=30)
    records = [raised(one, "B07") if int(one.study, 16) >= 30 else one for one in records]
    summary = summary_of(records)
    chosen = cases(records, summary)
    wrong = set(summary["conclusions"]["wrong"])
    assert (len(chosen), sum(one.study in wrong for one in chosen)) == (20, 12)
    told = printed(audit_cases.chapter(records, summary, {}, context(), facts_of(records)))
    assert "40 more cases stand in the index of studies" in told


def test_errors_fill_the_room_that_no_flag_needs():
    records, _ = studies(30, wrong=25)
    assert len(cases(records, summary_of(records))) == 20


def test_a_card_tells_label_conclusion_finding_advice_and_reviewer(thirty):
    records, summary, thumbnails = thirty
    key = f"{2:012x}"
    line = {"study": key, "verdict": "disagree", "reviewer": "Reader One", "note": "no nodule seen"}
    spoken = {**summary["reviews"], "lines": [line], "open": [f"{7:012x}"], "studies": 1, "verdicts": {"disagree": 1}}
    told = {**summary, "reviews": spoken}
    shown = printed(audit_cases.chapter(records, told, thumbnails, context(), facts_of(records)))
    card = shown[shown.index(f"Study {key}") :][:900]
    record = next(one for one in records if one.study == key)
    assert f"Label {record.label}; the model concludes {record.prediction.predicted[0]}" in card
    assert ": it differs." in card
    assert "B07 B07 speaks against it." in card
    assert "Advice: Do not use the prediction." in card
    assert "Reviewer's verdict by Reader One: disagree: no nodule seen." in card
    assert "2 studies ask for a verdict (a flag of severity 4 or 5); 1 open." in shown


def test_a_card_without_a_word_says_why_the_study_asks_for_one(shown):
    assert "No reviewer has spoken about this study yet. It asks for a verdict because of B07 and D19." in shown


@pytest.mark.parametrize(
    ("count", "changes", "expected"),
    [
        (0, {}, ("No study was found. Nothing was judged.", "No study was received.", "There is no study.")),
        (1, {}, ("Of 1 study found, 1 was audited", "Of 1 study received 1 was audited and 1 was analysed",
                 "1 audited study of 1 patient", "Of 1 analysed study none was concluded against its label")),
        (0, {"refused": 2}, ("Of 2 studies found, 0 were audited and 2 refused",
                             "Of 2 studies received none was audited and none was analysed",
                             "No study was audited, so there is nothing to describe.")),
        (3, {"labels": ()}, ("No study was concluded against its label", "3 audited studies of 2 patients")),
        (1, {"wrong": 1}, ("The conclusion differs from the label in 1 of 1 analysed study", "the only case follows",
                             "No check raised a flag here: compare image, label and map")),
    ],
)  # fmt: skip
def test_no_one_refused_and_unlabelled_studies_are_told_in_right_sentences(count, changes, expected):
    arguments = audit(count, **changes)
    content = render_audit(*arguments, context())
    shown = words(content)
    for sentence in expected:
        assert sentence in shown, sentence
    assert not re.search(r"\b(nan|None)\b", shown)
    twin = html_words(render_audit_html(*arguments, context()))
    for sentence in expected:
        assert sentence in twin, sentence


def test_every_chapter_of_the_pdf_stands_on_the_page_in_the_same_order(thirty_pdf, page):
    import io

    import pypdf

    outline = pypdf.PdfReader(io.BytesIO(thirty_pdf)).outline
    titles = [one.title for one in outline if not isinstance(one, list)]
    document = read(page)
    headings = [one.words for one in document.all() if one.name in {"h1", "h2"}]
    assert [title for title in titles if title in headings] == titles
    assert titles[:4] == ["Audit: Lung nodule classifier, spring review", "Intended use and plan", "Flow of studies",
                          "Characteristics of the studies"]  # fmt: skip
    assert titles[-5:] == [
        "Limitations",
        "Conformity tables",
        "Contact sheet",
        "Every study, worst first",
        "Provenance",
    ]


def test_every_chapter_opens_with_a_sentence(page):
    document = read(page)
    main = document.one("main")
    children = [one for one in main.children if not isinstance(one, str)]
    named = [
        one.attributes["id"]
        for kind in ("span", "h1", "h2", "tr")
        for one in document.all(kind)
        if "id" in one.attributes
    ]
    assert len(named) == len(set(named))
    chapters = [
        place for place, one in enumerate(children)
        if one.name in {"h1", "h2"} and one.attributes.get("id", "").startswith("chapter-")
    ]  # fmt: skip
    assert len(chapters) > 20
    for place in chapters:
        heading, following = [one for one in children[place:] if one.name != "fieldset"][:2]
        assert heading.name in {"h1", "h2"}
        assert following.name == "p", heading.words
        assert following.words.endswith("."), following.words


def test_limitations_come_from_the_numbers_of_the_run(thirty, shown):
    assert "Of 36 studies found: 3 refused, 1 failed and 2 excluded; the results are about the others." in shown
    assert "The checks of the whole cohort did not run." in shown
    assert "The period of the studies is not stated" in shown
    assert "Switched off by the configuration: C11." in shown or "C11" in shown
    assert "Where the operating points come from is not stated" not in shown


def test_the_index_gives_every_study_with_the_digest_of_its_record(thirty, shown):
    for place, record in enumerate(thirty[0]):
        if record.error is None:
            assert f"{place:064x}"[:12] in shown
        else:
            assert record.error.message[:60] in shown


HOSTILE = "<b onload='x'>&amp; \u0000\u202e"
SCRIPTS = "\u80ba\u7d50\u7bc0 \u0639\u0642\u064a\u062f\u0629 n\u0153ud"


@pytest.mark.parametrize("text", [HOSTILE + "x" * 300, SCRIPTS * 8], ids=["hostile", "scripts"])
def test_nothing_runs_off_a_page_and_nothing_is_markup_with_any_text_in_labels_reasons_and_notes(text):
    records, panel = studies(6, wrong=2, refused=1, labels=("nodule", text[:200]), facts={"scanner": text})
    records = [raised(one, "B07") if one.error is None else one for one in records]
    summary = summary_of(records, CLAIMS, {text: 1})
    key = next(one.study for one in records if one.error is None)
    line = {"study": key, "verdict": "agree", "reviewer": text, "note": text * 3}
    summary["reviews"] |= {"lines": [line], "studies": 1, "verdicts": {"agree": 1}}
    facts = facts_of(
        records, card={"thresholds_from": text, "allowed": {"modality": [text]}, "development": {text: text}}
    )
    thumbnails = thumbnails_of(records, panel)
    content = render_audit(records, summary, thumbnails, context(audit_name=text), facts=facts)
    for number in range(page_count(content)):
        for left, bottom, right, top, shown in placed_words(content, number):
            assert left >= 44, shown
            assert right <= 595 - 43.5, shown
            assert bottom > 20, shown
            assert top < 842 - 20, shown
    document = read(render_audit_html(records, summary, thumbnails, context(audit_name=text), facts=facts))
    assert not [key for one in document.all() for key in one.attributes if key.startswith("on")]


def test_a_large_key_slice_is_shown_on_the_card_where_there_is_one(thirty):
    from audit_pipeline.report.audit_cases import chapter
    from audit_pipeline.report.figures import Picture

    records, summary, thumbnails = thirty
    large = replace(thumbnails[records[0].study] if records[0].study in thumbnails else next(iter(thumbnails.values())))
    key = cases(records, summary)[0].study
    story = chapter(records, summary, {}, context(), facts_of(records, cases={key: large}))
    pictures = [part for card in story if hasattr(card, "_content") for column in card._content
                for stack in getattr(column, "stacks", ()) for part in stack if isinstance(part, Picture)]  # fmt: skip
    assert [picture.layer is None for picture in pictures] == [True, False]
    assert all(picture.panel is large for picture in pictures)


@pytest.mark.parametrize(
    ("kappa", "sentence"),
    [({"value": 0.5, "low": -0.1, "high": 1.0}, "kappa 0.50 (95 % interval \u22120.10 to 1.00)."),
     (None, "kappa not defined: all words are equal.")],
)  # fmt: skip
def test_two_reviewers_are_compared_with_an_interval(kappa, sentence):
    said = {
        "needed": {"a": ["B07"]}, "open": [], "verdicts": {"agree": 3}, "studies": 3, "pairs": 3, "equal": 2,
        "kappa": kappa, "lines": [],
    }  # fmt: skip
    assert reviews_found(said).endswith(f"Read by two: 3 studies, 2 with the same word, {sentence}")
