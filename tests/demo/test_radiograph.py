"""The radiograph shows the same patient: positions, brightness and sides must follow from the phantom."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from audit_pipeline.demo.radiograph import radiograph
from audit_pipeline.geometry import spacing_of, transform_points
from tests.demo.phantom_cases import SEEDS, digest, made, middle_mm, midline_mm, seen


@pytest.fixture(params=SEEDS)
def seed(request):
    return request.param


def x_mm(one):
    """Distance of each column from the middle of the detector, toward the patient's left."""
    columns = one.values.shape[1]
    return (np.arange(columns) - (columns - 1) / 2) * one.spacing_mm[1]


def rows_at(one, z_mm):
    """Fractional rows of heights above the middle of the detector."""
    return (one.values.shape[0] - 1) / 2 - np.asarray(z_mm) / one.spacing_mm[0]


def on_phantom_grid(seed):
    """The water path of each ray through the phantom, rows from the feet up, and the stored value at the same place."""
    patient, one = made(seed, nodule=False), seen(seed, nodule=False)
    step, _, across = spacing_of(patient.affine)
    paths = np.clip(1 + patient.values / 1000, 0, None).sum(axis=1)
    slices, columns = paths.shape
    rows = rows_at(one, (np.arange(slices) - (slices - 1) / 2) * step)
    places = (np.arange(columns) - (columns - 1) / 2) * across / one.spacing_mm[1] + (one.values.shape[1] - 1) / 2
    kept = (places >= 0) & (places <= one.values.shape[1] - 1)
    grid = np.meshgrid(rows, places[kept], indexing="ij")
    return paths[:, kept], ndimage.map_coordinates(one.values, grid, order=1, mode="nearest")


def test_the_projected_nodule_lies_where_the_phantom_has_it(seed):
    patient, one = made(seed), seen(seed)
    x, _, z = np.array(patient.nodule_center_mm) - middle_mm(patient)
    row, column = np.argwhere(one.mask).mean(axis=0)
    assert row == pytest.approx(rows_at(one, z), abs=1.0)
    assert column == pytest.approx(x / one.spacing_mm[1] + (one.values.shape[1] - 1) / 2, abs=1.0)


def test_the_projected_nodule_is_as_wide_as_the_nodule(seed):
    patient, one = made(seed), seen(seed)
    area_mm2 = one.mask.sum() * one.spacing_mm[0] * one.spacing_mm[1]
    voxel_mm = max(spacing_of(patient.affine))
    assert abs(2 * np.sqrt(area_mm2 / np.pi) - patient.nodule_diameter_mm) < voxel_mm


def test_the_nodule_is_brighter_than_the_same_place_without_it(seed):
    with_nodule, without = seen(seed), seen(seed, nodule=False)
    difference = with_nodule.values - without.values
    assert difference[with_nodule.mask].mean() > 20
    far = ~ndimage.binary_dilation(with_nodule.mask, iterations=12)
    assert abs(difference[far].mean()) < 1


def test_stored_values_follow_the_water_path_of_the_ray(seed):
    paths, stored = on_phantom_grid(seed)
    assert np.corrcoef(paths.ravel(), stored.ravel())[0, 1] > 0.97


def test_the_spine_is_brighter_than_the_lungs(seed):
    patient, one = made(seed, nodule=False), seen(seed, nodule=False)
    lung_z = transform_points(patient.affine, np.argwhere(patient.lung_mask))[:, 2] - middle_mm(patient)[2]
    band = slice(*np.rint(rows_at(one, np.percentile(lung_z, (85, 60)))).astype(int))
    side = np.abs(x_mm(one) - (midline_mm(patient) - middle_mm(patient)[0]))
    spine, lung = one.values[band][:, side < 10].mean(), one.values[band][:, (side > 55) & (side < 85)].mean()
    assert spine > lung + 200


def test_the_shadow_of_the_heart_lies_in_the_right_half_of_the_picture(seed):
    patient, one = made(seed, nodule=False), seen(seed, nodule=False)
    lung_z = transform_points(patient.affine, np.argwhere(patient.lung_mask))[:, 2] - middle_mm(patient)[2]
    low, high = lung_z.min(), lung_z.max()
    levels = np.array([0.45, 0.25]) * (high - low) + low
    band = slice(*np.rint(rows_at(one, levels)).astype(int))
    across = x_mm(one) - (midline_mm(patient) - middle_mm(patient)[0])
    left_of_patient = one.values[band][:, (across > 25) & (across < 70)].mean()
    right_of_patient = one.values[band][:, (across < -25) & (across > -70)].mean()
    assert left_of_patient > right_of_patient + 200


def test_the_abdomen_is_at_the_bottom_of_the_picture(seed):
    one = seen(seed, nodule=False)
    columns = np.abs(np.abs(x_mm(one)) - 70) < 25
    assert one.values[-10:, columns].mean() > one.values[one.values.shape[0] // 2, columns].mean() + 300


def test_stored_values_are_whole_numbers_of_twelve_bits(seed):
    values = seen(seed).values
    assert values.dtype == np.float32
    assert np.array_equal(values, np.rint(values))
    assert values.min() >= 0
    assert values.max() <= 4095


def test_neither_air_nor_bone_is_cut_off(seed):
    values = seen(seed).values
    assert values.min() > 0
    assert values.max() < 4095


def test_the_detector_is_as_high_as_the_phantom_and_not_higher(seed):
    patient, one = made(seed), seen(seed)
    height = patient.values.shape[0] * spacing_of(patient.affine)[0]
    assert 0 <= height - one.values.shape[0] * one.spacing_mm[0] < one.spacing_mm[0]
    assert one.values.shape[1] == 256
    assert 1.25 <= one.spacing_mm[0] == one.spacing_mm[1] <= 1.4


def test_the_label_is_that_of_the_phantom(seed):
    assert seen(seed).label
    assert not seen(seed, nodule=False).label
    assert not seen(seed, nodule=False).mask.any()


def test_the_same_seed_gives_the_same_bytes():
    again = radiograph(made(SEEDS[0]), SEEDS[0])
    assert digest(again.values, again.mask) == digest(seen(SEEDS[0]).values, seen(SEEDS[0]).mask)


def test_another_seed_is_another_exposure_of_the_same_patient():
    first, second = seen(SEEDS[0]), radiograph(made(SEEDS[0]), SEEDS[1])
    assert digest(first.values) != digest(second.values)


def test_arrays_are_sealed():
    assert not seen(SEEDS[0]).values.flags.writeable
    assert not seen(SEEDS[0]).mask.flags.writeable
