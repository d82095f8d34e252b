"""The statistics chapters: every number on the page is that of ``cohort.json``, every curve goes through its points."""

from __future__ import annotations

import re

import pytest
from html_reading import words as html_words
from pdf_reading import words

from audit_pipeline.report import (
    audit_statistics,
    cohort_text,
    curve_charts,
    fonts,
    group_charts,
    html_page,
    numbers,
    statistics_text,
)
from audit_pipeline.report.audit_cohort import subgroups
from audit_pipeline.report.document import Frontage, Heading, build
from audit_pipeline.report.html_layers import Layers
from audit_pipeline.report.html_story import Writer
from audit_pipeline.report.plots import Sign, Stroke
from tests.fabricated_cohort import context, fabricated, summary_of

CLAIMS = {"nodule": {"sensitivity": 0.7, "specificity": 0.7, "prevalence": 0.1}}
HOSTILE = "<b>&\"' \u80ba\u7ed3\u8282 \u0627\u0644\u0631\u0626\u0629"


def front():
    return Frontage(title="t", subject="s", header="h", model="m", digest="d", context=context())


def printed(summary):
    return words(build(audit_statistics.chapters(summary, context()), front()))


def shown(summary):
    fonts.register()
    with fonts.for_screen():
        writer = Writer(Layers(10_000, 10), lambda _: "")
        story = [Heading("All", "title"), *audit_statistics.chapters(summary, context())]
        return html_words(html_page.framed(front(), writer, writer.write(story)))


@pytest.fixture(scope="module")
def binary():
    return summary_of(fabricated(90), groups=["sex"], claims=CLAIMS)


@pytest.fixture(scope="module")
def text(binary):
    return printed(binary)


@pytest.fixture(scope="module")
def nodule(binary):
    (found,) = binary["statistics"]["classes"]
    return found


def test_every_chapter_begins_with_its_heading_and_one_sentence(binary):
    for chapter in audit_statistics.CHAPTERS.values():
        heading, sentence, *_ = chapter(binary, context())
        assert isinstance(heading, Heading)
        assert sentence.style.name == "body"


def test_area_precision_and_rates_are_printed_as_stored(nodule, text):
    assert statistics_text.estimate(nodule["auroc"], decimals=3) in text
    assert statistics_text.estimate(nodule["curve"]["average_precision"], decimals=3) in text
    for rate in nodule["rates"].values():
        if isinstance(rate, dict):
            drawn = {statistics_text.estimate(rate), statistics_text.estimate(rate, decimals=3)}
            assert any(one in text for one in drawn), drawn


def test_the_confusion_matrix_is_printed_with_shares_of_its_rows(binary, text):
    for name, row in zip(*(binary["statistics"]["confusion"][key] for key in ("classes", "counts")), strict=True):
        cells = [f"{count} ({numbers.fixed(count / sum(row), 2)})" for count in row]
        assert f"labelled {name} {' '.join(cells)} {sum(row)}" in text


def test_calibration_is_printed_number_by_number_and_bin_by_bin(nodule, text):
    found = nodule["reliability"]
    for key in ("slope", "in_the_large", "observed_expected", "brier"):
        assert statistics_text.estimate(found[key]) in text, key
    for part in found["bins"]:
        assert statistics_text.estimate(part["observed"]) in text


def test_the_net_benefit_is_printed_at_round_thresholds(nodule, text):
    found = nodule["benefit"]
    for place in (4, 9, 49):
        value, low, high = (numbers.fixed(found[key][place], 3) for key in ("model", "low", "high"))
        assert f"{numbers.short(found['thresholds'][place])} {value} ({low} to {high})" in text


def test_every_group_is_printed_with_its_cases(binary, text):
    for row in binary["statistics"]["subgroups"]:
        column = row["column"].capitalize() or "all"
        assert f"{column} {row['level'] or numbers.MISSING} {row['positives']} {row['negatives']}" in text
    assert "Sex (planned)" in text
    assert "Site (exploratory)" in text


