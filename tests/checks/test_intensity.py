"""Polarity and blank images, on synthetic and on real ones."""

import numpy as np
import pytest
from evidence_factories import disc, gradient, make_evidence, make_image
from real_images import CT_SLICES, MR_SLICES, RADIOGRAPHS, real_image

from audit_pipeline.checks.intensity import blank_image, inverted_polarity
from audit_pipeline.findings import Outcome


def polarity(image, **settings):
    return inverted_polarity(make_evidence(image=image), **settings)


def limb(shape=(200, 160)):
    """A radiograph of a limb: dark air, grey tissue, bright bone."""
    return 100 + 1500 * disc(shape, 0.40) + 1500 * disc(shape, 0.15) + 20 * gradient(shape)


@pytest.mark.parametrize("scale", [1.0, 0.01, 40.0])
def test_an_inverted_radiograph_is_flagged_and_the_right_one_passes_at_any_scale(scale):
    right = scale * limb()
    given = [
        polarity(make_image(values, modality="DX", unit="stored value")) for values in (right, right.max() - right)
    ]
    assert [one.outcome for one in given] == [Outcome.PASS, Outcome.FLAG]
    assert given[0].value == pytest.approx(-given[1].value, abs=1e-3)


def test_a_real_chest_radiograph_passes_and_unhandled_monochrome1_is_flagged():
    assert polarity(real_image("RG1_UNCR.dcm")).outcome is Outcome.PASS
    finding = polarity(real_image("RG1_UNCR.dcm", handles_monochrome1=False))
    assert finding.outcome is Outcome.FLAG
    assert "mediastinum" in finding.message


@pytest.mark.parametrize("handles", [True, False])
def test_a_real_collimated_radiograph_does_not_tell(handles):
    finding = polarity(real_image("RG3_UNCR.dcm", handles_monochrome1=handles))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "collimated" in finding.message


def test_a_right_radiograph_with_bright_collimation_all_around_is_not_flagged():
    values = limb((300, 300))
    values[np.maximum(*np.abs(np.indices((300, 300)) - 149.5)) > 120] = values.max()
    assert polarity(make_image(values, modality="CR")).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("name", CT_SLICES)
def test_real_ct_passes_and_its_negative_is_flagged(name):
    image = real_image(name)
    assert polarity(image).outcome is Outcome.PASS
    negative = image.values.max() + image.values.min() - image.values
    assert polarity(make_image(negative)).outcome is Outcome.FLAG


@pytest.mark.parametrize("unit", ["HU", "stored value"])
def test_a_ct_volume_is_judged_by_its_slices(unit):
    values = np.where(disc((12, 64, 64), 0.4), 40.0, -1000.0) + gradient((12, 64, 64))
    assert polarity(make_image(values, unit=unit)).outcome is Outcome.PASS
    assert polarity(make_image(-values, unit=unit)).outcome is Outcome.FLAG


def test_padding_does_not_count():
    values = limb()
    invalid = np.zeros(values.shape, dtype=bool)
    invalid[:8], invalid[-8:], invalid[:, :4], invalid[:, -4:] = True, True, True, True
    values[invalid] = 9e9
    assert polarity(make_image(values, modality="DX", invalid=invalid)).outcome is Outcome.PASS


@pytest.mark.parametrize("name", MR_SLICES)
def test_mr_has_no_polarity(name):
    assert polarity(real_image(name)).outcome is Outcome.NOT_EVALUABLE


def test_constant_and_wholly_invalid_images_have_no_polarity():
    assert polarity(make_image(np.full((32, 32), 7.0))).outcome is Outcome.NOT_EVALUABLE
    invalid = np.ones((32, 32), dtype=bool)
    assert polarity(make_image(limb((32, 32)), invalid=invalid)).outcome is Outcome.NOT_EVALUABLE


def blank(image, **settings):
    return blank_image(make_evidence(image=image), **settings)


@pytest.mark.parametrize("name", RADIOGRAPHS + CT_SLICES + MR_SLICES)
def test_real_images_are_not_blank(name):
    assert blank(real_image(name)).outcome is Outcome.PASS


