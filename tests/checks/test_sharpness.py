"""Blur in every direction and in one, in whole volumes and in single slices; noise in closed form."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prepared
from real_images import CT_SLICES, MR_SLICES, RADIOGRAPHS, real_image
from scipy.ndimage import gaussian_filter, uniform_filter1d

from audit_pipeline.checks.sharpness import blurred_image, noisy_image
from audit_pipeline.findings import Outcome


def sharp(shape=(160, 160), seed=0):
    """Structures of all sizes, of which the smallest are as strong as in an image from a detector."""
    random = np.random.default_rng(seed)
    planes = (0,) * (len(shape) - 2)
    layers = [gaussian_filter(random.normal(0, 1, shape), (*planes, size, size)) for size in (0.6, 2, 6, 15)]
    return sum(weight * one / one.std() for weight, one in zip((15, 40, 100, 200), layers, strict=True)) + 1000


def judged(check, values, body=None, **changes):
    image = make_image(values, **({"modality": "DX", "unit": "stored value"} | changes))
    body = np.ones(image.shape, dtype=bool) if body is None else body
    return check(make_evidence(image=image, prepared=make_prepared(values[None]), body=body))


@pytest.mark.parametrize("name", CT_SLICES + MR_SLICES + RADIOGRAPHS)
def test_real_images_are_neither_blurred_nor_noisy(name):
    image = real_image(name)
    for check in (blurred_image, noisy_image):
        assert judged(check, image.values, modality=image.modality).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "explicit_VR-UN.dcm"])
def test_a_real_image_out_of_focus_is_flagged(name):
    image = real_image(name)
    values = gaussian_filter(image.values[::2, ::2].astype(float), 2.0)
    assert judged(blurred_image, values, modality=image.modality).outcome is Outcome.FLAG


@pytest.mark.parametrize("shape", [(160, 160), (5, 160, 160)])
def test_a_sharp_image_passes_and_a_blurred_one_is_flagged(shape):
    planes = (0,) * (len(shape) - 2)
    assert judged(blurred_image, sharp(shape)).outcome is Outcome.PASS
    assert judged(blurred_image, gaussian_filter(sharp(shape), (*planes, 2, 2))).outcome is Outcome.FLAG


@pytest.mark.parametrize("axis", [0, 1])
def test_motion_along_one_direction_is_flagged(axis):
    assert judged(blurred_image, uniform_filter1d(sharp(), 13, axis=axis)).outcome is Outcome.FLAG


def test_a_single_blurred_slice_is_named():
    values = sharp((9, 160, 160))
    values[4] = gaussian_filter(values[4], 2.5)
    finding = judged(blurred_image, values)
    assert (finding.outcome, finding.slices) == (Outcome.FLAG, (4,))


def test_white_noise_has_the_value_zero():
    assert judged(blurred_image, np.random.default_rng(0).normal(0, 1, (400, 400))).value == pytest.approx(0, abs=0.06)


def test_neither_contrast_nor_offset_matters():
    values = sharp()
    assert judged(blurred_image, 7 * values - 900).value == pytest.approx(judged(blurred_image, values).value, abs=1e-3)


@pytest.mark.parametrize(("sigma", "outcome"), [(0.02, Outcome.PASS), (0.12, Outcome.FLAG)])
def test_the_noise_is_its_standard_deviation_over_the_range(sigma, outcome):
    ramp = np.tile(np.linspace(0, 1, 300), (300, 1))
    values = ramp + np.random.default_rng(0).normal(0, sigma, ramp.shape)
    finding = judged(noisy_image, values)
    low, high = np.percentile(values, (0.5, 99.5))
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(sigma / (high - low), rel=0.05)


@pytest.mark.parametrize("check", [blurred_image, noisy_image])
def test_without_body_or_contrast_there_is_nothing_to_measure(check):
    assert judged(check, sharp(), body=np.zeros((160, 160), dtype=bool)).outcome is Outcome.NOT_EVALUABLE
    assert check(make_evidence()).outcome is Outcome.NOT_EVALUABLE
    assert judged(check, np.full((160, 160), 3.0)).outcome is Outcome.NOT_EVALUABLE


def test_letters_and_invalid_values_do_not_count():
    values, invalid = sharp(), np.zeros((160, 160), dtype=bool)
    values[60:100, 60:100] = np.random.default_rng(0).normal(0, 3000, (40, 40))
    invalid[50:110, 50:110] = True
    image = make_image(values, modality="DX", invalid=invalid)
    body = np.ones((160, 160), dtype=bool)
    prepared = make_prepared(values[None])
    assert noisy_image(make_evidence(image=image, prepared=prepared, body=body)).outcome is Outcome.PASS
    image = make_image(values, modality="DX")
    evidence = make_evidence(image=image, prepared=prepared, body=body, text=invalid)
    assert noisy_image(evidence).value == pytest.approx(judged(noisy_image, values, invalid=invalid).value, rel=0.1)


def test_a_tiny_image_cannot_be_judged():
    assert judged(blurred_image, sharp((8, 200))).outcome is Outcome.NOT_EVALUABLE