def test_ladders_are_printed_step_by_step(binary, text):
    for ladder in binary["statistics"]["ladders"]:
        for step in ladder["steps"]:
            (one,) = step["classes"]
            assert statistics_text.estimate(step["stays"]) in text
            assert statistics_text.estimate(one["difference"], decimals=3) in text


def test_maps_and_gauges_are_printed(binary, text):
    for method in binary["statistics"]["maps"]:
        assert statistics_text.estimate(method["passed"]) in text
    gauge = next(one for one in binary["statistics"]["gauges"] if one["code"] == "D05")
    low, middle, high = (numbers.short(gauge["quantiles"][place]) for place in (0, 2, 4))
    assert f"{statistics_text.estimate(gauge['raised'])} {gauge['n']} {low} {middle} {high}" in text


def test_a_page_for_a_browser_says_every_word_of_the_paper(binary, text):
    page = shown(binary)
    told = {word for word in re.findall(r"[\w.\u2212]+", text) if len(word) > 2}
    missing = {word for word in told if word not in page}
    assert {word for word in missing if not re.fullmatch(r"page|\w{2,}ing", word)} <= {"page"}


def points_of(plot):
    return {point for shape in plot.shapes if isinstance(shape, Stroke) for point in shape.points}


def near(point, points):
    return any(abs(point[0] - x) < 1e-6 and abs(point[1] - y) < 1e-6 for x, y in points)


def test_the_roc_curve_goes_through_every_stored_point_and_the_diamond_is_the_conclusions(nodule):
    plot = curve_charts.roc(nodule)
    curve, rates = nodule["curve"], nodule["rates"]
    left, bottom = curve_charts.LEFT, curve_charts.BELOW
    width = curve_charts.SQUARE - left - curve_charts.RIGHT
    height = curve_charts.SQUARE - bottom - curve_charts.ABOVE
    drawn = points_of(plot)
    for hits, false in zip(curve["true_positives"], curve["false_positives"], strict=True):
        assert near((left + width * false / curve["negatives"], bottom + height * hits / curve["positives"]), drawn)
    (mark,) = [shape for shape in plot.shapes if isinstance(shape, Sign)]
    across = left + width * rates["false_positives"] / curve["negatives"]
    assert mark.place == pytest.approx((across, bottom + height * rates["true_positives"] / curve["positives"]))


def test_the_recorded_conclusions_lie_on_the_curve_when_they_follow_a_threshold(nodule):
    curve, rates = nodule["curve"], nodule["rates"]
    pairs = set(zip(curve["true_positives"], curve["false_positives"], strict=True))
    assert (rates["true_positives"], rates["false_positives"]) in pairs


def test_dots_of_the_reliability_diagram_lie_at_mean_and_share(nodule):
    plot = curve_charts.reliability(nodule)
    dots = [shape.place for shape in plot.shapes if isinstance(shape, Sign)]
    assert len(dots) == len(nodule["reliability"]["bins"])
    width = curve_charts.SQUARE - curve_charts.LEFT - curve_charts.RIGHT
    for dot, part in zip(dots, nodule["reliability"]["bins"], strict=True):
        assert (dot[0] - curve_charts.LEFT) / width == pytest.approx(part["mean"])


def test_the_decision_curve_stops_treating_all_at_the_lower_edge(nodule):
    plot = curve_charts.decision(nodule)
    strokes = [shape for shape in plot.shapes if isinstance(shape, Stroke) and shape.dash == (4, 1.6)]
    lowest = min(y for shape in strokes for _, y in shape.points)
    assert lowest == pytest.approx(curve_charts.BELOW)
    assert sum(y == pytest.approx(curve_charts.BELOW) for _, y in strokes[0].points) == 1


