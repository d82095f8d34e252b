"""What went in, as pictures: the slice as stored, the model input at its place, slices of that input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.card import read_card
from audit_pipeline.geometry import transform_points
from audit_pipeline.intake import in_own_grey, intake_panels
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Image

RANGE = {"range": {"low": 0, "high": 100}}
CARD = {
    "name": "m", "version": "1", "task": "binary", "classes": ["a"], "spatial_dims": 3, "factory": "no.module:none",
    "input": {"orientation": "HPL", "spacing_mm": [2, 2, 2], "size": [20, 24, 28], "intensity": RANGE},
}  # fmt: skip
FLAT = {**CARD, "spatial_dims": 2, "input": {"spacing_mm": None, "size": [40, 40], "intensity": RANGE}}


def volume(signs=(1, 1, 1)):
    """Values grow along the patient's axes whatever the direction in which they are stored; axes toward H, P, L."""
    affine = np.zeros((4, 4))
    for axis, (world, sign, step) in enumerate(zip((2, 1, 0), signs, (2.0, 2.0, 2.0), strict=True)):
        affine[world, axis] = sign * step
    affine[3, 3] = 1
    values = np.random.default_rng(3).uniform(0, 100, (18, 24, 28)).astype(np.float32)
    return Image(values=values, affine=affine, spacing_mm=(2.0, 2.0, 2.0), modality="CT", unit="HU", format="dicom")


def taken(image, card, shown=()):
    prepared = prepare(image, read_card(card))
    return prepared, {role: [one for one in intake_panels(image, prepared, shown) if one.role == role]
                      for role in ("stored", "fed", "mosaic")}  # fmt: skip


def test_the_stored_slice_is_the_array_as_it_is():
    image = volume((-1, -1, 1))
    _, panels = taken(image, CARD)
    (stored,) = panels["stored"]
    assert np.array_equal(stored.anatomy, image.values[stored.index])
    assert stored.letters == ("R", "L", "P", "A")


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, 1)])
def test_the_model_input_is_the_slice_that_the_network_reads_at_the_place_of_the_stored_one(signs):
    image = volume(signs)
    prepared, panels = taken(image, CARD)
    (stored,), (fed,) = panels["stored"], panels["fed"]
    place = transform_points(np.linalg.inv(prepared.to_source), [stored.index, 11.5, 13.5])
    assert np.array_equal(fed.anatomy, prepared.values[0, round(float(place[0]))])
    assert (fed.axis, fed.index) == (0, stored.index)
    assert fed.letters == ("R", "L", "A", "P")


def test_every_pixel_of_the_model_input_leads_to_the_voxel_it_shows():
    image = volume((1, -1, -1))
    _, panels = taken(image, CARD)
    (fed,) = panels["fed"]
    for row, column in ((3, 4), (20, 9)):
        voxel = fed.to_source @ [row, column, 1]
        found = tuple(round(one) for one in voxel[:3])
        assert fed.anatomy[row, column] == pytest.approx(image.values[found] / 100, abs=1e-5)


def test_nine_slices_are_spread_over_the_image_data_from_end_to_end():
    image = volume()
    prepared, panels = taken(image, CARD)
    filled = np.flatnonzero(prepared.inside.any(axis=(1, 2)))
    assert len(panels["mosaic"]) == 9
    assert [panels["mosaic"][0].index, panels["mosaic"][-1].index] == [0, 17]
    assert np.array_equal(panels["mosaic"][0].anatomy, prepared.values[0, filled[0]])
    assert np.array_equal(panels["mosaic"][-1].anatomy, prepared.values[0, filled[-1]])


def test_a_large_slice_is_averaged_over_whole_blocks_and_keeps_its_place():
    image = replace(volume(), values=np.random.default_rng(1).uniform(0, 100, (4, 400, 330)).astype(np.float32))
    _, panels = taken(image, CARD)
    (stored,) = panels["stored"]
    assert stored.anatomy.shape == (133, 110)
    assert stored.anatomy[5, 7] == pytest.approx(image.values[stored.index, 15:18, 21:24].mean(), rel=1e-5)
    assert list(stored.to_source @ [5, 7, 1])[1:3] == [16, 22]
    assert stored.pixel_mm == (6.0, 6.0)


def test_an_image_has_no_mosaic_and_its_letters_are_those_of_the_report():
    image = Image(
        values=np.random.default_rng(2).uniform(0, 100, (40, 30)).astype(np.float32), affine=None,
        spacing_mm=(1.0, 1.0), modality="DX", unit="stored value", format="dicom",
    )  # fmt: skip
    prepared, panels = taken(image, FLAT)
    assert not panels["mosaic"]
    assert np.array_equal(panels["stored"][0].anatomy, image.values)
    assert np.array_equal(panels["fed"][0].anatomy, prepared.values[0])
    assert panels["fed"][0].letters == ("", "", "", "")


def test_a_colour_image_keeps_its_colours():
    values = np.random.default_rng(2).uniform(0, 100, (40, 40, 3)).astype(np.float32)
    image = Image(values=values, affine=None, spacing_mm=(1.0, 1.0), modality="XC", unit="", format="dicom")
    _, panels = taken(image, {**FLAT, "channels": 3})
    assert panels["stored"][0].anatomy.shape == (40, 40, 3)
    assert panels["fed"][0].anatomy == pytest.approx(values * 2.55, abs=1e-3)


def test_blanked_blocks_of_the_model_input_get_the_middle_of_its_own_greys():
    _, panels = taken(volume(), CARD)
    (fed,) = panels["fed"]
    spoilt = np.array(fed.anatomy)
    spoilt[2:5, 3:9] = -400.0
    covered = in_own_grey(replace(fed, anatomy=spoilt, blanked=((2, 5, 3, 9),)))
    rest = np.ones(fed.anatomy.shape, dtype=bool)
    rest[2:5, 3:9] = False
    assert np.array_equal(covered.anatomy[rest], fed.anatomy[rest])
    assert np.all(covered.anatomy[2:5, 3:9] == (fed.anatomy[rest].min() + fed.anatomy[rest].max()) / 2)
    (stored,) = panels["stored"]
    assert in_own_grey(replace(stored, blanked=((2, 5, 3, 9),))).anatomy is stored.anatomy
