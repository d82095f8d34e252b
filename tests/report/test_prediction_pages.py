"""The pages on the prediction, read back: every number is the record's, on paper and on the page alike."""

from __future__ import annotations

import io
from dataclasses import replace

import answer_cases
import pypdf
import pytest
import report_cases
from html_reading import read
from html_reading import words as page_words
from pdf_reading import page_count, placed_words, words

from audit_pipeline.findings import Outcome
from audit_pipeline.report import figure_numbers, numbers, render_study, render_study_html
from audit_pipeline.report.evidence import shown
from audit_pipeline.study_record import AnswerFacts


@pytest.fixture(scope="module")
def case():
    return answer_cases.answered_case()


@pytest.fixture(scope="module")
def printed(case):
    return render_study(*case, answer_cases.context())


@pytest.fixture(scope="module")
def page(case):
    return render_study_html(*case, answer_cases.context())


@pytest.fixture(scope="module", params=["paper", "page"])
def told(request, printed, page):
    return words(printed) if request.param == "paper" else page_words(page)


def test_everything_of_a_deep_audit_with_two_classes_takes_at_most_six_pages(printed):
    assert page_count(printed) <= 6
    assert len(printed) <= 3_000_000


def test_the_panel_names_each_change_its_probability_and_what_becomes_of_the_decision(case, told):
    assert "The image as it is. 0.897" in told
    for _, sentence, chance in answer_cases.PANEL:
        if chance is not None:
            decision = "becomes no nodule" if chance < 0.5 else "stays"
            change = numbers.fixed(chance - 0.8967, 3)
            assert f"{sentence} {numbers.probability(chance)} {change} {decision}" in told
    assert f"Not asked: {answer_cases.NO_LETTERS}" in told


def test_strip_and_ladder_print_the_unchanged_probability_and_the_range_of_the_answers(told):
    assert "nodule has 0.897 unchanged. Over 8 harmless changes it lies between 0.413 (turned by 3.0 degrees)" in told
    for spread in ("p 0.413 to 0.922; x: degrees", "p 0.872 to 0.897; x: exponent", "p 0.841; x: times the noise"):
        assert spread in told


def test_the_gauge_prints_the_value_the_quantiles_and_how_many_studies(told):
    assert "B07 Confident on an outlier 2.31 0.810 1.37 2.13 0.0083 120" in told


def test_curves_and_profile_are_told_in_numbers(told):
    for one in (*answer_cases.DELETION.logits, *answer_cases.INSERTION.logits, answer_cases.WEAKEST.logits[1]):
        assert numbers.number(one) in told
    assert "the logit is 1.25, 0.611, \u22120.228, \u22121.04, \u22121.56; of 40 shifted copies" in told
    assert "Slice 40 holds the most, 11.3 %; slices 37 to 41 hold half. Triangles: the slices shown." in told


def test_every_figure_has_its_number_once_and_in_order(printed, case):
    there = figure_numbers.numbered(shown(*case, answer_cases.context()))
    text = words(printed)
    places = [text.index(f"Figure {number}. ") for number in there.values()]
    assert list(there.values()) == list(range(1, len(there) + 1)) == list(range(1, 11))
    assert places == sorted(places)


FIGURE_OF = {
    "A01": None, "B07": "gauges", "C03": "strip", "C04": "classes", "C11": "panel", "D02": "planes", "D19": "planes",
    "D21": "curves", "D30": "curves",
}  # fmt: skip


@pytest.mark.parametrize("code", FIGURE_OF)
def test_a_check_leads_to_the_figure_that_shows_it(case, page, code):
    seen = shown(*case, answer_cases.context())
    there = figure_numbers.numbered(seen)
    (finding,) = [one for one in case[0].findings if one.code == code]
    assert (figure_numbers.figure_of(finding, seen, list(there)) or None) == FIGURE_OF[code]
    document = read(page)
    links = [one for one in document.one("tr", id=f"check-{code}").all("a") if "figure" in one.attributes["href"]]
    if FIGURE_OF[code] is None:
        assert not links
        return
    (link,) = links
    assert document.one("h3", id=link.attributes["href"][1:]).words.startswith(f"Figure {link.words}. ")


