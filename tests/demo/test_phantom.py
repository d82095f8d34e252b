"""The phantom is the ground truth of the demo: what it says about its nodule must be what is in the voxels."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from audit_pipeline.demo.phantom import NODULE_DIAMETERS_MM, phantom
from audit_pipeline.geometry import axis_codes, spacing_of, transform_points
from tests.demo.phantom_cases import SEEDS, digest, made, midline_mm

REACH_VOXELS = 3
"""A nodule's edge (one voxel) and the point spread (two) end within this many voxels of its mask."""


@pytest.fixture(params=SEEDS)
def seed(request):
    return request.param


@pytest.fixture
def with_nodule(seed):
    return made(seed)


@pytest.fixture
def without(seed):
    return made(seed, nodule=False)


def test_the_axes_point_to_head_posterior_and_left(with_nodule):
    assert axis_codes(with_nodule.affine) == "HPL"


def test_the_mask_lies_around_the_stated_centre(with_nodule):
    index = np.argwhere(with_nodule.nodule_mask).mean(axis=0)
    apart = transform_points(with_nodule.affine, index) - with_nodule.nodule_center_mm
    spacing = np.array(spacing_of(with_nodule.affine))
    assert (np.abs(apart[[2, 1, 0]]) < spacing / 2).all()


def test_the_stated_centre_is_dense_against_the_lung_around_it(with_nodule, without):
    inside = with_nodule.nodule_mask
    assert with_nodule.values[inside].mean() > without.values[inside].mean() + 400


def test_the_volume_of_the_mask_is_that_of_the_stated_diameter(with_nodule):
    volume = with_nodule.nodule_mask.sum() * np.prod(spacing_of(with_nodule.affine))
    assert np.cbrt(6 * volume / np.pi) == pytest.approx(with_nodule.nodule_diameter_mm, rel=0.15)


def test_the_diameter_lies_in_the_stated_range(with_nodule):
    low, high = NODULE_DIAMETERS_MM
    assert low <= with_nodule.nodule_diameter_mm <= high


def test_the_whole_nodule_lies_inside_a_lung(with_nodule):
    assert with_nodule.lung_mask[with_nodule.nodule_mask].all()


def test_the_twin_without_a_nodule_is_the_same_patient_elsewhere(with_nodule, without):
    around = ndimage.binary_dilation(with_nodule.nodule_mask, np.ones((3, 3, 3)), iterations=REACH_VOXELS)
    assert np.array_equal(with_nodule.values[~around], without.values[~around])
    assert np.array_equal(with_nodule.lung_mask, without.lung_mask)
    assert np.array_equal(with_nodule.affine, without.affine)


def test_the_twin_without_a_nodule_says_so(without):
    assert not without.label
    assert not without.nodule_mask.any()
    assert without.nodule_center_mm is None
    assert without.nodule_diameter_mm is None


def test_the_same_seed_gives_the_same_bytes(seed, with_nodule):
    again = phantom(seed, nodule=True)
    assert digest(again.values, again.affine, again.nodule_mask) == digest(
        with_nodule.values, with_nodule.affine, with_nodule.nodule_mask
    )


def test_another_process_gives_the_same_bytes():
    code = (
        "from audit_pipeline.demo.radiograph import radiograph\n"
        "from tests.demo.phantom_cases import digest, made\n"
        f"one = made({SEEDS[0]})\n"
        f"print(digest(one.values, one.affine, one.nodule_mask, radiograph(one, {SEEDS[0]}).values))\n"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert texts[0] == texts[1]


def test_different_seeds_are_different_patients():
    assert len({digest(made(seed).values) for seed in SEEDS}) == len(SEEDS)


def test_what_lies_between_the_lungs_reaches_to_the_left_of_the_patient(without):
    right_of = np.maximum.accumulate(without.lung_mask, axis=2)
    left_of = np.maximum.accumulate(without.lung_mask[:, :, ::-1], axis=2)[:, :, ::-1]
    between = right_of & left_of & ~without.lung_mask
    x_mm = transform_points(without.affine, np.argwhere(between))[:, 0]
    assert 4 < x_mm.mean() - midline_mm(without) < 25


def test_the_left_lung_is_the_smaller_one_because_of_the_heart(without):
    x_mm = transform_points(without.affine, np.argwhere(without.lung_mask))[:, 0] - midline_mm(without)
    assert 1.05 < (x_mm < 0).sum() / (x_mm > 0).sum() < 1.8


def test_the_spine_lies_behind_the_middle(without):
    bone = np.argwhere(without.values > 200)
    x_mm, y_mm, _ = transform_points(without.affine, bone).T
    central = np.abs(x_mm - midline_mm(without)) < 20
    body = transform_points(without.affine, np.argwhere(without.values > -300))[:, 1]
    assert np.median(y_mm[central]) > (body.min() + body.max()) / 2 + 20


def test_air_outside_the_patient_is_at_minus_one_thousand(without):
    corners = np.concatenate([without.values[:, :4, :4].ravel(), without.values[:, -4:, -4:].ravel()])
    assert corners.mean() == pytest.approx(-1000, abs=5)


def test_the_lungs_are_at_the_density_of_air_filled_lung(without):
    assert -900 < np.median(without.values[without.lung_mask]) < -780


def test_liver_and_muscle_have_the_density_of_soft_tissue(without):
    lowest = without.values[2, 50:78, 34:50]
    assert 20 < np.median(lowest) < 90


def test_values_are_whole_hu_that_twelve_bits_hold(with_nodule):
    assert with_nodule.values.dtype == np.float32
    assert np.array_equal(with_nodule.values, np.rint(with_nodule.values))
    assert with_nodule.values.min() >= -1024
    assert with_nodule.values.max() <= 3071


def test_the_grid_is_that_of_a_chest_ct(with_nodule):
    slices, rows, columns = with_nodule.values.shape
    step, row_mm, column_mm = spacing_of(with_nodule.affine)
    assert 64 <= slices <= 100
    assert (rows, columns) == (128, 128)
    assert 2.9 <= step <= 4.0
    assert 2.2 <= row_mm == column_mm <= 2.8
    assert 255 < slices * step < 312


@pytest.mark.parametrize("name", ["values", "affine", "nodule_mask", "lung_mask"])
def test_arrays_are_sealed(name):
    assert not getattr(made(SEEDS[0]), name).flags.writeable


def test_without_a_wish_about_half_of_the_seeds_have_a_nodule():
    # the label is drawn before anything else of the lesion's stream, so the rest need not be made
    labels = [np.random.default_rng([seed, 2]).random() < 0.5 for seed in range(50_000, 50_400)]
    assert 160 < sum(labels) < 240
    assert made(SEEDS[0], nodule=None).label == labels[0]
