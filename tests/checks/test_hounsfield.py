"""Air and soft tissue at their Hounsfield values, on synthetic trunks and real CT slices."""

import numpy as np
import pytest
from evidence_factories import disc, make_evidence, make_image, make_prepared
from real_images import CT_SLICES, real_image

from audit_pipeline.checks.hounsfield import histogram_peaks, wrong_hounsfield
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.findings import Outcome


def trunk(shape=(96, 96)):
    """Air, fat and muscle with scanner noise."""
    places = np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5 for size in shape[-2:]], indexing="ij")
    radius = np.hypot(*places)
    values = np.full(shape, -1000.0)
    values[..., radius < 0.42] = -100
    values[..., radius < 0.36] = 45
    return values + np.random.default_rng(0).normal(0, 12, shape)


def judged(values, **changes):
    return wrong_hounsfield(make_evidence(image=make_image(values, **changes)))


@pytest.mark.parametrize("name", CT_SLICES)
def test_real_ct_slices_pass_with_filling_outside_their_circle_or_without(name):
    assert wrong_hounsfield(make_evidence(image=real_image(name))).outcome is Outcome.PASS


@pytest.mark.parametrize("shape", [(96, 96), (6, 96, 96)])
def test_the_peak_of_soft_tissue_is_the_value(shape):
    finding = judged(trunk(shape))
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(45, abs=8)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda hu: hu + 1024,
        lambda hu: hu - 1024,
        lambda hu: (hu + 1024) * 2 - 1024,
        lambda hu: (hu + 1024) * 0.5 - 1024,
        lambda hu: hu / 10,
        lambda hu: -hu,
    ],
)
def test_a_rescale_left_out_doubled_or_wrong_is_flagged(wrong):
    values, body = trunk(), disc((96, 96), 0.42)
    image, prepared = make_image(wrong(values)), make_prepared(values[None])
    assert wrong_hounsfield(make_evidence(image=image, prepared=prepared, body=body)).outcome is Outcome.FLAG


def test_a_wrong_rescale_of_a_real_slice_is_flagged():
    image = real_image("explicit_VR-UN.dcm")
    assert judged(image.values + 1024).outcome is Outcome.FLAG


def test_an_unstated_unit_that_fits_is_a_note():
    assert judged(trunk(), unit="stored value").outcome is Outcome.NOTE


def test_other_modalities_have_no_hounsfield_units_and_nifti_is_ct_where_the_card_says_so():
    assert judged(trunk(), modality="MR").outcome is Outcome.NOT_EVALUABLE
    image = make_image(trunk() + 1024, modality="", format="nifti")
    intended = IntendedUse(modality=("CT",))
    assert wrong_hounsfield(make_evidence(image=image, intended=intended)).outcome is Outcome.FLAG


def test_a_constant_image_has_no_peak():
    assert judged(np.zeros((32, 32))).outcome is Outcome.NOT_EVALUABLE
    assert histogram_peaks(np.zeros(0)).size == 0
    invalid = np.ones((32, 32), dtype=bool)
    assert judged(trunk((32, 32)), invalid=invalid).outcome is Outcome.NOT_EVALUABLE


def test_peaks_stand_at_the_modes_of_a_mixture():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(level, 10, 4000) for level in (-1000, -100, 50)])
    np.testing.assert_allclose(histogram_peaks(values), (-1000, -100, 50), atol=12)


def test_padding_and_noise_cut_off_at_the_lowest_value_hide_no_peak():
    """Whole rows of -1024, and air whose loud noise piles up there, are most of the values."""
    random = np.random.default_rng(4)
    values = np.full((12, 64, 64), -1000.0)
    values[:, 16:48, 16:48] = 40.0
    values = np.maximum(values + random.normal(0, 90, values.shape), -1024.0)
    assert judged(values, modality="CT", unit="HU").outcome is Outcome.PASS
    values[:, :8] = values[:, -8:] = -1024.0
    assert judged(values, modality="CT", unit="HU").outcome is Outcome.PASS
    assert judged(values / 2, modality="CT", unit="HU").outcome is Outcome.FLAG
