"""Affines, letters and index maps against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from audit_pipeline.geometry import (
    axis_codes,
    closest_axes,
    direction_letters,
    flip_map,
    follow,
    half_pixel_map,
    inverse,
    lift,
    lps_to_ras,
    opposite_letters,
    permutation_map,
    plane_name,
    spacing_of,
    transform_points,
)

angles = st.floats(-180, 180, allow_nan=False)


def rotated(euler, spacing=(3.0, 0.7, 0.8)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", euler, degrees=True).as_matrix() * spacing
    affine[:3, 3] = (-100, 20, 7)
    return affine


@pytest.mark.parametrize(
    ("vector", "letters"),
    [((1, 0, 0), "L"), ((-1, 0, 0), "R"), ((0, 1, 0), "P"), ((0, -2, 0), "A"), ((0, 0, 3), "H"), ((0, 0, -1), "F")],
)
def test_each_world_direction_has_its_dicom_letter(vector, letters):
    assert direction_letters(vector) == letters


def test_an_oblique_direction_names_its_largest_component_first():
    assert direction_letters((-0.8, -0.6, 0)) == "RA"
    assert direction_letters((-0.5, -0.6, 0.62)) == "HAR"


def test_a_direction_without_length_is_an_error():
    with pytest.raises(ValueError, match="finite length"):
        direction_letters((0, 0, 0))


@given(st.tuples(angles, angles, angles))
def test_opposite_letters_belong_to_the_opposite_direction(euler):
    vector = rotated(euler)[:3, 0]
    assert sorted(opposite_letters(direction_letters(vector))) == sorted(direction_letters(-vector))


@given(st.tuples(angles, angles, angles))
def test_every_world_axis_is_used_once_for_any_rotation(euler):
    assert sorted(world for world, _ in closest_axes(rotated(euler))) == [0, 1, 2]


def test_axis_codes_of_a_coronal_acquisition():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], dtype=float)  # slices to P, rows to F, columns to L
    assert axis_codes(affine) == "PFL"


@given(st.tuples(angles, angles, angles))
def test_spacing_survives_any_rotation(euler):
    assert spacing_of(rotated(euler)) == pytest.approx((3.0, 0.7, 0.8))


def test_planes_are_named_by_their_normal():
    assert [plane_name(normal) for normal in ((1, 0.1, 0), (0, -1, 0.2), (0.3, 0, -1))] == [
        "sagittal",
        "coronal",
        "axial",
    ]


def test_half_pixel_map_sends_the_outer_edges_onto_each_other():
    matrix = half_pixel_map((4, 6), (32, 96))
    edges = transform_points(matrix, [[-0.5, -0.5], [3.5, 5.5]])
    np.testing.assert_allclose(edges, [[-0.5, -0.5], [31.5, 95.5]])


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_index_maps_tell_where_transposed_and_flipped_voxels_came_from(shape, order, flipped):
    values = np.arange(np.prod(shape)).reshape(shape)
    turned = values.transpose(order)
    turned = turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped)]
    matrix = permutation_map(order) @ flip_map(turned.shape, flipped)
    places = np.stack(np.meshgrid(*map(np.arange, turned.shape), indexing="ij"), axis=-1)
    source = transform_points(matrix, places).astype(int)
    np.testing.assert_array_equal(values[tuple(np.moveaxis(source, -1, 0))], turned)


def test_ras_and_lps_differ_by_the_sign_of_x_and_y_and_convert_back():
    affine = rotated((10, 20, 30))
    np.testing.assert_allclose(lps_to_ras(affine)[:3, 3], affine[:3, 3] * (-1, -1, 1))
    np.testing.assert_allclose(lps_to_ras(lps_to_ras(affine)), affine)


def test_a_two_axis_index_map_is_lifted_without_touching_the_normal():
    matrix = half_pixel_map((7, 7), (224, 112))
    point = lift(matrix) @ [2, 3, 5, 1]
    np.testing.assert_allclose(point, [*transform_points(matrix, (2, 3)), 5, 1])


def test_an_unknown_affine_stays_unknown():
    assert follow(None, np.eye(4)) is None
    np.testing.assert_allclose(follow(2 * np.eye(4), inverse(np.eye(4))), 2 * np.eye(4))