@pytest.mark.parametrize("shape", [(32, 32), (6, 16, 16)])
def test_a_constant_image_is_critical(shape):
    finding = blank(make_image(np.full(shape, -1024.0)))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.message == "Every valid value is -1024 HU."


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_is_critical(wrong):
    values = gradient((10, 10)).copy()
    values[3, 3] = wrong
    finding = blank(make_image(values))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("bits", "signed", "highest", "outcome"),
    [
        (12, 0, 4095, Outcome.PASS),
        (12, 0, 4096, Outcome.CRITICAL),
        (16, 1, 32767, Outcome.PASS),
        (12, 1, 2048, Outcome.CRITICAL),
        (12, 1, 2047, Outcome.PASS),
    ],
)
def test_stored_values_beyond_the_bits_stored_are_critical(bits, signed, highest, outcome):
    metadata = {"BitsStored": bits, "PixelRepresentation": signed}
    values = gradient((16, 16)) * highest
    assert blank(make_image(values, unit="stored value", metadata=metadata)).outcome is outcome
    rescaled = metadata | {"RescaleSlope": 2.0, "RescaleIntercept": -1024.0}
    assert blank(make_image(values * 2 - 1024, metadata=rescaled)).outcome is outcome


def test_negative_values_of_an_unsigned_image_are_critical():
    metadata = {"BitsStored": 12, "PixelRepresentation": 0}
    finding = blank(make_image(gradient((16, 16)) - 2, unit="stored value", metadata=metadata))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value == pytest.approx(-2)


def test_a_radiograph_without_rescale_may_have_passed_a_table_and_is_not_judged_by_its_bits():
    image = make_image(gradient((16, 16)) * 5000, unit="stored value", modality="CR", metadata={"BitsStored": 12})
    assert blank(image).outcome is Outcome.PASS


def test_without_bits_or_a_rescale_the_bits_are_not_judged():
    assert blank(make_image(gradient((16, 16)) * 1e6, metadata={"BitsStored": 12})).outcome is Outcome.PASS
    assert (
        blank(make_image(gradient((16, 16)), metadata={"BitsStored": "?", "RescaleSlope": 1})).outcome is Outcome.PASS
    )


def test_a_zeroed_frame_between_others_is_flagged_with_its_place():
    values = gradient((8, 10, 10)).copy()
    values[3] = 0
    finding = blank(make_image(values))
    assert finding.outcome is Outcome.FLAG
    assert finding.slices == (3,)
    assert "1 slice between others holds one value only" in finding.message


def test_empty_end_slices_are_a_note():
    values = gradient((8, 10, 10)).copy()
    values[[0, 7]] = 0
    finding = blank(make_image(values))
    assert (finding.outcome, finding.slices) == (Outcome.NOTE, (0, 7))
    assert "2 slices at the ends hold one value only" in finding.message


def test_slices_that_are_each_constant_are_flagged():
    values = np.repeat(np.arange(8.0), 100).reshape(8, 10, 10)
    assert blank(make_image(values)).slices == tuple(range(8))


def test_an_image_of_almost_one_value_is_flagged():
    values = np.zeros((50, 50))
    values[:2] = np.arange(100).reshape(2, 50)
    finding = blank(make_image(values))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(0.96, abs=0.001)


@pytest.mark.parametrize(("rows", "outcome"), [(4, Outcome.PASS), (6, Outcome.FLAG), (10, Outcome.CRITICAL)])
def test_an_image_that_is_mostly_invalid_is_flagged_and_critical_when_wholly(rows, outcome):
    invalid = np.zeros((10, 10), dtype=bool)
    invalid[:rows] = True
    assert blank(make_image(gradient((10, 10)), invalid=invalid)).outcome is outcome


def test_a_colour_image_is_judged_by_its_channels():
    values = np.random.default_rng(0).integers(0, 255, size=(20, 20, 3))
    assert blank(make_image(values, is_colour=True, modality="US")).outcome is Outcome.PASS


def test_a_bright_line_around_the_picture_is_not_its_surroundings():
    values = limb((128, 128))
    framed = values.copy()
    for edge in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:]):
        framed[edge] = 0.75 * values.max()
    assert polarity(make_image(framed, modality="DX", unit="stored value")).outcome is Outcome.PASS
    inverted = values.max() - framed
    assert polarity(make_image(inverted, modality="DX", unit="stored value")).outcome is Outcome.FLAG
