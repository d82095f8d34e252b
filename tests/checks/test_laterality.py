"""Sides: the header against itself, against the geometry, and against the heart."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prepared
from real_images import real_image

from audit_pipeline.checks.laterality import _mediastinal_reach, is_chest, side_contradiction
from audit_pipeline.demo.chest_findings import chest
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.findings import Outcome

CHEST = {"BodyPartExamined": "CHEST"}


def frontal(shape=(200, 240)):
    """A radiograph seen from the front: spine, heart to the picture's right, lungs, walls, dark air at the sides."""
    rows, columns = ((np.indices(shape)[axis] + 0.5) / shape[axis] for axis in (0, 1))
    values = np.where(np.abs(columns - 0.5) < 0.42, 2000.0, 100.0)
    for side in (0.3, 0.7):
        values[((rows - 0.5) / 0.35) ** 2 + ((columns - side) / 0.15) ** 2 < 1] = 800
    values[np.abs(columns - 0.5) < 0.05] = 2600
    values[((rows - 0.68) / 0.16) ** 2 + ((columns - 0.57) / 0.14) ** 2 < 1] = 2400
    return values + np.random.default_rng(0).normal(0, 10, shape)


def radiograph(values, **header):
    return make_image(values, modality="DX", unit="stored value", affine=None, metadata=CHEST | header)


def thorax(left_share=0.75):
    """A CT of two lungs, axes toward Head, Posterior and Left; the left one is smaller by `left_share`."""
    values = np.full((16, 48, 64), -1000.0)
    values[:, 6:42, 6:58] = 40
    values[:, 12:36, 10:28] = -850
    values[:, 12 : 12 + int(24 * left_share), 36:54] = -850
    affine = np.array([[0, 0, 5.0, 0], [0, 5.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    body = np.zeros(values.shape, dtype=bool)
    body[:, 6:42, 6:58] = True
    return values, affine, body


def judged_ct(values, affine, body, **header):
    image = make_image(values, affine=affine, metadata=CHEST | header)
    prepared = make_prepared(values[None])
    return side_contradiction(make_evidence(image=image, prepared=prepared, body=body))


def test_a_radiograph_with_the_heart_on_its_right_passes_and_its_mirror_image_is_flagged():
    found = [side_contradiction(make_evidence(image=radiograph(values))) for values in (frontal(), frontal()[:, ::-1])]
    assert [one.outcome for one in found] == [Outcome.PASS, Outcome.FLAG]
    assert found[0].value == pytest.approx(-found[1].value, abs=0.02)


def test_a_real_chest_radiograph_passes_and_its_mirror_image_is_flagged():
    values = real_image("RG1_UNCR.dcm").values[::4, ::4]
    found = [
        side_contradiction(make_evidence(image=radiograph(one, ViewPosition="PA"))) for one in (values, values[:, ::-1])
    ]
    assert [one.outcome for one in found] == [Outcome.PASS, Outcome.FLAG]


def test_a_header_that_says_so_turns_the_picture():
    mirrored = radiograph(frontal()[:, ::-1], PatientOrientation="R\\F")
    assert side_contradiction(make_evidence(image=mirrored)).outcome is Outcome.PASS
    turned = radiograph(frontal(), PatientOrientation="R\\F")
    assert side_contradiction(make_evidence(image=turned)).outcome is Outcome.FLAG
    lateral = radiograph(frontal(), PatientOrientation="A\\F")
    assert side_contradiction(make_evidence(image=lateral)).outcome is Outcome.NOT_EVALUABLE


def test_the_smaller_lung_of_a_ct_lies_on_the_left():
    values, affine, body = thorax()
    finding = judged_ct(values, affine, body)
    right, left = 24 * 18, int(24 * 0.75) * 18
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx((right - left) / (right + left))


def test_mirrored_pixels_or_a_mirrored_header_are_flagged_and_both_together_pass():
    values, affine, body = thorax()
    turned = affine.copy()
    turned[0, 2] = -5
    assert judged_ct(values[:, :, ::-1], affine, body).outcome is Outcome.FLAG
    assert judged_ct(values, turned, body).outcome is Outcome.FLAG
    assert judged_ct(values[:, :, ::-1], turned, body).outcome is Outcome.PASS


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0)])
def test_the_order_of_the_axes_does_not_matter(order):
    values, affine, body = thorax()
    columns = affine[:, [*order, 3]]
    assert judged_ct(values.transpose(order), columns, body.transpose(order)).outcome is Outcome.PASS


def test_two_header_fields_that_contradict_are_named():
    image = make_image(metadata={"Laterality": "L", "ImageLaterality": "R"})
    finding = side_contradiction(make_evidence(image=image))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, None)
    assert "left side" in finding.message
    assert "right one" in finding.message


def test_a_picture_orientation_against_the_geometry_is_named():
    image = make_image(metadata={"PatientOrientation": "P\\R"})
    assert side_contradiction(make_evidence(image=image)).outcome is Outcome.FLAG
    image = make_image(metadata={"PatientOrientation": "P\\L"})
    assert side_contradiction(make_evidence(image=image)).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize(
    "changes",
    [{"metadata": {"BodyPartExamined": "HAND"}}, {"modality": "MR"}, {"metadata": CHEST | {"ViewPosition": "LL"}}],
)
def test_without_a_heart_the_sides_are_open(changes):
    values = np.random.default_rng(0).random((64, 64))
    image = make_image(values, **({"modality": "DX", "metadata": CHEST} | changes))
    assert side_contradiction(make_evidence(image=image)).outcome is Outcome.NOT_EVALUABLE


def test_one_lung_no_position_or_no_body_leave_the_sides_open():
    values, affine, body = thorax()
    one_lung = values.copy()
    one_lung[:, :, 36:54] = np.where(values[:, :, 36:54] < -500, 20, values[:, :, 36:54])
    assert judged_ct(one_lung, affine, body).outcome is Outcome.NOT_EVALUABLE
    assert judged_ct(values, None, body).outcome is Outcome.NOT_EVALUABLE
    assert judged_ct(values, affine, None).outcome is Outcome.NOT_EVALUABLE


def test_the_card_says_what_the_header_leaves_open():
    assert is_chest(make_image(), IntendedUse(body_part=("chest",)))
    assert not is_chest(make_image(), IntendedUse())
    assert not is_chest(make_image(metadata={"BodyPartExamined": "ABDOMEN"}), IntendedUse(body_part=("CHEST",)))


def test_a_heart_far_less_bright_than_the_spine_tells_the_sides():
    values = frontal()
    values = np.where((values > 2200) & (values < 2500), 1300, values)
    found = [side_contradiction(make_evidence(image=radiograph(one))) for one in (values, values[:, ::-1])]
    assert [one.outcome for one in found] == [Outcome.PASS, Outcome.FLAG]
    assert found[0].value > 0.03


@pytest.mark.parametrize("seed", [930_001, 930_005])
def test_an_effusion_on_one_side_is_no_heart_there(seed):
    seen = chest(seed, ("effusion",)).seen.values
    assert _mediastinal_reach(seen) > 0.01
    assert _mediastinal_reach(seen[:, ::-1]) < -0.01
