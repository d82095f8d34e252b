"""Preparation: every prepared voxel shows the value of the patient position it claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.card import read_card
from audit_pipeline.errors import ColourError, ModelError, OrientationError
from audit_pipeline.geometry import transform_points
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Image, sealed

WIDE = {"range": {"low": -1e6, "high": 1e6}}


def card(size, spacing_mm=None, orientation=None, intensity=None, channels=1, **fields):
    classes = {"task": "binary", "classes": ["nodule"], "factory": "a.b:c", "name": "n", "version": "1"}
    given_input = {"size": size, "spacing_mm": spacing_mm, "orientation": orientation, "intensity": intensity or WIDE}
    more = {name: fields.pop(name) for name in ("aggregate",) if name in fields}
    whole = classes | {"spatial_dims": len(size), "channels": channels, "input": given_input | fields}
    return read_card(whole | more)


def ramp(affine, shape):
    """Values that are a linear function of the patient position: 2 x + 3 y + 5 z."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return transform_points(affine, places) @ (2.0, 3.0, 5.0)


def anatomical(order, signs, spacing=(2.5, 1.5, 1.0)):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, 3] = (11, -7, 30)
    return affine


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.sampled_from(["HPL", "LPH", "IAR", "SPR", "ALF"]),
)
def test_values_belong_to_their_patient_position_for_every_stored_orientation(order, signs, orientation):
    affine = anatomical(order, signs)
    shape = (14, 15, 16)
    image = Image(
        values=sealed(ramp(affine, shape).astype(np.float32)), affine=affine, spacing_mm=(2.5, 1.5, 1.0),
        modality="CT", unit="HU", format="dicom",
    )  # fmt: skip
    prepared = prepare(image, card([9, 8, 7], [3.0, 2.0, 2.5], orientation))
    places = np.stack(np.meshgrid(*map(np.arange, (9, 8, 7)), indexing="ij"), axis=-1)
    source = transform_points(prepared.to_source, places)
    interior = ((source > 3) & (source < np.array(shape) - 4)).all(axis=-1)
    expected = transform_points(prepared.affine, places) @ (2.0, 3.0, 5.0)
    assert interior.sum() > 20
    restored = prepared.values[0].astype(np.float64) * 2e6 - 1e6
    np.testing.assert_allclose(restored[interior], expected[interior], atol=0.5)
    letters = {
        "L": (0, 1),
        "R": (0, -1),
        "P": (1, 1),
        "A": (1, -1),
        "H": (2, 1),
        "S": (2, 1),
        "F": (2, -1),
        "I": (2, -1),
    }
    for axis, letter in enumerate(orientation):
        world, sign = letters[letter]
        assert prepared.affine[world, axis] * sign > 0


def test_padding_is_marked_and_takes_the_lowest_fed_value(make_image):
    image = make_image(np.full((4, 4), 50.0), spacing_mm=(1.0, 1.0))
    prepared = prepare(image, card([8, 8], [1.0, 1.0], intensity={"range": {"low": 0, "high": 100}}))
    assert prepared.inside.sum() == 16
    assert prepared.inside[2:6, 2:6].all()
    np.testing.assert_allclose(prepared.values[0][prepared.inside], 0.5)
    np.testing.assert_allclose(prepared.values[0][~prepared.inside], 0.0)


def test_an_explicit_fill_value_is_used_outside(make_image):
    image = make_image(np.full((4, 4), 50.0), spacing_mm=(1.0, 1.0))
    prepared = prepare(image, card([8, 8], [1.0, 1.0], intensity={"range": {"low": 0, "high": 100}}, fill=100))
    np.testing.assert_allclose(prepared.values[0][~prepared.inside], 1.0)


def test_without_a_spacing_the_whole_image_is_fitted_and_the_aspect_kept(make_image):
    image = make_image(np.arange(20.0 * 10).reshape(20, 10), spacing_mm=(1.0, 1.0))
    prepared = prepare(image, card([10, 10]))
    assert prepared.spacing_mm == (2.0, 2.0)
    corners = transform_points(prepared.to_source, [[-0.5, 0], [9.5, 0]])
    np.testing.assert_allclose(corners[:, 0], [-0.5, 19.5])
    assert 4 <= prepared.inside[5].sum() <= 6


def test_physical_aspect_decides_for_pixels_that_are_not_square(make_image):
    image = make_image(np.ones((10, 10)), spacing_mm=(2.0, 1.0))
    prepared = prepare(image, card([20, 20]))
    scale = np.diag(prepared.to_source)[:2]
    np.testing.assert_allclose(scale, [0.5, 1.0])


def test_shrinking_averages_instead_of_skipping(make_image):
    checker = (np.indices((64, 64)).sum(axis=0) % 2).astype(float) * 100
    prepared = prepare(
        make_image(checker, spacing_mm=(1.0, 1.0)), card([16, 16], intensity={"range": {"low": 0, "high": 100}})
    )
    np.testing.assert_allclose(prepared.values, 0.5, atol=0.05)