def test_groups_too_small_to_judge_say_so_instead_of_an_interval(binary):
    rows = [{**row} for row in binary["statistics"]["subgroups"]]
    small = {"value": 0.5, "low": None, "high": None, "n": 6, "k": 3, "reason": "6 cases, an interval needs 10"}
    rows[1]["sensitivity"] = small
    plot = group_charts.forest(rows)
    assert "too small to judge: 3 of 6" in {shape.text for shape in plot.shapes if hasattr(shape, "text")}


@pytest.mark.parametrize(
    ("classes", "task", "wanted"),
    [
        (tuple(f"class {one}" for one in range(8)), "multiclass", "the other 2 stand in the table and in cohort.json"),
        (tuple(f"finding {one}" for one in range(3)), "multilabel", "Over 3 classes the recorded conclusions miss"),
        (("pneumothorax",), "binary", "The AUROC of pneumothorax is"),
        (("a", HOSTILE), "multiclass", "\u80ba\u7ed3\u8282"),
    ],
)
def test_other_tasks_and_any_name_get_chapters_of_their_own(classes, task, wanted):
    count = 160 if len(classes) > 3 else 80
    summary = summary_of(fabricated(count, classes, task), disable=["E03", "E04", "E05", "E07", "E11"])
    told = shown(summary)
    assert wanted in told
    assert len(printed(summary)) > 2000


def test_without_labels_the_chapters_say_in_one_line_what_to_supply():
    summary = summary_of(fabricated(30, labels=False))
    told = printed(summary)
    for title in ("Discrimination", "Conclusions: confusion and rates", "Calibration", "Decision curve", "Subgroups"):
        assert f"{title} Not evaluable. {statistics_text.LABELS}" in told
    assert "With too few labelled studies, or none, no change of the AUROC can be stated." in told


def test_a_run_closed_before_these_statistics_says_so_and_breaks_nothing():
    told = printed({"cohort_checks": [], "fmea": []})
    assert f"Calibration Not evaluable. {statistics_text.COMPUTED}" in told
    assert "Failure modes and effects (FMEA) Not evaluable." in told


def test_a_run_closed_before_the_paired_net_benefit_is_drawn_without_it(binary):
    known = binary["statistics"]["classes"][0]["benefit"]
    older = {
        key: value for key, value in known.items() if not key.startswith("above_all") and key != "is_better_declared"
    }
    classes = [{**one, "benefit": older} for one in binary["statistics"]["classes"]]
    told = printed({**binary, "statistics": {**binary["statistics"], "classes": classes}})
    assert "Model less all" in told
    assert printed(binary) != told


def test_one_study_and_none_make_chapters():
    assert "Not evaluable" in printed(summary_of(fabricated(1)))
    assert "Not evaluable" in printed(summary_of([]))


def test_the_same_summary_gives_the_same_bytes(binary):
    first, second = (build(audit_statistics.chapters(binary, context()), front()) for _ in range(2))
    assert first == second


def test_subgroups_are_missing_without_a_column_that_divides():
    summary = summary_of(fabricated(40))
    statistics = {**summary["statistics"], "subgroups": summary["statistics"]["subgroups"][:1]}
    _, sentence, *_ = subgroups({**summary, "statistics": statistics}, context())
    assert "No column divides the labelled studies" in sentence.text


def test_the_change_that_costs_most_opens_the_chapter_on_robustness(binary):
    asked = [one for one in binary["statistics"]["ladders"] if one["group"] != "falsification"]
    steps = [step for one in asked for step in one["steps"]]
    least = min(step["classes"][0]["difference"]["value"] for step in steps)
    (worst,) = [step for step in steps if step["classes"][0]["difference"]["value"] == least]
    sentence = cohort_text.ladders(asked)
    assert f"falls most under \u201c{worst['sentence'].rstrip('.')}\u201d: {numbers.fixed(least, 3)}" in sentence
    better = {**worst["classes"][0], "difference": {**worst["classes"][0]["difference"], "value": 0.01}}
    only = [{**asked[0], "steps": [{**worst, "classes": [better]}]}]
    assert "falls under no change" in cohort_text.ladders(only)
