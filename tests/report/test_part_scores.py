"""Scores of slices and windows: the profile has every part at its place, and the words say which of them count."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from pdf_reading import pixels, words
from report_cases import context, two_targets_case, volume_case

from audit_pipeline.records import PartScores
from audit_pipeline.report import part_scores, render_study

LOGITS = (-1.0, 0.5, 3.0, 2.0, -2.0)


def scored(record, counted, whole, rule, *, kind="slice", axis=0, first=10):
    """The record with five scored parts; every class has the logits of the first one."""
    names = list(record.prediction.logits)
    parts = PartScores(
        kind=kind,
        rule=rule,
        logits=dict.fromkeys(names, LOGITS),
        counted=dict.fromkeys(names, counted),
        centres=tuple((float(first + place), 20.0, 20.0) for place in range(5)),
        axis=axis,
    )
    prediction = replace(record.prediction, parts=parts, logits=dict.fromkeys(names, whole))
    return replace(record, prediction=prediction)


@pytest.fixture(scope="module")
def case():
    return volume_case()


def test_a_network_that_reads_the_image_at_once_has_no_profile(case):
    assert part_scores.story(case[0], context()) == []


def test_the_page_names_the_slices_that_count_by_their_number_in_the_source(case):
    record = scored(case[0], (2, 3), 2.5, "mean of the 2 highest of 5 slices")
    shown = words(render_study(record, case[1], context()))
    assert "Scores of the slices" in shown
    assert "The logit of a class is the mean of the 2 highest of 5 slices" in shown
    assert "2 slices of 5 count, 12 and 13." in shown


def test_pages_with_a_second_target_have_room_for_the_profiles():
    record, panels = two_targets_case()
    content = render_study(scored(record, (2,), 3.0, "highest of 5 slices"), panels, context())
    assert "Scores of the slices" in words(content)


def test_one_slice_that_counts_is_said_in_the_singular(case):
    record = scored(case[0], (2,), 3.0, "highest of 5 slices")
    assert "1 slice of 5 counts, 12." in words(render_study(record, case[1], context()))


def test_windows_are_told_in_the_order_of_reading(case):
    record = scored(case[0], tuple(range(5)), 0.5, "mean of 5 windows", kind="window", axis=None)
    shown = words(render_study(record, case[1], context()))
    assert "Scores of the windows" in shown
    assert "every window counts" in shown


def test_a_profile_puts_every_part_at_its_place(case):
    record = scored(case[0], (2,), 3.0, "highest of 5 slices")
    name = next(iter(record.prediction.logits))
    profile = part_scores.Profile(record.prediction, name, 400.0)
    assert profile.places == [10, 11, 12, 13, 14]
    places = [profile.place(place, value) for place, value in zip(profile.places, LOGITS, strict=True)]
    steps = [after[0] - before[0] for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 4)
    heights = [y for _, y in places]
    slopes = [(y - heights[0]) / (value - LOGITS[0]) for y, value in zip(heights[1:], LOGITS[1:], strict=True)]
    assert slopes == pytest.approx([slopes[0]] * 4)
    assert slopes[0] > 0
    assert part_scores.BELOW < min(heights) < max(heights) < profile.height - part_scores.ABOVE


@pytest.mark.parametrize("count", [1, 2])
def test_few_or_equal_slices_still_have_a_profile(case, count):
    record = scored(case[0], (0,), 1.0, "highest slice")
    parts = record.prediction.parts
    few = replace(
        parts,
        logits=dict.fromkeys(parts.logits, (1.0,) * count),
        centres=parts.centres[:count],
    )
    record = replace(record, prediction=replace(record.prediction, parts=few))
    content = render_study(record, case[1], context())
    assert "Scores of the slices" in words(content)
    assert pixels(content, page=0, dpi=30).size
