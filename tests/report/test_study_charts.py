"""The charts of a study: every mark lies where its number says."""

from __future__ import annotations

from dataclasses import replace

import answer_cases
import pytest
import report_cases

from audit_pipeline.report import answer_charts, class_table, drawing, fonts, gauges, removal_charts
from audit_pipeline.report.plots import Fill, Sign, Stroke, Words

WIDTH = 504.0


@pytest.fixture(scope="module", autouse=True)
def _registered():
    fonts.register()


@pytest.fixture(scope="module")
def record():
    return answer_cases.answered_case()[0]


def signs(plot, shape):
    return [one for one in plot.shapes if isinstance(one, Sign) and one.shape == shape]


def strokes(plot, **looks):
    found = [one for one in plot.shapes if isinstance(one, Stroke)]
    return [one for one in found if all(getattr(one, name) == value for name, value in looks.items())]


def said(plot):
    return [one.text for one in plot.shapes if isinstance(one, Words)]


def across(value):
    return answer_charts.NAMES + value * (WIDTH - answer_charts.NUMBERS - answer_charts.NAMES)


def test_every_harmless_change_is_a_dot_at_its_probability_and_one_that_turns_the_decision_a_ring(record):
    plot = answer_charts.strip(record, WIDTH)
    chances = [row.probabilities["nodule"] for row in record.answers if row.group == "harmless"]
    dots, rings = signs(plot, "circle"), signs(plot, "ring")
    assert sorted(one.place[0] for one in dots) == pytest.approx([across(one) for one in sorted(chances)[1:]])
    assert [one.place[0] for one in rings] == pytest.approx([across(0.4127)])


def test_the_strip_marks_the_unchanged_image_and_the_threshold(record):
    plot = answer_charts.strip(record, WIDTH)
    (threshold,) = strokes(plot, dash=(2, 1.5))
    (unchanged,) = strokes(plot, width=1.4)
    assert threshold.points[0][0] == threshold.points[1][0] == pytest.approx(across(0.5))
    assert unchanged.points[0][0] == pytest.approx(across(0.8967))
    assert {"0.897 unchanged", "0.413 to 0.922 changed", "nodule"} <= set(said(plot))


def test_equal_answers_do_not_hide_each_other(record):
    same = tuple(replace(one, probabilities=answer_cases.both(0.8)) for one in record.answers)
    places = [one.place for one in signs(answer_charts.strip(replace(record, answers=same), WIDTH), "circle")]
    assert len({y for _, y in places}) == answer_charts.LAYERS


def test_a_rung_stands_at_its_amount_and_probability_and_its_line_passes_the_unchanged_image(record):
    plot = next(one for one in answer_charts.ladder(record, 120.0) if "Turn in the plane" in said(one))
    left, right = answer_charts.LADDER_LEFT, 120.0 - answer_charts.LADDER_RIGHT
    floor, top = answer_charts.LADDER_BELOW, answer_charts.LADDER_HEIGHT - answer_charts.LADDER_ABOVE

    def place(amount, value):
        room = 0.08 * 6
        return left + (amount + 3 + room) / (6 + 2 * room) * (right - left), floor + value * (top - floor)

    (dot,), (ring,) = signs(plot, "circle"), signs(plot, "ring")
    assert dot.place == pytest.approx(place(-3, 0.9219))
    assert ring.place == pytest.approx(place(3, 0.4127))
    (curve,) = strokes(plot, colour=drawing.COLOURS["sky"])
    assert [point for pair in curve.points for point in pair] == pytest.approx(
        [*place(-3, 0.9219), *place(0, 0.8967), *place(3, 0.4127)]
    )
    assert "p 0.413 to 0.922; x: degrees" in said(plot)
    assert {"\u22123", "0", "3"} <= set(said(plot))


def test_the_alternative_of_a_rung_holds_every_number(record):
    plot = next(one for one in answer_charts.ladder(record, 120.0) if "Gamma" in said(one))
    assert plot.alternative == (
        "Probability of nodule by gamma in exponent: 0.95 gives 0.895, 1.05 gives 0.897, 1.1 gives 0.872; unchanged at "
        "1: 0.897."
    )


def test_answers_at_one_amount_are_not_joined_by_a_line(record):
    plot = next(one for one in answer_charts.ladder(record, 120.0) if "Shift in the plane" in said(one))
    assert not strokes(plot, colour=drawing.COLOURS["sky"])
    assert len(signs(plot, "circle")) == 2


