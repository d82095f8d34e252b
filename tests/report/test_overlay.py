from __future__ import annotations

import cv2
import numpy as np
import pytest

from audit_pipeline.errors import ReportError
from audit_pipeline.report import overlay

WINDOW = (-100.0, 300.0)
ANATOMY = np.linspace(-150, 350, 24 * 32, dtype=np.float32).reshape(24, 32)


def blended(values, **changes):
    given = {"window": WINDOW, "scale_max": 2.0, "colour_map": "inferno", "opacity": 0.55}
    return overlay.overlay(ANATOMY, np.float32(values), **{**given, **changes})


def spot(row, column, value=2.0):
    values = np.zeros(ANATOMY.shape, np.float32)
    values[row, column] = value
    return values


def test_zero_and_negative_evidence_leave_the_anatomy_exactly_grey():
    values = np.where(np.arange(32) % 2, 0.0, -3.0) * np.ones(ANATOMY.shape)
    grey = overlay.grey_levels(ANATOMY, WINDOW, ANATOMY.shape)
    assert (blended(values) == grey[..., None]).all()


def test_grey_is_black_at_the_bottom_of_the_window_and_white_at_its_top():
    flat = np.float32([[-100, 100, 300, -900, 900, np.nan, np.inf, -np.inf]])
    assert overlay.grey_levels(flat, WINDOW, flat.shape).tolist() == [[0, 128, 255, 0, 255, 0, 255, 0]]


def test_the_scale_is_absolute_so_half_the_scale_gets_half_the_opacity_and_the_middle_colour():
    grey = overlay.grey_levels(ANATOMY, WINDOW, ANATOMY.shape)[10, 12].astype(float)
    middle = overlay.colour_table("inferno")[128].astype(float)
    expected = np.rint(grey * (1 - 0.275) + middle * 0.275)
    assert np.abs(blended(spot(10, 12, 1.0))[10, 12] - expected).max() <= 1


def test_values_above_the_scale_look_like_the_scale():
    assert (blended(spot(5, 6, 9.0)) == blended(spot(5, 6, 2.0))).all()


def test_a_map_without_positive_scale_shows_nothing():
    assert (blended(spot(5, 6), scale_max=0.0) == blended(spot(0, 0, 0))).all()


@pytest.mark.parametrize("name", ["inferno", "viridis", "magma", "jet"])
def test_the_strongest_voxel_has_the_strongest_colour(name):
    values = np.random.default_rng(0).uniform(0, 1.9, ANATOMY.shape).astype(np.float32)
    values[17, 3] = 2.0
    coloured = overlay.overlay(
        np.full(ANATOMY.shape, -100, np.float32), values, window=WINDOW, scale_max=2.0, colour_map=name, opacity=1.0
    )
    assert (coloured[17, 3] == overlay.colour_table(name)[255]).all()
    assert (coloured == overlay.colour_table(name)[255]).all(axis=-1).sum() == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flip_of_the_inputs_flips_the_picture(axis):
    values = np.random.default_rng(1).normal(0, 1, ANATOMY.shape).astype(np.float32)
    turned = overlay.overlay(
        np.ascontiguousarray(np.flip(ANATOMY, axis)),
        np.ascontiguousarray(np.flip(values, axis)),
        window=WINDOW, scale_max=2.0, shape=(96, 128),
    )  # fmt: skip
    assert np.abs(np.flip(turned, axis).astype(int) - blended(values, shape=(96, 128))).max() <= 1


def test_enlarging_keeps_the_centre_of_a_pixel_at_its_half_pixel_place():
    share = overlay.evidence_share(spot(4, 20), 2.0, (24 * 8, 32 * 8))
    rows, columns = np.nonzero(share == share.max())
    assert (rows.mean(), columns.mean()) == ((4 + 0.5) * 8 - 0.5, (20 + 0.5) * 8 - 0.5)


def test_enlarging_a_map_is_linear_between_pixel_centres():
    ramp = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    fine = overlay.evidence_share(ramp, 7.0, (16, 32))
    expected = np.clip(((np.arange(32) + 0.5) / 4 - 0.5) / 7, 0, 1)
    assert np.allclose(fine, expected, atol=1e-6)


