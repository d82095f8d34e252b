"""What the colours of a report run between: a map, a study or a class over the cohort; and what the page says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pdf_reading import words
from report_cases import context, volume_case

from audit_pipeline.config import ReportSection
from audit_pipeline.report import evidence, render_study
from audit_pipeline.scales import Scale


@pytest.fixture(scope="module")
def case():
    """A record with two maps of one method: the second class has half of the evidence and more against it."""
    record, panels = volume_case()
    first = record.explanations[0]
    weaker = replace(first.statistics, max=first.statistics.max / 2, min=-3 * first.statistics.max)
    second = replace(first, target=0, target_name=record.model.classes[0], statistics=weaker)
    return replace(record, explanations=(first, second, *record.explanations[1:])), panels


def shown(case, cohort=None, **settings):
    given = context(settings=ReportSection(**settings), cohort_scales=cohort or {})
    return evidence.shown(*case, given)


def test_a_map_of_its_own_ends_at_its_own_maximum(case):
    first, second = case[0].explanations[:2]
    found = shown(case, scale="map")
    assert found.scale(first).high == pytest.approx(first.statistics.max)
    assert found.scale(second).high == pytest.approx(second.statistics.max)


def test_all_classes_of_a_study_end_at_the_strongest_of_them(case):
    first, second = case[0].explanations[:2]
    found = shown(case, scale="study")
    assert found.scale(first).high == found.scale(second).high == pytest.approx(first.statistics.max)


def test_a_signed_scale_is_symmetric_and_ends_at_the_strongest_evidence_for_or_against(case):
    first, second = case[0].explanations[:2]
    found = shown(case, scale="study", sign="signed").scale(first)
    assert (found.low, found.high) == pytest.approx((second.statistics.min, -second.statistics.min))


def test_a_map_below_its_floor_has_no_colour_and_the_page_says_why(case):
    record, panels = case
    silent = replace(record, explanations=tuple(replace(one, signal_floor=1e9) for one in record.explanations))
    found = shown((silent, panels), scale="map")
    panel = next(one for one in panels if one.target == record.explanations[0].target)
    assert found.layer(panel, record.explanations[0].method).scale_max == 0.0
    text = words(render_study(silent, panels, context(settings=ReportSection(scale="map"))))
    assert "has no colour: the strongest evidence for the class is" in text
    assert "nothing to colour" in text


def test_a_class_over_the_cohort_takes_the_scale_of_the_cohort(case):
    first = case[0].explanations[0]
    cohort = {(first.method, first.target): Scale(low=0.0, high=9.5, unit="logit", rule="largest of 7 maps")}
    found = shown(case, cohort, scale="class")
    assert found.scale(first).high == 9.5
    text = words(render_study(*case, context(settings=ReportSection(scale="class"), cohort_scales=cohort)))
    assert "Colours end at the largest of 7 maps; evidence against the class has no colour." in text


def test_before_the_run_is_closed_the_page_says_that_the_cohort_is_not_known(case):
    text = words(render_study(*case, context(settings=ReportSection(scale="class"))))
    assert "of this method in the study, as the run is not closed and has no scale over the cohort" in text


def test_a_signed_page_says_what_its_colours_mean(case):
    text = words(render_study(*case, context(settings=ReportSection(sign="signed"))))
    assert "largest absolute value of all maps of this method in the study; red speaks for the class" in text
