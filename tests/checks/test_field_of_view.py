"""Fields of view that end inside the anatomy."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prepared
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.field_of_view import cut_anatomy
from audit_pipeline.findings import Outcome

from test_laterality import CHEST, frontal, radiograph, thorax  # isort: skip


def judged_ct(values, affine, body, **changes):
    image = make_image(values, affine=affine, metadata=CHEST, **changes)
    return cut_anatomy(make_evidence(image=image, prepared=make_prepared(values[None]), body=body))


def chest_ct():
    """The thorax between slices without lung."""
    values, affine, body = thorax()
    for ends in (slice(0, 3), slice(-3, None)):
        values[ends] = np.where(body[ends], 40, -1000)
    return values, affine, body


def test_a_whole_chest_passes_and_the_lungs_end_inside():
    finding = judged_ct(*chest_ct())
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0.0)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (np.s_[6:], "lungs at the first axial"),
        (np.s_[:-6], "lungs at the last axial"),
        (np.s_[:, 16:], "first coronal"),
        (np.s_[:, :, 20:], "first sagittal"),
        (np.s_[:, :, :-20], "last sagittal"),
    ],
)
def test_a_cut_chest_is_flagged_with_the_edge(place, words):
    values, affine, body = chest_ct()
    finding = judged_ct(values[place], affine, body[place])
    assert finding.outcome is Outcome.FLAG
    assert words in finding.message


def test_the_share_of_an_edge_that_body_covers_is_the_value():
    body = np.zeros((40, 50), dtype=bool)
    body[20:, 10:40] = True
    image = make_image(np.where(body, 40.0, -1000.0), metadata={"BodyPartExamined": "ABDOMEN"})
    finding = cut_anatomy(make_evidence(image=image, prepared=make_prepared(image.values[None]), body=body))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, 30 / 50)
    assert "lower edge" in finding.message


@pytest.mark.parametrize(
    "place", [np.s_[:, 65:], np.s_[:, :-65], np.s_[:130], np.s_[60:], np.s_[:, 85:], np.s_[40:-40, 60:-60]]
)
def test_a_cut_radiograph_is_flagged_and_the_whole_one_passes(place):
    whole = cut_anatomy(make_evidence(image=radiograph(frontal())))
    assert whole.outcome is Outcome.PASS
    assert cut_anatomy(make_evidence(image=radiograph(frontal()[place]))).outcome is Outcome.FLAG


def test_an_added_frame_does_not_hide_the_cut():
    framed = np.pad(frontal()[:, 65:], 30)
    assert cut_anatomy(make_evidence(image=radiograph(framed))).outcome is Outcome.FLAG


@pytest.mark.parametrize(
    "image",
    [
        make_image(modality="DX", metadata={"BodyPartExamined": "HAND"}),
        make_image(np.ones((40, 40, 3)), is_colour=True),
        make_image(np.ones((64, 64)), modality="DX", metadata=CHEST),
        make_image(modality="DX", metadata=CHEST | {"ViewPosition": "LL"}),
    ],
)
def test_where_nothing_shows_the_end_nothing_is_said(image):
    assert cut_anatomy(make_evidence(image=image)).outcome is Outcome.NOT_EVALUABLE


def test_a_spine_near_the_edge_shows_the_cut_although_no_lung_is_left_beside_it():
    values = frontal()[:, 88:]
    finding = cut_anatomy(make_evidence(image=radiograph(values)))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, 1.0)
    assert "left edge" in finding.message


def test_a_patient_off_the_middle_of_a_wide_plate_is_whole():
    wide = np.pad(frontal(), ((0, 0), (0, 160)), constant_values=100)
    wide = wide + np.random.default_rng(1).normal(0, 10, wide.shape)
    assert cut_anatomy(make_evidence(image=radiograph(wide))).outcome is Outcome.PASS


def faint_walls(rise):
    """The radiograph with walls of the chest brighter than the lungs by `rise` of the contrast of the spine."""
    values = frontal()
    beside = values[30:160]
    beside[(beside > 1500) & (beside < 2200)] = 800 + rise * 1800
    return values


def test_a_faint_wall_with_air_beyond_it_ends_the_lung_and_one_without_does_not():
    values = gaussian_filter(faint_walls(0.2), 1)
    assert cut_anatomy(make_evidence(image=radiograph(values))).outcome is Outcome.PASS
    without_air = values[:, 24:-24]
    assert cut_anatomy(make_evidence(image=radiograph(without_air))).outcome is Outcome.FLAG