def test_invalid_voxels_become_padding_and_never_reach_the_network(make_image):
    values = np.full((8, 8), 10.0)
    values[:, 4:] = np.nan
    invalid = np.isnan(values)
    prepared = prepare(make_image(values, spacing_mm=(1.0, 1.0), invalid=invalid), card([8, 8], [1.0, 1.0]))
    assert np.isfinite(prepared.values).all()
    np.testing.assert_array_equal(prepared.inside, ~invalid)


def test_values_that_are_not_finite_and_not_marked_are_refused(make_image):
    values = np.full((8, 8), 10.0)
    values[3, 3] = np.inf
    with pytest.raises(ModelError, match="not finite"):
        prepare(make_image(values, spacing_mm=(1.0, 1.0)), card([8, 8], [1.0, 1.0]))


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        ({"window": {"center": 50, "width": 100}}, [0.0, 0.25, 1.0]),
        ({"range": {"low": 0, "high": 200}}, [0.0, 0.125, 0.5]),
        ({"percentile": {"low": 0, "high": 100}}, [0.0, 0.25, 1.0]),
    ],
)
def test_intensities_follow_their_closed_form(make_image, intensity, expected):
    image = make_image(np.array([[0.0, 25.0, 100.0]]), spacing_mm=(1.0, 1.0))
    prepared = prepare(image, card([1, 3], [1.0, 1.0], intensity=intensity))
    np.testing.assert_allclose(prepared.values[0, 0], expected)


def test_the_z_score_has_mean_zero_and_deviation_one(make_image):
    values = np.random.default_rng(0).normal(40, 7, (16, 16))
    prepared = prepare(make_image(values, spacing_mm=(1.0, 1.0)), card([16, 16], [1.0, 1.0], intensity={"zscore": {}}))
    assert float(prepared.values.mean()) == pytest.approx(0, abs=1e-5)
    assert float(prepared.values.std()) == pytest.approx(1, abs=1e-5)


def test_a_constant_image_survives_every_intensity(make_image):
    image = make_image(np.full((4, 4), 3.0), spacing_mm=(1.0, 1.0))
    for intensity in ({"zscore": {}}, {"percentile": {}}):
        assert np.isfinite(prepare(image, card([4, 4], [1.0, 1.0], intensity=intensity)).values).all()


def test_grey_is_repeated_for_three_channels_and_colour_moves_to_the_front(make_image):
    grey = make_image(np.ones((4, 4)), spacing_mm=(1.0, 1.0))
    assert prepare(grey, card([4, 4], channels=3)).values.shape == (3, 4, 4)
    rgb = np.zeros((4, 4, 3))
    rgb[..., 1] = 255
    colour = make_image(rgb, spacing_mm=(1.0, 1.0))
    prepared = prepare(colour, card([4, 4], channels=3, intensity={"range": {"low": 0, "high": 255}}))
    np.testing.assert_allclose(prepared.values[1], 1.0)
    with pytest.raises(ColourError, match="one grey channel"):
        prepare(colour, card([4, 4]))


def test_misfits_are_refused_with_what_to_do(make_image):
    volume = make_image(np.ones((4, 4, 4)), affine=np.eye(4))
    with pytest.raises(ModelError, match="takes 2D images, the study delivers a volume of 4 slices"):
        prepare(volume, card([4, 4]))
    with pytest.raises(ModelError, match="the study delivers a 2D image"):
        prepare(make_image(np.ones((4, 4)), spacing_mm=(1.0, 1.0)), card([4, 4, 4]))
    with pytest.raises(ModelError, match="spacing of the image is unknown"):
        prepare(make_image(np.ones((4, 4)), spacing_mm=(None, None)), card([4, 4], [1.0, 1.0]))
    with pytest.raises(ModelError, match="1 or 3 channels"):
        prepare(volume, card([4, 4, 4], channels=2))
    with pytest.raises(ModelError, match="each of the directions"):
        prepare(volume, card([4, 4, 4], orientation="LRH"))


def test_an_unknown_orientation_keeps_the_stored_axes_and_says_so(make_image):
    image = make_image(np.arange(64.0).reshape(4, 4, 4), spacing_mm=(1.0, 1.0, 1.0))
    prepared = prepare(image, card([4, 4, 4], [1.0, 1.0, 1.0], "HPL"))
    assert prepared.affine is None
    assert "orientation unknown" in prepared.steps[0]
    np.testing.assert_allclose(prepared.to_source, np.eye(4))


