"""The body mask on synthetic and real images, Otsu's threshold, and the fixed regions."""

import numpy as np
import pytest
from evidence_factories import disc, make_image, make_prepared
from hypothesis import given, settings
from hypothesis import strategies as st
from real_images import real_image
from scipy.ndimage import zoom

from audit_pipeline.checks.masks import body_mask, border_and_centre, chest_regions, masks_of, otsu, padding_of
from audit_pipeline.checks.source_slices import grey_of, sampled


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def windowed(hounsfield, center=40, width=400):
    return np.clip((hounsfield - center) / width + 0.5, 0, 1)


def trunk(shape):
    """A CT trunk: skin, fat, muscle, two lungs, a table below; and the mask of its body."""
    rows = (np.indices(shape)[-2] + 0.5) / shape[-2]
    columns = (np.indices(shape)[-1] + 0.5) / shape[-1]
    body = ((rows - 0.48) / 0.34) ** 2 + ((columns - 0.5) / 0.42) ** 2 <= 1
    values = np.full(shape, -1000.0)
    values[body] = -90
    values[((rows - 0.48) / 0.29) ** 2 + ((columns - 0.5) / 0.37) ** 2 <= 1] = 45
    for side in (0.33, 0.67):
        values[((rows - 0.45) / 0.18) ** 2 + ((columns - side) / 0.11) ** 2 <= 1] = -850
    values[(rows > 0.88) & (rows < 0.91)] = 120
    return values + np.random.default_rng(0).normal(0, 15, shape), body


@pytest.mark.parametrize("shape", [(128, 128), (24, 64, 64)])
@pytest.mark.parametrize("window", [(40, 400), (-600, 1500), (40, 80)])
def test_the_body_of_a_ct_includes_fat_and_lungs_and_excludes_air_and_table(shape, window):
    values, body = trunk(shape)
    found = body_mask(make_prepared(windowed(values, *window)[None]))
    if window == (40, 80):  # fat and air are both black here, only the muscle can be found
        assert found[body].mean() > 0.7
        assert not (found & ~body).any()
    else:
        assert dice(found, body) > 0.97


@pytest.mark.parametrize("shape", [(128, 128), (24, 64, 64), (32, 32, 32)])
def test_a_block_in_the_corner_that_touches_the_patient_is_no_body(shape):
    values, body = trunk(shape)
    rows, columns = ((np.indices(shape)[axis] + 0.5) / shape[axis] for axis in (-2, -1))
    block = (rows < 0.235) & (columns < 0.235)
    assert (block & body).any()
    values[block] = 300
    found = body_mask(make_prepared(windowed(values)[None]))
    assert found[block & ~body].mean() < 0.25
    assert dice(found, body) > 0.97


def test_a_finger_and_a_forearm_that_reach_the_edge_belong_to_the_hand():
    rows, columns = ((np.indices((160, 160))[axis] + 0.5) / 160 for axis in (0, 1))
    hand = (rows > 0.45) & (rows < 0.8) & (np.abs(columns - 0.5) < 0.3)
    hand |= (rows >= 0.8) & (np.abs(columns - 0.5) < 0.14)
    for middle, tip in ((0.25, 0.0), (0.42, 0.05), (0.58, 0.05), (0.75, 0.1)):
        hand |= (rows > tip) & (rows <= 0.45) & (np.abs(columns - middle) < 0.045)
    values = np.where(hand, 0.6, 0.02) + np.random.default_rng(0).normal(0, 0.01, hand.shape)
    assert dice(body_mask(make_prepared(values[None])), hand) > 0.99


@pytest.mark.parametrize("shape", [(128, 128), (24, 64, 64)])
def test_padding_is_not_body_and_does_not_disturb_it(shape):
    values, body = trunk(shape)
    wide = [(0, 0)] * (len(shape) - 1) + [(20, 30)]
    inside = np.pad(np.ones(shape, dtype=bool), wide)
    prepared = make_prepared(np.pad(windowed(values), wide, constant_values=0.7)[None], inside=inside)
    found = body_mask(prepared)
    assert not found[~inside].any()
    assert dice(found, np.pad(body, wide)) > 0.97


def test_a_standardised_mr_slice_with_noisy_air_is_separated():
    body = disc((160, 160), 0.36)
    random = np.random.default_rng(1)
    noise = np.hypot(random.normal(0, 6, body.shape), random.normal(0, 6, body.shape))
    values = np.where(body, 150 + random.normal(0, 40, body.shape), 0) + noise
    found = body_mask(make_prepared(((values - values.mean()) / values.std())[None]))
    assert dice(found, body) > 0.97


def test_the_mean_over_channels_is_used():
    values, body = trunk((128, 128))
    three = np.stack([windowed(values), windowed(values, 0, 800), windowed(values, -200, 1200)])
    assert dice(body_mask(make_prepared(three)), body) > 0.97


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_a_radiograph_that_fills_the_frame_is_body_everywhere(name):
    values = zoom(real_image(name).values, 0.1, order=1)
    assert body_mask(make_prepared(values[None])).all()


