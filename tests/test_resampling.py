"""Reading a coarse map at fine places: the same numbers as torch, and nothing outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from audit_pipeline.geometry import half_pixel_map, inverse
from audit_pipeline.resampling import PlacedMap, sample_map, slice_maps


@pytest.mark.parametrize(("grid", "size"), [((4, 6), (32, 96)), ((3, 3, 2), (24, 15, 14)), ((5,), (5,))])
def test_it_equals_half_pixel_linear_interpolation(grid, size):
    values = np.random.default_rng(0).normal(size=grid).astype(np.float32)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(grid)]
    expected = functional.interpolate(torch.from_numpy(values)[None, None], size=size, mode=mode, align_corners=False)
    found = sample_map(values, inverse(half_pixel_map(grid, size)), size)
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-6)


def test_a_hot_cell_of_an_anisotropic_grid_lands_on_its_centre_with_exact_zero_elsewhere():
    values = np.zeros((4, 6, 6), np.float32)
    values[1, 2, 4] = 1.0
    fine = sample_map(values, inverse(half_pixel_map((4, 6, 6), (32, 96, 96))), (32, 96, 96))
    mass = fine / fine.sum()
    centre = [(mass * axis).sum() for axis in np.indices(fine.shape)]
    np.testing.assert_allclose(centre, (11.5, 39.5, 71.5), atol=0.5)
    assert fine.min() == 0.0
    assert (fine > 0.05).mean() < 0.04


def test_outside_the_grid_the_map_is_exactly_zero():
    values = np.ones((2, 2), np.float32)
    shifted = np.array([[1.0, 0, -3], [0, 1.0, -3], [0, 0, 1]])
    found = sample_map(values, shifted, (8, 8))
    assert found.sum() == 4
    np.testing.assert_array_equal(found[3:5, 3:5], 1)


def test_a_slice_of_a_volume_reads_the_same_numbers_as_the_whole_volume():
    values = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    to_source = half_pixel_map((3, 4, 5), (12, 16, 20))
    whole = sample_map(values, inverse(to_source), (12, 16, 20))
    plane = np.array([[0, 0, 7], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    placed = PlacedMap(values=values, to_source=to_source, to_input=to_source, input_shape=(12, 16, 20))
    found = slice_maps({"gradcam": placed}, plane, (16, 20))["gradcam"]
    np.testing.assert_allclose(found, whole[7], atol=1e-6)
    assert not found.flags.writeable
