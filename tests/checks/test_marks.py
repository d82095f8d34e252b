"""Solid marks in the outer part of a slice are found; findings, implants and saturated anatomy are not marks."""

import numpy as np
import pytest
from evidence_factories import make_image, make_prepared
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.marks import solid_marks
from audit_pipeline.checks.text_mask import text_mask


def plane(shape=(96, 96), sigma=20.0):
    rows, columns = np.indices(shape)
    body = ((rows - 48) / 40) ** 2 + ((columns - 48) / 36) ** 2 < 1
    return 300 + 1500 * gaussian_filter(body.astype(float), 1) + sigma * np.random.default_rng(3).standard_normal(shape)


def found(values):
    return solid_marks(values.astype(np.float32), 0.0, 4095.0)


@pytest.mark.parametrize("size", [3, 5, 9])
@pytest.mark.parametrize("corner", [(4, 4), (4, 84), (84, 4)])
def test_a_bright_square_in_a_corner_is_found_to_the_pixel(size, corner):
    values = plane()
    place = tuple(slice(start, start + size) for start in corner)
    values[place] = 4095
    mask = found(values)
    assert mask[place].all()
    assert mask.sum() == size**2


def test_a_noisy_round_dot_and_a_dark_square_on_bright_ground_are_found():
    values = plane()
    rows, columns = np.indices(values.shape)
    dot = (rows - 8) ** 2 + (columns - 8) ** 2 < 16
    values[dot] = 4000 + 30 * np.random.default_rng(1).standard_normal(int(dot.sum()))
    assert found(values)[dot].all()
    bright = 4095 - plane()
    bright[5:10, 80:85] = 0
    assert found(bright)[5:10, 80:85].all()


def test_the_same_square_in_the_middle_is_no_mark():
    values = plane()
    values[46:51, 46:51] = 4095
    assert not found(values).any()


def test_measured_bright_spots_fade_out_and_are_no_marks():
    spot = np.zeros((96, 96))
    spot[4:12, 4:12] = 1
    assert not found(plane() + 3900 * gaussian_filter(spot, 1.5)).any()


def test_a_plain_picture_a_saturated_one_and_a_constant_one_have_no_marks():
    assert not found(plane()).any()
    assert not found(np.full((96, 96), 4095.0)).any()
    assert not solid_marks(np.zeros((96, 96), dtype=np.float32), 0.0, 0.0).any()


def test_marks_in_every_slice_reach_the_model_input():
    values = np.stack([plane() for _ in range(4)])
    values[:, 4:9, 84:89] = 4095
    mask = text_mask(make_image(values), make_prepared(values[None]))
    assert mask[:, 4:9, 84:89].all()
    assert mask.mean() < 0.02
