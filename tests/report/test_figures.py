from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from pdf_reading import pixels
from PIL import Image
from report_cases import context, radiograph_case, radiograph_panel
from reportlab.pdfgen.canvas import Canvas

from audit_pipeline.findings import Outcome
from audit_pipeline.report import evidence, figures, fonts

LOOK = figures.Look(window=(0.0, 100.0), unit="HU", colour_map="inferno", opacity=0.55)


def picture(panel, layer=None, scale=0.5):
    return figures.Picture(panel, scale, LOOK, layer)


def test_pixels_keep_their_physical_aspect():
    shown = picture(radiograph_panel(pixel_mm=(3.0, 1.5)))
    assert shown.picture_height / shown.picture_width == pytest.approx((200 * 3.0) / (160 * 1.5))


def test_pictures_are_printed_with_at_least_150_dots_per_inch():
    shown = picture(radiograph_panel())
    with Image.open(io.BytesIO(shown.pixels())) as image:
        assert image.width / (shown.picture_width / 72) >= 150
        assert image.height / (shown.picture_height / 72) >= 150


def test_a_pixel_centre_is_placed_half_a_pixel_inside_the_picture():
    shown = picture(radiograph_panel())
    assert shown.place(0, 0) == pytest.approx((0.5, shown.picture_height - 0.5))
    assert shown.place(199, 159) == pytest.approx((shown.picture_width - 0.5, 0.5))


def test_the_strip_below_a_picture_grows_with_the_cell():
    small = figures.Layer(method="gradcam", scale_max=1.0, cell_mm=(10.0, 10.0))
    large = figures.Layer(method="gradcam", scale_max=1.0, cell_mm=(40.0, 30.0))
    too_large = figures.Layer(method="gradcam", scale_max=1.0, cell_mm=(400.0, 400.0))
    assert figures.furniture(None, 0.5) == figures.furniture(small, 0.5) == figures.furniture(too_large, 0.5)
    assert figures.furniture(large, 0.5) > 40 * 0.5


def test_a_map_without_recorded_facts_is_scaled_by_its_own_largest_value():
    panel = radiograph_panel()
    assert evidence._largest(panel, "gradcam") == pytest.approx(float(panel.maps["gradcam"].max()))
    dead = radiograph_panel(maps={"gradcam": np.full((200, 160), np.nan, np.float32)})
    assert evidence._largest(dead, "gradcam") == 0.0


@pytest.mark.parametrize("values", [np.full((4, 4), 7.0), np.full((4, 4), np.nan)])
def test_a_flat_or_empty_slice_still_has_a_window(values):
    panel = radiograph_panel(anatomy=values.astype(np.float32))
    low, high = evidence.usable_window(None, panel)
    assert low < high


def drawn(panel, contours):
    """The picture of a panel whose map is invisible, so that only its lines and letters are seen."""
    fonts.register()
    layer = figures.Layer(method="gradcam", scale_max=1e9, contours=contours)
    shown = picture(panel, layer)
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=shown.wrap(0, 0), initialFontName=fonts.REGULAR)
    shown.drawOn(canvas, 0, 0)
    canvas.save()
    return pixels(target.getvalue(), dpi=288).astype(int)


def hill(height):
    rows, columns = np.meshgrid(np.arange(200), np.arange(160), indexing="ij")
    values = height * np.exp(-(((rows - 100) / 30) ** 2 + ((columns - 80) / 30) ** 2) / 2)
    return radiograph_panel(
        anatomy=np.full((200, 160), 50, np.float32), maps={"gradcam": values.astype(np.float32)}, peaks={}
    )


def test_the_lines_lie_where_the_map_has_the_levels_of_the_whole_map():
    panel = hill(4.0)
    plain, lined = drawn(panel, None), drawn(panel, (2.0, 1.0))
    changed = np.argwhere(np.abs(lined - plain).max(axis=-1) > 40)
    scale = 0.5 * 2.0 * 288 / 72
    centre = (figures.EDGE * 4 + 100.5 * scale, figures.EDGE * 4 + 80.5 * scale)
    radius = np.hypot(*(changed - centre).T) / scale
    half, most = (30 * np.sqrt(2 * np.log(ratio)) for ratio in (2, 4))
    assert len(changed) > 200
    assert np.minimum(np.abs(radius - half), np.abs(radius - most)).max() < 1.5
    assert (np.abs(radius - half) < 1.5).sum() > (np.abs(radius - most) < 1.5).sum() * half / most


def test_a_slice_that_stays_below_the_levels_of_the_whole_map_has_no_line():
    faint = hill(0.04)
    assert (drawn(faint, (2.0, 1.0)) == drawn(faint, None)).all()


def layer_of(**changes):
    record, panels = radiograph_case()
    facts = record.explanations[0]
    statistics = replace(facts.statistics, **changes.pop("statistics", {}))
    record = replace(record, explanations=(replace(facts, statistics=statistics, **changes),))
    return evidence.shown(record, panels, context()).layer(panels[0], "gradcam")


def test_lines_are_drawn_at_the_recorded_levels_and_only_on_a_map_that_is_evidence():
    assert layer_of(statistics={"mass_levels": (1.5, 0.7)}).contours == (1.5, 0.7)
    assert layer_of(statistics={"mass_levels": None}).contours is None
    assert layer_of(statistics={"max": 0.0}).contours is None
    assert layer_of(checks={"D05": Outcome.FLAG}).contours is None
