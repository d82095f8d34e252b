"""Supervoxels: every voxel in one connected piece, about as many as asked for, along the edges of the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.supervoxels import supervoxels

SHAPES = [(40, 56), (20, 24, 28), (1, 40, 40)]


def smooth(shape, seed=0, sigma=2.0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)[None].astype(np.float32)


def pieces(labels):
    return [labels == label for label in range(labels.max() + 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_segments", [4, 30])
def test_every_voxel_is_in_one_connected_piece_and_there_are_about_as_many_as_asked_for(shape, n_segments):
    labels = supervoxels(smooth(shape), n_segments)
    assert labels.shape == shape
    found = pieces(labels)
    assert sum(piece.sum() for piece in found) == labels.size
    assert all(ndimage.label(piece)[1] == 1 for piece in found)
    assert 0.6 * n_segments <= len(found) <= 1.4 * n_segments


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    seed=st.integers(0, 2**16),
    share=st.floats(0.0, 1.0),
    compactness=st.floats(0.001, 50),
)
@settings(max_examples=60, deadline=None)
def test_even_noise_of_any_shape_is_cut_into_connected_pieces(shape, seed, share, compactness):
    voxels = int(np.prod(shape))
    if voxels < 2:
        return
    values = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
    labels = supervoxels(values, 2 + round(share * (voxels - 2)), compactness=compactness)
    found = pieces(labels)
    assert labels.min() == 0
    assert all(ndimage.label(piece)[1] == 1 for piece in found)


def test_pieces_follow_the_edge_between_two_tissues():
    values = np.zeros((1, 32, 32), np.float32)
    values[0, :, 13:] = 1.0
    labels = supervoxels(values, 16, compactness=0.1)
    assert not set(labels[:, :13].ravel()) & set(labels[:, 13:].ravel())


def test_a_constant_image_falls_into_equal_boxes():
    labels = supervoxels(np.ones((1, 24, 24, 24), np.float32), 27)
    boxes = np.indices((24, 24, 24)) // 8
    np.testing.assert_array_equal(labels, boxes[0] * 9 + boxes[1] * 3 + boxes[2])


def test_pieces_are_cubes_in_millimetres_not_in_voxels():
    values = np.zeros((1, 8, 64, 64), np.float32)
    labels = supervoxels(values, 64, spacing_mm=(8.0, 1.0, 1.0))
    for box in ndimage.find_objects(labels + 1):
        extent_mm = [(part.stop - part.start) * spacing for part, spacing in zip(box, (8.0, 1.0, 1.0), strict=True)]
        assert extent_mm == [16.0, 16.0, 16.0]


def test_all_channels_decide_together():
    values = np.zeros((2, 24, 24), np.float32)
    values[1, 11:] = 1.0
    labels = supervoxels(values, 9, compactness=0.05)
    assert not set(labels[:11].ravel()) & set(labels[11:].ravel())


def test_the_result_does_not_depend_on_scale_or_on_the_call():
    values = smooth((20, 24, 28))
    labels = supervoxels(values, 20)
    np.testing.assert_array_equal(labels, supervoxels(values, 20))
    np.testing.assert_array_equal(labels, supervoxels(values * 1024 + 4096, 20))


@pytest.mark.parametrize(
    ("given_settings", "reason"),
    [
        ({"n_segments": 1}, "n_segments must be a whole number from 2 to the 64 voxels"),
        ({"n_segments": 65}, "n_segments must be"),
        ({"n_segments": 4, "compactness": 0.0}, "compactness must be a number above zero"),
        ({"n_segments": 4, "spacing_mm": (1.0,)}, "spacing_mm must hold 2 numbers above zero"),
        ({"n_segments": 4, "spacing_mm": (1.0, -1.0)}, "spacing_mm must hold 2 numbers above zero"),
    ],
)
def test_impossible_settings_are_refused(given_settings, reason):
    with pytest.raises(ExplainError, match=reason):
        supervoxels(np.zeros((1, 8, 8), np.float32), **given_settings)