def test_a_removal_curve_passes_through_its_points_inside_the_band_of_the_shifted_copies():
    curves = removal_charts.chosen(answer_cases.answered_case()[0].findings)
    assert curves["deletion"] == answer_cases.DELETION, "the longer of two"
    deletion, insertion = removal_charts.drawn(curves, 400.0)
    low, high = -1.5577, 1.3
    room = 0.06 * (high - low)
    width = (400.0 - removal_charts.GAP) / 2

    def place(share, value, last):
        left, right = removal_charts.LEFT, width - removal_charts.RIGHT
        floor, top = removal_charts.BELOW, removal_charts.HEIGHT - removal_charts.ABOVE
        return left + share / last * (right - left), floor + (value - low + room) / (high - low + 2 * room) * (
            top - floor
        )

    for plot, curve, last in ((deletion, answer_cases.DELETION, 0.4), (insertion, answer_cases.INSERTION, 1.0)):
        (line,) = strokes(plot, width=1.1)
        expected = [place(*point, last) for point in zip(curve.shares, curve.logits, strict=True)]
        assert [one for point in line.points for one in point] == pytest.approx([o for p in expected for o in p])
        (band,) = [one for one in plot.shapes if isinstance(one, Fill)]
        upper = [place(*point, last) for point in zip(curve.shares, curve.null_high, strict=True)]
        assert [one for point in band.points[:5] for one in point] == pytest.approx([o for p in upper for o in p])
    (ring,) = signs(deletion, "ring")
    assert ring.place == pytest.approx(place(0.1, 1.2977, 0.4))


def test_a_removal_curve_is_told_in_numbers():
    assert removal_charts.said(answer_cases.SHORT) == (
        "With 0 %, 10 % of the input removed, the strongest first, the logit is 1.25, \u22120.228; of 5 shifted copies "
        "1.25, 1.02 in the median, 1.25, 0.810 and 1.25, 1.27 at the extremes."
    )
    assert "at the 5 % and 95 % quantiles" in removal_charts.said(answer_cases.DELETION)


def test_the_profile_is_highest_in_the_slice_with_most_evidence_and_marks_the_slices_shown():
    shares = answer_cases.slice_shares()
    plot = removal_charts.profile(shares, [33, 40], 200.0, "hirescam")
    left, right = removal_charts.LEFT, 200.0 - removal_charts.RIGHT
    (line,) = strokes(plot, width=0.9)
    highest = max(line.points, key=lambda point: point[1])
    assert highest[0] == pytest.approx(left + 40 / 63 * (right - left))
    tips = [one.points[0][0] for one in plot.shapes if isinstance(one, Fill) and len(one.points) == 3]
    assert tips == pytest.approx([left + index / 63 * (right - left) for index in (33, 40)])
    assert f"{100 * max(shares):.3g} %" in said(plot)


@pytest.mark.parametrize("value", [2.31, 7.0, 0.1])
def test_the_triangle_of_a_gauge_stands_at_the_study_among_the_quantiles(value):
    standing = answer_cases.STANDING
    plot = gauges.gauge(value, standing, 100.0)
    least, most = min(value, standing.quantiles[0]), max(value, standing.quantiles[-1])
    (tip,) = [one.points[0] for one in plot.shapes if isinstance(one, Fill) and len(one.points) == 3]
    assert tip[0] == pytest.approx(2 + (value - least) / (most - least) * 96)
    (whisker,) = strokes(plot, width=0.9, colour=drawing.COLOURS["ink"])[:1]
    ends = [2 + (one - least) / (most - least) * 96 for one in (standing.quantiles[1], standing.quantiles[5])]
    assert [point[0] for point in whisker.points] == pytest.approx(ends)


def test_gauges_hold_family_b_and_then_the_most_unusual():
    base = answer_cases.answered_case()[0].findings[0]
    made = [
        replace(base, code=f"D{number:02d}", family="D", value=1.0,
                standing=replace(answer_cases.STANDING, p_value=number / 100))
        for number in range(1, 30)
    ]  # fmt: skip
    last = replace(base, code="B07", family="B", value=1.0, standing=replace(answer_cases.STANDING, p_value=0.9))
    found = gauges.gauged([*made, last])
    assert [one.code for one in found] == ["B07", *(f"D{number:02d}" for number in range(1, gauges.MOST))]


def test_a_bar_is_as_long_as_its_probability_and_its_tick_stands_at_the_threshold():
    plot = class_table.bar(0.25, 0.31, 80.0, is_concluded=False)
    track, filled = [one for one in plot.shapes if isinstance(one, Fill)]
    assert (track.points[1][0], filled.points[1][0]) == (80.0, 20.0)
    (tick,) = strokes(plot)
    assert tick.points[0][0] == pytest.approx(24.8)


@pytest.mark.parametrize("words", ["a long name " * 20, "\u0645\u0631\u062d\u0628\u0627 " * 30, "\u6f22\u5b57" * 60])
def test_a_name_in_a_chart_is_shortened_to_its_room_in_any_script(words):
    shown = drawing.shortened(words, 80.0, 7.5)
    assert fonts.width_of(fonts.clean(shown), 7.5) <= 80.0
    assert words.startswith(shown.removesuffix("\u2026"))


def test_ticks_that_would_touch_keep_their_place_and_lose_their_words():
    shapes = drawing.ticks([(0.0, "0"), (3.0, "1"), (40.0, "2")], 10.0)
    assert len([one for one in shapes if isinstance(one, Stroke)]) == 3
    assert [one.text for one in shapes if isinstance(one, Words)] == ["0", "2"]


def test_without_answers_there_is_no_strip_and_no_ladder():
    bare, _ = report_cases.volume_case()
    assert answer_charts.strip(bare, WIDTH) is None
    assert answer_charts.ladder(bare, 100.0) == []