def test_shrinking_anatomy_averages_areas_so_no_line_is_lost():
    lines = np.zeros((64, 64), np.float32)
    lines[::8] = 255
    assert (overlay.grey_levels(lines, (0, 255), (8, 8)) == 32).all()


def test_colour_images_are_shown_under_a_map_by_their_luminance():
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0] = 255
    pixels = overlay.overlay(red, np.zeros((4, 4), np.float32), window=(0, 255), scale_max=1.0)
    assert (pixels == round(0.299 * 255)).all()
    assert (overlay.colour_levels(red, (0, 255), (4, 4))[0, 0] == (255, 0, 0)).all()


def test_a_map_on_other_pixels_is_refused():
    with pytest.raises(ReportError, match="same pixels"):
        overlay.overlay(ANATOMY, np.zeros((24, 31), np.float32), window=WINDOW, scale_max=1.0)


@pytest.mark.parametrize("window", [(5.0, 5.0), (3.0, 1.0), (float("nan"), 1.0)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(ReportError, match="window"):
        blended(spot(0, 0), window=window)


def test_values_that_are_not_finite_show_nothing():
    values = spot(3, 3)
    values[8, 8], values[9, 9] = np.nan, np.inf
    assert (blended(values)[8:10, 8:10] == blended(spot(3, 3))[8:10, 8:10]).all()


def test_the_colour_strip_runs_from_the_weakest_to_the_strongest_colour():
    strip = overlay.colour_strip("inferno", 1.0, (4, 256))
    assert (strip[:, -1] == overlay.colour_table("inferno")[255]).all()
    assert strip[0, 0].tolist() == [217] * 3
    assert strip[-1, 0].tolist() == [51] * 3


def test_the_contour_of_a_gaussian_at_half_its_height_is_a_circle():
    rows, columns = np.meshgrid(np.arange(201) - 100, np.arange(201) - 100, indexing="ij")
    values = np.exp(-(rows**2 + columns**2) / (2 * 20.0**2)).astype(np.float32)
    line = max(overlay.contour_lines(values, 0.5), key=len)
    assert np.hypot(*(line - 100).T) == pytest.approx(20 * np.sqrt(2 * np.log(2)), abs=0.3)


def test_contour_lines_are_row_and_column_of_pixel_centres():
    values = np.zeros((10, 20), np.float32)
    values[2, 15] = 1.0
    (line,) = overlay.contour_lines(values, 0.5)
    assert line.mean(axis=0)[0] == pytest.approx(2, abs=0.2)
    assert line.mean(axis=0)[1] == pytest.approx(15, abs=0.2)


def test_a_single_line_of_pixels_has_no_contour():
    assert overlay.contour_lines(np.ones((1, 5), np.float32), 0.5) == []


def test_jpeg_keeps_the_order_of_red_green_and_blue():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :, 0] = 200
    back = cv2.imdecode(np.frombuffer(overlay.jpeg(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back[8, 8].astype(int) - (0, 0, 200)).max() < 6
    assert (cv2.imdecode(np.frombuffer(overlay.png(pixels[..., 0]), np.uint8), -1) == 200).all()


def test_a_signed_scale_colours_evidence_against_the_class_as_strongly_as_evidence_for_it():
    table = overlay.colour_table(overlay.SIGNED_COLOURS).astype(int)
    black = np.full(ANATOMY.shape, -100, np.float32)
    values = spot(5, 6, 2.0) - spot(9, 6, 2.0)
    found = overlay.overlay(black, values, window=WINDOW, scale_max=2.0, is_signed=True, opacity=1.0).astype(int)
    assert (found[5, 6] == table[-1]).all()
    assert (found[9, 6] == table[0]).all()
    assert table[-1, 0] > table[-1, 2] + 100  # red for the class
    assert table[0, 2] > table[0, 0] + 100  # blue against it
    rest = np.ones(ANATOMY.shape, bool)
    rest[[5, 9], 6] = False
    assert (found[rest] == 0).all()


def test_the_strip_of_a_signed_scale_is_grey_in_its_middle_and_coloured_at_both_ends():
    strip = overlay.colour_strip("inferno", 0.55, (24, 257), is_signed=True).astype(int)
    assert np.ptp(strip[:, 128], axis=1).max() <= 1
    assert (strip[0, -1, 0] - strip[0, -1, 2] > 40) & (strip[0, 0, 2] - strip[0, 0, 0] > 40)
