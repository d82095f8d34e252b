"""Model inputs made from phantoms: the stated centre must be where the nodule lies on the prepared grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from audit_pipeline.card import read_card
from audit_pipeline.demo.examples import example, examples, phantom_image
from audit_pipeline.demo.recipes import RECIPES
from audit_pipeline.geometry import transform_points
from audit_pipeline.prepare import prepare
from tests.demo.phantom_cases import SEEDS, made, seen

UNPINNED = {"weights": {"path": "none.safetensors", "sha256": "0" * 64}}
CARDS = {name: read_card({**recipe.card, **UNPINNED}) for name, recipe in RECIPES.items()}


@pytest.fixture(params=CARDS)
def card(request):
    return CARDS[request.param]


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_the_centre_is_where_the_twins_differ_most(card, seed):
    with_nodule, without = (example(seed, card, nodule=nodule) for nodule in (True, False))
    difference = np.abs(with_nodule.values - without.values)[0]
    if card.spatial_dims == 2:
        # noise differs in every pixel of a radiograph, a nodule in many at once
        difference = ndimage.uniform_filter(with_nodule.values[0] - without.values[0], 7)
    difference = np.where(difference > difference.max() / 2, difference, 0)
    middle = ndimage.center_of_mass(difference)
    assert np.abs(np.array(middle) - with_nodule.centre).max() < 2.5


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_centre_of_a_volume_is_the_phantoms_centre_in_the_patient(seed):
    card = CARDS["ct_3d"]
    image, _ = phantom_image(seed, 3, nodule=True)
    prepared = prepare(image, card)
    position_mm = transform_points(prepared.affine, example(seed, card, nodule=True).centre)
    assert np.abs(position_mm - made(seed).nodule_center_mm).max() < 2.0


def test_the_centre_of_a_radiograph_is_that_of_the_projected_mask():
    card, one = CARDS["cxr_2d"], seen(SEEDS[0])
    height, width = one.values.shape
    factor = max(height / card.input.size[0], width / card.input.size[1])
    place = np.argwhere(one.mask).mean(axis=0)
    expected = [
        (at - (size - 1) / 2) / factor + (full - 1) / 2
        for at, size, full in zip(place, (height, width), card.input.size, strict=True)
    ]
    assert example(SEEDS[0], card, nodule=True).centre == pytest.approx(expected, abs=1e-6)


def test_values_are_what_the_card_asks_for(card):
    one = example(SEEDS[0], card, nodule=True)
    assert one.values.shape == (1, *card.input.size)
    assert one.values.dtype == np.float32
    assert one.values.min() >= 0
    assert one.values.max() <= 1


def test_without_a_nodule_there_is_no_centre(card):
    one = example(SEEDS[0], card, nodule=False)
    assert not one.label
    assert one.centre is None


@pytest.mark.parametrize(("dimensions", "modality", "unit"), [(3, "CT", "HU"), (2, "DX", "stored value")])
def test_the_image_is_what_the_loader_would_deliver(dimensions, modality, unit):
    image, mask = phantom_image(SEEDS[0], dimensions, nodule=True)
    assert (image.modality, image.unit, len(image.shape)) == (modality, unit, dimensions)
    assert mask.shape == image.shape
    assert (image.affine is None) == (dimensions == 2)
    assert all(side > 0 for side in image.spacing_mm)


def test_several_processes_give_the_same_examples_in_order():
    card = CARDS["cxr_2d"]
    many = examples(SEEDS, card, nodule=True)
    for seed, one in zip(SEEDS, many, strict=True):
        alone = example(seed, card, nodule=True)
        assert np.array_equal(one.values, alone.values)
        assert one.centre == alone.centre
