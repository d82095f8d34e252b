"""Where letters lie: on the source exactly, on the model input through its index map."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from evidence_factories import make_image, make_prepared
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.glyphs import lettering
from audit_pipeline.checks.masks import masks_of, padding_of
from audit_pipeline.checks.text_mask import letters_of, text_mask
from audit_pipeline.geometry import index_map

from test_identity import chest  # isort: skip


def inked(text="PORTABLE", size=1.0, angle=0.0, shape=(512, 512), place=(150, 256)):
    ink = cv2.putText(np.zeros(shape, dtype=np.uint8), text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), angle, 1)
    return cv2.warpAffine(ink, turn, shape[::-1]) / 255.0


def written(ink, level=4095.0, values=None):
    return np.rint((chest() if values is None else values) * (1 - ink) + level * ink).astype(np.float32)


def found(values):
    return lettering(values, float(values.min()), float(values.max()), 0.0005)


@pytest.mark.parametrize("angle", [0, 15, 30, 45, 60, 90, 135, 180, 270])
def test_the_mask_covers_the_strokes_and_little_else_at_any_angle(angle):
    ink = inked(angle=angle)
    one = found(written(ink))
    assert one.longest >= 5
    assert one.mask[ink > 0.9].mean() > 0.8
    assert (ink > 0)[one.mask].mean() > 0.95


def test_ink_inside_the_range_is_found_although_metal_is_brighter():
    values = written(inked(place=(20, 50)), level=2500.0)
    values[300:330, 300:302] = 4095
    assert found(values).longest == 8


def test_dark_ink_inside_the_range_is_found():
    values = written(inked("LEFT SIDE", place=(30, 60)), level=400.0, values=3300 - chest())
    assert found(values).longest >= 7


def blurred(draw):
    metal = np.zeros((512, 512), dtype=np.float32)
    draw(metal)
    return np.clip(chest() + gaussian_filter(9000 * metal, 1.6), 0, 4095).astype(np.float32)


@pytest.mark.parametrize(
    "draw",
    [
        lambda metal: [cv2.line(metal, (200, row), (225, row + 3), 1.0, 3) for row in (200, 225, 250, 275)],
        lambda metal: [cv2.circle(metal, (column, 200), 9, 1.0, -1) for column in (150, 250, 350)],
        lambda metal: [
            cv2.line(metal, (200 + 8 * k, 250), (208 + 8 * k, 264 - 14 * (k % 2)), 1.0, 1) for k in range(8)
        ],
        lambda metal: [cv2.line(metal, (column, 240), (column + 4, 254), 1.0, 2) for column in (180, 196, 212, 228)],
    ],
    ids=["screws", "electrodes", "stent", "clips"],
)
def test_metal_as_a_detector_sees_it_is_no_text(draw):
    assert found(blurred(draw)) is None


def test_a_vessel_full_of_contrast_in_a_ct_is_no_text():
    volume = np.random.default_rng(0).normal(40, 12, (6, 128, 128))
    for index in range(6):
        volume[index, 40 + 4 * index : 52 + 4 * index, 60:64] = 3000
    assert not letters_of(make_image(gaussian_filter(volume, (0, 0.8, 0.8))))


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_letters_are_brought_to_the_model_input(factor):
    ink = inked()
    image = make_image(written(ink), modality="DX")
    size = round(512 / factor)
    matrix = index_map((factor, factor), ((factor - 1) / 2,) * 2)
    prepared = replace(make_prepared(np.zeros((1, size, size))), to_source=matrix)
    mask = text_mask(image, prepared)
    rows, columns = np.nonzero(ink > 0.9)
    places = [np.clip(np.rint((one - (factor - 1) / 2) / factor), 0, size - 1).astype(int) for one in (rows, columns)]
    assert mask[tuple(places)].mean() > 0.8
    assert mask.mean() < 0.10


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_in_a_volume_the_mask_stays_in_the_slices_of_the_text(axis):
    volume = np.stack([chest((128, 128), seed) for seed in range(6)]).astype(np.float32)
    volume[2] = written(inked("SCOUT", 0.5, shape=(128, 128), place=(20, 40)), values=volume[2])
    order = [one for one in range(3) if one]
    order.insert(axis, 0)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for place, source in enumerate(order):
        matrix[source, place] = 1
    shape = [volume.shape[source] for source in order]
    prepared = replace(make_prepared(np.zeros((1, *shape))), to_source=matrix)
    mask = text_mask(make_image(volume), prepared)
    assert np.flatnonzero(mask.any(axis=tuple(one for one in range(3) if one != axis))).tolist() == [2]


def test_the_same_image_is_read_once_and_another_anew():
    image = make_image(written(inked()))
    assert letters_of(image) is letters_of(image)
    assert not letters_of(make_image(chest()))


def test_without_letters_the_masks_hold_none_and_a_viewers_frame_is_padding():
    values = np.pad(chest((200, 200)), ((0, 0), (20, 10)), constant_values=0).astype(np.float32)
    image = make_image(values, modality="DX")
    masks = masks_of(image, make_prepared(values[None]))
    assert not masks.text.any()
    assert masks.padding.sum() == 200 * 30
    assert masks.padding[:, :20].all()


def test_a_constant_image_is_no_frame_and_invalid_values_are_padding():
    assert not padding_of(make_image(np.zeros((16, 16)))).any()
    invalid = np.zeros((3, 16, 16), dtype=bool)
    invalid[1] = True
    values = np.random.default_rng(0).random((3, 16, 16))
    np.testing.assert_array_equal(padding_of(make_image(values, invalid=invalid)), invalid)