@pytest.mark.parametrize(("name", "share"), [("693_UNCR.dcm", 0.30), ("explicit_VR-UN.dcm", 0.29)])
def test_the_patient_of_a_real_ct_slice_is_found_without_the_table(name, share):
    values = zoom(real_image(name).values, 0.5, order=1)
    found = body_mask(make_prepared(windowed(values)[None]))
    assert found.mean() == pytest.approx(share, abs=0.03)
    assert found[128, 128]
    assert not found[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_a_radiograph_with_dark_air_in_its_corners_is_told_from_it():
    body = disc((128, 128), 0.45)
    values = np.where(body, 0.5, 0.02) + 0.3 * disc((128, 128), 0.15) - 0.35 * disc((128, 128), 0.1)
    assert dice(body_mask(make_prepared(values[None])), body) > 0.99


def test_an_airway_open_to_the_outside_in_one_slice_belongs_to_the_body_in_the_others():
    body = disc((64, 64), 0.4)
    volume = np.where(np.stack([body] * 8), 0.6, 0.0)
    volume[:, 30:34, 30:34] = 0.0
    volume[0, 30:34, 30:] = 0.0
    found = body_mask(make_prepared(volume[None]))
    assert found[1:, 31, 31].all()
    assert not found[0, 31, 31]


def test_a_constant_or_non_finite_input_has_no_body():
    assert body_mask(make_prepared(np.zeros((1, 16, 16)))) is None
    assert body_mask(make_prepared(np.full((1, 16, 16), np.nan))) is None
    values = np.random.default_rng(0).random((1, 16, 16))
    assert body_mask(make_prepared(values, inside=np.zeros((16, 16), dtype=bool))) is None


def test_a_volume_whose_dark_corners_are_not_flat_has_no_credible_body():
    values = np.random.default_rng(0).random((1, 16, 32, 32))
    assert body_mask(make_prepared(values)) is None


def test_a_speck_in_the_air_is_no_body():
    values = np.zeros((1, 64, 64))
    values[0, 30:33, 30:33] = 1.0
    assert body_mask(make_prepared(values)) is None


def test_the_mask_is_read_only():
    assert not body_mask(make_prepared(windowed(trunk((64, 64))[0])[None])).flags.writeable


@pytest.mark.parametrize("axis", [0, 1])
def test_flipping_the_input_flips_the_mask(axis):
    values, _ = trunk((96, 96))
    one = body_mask(make_prepared(windowed(values)[None]))
    other = body_mask(make_prepared(np.flip(windowed(values), axis)[None]))
    np.testing.assert_array_equal(np.flip(one, axis), other)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_otsu_maximises_the_variance_between_the_classes(seed):
    random = np.random.default_rng(seed)
    values = np.clip(np.concatenate([random.normal(0.3, 0.1, 300), random.normal(0.7, 0.1, 200)]), 0, 1)

    def between(threshold):
        low = values <= threshold
        if low.all() or not low.any():
            return 0.0
        return low.mean() * (~low).mean() * (values[low].mean() - values[~low].mean()) ** 2

    best = max(between(threshold) for threshold in np.linspace(0, 1, 257))
    assert between(otsu(values)) >= 0.98 * best


def test_border_and_centre_have_their_closed_form_areas():
    border, centre = border_and_centre((200, 100))
    assert border.mean() == pytest.approx(1 - 0.9**2)
    assert centre.mean() == pytest.approx(0.25)
    assert border_and_centre((3, 200, 100))[0].shape == (3, 200, 100)


def test_mediastinum_and_lungs_do_not_overlap_and_are_symmetric():
    midline, lungs = chest_regions((300, 300))
    assert not (midline & lungs).any()
    for region in (midline, lungs):
        np.testing.assert_array_equal(region, region[:, ::-1])


def test_large_volumes_are_sampled_evenly_and_colour_by_its_brightest_channel():
    from evidence_factories import make_image

    values, valid = sampled(make_image(np.random.default_rng(0).random((100, 4, 4))))
    assert values.shape[0] == 25
    assert valid.all()
    colour = np.random.default_rng(0).random((8, 8, 3))
    np.testing.assert_allclose(grey_of(make_image(colour, is_colour=True)), colour.max(axis=-1), rtol=1e-6)


def test_a_filling_outside_the_circle_of_a_scanner_is_padding_and_no_body():
    values, body = trunk((128, 128))
    rows, columns = np.indices((128, 128)) - 63.5
    outside = np.hypot(rows, columns) > 64
    values[outside] = -3024
    image = make_image(values)
    np.testing.assert_array_equal(padding_of(image), outside)
    found = masks_of(image, make_prepared(np.clip((values + 1000) / 1300, 0, 1)[None]))
    assert not found.body[outside].any()
    assert dice(found.body, body & ~outside) > 0.97


def test_a_whole_radiograph_of_zeros_and_tissue_has_no_filling():
    values = np.where(
        disc((64, 64), 0.3), 500.0 + 20 * np.arange(64), 100.0 * np.random.default_rng(0).random((64, 64))
    )
    assert not padding_of(make_image(values, modality="DX")).any()
