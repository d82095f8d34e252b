from __future__ import annotations

from dataclasses import replace

import answer_cases
import pytest
import report_cases
from pdf_reading import words
from report_cases import context, finding

from audit_pipeline import terms
from audit_pipeline.findings import Outcome
from audit_pipeline.report import (
    answers,
    captions,
    evidence,
    fonts,
    numbers,
    render_study,
    statistics_text,
    summary_page,
)


@pytest.mark.parametrize("word", ["40-49", "vendor-2", "s41598-025-03953-8", "--seconds", "2026-11-22", "1e-4a22-9f"])
def test_a_hyphen_that_joins_is_left_alone(word):
    assert numbers.typeset(word) == word
    assert fonts.markup(word) == word


def test_numbers_in_sentences_have_the_minus_sign_and_the_powers_of_numbers_in_tables():
    assert fonts.markup("p = 1e-05, turned by -3.0 degrees, 169% of it") == (
        "p = 1e\u22125, turned by \u22123.0 degrees, 169 % of it"
    )
    assert numbers.number(1.2e-7) in fonts.markup("a difference of 1.2e-07 logits")


@pytest.mark.parametrize("limit", range(12, 70, 3))
def test_a_shortened_finding_ends_between_words_and_says_so(limit):
    told = "The logits move by 3.78; the finding falls from 0.996 to 0.0312, of which 0.00826 is left."
    short = summary_page._short(told, limit)
    kept, rest = short.split(" \u2026 ")
    assert rest == "(whole in the table of checks)"
    assert told.startswith(kept)
    assert told[len(kept)] == " "


def test_page_one_gives_the_range_of_the_probability_beside_it():
    record, panels = answer_cases.answered_case()
    rows = [one for one in record.answers if one.group == "harmless" and one.probabilities]
    seen = [one.probabilities["nodule"] for one in rows]
    low, high = (numbers.probability(value) for value in (min(seen), max(seen)))
    sentence = f"Probability under {len(rows)} harmless changes: {low} to {high}."
    assert len(rows) > 1
    assert answers.range_sentence(record) == sentence
    assert sentence in words(render_study(record, panels, context()), 0)


def test_an_estimate_without_an_interval_says_so():
    assert statistics_text.estimate({"value": 0.9, "low": None, "high": None, "n": 10}) == "0.9 (no interval)"


def test_fields_and_methods_of_sentences_are_words():
    assert terms.field("stored_max") == "Highest stored value"
    assert terms.field("held_out_auroc") == "Held out AUROC"
    assert terms.within("PhotometricInterpretation") == "photometric interpretation"
    assert terms.method("gradcam") == "Grad-CAM"


def test_a_map_with_lines_but_next_to_no_colour_is_called_faint():
    record, panels = report_cases.volume_case()
    shown = evidence.shown(record, panels, context())
    method = record.explanations[0].method
    assert captions.faint(shown, panels[0], method) == ""
    weak = replace(record.explanations[0].statistics, peak_value=0.03 * record.explanations[0].statistics.max)
    facts = (replace(record.explanations[0], statistics=weak), *record.explanations[1:])
    told = captions.faint(evidence.shown(replace(record, explanations=facts), panels, context()), panels[0], method)
    assert told == "The peak is 3 % of the end of the scale: the lines enclose faint evidence."


def test_a_report_says_where_its_dates_stand(volume_pdf):
    assert "In run.json of the run folder and in signatures; pages carry none" in words(volume_pdf)


def test_no_method_is_named_by_its_identifier_in_the_table_of_checks(volume):
    record, panels = volume
    told = finding("D05", Outcome.PASS, "Grad-CAM for nodule: the strongest evidence is 1.09 logit.")
    shown = words(render_study(replace(record, findings=(told,)), panels, context()))
    assert "gradcam" not in shown.lower().replace("grad-cam", "")
