"""Place: a hot cell lands where it must in the patient, on any grid and in any orientation."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.card import read_card
from audit_pipeline.explain import place as placing
from audit_pipeline.explain.place import mass_levels, on_source, peak_centre, place, statistics
from audit_pipeline.geometry import transform_points
from audit_pipeline.prepare import prepare


def card_of(size, spacing, orientation="HPL"):
    content = {"name": "n", "version": "1", "task": "binary", "classes": ["nodule"], "factory": "a:b"}
    given = {"size": size, "spacing_mm": spacing, "intensity": {"range": {"low": 0, "high": 1}}}
    given |= {"orientation": orientation} if len(size) == 3 else {}
    return read_card(content | {"spatial_dims": len(size), "input": given})


def placed(values, prepared, image):
    return place(
        values.astype(np.float32), prepared, image.affine,
        method="gradcam", target=0, target_name="nodule", layer="stage", signal_floor=1e-9,
    )  # fmt: skip


OBLIQUE = np.array([[0.0, 0.18, 0.68, -80], [-0.5, 1.2, -0.1, 40], [2.4, 0.2, 0.02, 9], [0, 0, 0, 1]])


@pytest.mark.parametrize("orientation", ["HPL", "FAR", "LPH", "PRF"])
@pytest.mark.parametrize("affine", [np.diag([2.5, 0.9, 0.7, 1.0])[[2, 1, 0, 3]], OBLIQUE], ids=["axial", "oblique"])
def test_a_hot_cell_lands_within_half_a_voxel_of_its_place_in_the_patient(make_image, orientation, affine):
    image = make_image(np.zeros((40, 60, 70)), affine=affine)
    prepared = prepare(image, card_of([24, 30, 36], [3.0, 2.0, 1.5], orientation))
    values = np.zeros((4, 6, 6))
    values[1, 3, 2] = 2.0
    explanation = placed(values, prepared, image)
    expected = transform_points(prepared.affine, [(1 + 0.5) * 6 - 0.5, (3 + 0.5) * 5 - 0.5, (2 + 0.5) * 6 - 0.5])
    np.testing.assert_allclose(explanation.statistics.peak_position_mm, expected, atol=1e-9)
    np.testing.assert_allclose(transform_points(explanation.affine, (1, 3, 2)), expected, atol=1e-9)
    written, written_affine = on_source(explanation, image.shape, image.affine)
    np.testing.assert_allclose(written_affine, image.affine)
    mass = written.astype(np.float64) / written.sum()
    centre = [(mass * axis).sum() for axis in np.indices(written.shape)]
    wanted = np.linalg.inv(image.affine) @ [*expected, 1]
    np.testing.assert_allclose(centre, wanted[:3], atol=0.5)


def test_outside_what_the_model_saw_the_written_map_is_exactly_zero(make_image):
    image = make_image(np.zeros((40, 40, 40)), affine=np.eye(4))
    prepared = prepare(image, card_of([20, 20, 20], [1.0, 1.0, 1.0], "LPH"))
    written, _ = on_source(placed(np.ones((5, 5, 5)), prepared, image), image.shape, image.affine)
    assert written.sum() == pytest.approx(20**3)
    assert set(np.unique(written)) == {0.0, 1.0}


def test_a_large_source_is_decimated_with_an_affine_that_still_tells_the_truth(make_image, monkeypatch):
    image = make_image(np.zeros((40, 60, 70)), affine=OBLIQUE)
    prepared = prepare(image, card_of([24, 30, 36], [3.0, 2.0, 1.5]))
    explanation = placed(np.random.default_rng(0).normal(size=(4, 6, 6)), prepared, image)
    full, _ = on_source(explanation, image.shape, image.affine)
    monkeypatch.setattr(placing, "MAP_VOXELS", 14 * 20 * 24)
    small, affine = on_source(explanation, image.shape, image.affine)
    assert small.shape == (14, 20, 24)
    voxel = (5, 7, 8)
    np.testing.assert_allclose(transform_points(affine, voxel), transform_points(OBLIQUE, [3 * n + 1 for n in voxel]))
    assert small[voxel] == pytest.approx(full[16, 22, 25], abs=1e-6)


def test_cells_are_measured_in_millimetres_of_the_patient(make_image):
    image = make_image(np.zeros((40, 60, 70)), affine=OBLIQUE)
    prepared = prepare(image, card_of([24, 30, 36], [3.0, 2.0, 1.5]))
    assert placed(np.ones((4, 6, 6)), prepared, image).cell_mm == pytest.approx((18, 10, 9))


def test_a_radiograph_without_position_has_voxels_but_no_millimetres(make_image):
    image = make_image(np.zeros((50, 40)), spacing_mm=(None, None), modality="DX")
    prepared = prepare(image, card_of([25, 20], None))
    values = np.zeros((5, 5))
    values[4, 0] = 3
    explanation = placed(values, prepared, image)
    assert explanation.statistics.peak_position_mm is None
    assert explanation.cell_mm == (None, None)
    assert explanation.statistics.peak_index == (44, 4)
    assert explanation.affine is None


def test_statistics_are_those_of_the_raw_signed_map():
    values = np.array([[-4.0, 1.0], [2.0, 3.0]], np.float32)
    found = statistics(values, values, np.eye(3), None)
    assert (found.min, found.max, found.mean, found.peak_value) == (-4, 3, 0.5, 3)
    assert found.std == pytest.approx(values.std())
    assert found.positive_share == 0.75
    assert found.peak_index == (1, 1)


def test_mass_levels_enclose_half_and_four_fifths_of_the_positive_mass_with_the_fewest_voxels():
    values = np.array([-3.0, 0.0, 1.0, 1.0, 2.0, 6.0], np.float32)
    assert mass_levels(values) == (6.0, 2.0)
    assert mass_levels(-np.ones(3, np.float32)) is None


def test_the_mass_weighted_peak_lies_between_equal_neighbours_and_ignores_other_islands():
    values = np.zeros((3, 9), np.float32)
    values[1, 2] = values[1, 3] = 4.0
    values[1, 7] = 3.9
    np.testing.assert_allclose(peak_centre(values), (1, 2.5))


@pytest.mark.parametrize("values", [np.zeros((3, 3)), -np.ones((3, 3))])
def test_without_positive_evidence_there_is_no_peak_centre(values):
    assert peak_centre(values.astype(np.float32)) is None


def test_the_map_on_the_input_is_half_pixel_linear(make_image):
    image = make_image(np.zeros((20, 20)), spacing_mm=(1.0, 1.0), modality="DX")
    prepared = prepare(image, card_of([20, 20], None))
    explanation = placed(np.array([[0.0, 1.0]]).repeat(2, axis=0), prepared, image)
    np.testing.assert_allclose(explanation.on_input[7], np.clip((np.arange(20) - 4.5) / 10, 0, 1), atol=1e-6)