def test_the_figure_numbers_of_the_table_lead_to_the_page_of_their_figure(printed):
    reader = pypdf.PdfReader(io.BytesIO(printed))
    texts = [words(printed, number) for number in range(len(reader.pages))]
    place_of = {page.indirect_reference.idnum: number for number, page in enumerate(reader.pages)}
    followed = set()
    for number, page in enumerate(reader.pages):
        boxes = [(left, low, text) for left, low, _, _, text in placed_words(printed, number) if text.isdigit()]
        for link in (one.get_object() for one in page.get("/Annots", [])):
            x, y = (float(one) for one in link["/Rect"][:2])
            figures = [text for left, low, text in boxes if abs(left - x) < 2 and 0 <= low - y < 6]
            for figure in figures:
                followed.add(figure)
                assert f"Figure {figure}. " in texts[place_of[link["/Dest"][0].idnum]]
    assert {"1", "3", "6", "7", "9", "10"} <= followed


def test_a_check_that_was_not_evaluable_or_broke_leads_nowhere(case):
    seen = shown(*case, answer_cases.context())
    there = list(figure_numbers.numbered(seen))
    base = next(one for one in case[0].findings if one.code == "D02")
    for outcome in (Outcome.NOT_EVALUABLE, Outcome.ERROR):
        assert figure_numbers.figure_of(replace(base, outcome=outcome), seen, there) == ""


@pytest.mark.parametrize("made", [render_study, render_study_html])
def test_what_was_not_asked_says_so_in_one_line(made):
    reason = "No check that ran asked for it."
    record, panels = report_cases.volume_case()
    rows = tuple(
        AnswerFacts(group=group, name=name, sentence="Changes.", reason=reason)
        for group, name in (("harmless", "benign"), ("corruption", "corrupted"), ("falsification", "noise"))
    )
    content = made(replace(record, answers=rows), panels, report_cases.context())
    text = words(content) if made is render_study else page_words(content)
    for line in (
        f"Harmless changes: not asked. {reason}",
        f"Mild corruption: not asked. {reason}",
        f"Falsification panel: not asked. {reason}",
        "Gauges: not drawn. There are no clean reference studies",
        "Deletion and insertion curves: not asked.",
    ):
        assert line in text


@pytest.mark.parametrize("count", [2, 17, 60, 65])
def test_every_class_stands_with_its_logit_probability_and_threshold(count):
    record, panels = answer_cases.many_answered_case(count)
    text = words(render_study(record, panels, answer_cases.context()))
    for name, value in record.prediction.probabilities.items():
        logit = numbers.number(record.prediction.logits[name], 4)
        assert f"{name} {logit} {numbers.probability(value)} 0.5" in text


def test_sixty_classes_take_at_most_five_pages_none_of_them_empty():
    content = render_study(*answer_cases.many_answered_case(60), answer_cases.context())
    assert page_count(content) <= 5
    assert min(len(words(content, number)) for number in range(page_count(content))) > 300


CHINESE, ARABIC = "\u80ba\u7ed3\u8282", "\u0639\u0642\u064a\u062f\u0629 \u0631\u0626\u0648\u064a\u0629"
SCRIPTS = (CHINESE * 12, f"{ARABIC} " * 6, "Noyau " * 30)


@pytest.mark.parametrize("name", SCRIPTS)
def test_long_names_of_any_script_stay_inside_the_page(name):
    record, panels = answer_cases.answered_case()
    prediction = record.prediction
    named = [
        replace(one, probabilities=dict(zip(("no", name), one.probabilities.values(), strict=True)))
        if one.probabilities
        else replace(one, reason=name, sentence=name)
        for one in record.answers
    ]
    record = replace(
        record, answers=tuple(named),
        prediction=replace(prediction, logits={name: 1.2, "no": -0.9}, probabilities={name: 0.9, "no": 0.1},
                           predicted=(name,), thresholds={name: 0.5}),
    )  # fmt: skip
    content = render_study(record, panels, answer_cases.context())
    for number in range(page_count(content)):
        for left, bottom, right, top, text in placed_words(content, number):
            assert 44 <= left <= right <= 595 - 44, text
            assert 20 < bottom < top < 842 - 20, text


def test_a_signed_map_is_shown_where_much_speaks_against_the_class():
    record, panels = report_cases.volume_case()
    context = answer_cases.context()
    against = answer_cases.finding("D06", Outcome.PASS, "31 % of the evidence speaks against.", value=0.31, limit=0.95)
    content = render_study(replace(record, findings=(*record.findings, against)), panels, context)
    lowest = record.explanations[0].statistics.min
    assert "Evidence for and against nodule" in words(content)
    assert f"and {numbers.number(-lowest)} against the class" in words(content)
    little = replace(against, value=0.2)
    assert "for and against" not in words(render_study(replace(record, findings=(little,)), panels, context))