def test_a_model_that_tells_sides_apart_refuses_a_volume_without_sides(make_image):
    image = make_image(np.arange(64.0).reshape(4, 4, 4), spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(OrientationError, match="left from right"):
        prepare(image, card([4, 4, 4], [1.0, 1.0, 1.0], "HPL", laterality_sensitive=True))


def test_records_are_sealed(make_image):
    prepared = prepare(make_image(np.ones((4, 4)), spacing_mm=(1.0, 1.0)), card([4, 4]))
    with pytest.raises(ValueError, match="read-only"):
        prepared.values[0, 0, 0] = 1


def test_slices_are_resampled_in_their_plane_and_kept_across_it():
    affine = anatomical((2, 1, 0), (1, 1, 1), (5.0, 1.5, 1.0))
    image = Image(
        values=sealed(ramp(affine, (7, 20, 24)).astype(np.float32)), affine=affine, spacing_mm=(5.0, 1.5, 1.0),
        modality="CT", unit="HU", format="dicom",
    )  # fmt: skip
    sliced = card([10, 8], [2.0, 2.0], "HPL", slices="each", aggregate="max")
    prepared = prepare(image, sliced)
    assert prepared.values.shape == (1, 7, 10, 8)
    assert prepared.spacing_mm == (5.0, 2.0, 2.0)
    assert prepared.steps[1].startswith("7 slices kept as stored; in their plane resampled to 2 x 2 mm")
    places = np.stack(np.meshgrid(*map(np.arange, (7, 10, 8)), indexing="ij"), axis=-1)
    np.testing.assert_allclose(transform_points(prepared.to_source, places)[..., 0], places[..., 0], atol=1e-12)
    expected = transform_points(prepared.affine, places) @ (2.0, 3.0, 5.0)
    np.testing.assert_allclose(prepared.values[0].astype(np.float64) * 2e6 - 1e6, expected, atol=0.5)


def test_a_volume_of_one_slice_is_prepared_as_that_image():
    values = np.random.default_rng(0).random((1, 20, 24)).astype(np.float32)
    facts = {"affine": None, "modality": "CT", "unit": "HU", "format": "dicom"}
    volume = Image(values=sealed(values), spacing_mm=(5.0, 1.5, 1.0), **facts)
    image = Image(values=sealed(values[0].copy()), spacing_mm=(1.5, 1.0), **facts)
    unit = {"percentile": {"low": 1, "high": 99}}
    sliced = prepare(volume, card([16, 16], orientation="HPL", slices="each", aggregate="max", intensity=unit))
    alone = prepare(image, card([16, 16], intensity=unit))
    np.testing.assert_array_equal(sliced.values[:, 0], alone.values)
    np.testing.assert_array_equal(sliced.to_source[1:, 1:], alone.to_source)


def test_neighbouring_slices_stay_one_channel_until_the_network_reads_them():
    image = Image(
        values=sealed(np.zeros((5, 8, 8), np.float32)), affine=None, spacing_mm=(1.0, 1.0, 1.0), modality="CT",
        unit="HU", format="dicom",
    )  # fmt: skip
    stack = card([8, 8], orientation="HPL", slices="stack", aggregate="mean", channels=5)
    each = card([8, 8], orientation="HPL", slices="each", aggregate="mean", channels=3)
    assert prepare(image, stack).values.shape == (1, 5, 8, 8)
    assert prepare(image, each).values.shape == (3, 5, 8, 8)


def test_an_image_is_refused_by_a_model_that_reads_slices_and_a_volume_by_one_that_does_not():
    facts = {"affine": None, "modality": "CT", "unit": "HU", "format": "dicom"}
    image = Image(values=sealed(np.zeros((8, 8), np.float32)), spacing_mm=(1.0, 1.0), **facts)
    volume = Image(values=sealed(np.zeros((3, 8, 8), np.float32)), spacing_mm=(1.0, 1.0, 1.0), **facts)
    with pytest.raises(ModelError, match="takes volumes, slice by slice, the study delivers a 2D image"):
        prepare(image, card([8, 8], orientation="HPL", slices="each", aggregate="max"))
    with pytest.raises(ModelError, match=r"a volume of 3 slices.*or let the model card read its slices"):
        prepare(volume, card([8, 8]))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((20, 40, 50), (32, 40, 56)), ((32, 32, 32), (32, 32, 32)), ((33, 32, 64), (48, 32, 64))],
)
def test_a_grid_for_windows_is_as_large_as_the_image_in_steps_of_the_windows(shape, expected):
    image = Image(
        values=sealed(np.ones(shape, np.float32)), affine=None, spacing_mm=(2.0, 2.0, 2.0), modality="CT", unit="HU",
        format="dicom",
    )  # fmt: skip
    windows = {"size": [32, 32, 32], "overlap": 0.5 if expected[2] != 56 else 0.75}
    given_card = read_card(
        {
            "name": "n", "version": "1", "task": "binary", "classes": ["nodule"], "factory": "a.b:c", "spatial_dims": 3,
            "input": {"windows": windows, "intensity": {"range": {"low": 0, "high": 1}}},
        }
    )  # fmt: skip
    prepared = prepare(image, given_card)
    assert prepared.values.shape[1:] == expected
    assert prepared.inside.sum() == np.prod(shape)
    assert prepared.values.sum() == pytest.approx(np.prod(shape))
    assert "for windows of 32 x 32 x 32" in prepared.steps[1]
