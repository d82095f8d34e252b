"""Prints of images: the same pixels, nearly the same, and another patient."""

from itertools import combinations

import numpy as np
import pytest
from evidence_factories import make_image
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.duplicates import duplicates, hamming, is_near, likeness, pixel_digest, print_of, thumbnail
from audit_pipeline.geometry import flip_map


def anatomy(shape, seed):
    smooth = gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), [size / 12 for size in shape])
    return (1000 * smooth / smooth.std()).astype(np.float32)


SHAPES = [(160, 140), (24, 64, 64)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_pixels_under_another_header_have_the_same_digest(shape):
    values = anatomy(shape, 0)
    one, other = print_of(make_image(values)), print_of(make_image(values, modality="MR", metadata={"KVP": 1.0}))
    assert one.digest == other.digest
    assert print_of(make_image(values + 1)).digest != one.digest


def test_the_same_volume_stored_in_another_order_has_the_same_digest():
    values = anatomy((12, 16, 20), 0)
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    turned = np.ascontiguousarray(values.transpose(2, 0, 1)[::-1])
    order = affine[:, [2, 0, 1, 3]] @ flip_map((20, 12, 16), (True, False, False))
    one, other = (make_image(array, affine=matrix) for array, matrix in ((values, affine), (turned, order)))
    assert print_of(one).digest == print_of(other).digest


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_another_grey_scale_and_a_narrow_crop_stay_near(shape):
    values = anatomy(shape, 1)
    span = np.ptp(values)
    noisy = values + np.random.default_rng(2).normal(0, 0.01 * span, shape)
    cropped = values[tuple(slice(round(0.01 * size), size - round(0.01 * size)) for size in shape)]
    first = print_of(make_image(values))
    for other in (noisy, 0.25 * values + 40, cropped):
        assert is_near(first, print_of(make_image(other)))


@pytest.mark.parametrize("shape", SHAPES)
def test_other_patients_are_not_near(shape):
    prints = [print_of(make_image(anatomy(shape, seed))) for seed in range(12)]
    assert not any(is_near(one, other) for one, other in combinations(prints, 2))


def test_the_pairs_of_a_run_are_named():
    values = [anatomy((64, 64), seed) for seed in (0, 1, 0, 2)]
    values[2] = values[2] + np.random.default_rng(0).normal(0, 5, (64, 64))
    assert duplicates([print_of(make_image(one)) for one in values]) == ((0, 2),)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_distance_of_hashes_is_symmetric_and_zero_to_itself(one, other):
    assert hamming(one, other) == hamming(other, one) == sum((one >> bit ^ other >> bit) & 1 for bit in range(64))
    assert hamming(one, one) == 0


def test_likeness_is_one_to_itself_and_zero_to_another_shape():
    small = thumbnail(anatomy((64, 64), 0))
    assert likeness(small, small) == pytest.approx(1)
    assert likeness(small, small[:16]) == 0
    assert likeness(small, 1 - small) < 0.2


def test_small_and_constant_images_have_prints_too():
    assert print_of(make_image(anatomy((20, 20), 0))).thumbnail.shape == (32, 32)
    assert not print_of(make_image(np.full((40, 40), 7.0))).thumbnail.any()


def test_minus_zero_counts_as_zero():
    assert pixel_digest(np.array([[-0.0]], dtype=np.float32)) == pixel_digest(np.array([[0.0]], dtype=np.float32))
