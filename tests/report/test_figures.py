from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from report_cases import radiograph_panel

from audit_pipeline.report import evidence, figures

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
