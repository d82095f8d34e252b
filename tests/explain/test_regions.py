"""Thresholds, masks, boxes and volumes in closed form: spheres, boxes, oblique affines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.regions import (
    box_corners_mm,
    box_overlap,
    boxes,
    cell_size,
    mass_mask,
    mass_threshold,
    otsu_mask,
    otsu_threshold,
    peak_share_mask,
    regions,
    total_volume_ml,
)


def block(shape, *sides):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(first, last) for first, last in sides)] = True
    return mask


def oblique(spacing, degrees=(20, -35, 50), origin=(7.0, -3.0, 11.0)):
    turned = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        plane = [other for other in range(3) if other != axis]
        single = np.eye(3)
        single[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turned = turned @ single
    affine = np.eye(4)
    affine[:3, :3] = turned * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine


def brute_force_otsu(values):
    levels = np.unique(values)
    cuts = (levels[1:] + levels[:-1]) / 2

    def between(cut):
        low, high = values[values <= cut], values[values > cut]
        return low.size * high.size * (high.mean() - low.mean()) ** 2

    return max(between(cut) for cut in cuts), between


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=40).filter(lambda found: len(set(found)) > 1))
def test_otsu_splits_with_the_largest_variance_between_the_classes(found):
    values = np.array(found, dtype=np.float64)
    best, between = brute_force_otsu(values)
    assert between(otsu_threshold(values)) == pytest.approx(best)


def test_otsu_does_not_depend_on_scale_and_offset():
    values = np.random.default_rng(0).normal(size=200)
    assert otsu_threshold(3 * values - 7) == pytest.approx(3 * otsu_threshold(values) - 7)


def test_otsu_of_two_levels_lies_between_them():
    assert otsu_threshold(np.array([0.0, 0.0, 0.0, 4.0])) == 2.0


def test_a_constant_map_has_no_threshold_and_an_empty_mask():
    assert otsu_threshold(np.full((3, 3), 2.0)) is None
    assert not otsu_mask(np.full((3, 3), 2.0)).any()


@pytest.mark.parametrize("rule", [otsu_mask, mass_mask, lambda values: peak_share_mask(values, 0.5)])
@pytest.mark.parametrize("values", [np.full((2, 3), -1.0), np.zeros((2, 3)), -np.arange(6.0).reshape(2, 3)])
def test_a_map_without_positive_evidence_has_an_empty_mask(rule, values):
    assert not rule(values).any()


def test_the_mass_mask_holds_its_share_and_not_a_voxel_more():
    values = np.array([5.0, 3.0, 1.0, 1.0, -9.0])
    assert mass_mask(values, 0.5).tolist() == [True, False, False, False, False]
    assert mass_mask(values, 0.6).tolist() == [True, True, False, False, False]
    assert mass_mask(values, 0.8).tolist() == [True, True, False, False, False]
    assert mass_mask(values, 1.0).tolist() == [True, True, True, True, False]
    assert mass_threshold(values, 0.81) == 1.0


@pytest.mark.parametrize("share", [0, -0.1, 1.01, math.nan])
def test_a_share_of_mass_outside_0_to_1_is_refused(share):
    with pytest.raises(ExplainError, match="share"):
        mass_threshold(np.ones(3), share)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rule", [otsu_mask, mass_mask, lambda values: peak_share_mask(values, 0.5)])
def test_a_map_that_is_not_finite_is_refused(rule, bad):
    with pytest.raises(ExplainError, match="finite"):
        rule(np.array([1.0, bad]))


def test_boxes_come_largest_first_and_diagonal_neighbours_are_one_part():
    mask = block((10, 10, 10), (0, 2), (0, 2), (0, 2)) | block((10, 10, 10), (5, 9), (5, 9), (5, 9))
    mask[2, 2, 2] = True
    assert boxes(mask) == (((5, 9),) * 3, ((0, 3),) * 3)
    assert boxes(np.zeros((3, 3), dtype=bool)) == ()


def test_overlap_of_boxes_in_closed_form():
    assert box_overlap(((0, 4), (0, 4), (0, 4)), ((0, 4), (0, 4), (0, 4))) == 1.0
    assert box_overlap(((0, 4), (0, 4)), ((4, 8), (0, 4))) == 0.0
    assert box_overlap(((0, 4), (0, 4)), ((2, 6), (0, 4))) == pytest.approx(8 / 24)


def test_corners_of_an_axis_aligned_box_are_voxel_edges():
    corners = box_corners_mm(((0, 1), (0, 2), (0, 3)), np.diag([2.0, 3.0, 4.0, 1.0]))
    assert corners.min(axis=0).tolist() == [-1.0, -1.5, -2.0]
    assert corners.max(axis=0).tolist() == [1.0, 4.5, 10.0]


def test_corners_of_an_oblique_box_keep_its_edge_lengths_and_centre():
    affine = oblique((2.0, 0.7, 1.5))
    corners = box_corners_mm(((1, 5), (2, 12), (0, 6)), affine)
    assert np.linalg.norm(corners[4] - corners[0]) == pytest.approx(4 * 2.0)
    assert np.linalg.norm(corners[2] - corners[0]) == pytest.approx(10 * 0.7)
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(6 * 1.5)
    assert corners.mean(axis=0) == pytest.approx(affine[:3, :3] @ [2.5, 6.5, 2.5] + affine[:3, 3])


@pytest.mark.parametrize("affine", [np.diag([2.0, 0.5, 3.0, 1.0]), oblique((2.0, 0.5, 3.0))])
def test_the_volume_of_a_box_is_its_voxels_times_the_determinant(affine):
    mask = block((20, 20, 20), (3, 7), (2, 12), (5, 10))
    (found,) = regions(mask.astype(float), mask, affine)
    assert found.volume_ml == pytest.approx(200 * 3.0 / 1000)
    assert found.box == ((3, 7), (2, 12), (5, 10))
    assert found.centre_index == pytest.approx((4.5, 6.5, 7.0))
    assert found.area_mm2 is None


def test_a_sheared_affine_counts_its_determinant_not_its_spacing():
    affine = np.eye(4)
    affine[0, 2] = 0.5
    mask = block((4, 4, 4), (0, 2), (0, 2), (0, 2))
    assert regions(mask.astype(float), mask, affine)[0].volume_ml == pytest.approx(8 / 1000)


def test_the_volume_of_a_sphere_is_right_within_two_percent():
    affine = oblique((1.5, 1.0, 0.8))
    grid = np.stack(np.meshgrid(*(np.arange(40.0),) * 3, indexing="ij"), axis=-1)
    places = (grid - 19.5) @ affine[:3, :3].T
    mask = np.linalg.norm(places, axis=-1) <= 12.0
    (found,) = regions(mask.astype(float), mask, affine)
    assert found.volume_ml == pytest.approx(4 / 3 * math.pi * 12**3 / 1000, rel=0.02)
    assert found.centre_index == pytest.approx((19.5,) * 3)


def test_a_disc_in_space_has_an_area_and_no_volume():
    affine = oblique((0.5, 0.25, 1.0))
    mask = block((9, 9), (0, 4), (0, 8))
    (found,) = regions(mask.astype(float), mask, affine)
    assert found.area_mm2 == pytest.approx(32 * 0.125)
    assert found.volume_ml is None
    assert found.corners_mm.shape == (4, 3)


def test_a_planar_affine_places_a_2d_box_too():
    mask = block((5, 5), (1, 3), (2, 5))
    (found,) = regions(mask.astype(float), mask, np.diag([2.0, 3.0, 1.0]))
    assert found.area_mm2 == pytest.approx(6 * 6)
    assert found.corners_mm.min(axis=0).tolist() == [1.0, 4.5]


def test_without_an_affine_sizes_are_unknown_and_voxels_remain():
    mask = block((5, 5, 5), (1, 3), (1, 3), (1, 3))
    (found,) = regions(mask.astype(float), mask, None)
    assert (found.voxels, found.volume_ml, found.corners_mm) == (8, None, None)
    assert total_volume_ml([found]) is None


def test_parts_share_the_mass_of_the_map_and_are_weighted_by_it():
    values = np.zeros((8, 8))
    values[0, 0], values[0, 1], values[5, 5], values[7, 0] = 3.0, 1.0, 4.0, -5.0
    large, small = regions(values, values > 0, None)
    assert (large.voxels, large.mass_share, large.peak_value) == (2, 0.5, 3.0)
    assert large.centre_index == (0.0, 0.25)
    assert (small.voxels, small.mass_share, small.centre_index) == (1, 0.5, (5.0, 5.0))


def test_volumes_add_up():
    mask = block((9, 9, 9), (0, 2), (0, 2), (0, 2)) | block((9, 9, 9), (5, 6), (5, 6), (5, 6))
    found = regions(mask.astype(float), mask, np.diag([10.0, 10.0, 10.0, 1.0]))
    assert [one.voxels for one in found] == [8, 1]
    assert total_volume_ml(found) == pytest.approx(9.0)
    assert total_volume_ml([]) == 0.0


def test_a_mask_of_negative_values_is_measured_without_mass():
    values = np.full((2, 2), -1.0)
    (found,) = regions(values, np.ones((2, 2), dtype=bool), None)
    assert found.mass_share is None
    assert found.centre_index == (0.5, 0.5)


def test_one_voxel_is_a_region_of_one_voxel():
    (found,) = regions(np.ones((1, 1, 1)), np.ones((1, 1, 1), dtype=bool), np.eye(4))
    assert found.volume_ml == pytest.approx(0.001)
    assert np.ptp(found.corners_mm, axis=0).tolist() == [1.0, 1.0, 1.0]


def test_an_affine_without_extent_and_other_shapes_are_refused():
    mask = np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(ExplainError, match="extent"):
        regions(mask.astype(float), mask, np.diag([1.0, 1.0, 0.0, 1.0]))
    with pytest.raises(ExplainError, match="shape"):
        regions(np.ones((2, 2, 3)), mask, None)


def test_the_size_of_a_cell_is_the_gram_determinant():
    assert cell_size(oblique((2.0, 3.0, 4.0)), 3) == pytest.approx(24.0)
    assert cell_size(oblique((2.0, 3.0, 4.0)), 2) == pytest.approx(6.0)
