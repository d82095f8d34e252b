"""Masks carried between the source and the model input, against brute force."""

import numpy as np
import pytest
from evidence_factories import make_prepared

from audit_pipeline.checks.grids import nearest, on_input, on_source, touched
from audit_pipeline.geometry import flip_map, index_map, permutation_map


def brute(mask, matrix, shape):
    found = np.zeros(shape, dtype=bool)
    for place in np.ndindex(*shape):
        index = np.rint(matrix[:-1, :-1] @ place + matrix[:-1, -1]).astype(int)
        if (index >= 0).all() and (index < mask.shape).all():
            found[place] = mask[tuple(index)]
    return found


def prepared_with(to_source, shape):
    from dataclasses import replace

    return replace(make_prepared(np.zeros((1, *shape))), to_source=to_source)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_exchanged_reversed_and_scaled_axes_are_followed(order):
    mask = np.random.default_rng(0).random((7, 9, 6)) > 0.5
    matrix = permutation_map(order) @ flip_map([mask.shape[axis] for axis in order], (True, False, True))
    matrix = matrix @ index_map((0.7, 1.3, 1.0), (0.4, -1.2, 0.1))
    np.testing.assert_array_equal(nearest(mask, matrix, (8, 7, 9)), brute(mask, matrix, (8, 7, 9)))


def test_a_turned_grid_is_followed_too():
    mask = np.random.default_rng(1).random((12, 12)) > 0.5
    cosine, sine = np.cos(0.5), np.sin(0.5)
    matrix = np.array([[cosine, -sine, 3.0], [sine, cosine, -2.0], [0, 0, 1]])
    np.testing.assert_array_equal(nearest(mask, matrix, (10, 11)), brute(mask, matrix, (10, 11)))


def test_there_and_back_gives_the_same_mask():
    mask = np.random.default_rng(2).random((6, 8)) > 0.5
    prepared = prepared_with(index_map((0.5, 0.5), (-0.25, -0.25)), (12, 16))
    np.testing.assert_array_equal(on_source(on_input(mask, prepared), prepared, mask.shape), mask)


def test_a_thin_stroke_still_marks_the_coarse_cell_that_it_falls_into():
    mask = np.zeros((40, 40), dtype=bool)
    mask[:, 13] = True
    prepared = prepared_with(index_map((4, 4), (1.5, 1.5)), (10, 10))
    assert not on_input(mask, prepared).any()
    expected = np.zeros((10, 10), dtype=bool)
    expected[:, 3] = True
    np.testing.assert_array_equal(touched(mask, prepared), expected)
