"""Place: a hot cell lands where it must in the patient, on any grid and in any orientation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.card import read_card
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import place as placing
from audit_pipeline.explain.place import cell_map, mass_levels, on_source, peak_centre, place, statistics
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explain.views import panels
from audit_pipeline.geometry import transform_points
from audit_pipeline.prepare import prepare


def card_of(size, spacing, orientation="HPL"):
    content = {"name": "n", "version": "1", "task": "binary", "classes": ["nodule"], "factory": "a:b"}
    given = {"size": size, "spacing_mm": spacing, "intensity": {"range": {"low": 0, "high": 1}}}
    given |= {"orientation": orientation} if len(size) == 3 else {}
    return read_card(content | {"spatial_dims": len(size), "input": given})


def placed(values, prepared, image, to_input=None):
    return place(
        values.astype(np.float32), prepared, image.affine,
        method="gradcam", target=0, target_name="nodule", layer="stage", signal_floor=1e-9,
        to_input=to_input,
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


def test_the_middle_of_evidence_around_a_hollow_is_its_highest_cell():
    values = np.ones((5, 5), np.float32)
    values[1:4, 1:4] = 0.0
    values[0, 3] = 1.5
    np.testing.assert_allclose(peak_centre(values), (0, 3))


@pytest.mark.parametrize("values", [np.zeros((3, 3)), -np.ones((3, 3))])
def test_without_positive_evidence_there_is_no_peak_centre(values):
    assert peak_centre(values.astype(np.float32)) is None


def test_the_map_on_the_input_is_half_pixel_linear(make_image):
    image = make_image(np.zeros((20, 20)), spacing_mm=(1.0, 1.0), modality="DX")
    prepared = prepare(image, card_of([20, 20], None))
    explanation = placed(np.array([[0.0, 1.0]]).repeat(2, axis=0), prepared, image)
    np.testing.assert_allclose(explanation.on_input[7], np.clip((np.arange(20) - 4.5) / 10, 0, 1), atol=1e-6)


class Strided(nn.Module):
    """A convolutional trunk whose cells lie where kernel, stride, dilation and padding put them, not by even tiling."""

    def __init__(self, dimensions, strides, kernel=3, padding=1):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.trunk = conv(1, 1, kernel, strides, padding)
        self.head = nn.Linear(1, 1)

    def forward(self, images):
        return self.head(self.trunk(images).flatten(2).mean(2))


def field_of(size, strides, kernel=3, padding=1):
    net = Strided(len(size), strides, kernel, padding).eval()
    return receptive_fields(net, "trunk", torch.zeros(1, 1, *size), draws=1)


@pytest.mark.parametrize(
    ("size", "strides", "kernel", "padding"),
    [
        ((24, 30, 36), (2, 3, 4), 3, 1),
        ((25, 31, 37), (2, 3, 4), 5, 2),
        ((23, 29, 35), (4, 3, 5), 3, 0),
        ((26, 31, 33), (3, 2, 4), 2, 0),
    ],
)
@pytest.mark.parametrize("orientation", ["HPL", "FAR"])
def test_aligned_by_receptive_field_a_cell_lies_where_it_looks(make_image, size, strides, kernel, padding, orientation):
    image = make_image(np.zeros((40, 60, 70)), affine=OBLIQUE)
    prepared = prepare(image, card_of(list(size), [3.0, 2.0, 1.5], orientation))
    field = field_of(size, strides, kernel, padding)
    cell = tuple(count // 2 for count in field.grid)
    values = np.zeros(field.grid)
    values[cell] = 2.0
    to_input = cell_map(field.grid, size, "receptive", field)
    explanation = placed(values, prepared, image, to_input)
    looks_at = [stride * place + (kernel - 1) / 2 - padding for stride, place in zip(strides, cell, strict=True)]
    expected = transform_points(prepared.affine, looks_at)
    np.testing.assert_allclose(explanation.statistics.peak_position_mm, expected, atol=1e-9)
    np.testing.assert_allclose(transform_points(explanation.affine, cell), expected, atol=1e-9)
    written, _ = on_source(explanation, image.shape, image.affine)
    mass = written.astype(np.float64) / written.sum()
    centre = [(mass * axis).sum() for axis in np.indices(written.shape)]
    wanted = np.linalg.inv(image.affine) @ [*expected, 1]
    np.testing.assert_allclose(centre, wanted[:3], atol=0.5)
    voxels = np.stack(np.indices(written.shape), axis=-1)
    steps = np.abs(transform_points(np.linalg.inv(explanation.to_source), voxels) - cell)
    assert (written[(steps > 1 + 1e-6).any(axis=-1)] == 0).all()


@pytest.mark.parametrize("alignment", ["tiling", "receptive"])
def test_inside_what_the_model_saw_every_place_has_a_cell_and_outside_none(make_image, alignment):
    image = make_image(np.zeros((41, 40, 41)), affine=np.eye(4))
    size = (21, 22, 23)
    prepared = prepare(image, card_of(list(size), [1.0, 1.0, 1.0], "LPH"))
    field = field_of(size, (4, 5, 6))
    to_input = cell_map(field.grid, size, alignment, field)
    explanation = placed(np.ones(field.grid), prepared, image, to_input)
    assert (explanation.on_input == 1).all()
    written, _ = on_source(explanation, image.shape, image.affine)
    assert written.sum() == pytest.approx(np.prod(size))
    assert set(np.unique(written)) == {0.0, 1.0}


@pytest.mark.parametrize("alignment", ["tiling", "receptive"])
def test_the_page_and_the_file_show_the_same_map_up_to_the_border(make_image, alignment):
    image = make_image(np.zeros((41, 40, 41)), affine=np.eye(4))
    size = (21, 22, 23)
    prepared = prepare(image, card_of(list(size), [1.0, 1.0, 1.0], "LPH"))
    field = field_of(size, (4, 5, 6))
    values = np.random.default_rng(3).uniform(1, 2, field.grid)
    explanation = placed(values, prepared, image, cell_map(field.grid, size, alignment, field))
    written, _ = on_source(explanation, image.shape, image.affine)
    for panel in panels(image, [explanation]):
        rows, columns = np.indices(panel.anatomy.shape)
        source = np.einsum("ij,jrc->irc", panel.to_source, np.stack([rows, columns, np.ones_like(rows)]))
        np.testing.assert_allclose(panel.maps["gradcam"], written[tuple(np.rint(source[:3]).astype(int))], atol=1e-6)


def test_both_alignments_are_one_where_the_kernel_is_the_stride(make_image):
    size = (24, 30, 36)
    field = field_of(size, (2, 2, 2), kernel=2, padding=0)
    np.testing.assert_allclose(
        cell_map(field.grid, size, "receptive", field), cell_map(field.grid, size, "tiling"), atol=1e-12
    )


def test_a_volume_4x6x6_on_32x96x96_lights_the_voxels_of_the_literature_and_nothing_else(make_image):
    image = make_image(np.zeros((32, 96, 96)), affine=np.eye(4))
    prepared = prepare(image, card_of([32, 96, 96], [1.0, 1.0, 1.0], "LPH"))
    values = np.zeros((4, 6, 6))
    values[1, 2, 4] = 1.0
    explanation = placed(values, prepared, image)
    mass = explanation.on_input.astype(np.float64) / explanation.on_input.sum()
    np.testing.assert_allclose([(mass * axis).sum() for axis in np.indices(mass.shape)], (11.5, 39.5, 71.5), atol=1e-6)
    assert explanation.on_input.min() == 0.0
    assert (explanation.on_input > 0).sum() == 16 * 32 * 32


@pytest.mark.parametrize("given", [None, (12, 12)])
def test_alignment_by_receptive_field_needs_the_field_of_this_grid(given):
    field = None if given is None else field_of(given, (2, 2))
    with pytest.raises(ExplainError, match="measure it on this layer"):
        cell_map((8, 8), (16, 16), "receptive", field)


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ExplainError, match="tiling or receptive"):
        cell_map((8, 8), (16, 16), "corners")
