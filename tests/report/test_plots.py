"""Charts: the same shapes on paper and on a page, at the places that their numbers say."""

from __future__ import annotations

import io
import re

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from audit_pipeline.report import fonts
from audit_pipeline.report.html_plots import figure
from audit_pipeline.report.plots import Axes, Fill, Plot, Sign, Stroke, Words, frame, round_ticks

AXES = Axes(left=20, bottom=10, width=100, height=50, x=(0, 2), y=(-1, 1))


def drawn_paths(plot):
    """Every point of a path of the printed plot, in points of the page."""
    fonts.register()
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=(300, 200), initialFontName=fonts.REGULAR)
    plot.canv = canvas
    plot.draw()
    canvas.save()
    with pikepdf.open(io.BytesIO(target.getvalue())) as document:
        steps = pikepdf.parse_content_stream(document.pages[0])
    return [tuple(float(one) for one in step.operands) for step in steps if str(step.operator) in {"m", "l"}]


def test_values_lie_where_the_axes_say_and_stay_inside():
    assert AXES.at(0, -1) == (20, 10)
    assert AXES.at(1, 0) == (70, 35)
    assert AXES.through([(3, 5), (-1, -9)]) == ((120, 60), (20, 10))


def test_a_line_goes_through_its_points_on_paper_and_upside_down_on_a_page():
    plot = Plot(140, 80, "A line.")
    points = AXES.through([(0, -1), (0.5, 0.25), (2, 1)])
    plot.add(Stroke(points=points, colour="#0072B2", width=1.2))
    assert drawn_paths(plot) == [pytest.approx(point, abs=0.01) for point in points]
    path = re.search(r' d="M([^"]+)"', str(figure(plot)))[1]
    shown = [tuple(float(part) for part in pair.split()) for pair in path.split("L")]
    assert shown == [pytest.approx((x, 80 - y), abs=0.006) for x, y in points]


def test_every_shape_has_a_form_on_a_page_and_the_words_are_escaped():
    plot = Plot(100, 50, "Says <what>.")
    plot.add(
        Fill(points=((0, 0), (10, 0), (10, 10)), colour="#CFE3F1"),
        Sign(place=(20, 20), shape="diamond", size=4, colour="#D55E00"),
        Sign(place=(30, 20), shape="ring", size=4, colour="#D55E00"),
        Words(place=(5, 5), text="<svg onload=1>", align="right", is_quiet=True),
    )
    page = str(figure(plot))
    assert page.count("<path") == 2
    assert 'fill="#FFFFFF" stroke="#D55E00"' in page
    assert "&lt;svg onload=1&gt;" in page
    assert 'aria-label="Says &lt;what&gt;."' in page
    assert 'text-anchor="end"' in page


def test_ticks_stand_at_their_values():
    plot = Plot(140, 80, "Axes.")
    frame(plot, AXES, ((0, 1, 2), (-1, 1)), ("Across", "Up"))
    told = {shape.text: shape.place for shape in plot.shapes if isinstance(shape, Words)}
    assert told["1"][0] in {70, 17}
    assert told["2"][0] == 120
    assert {"Across", "Up", "\u22121"} <= set(told)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.08, 0.37), (0.7, 1.0), (0, 1e-6), (-3, 2000)])
def test_ticks_are_round_inside_the_range_and_few(low, high):
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert low - 1e-9 * (high - low) <= ticks[0]
    assert ticks[-1] <= high + 1e-9 * (high - low)
