"""Softened noise and widened padding: what they change, and that they leave the patient alone."""

import numpy as np
import pytest
from evidence_factories import disc, make_evidence, make_prepared

from audit_pipeline.checks.foreign import WIDER, grained, padding_widened, split_noise
from audit_pipeline.checks.inpaint import noise_level
from audit_pipeline.evidence import Unanswered

SHAPES = ((64, 64), (8, 48, 48))


def drawn(seed=0):
    return np.random.default_rng(seed)


def scene(shape, sigma=0.02):
    body = disc(shape, 0.25)
    noise = sigma * drawn().standard_normal(shape)
    return np.where(body, 0.8, 0.2), noise, np.ones(shape, dtype=bool)


@pytest.mark.parametrize("shape", SHAPES)
def test_structure_and_noise_sum_to_the_image_and_the_edge_is_structure(shape):
    plain, noise, region = scene(shape)
    structure, rest = split_noise(plain + noise, region)
    assert np.allclose(structure + rest, plain + noise)
    assert np.abs(rest).max() < 0.15
    assert np.corrcoef(rest.ravel(), noise.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("shape", SHAPES)
def test_softened_noise_is_lower_and_the_patient_keeps_its_level(shape):
    plain, noise, _ = scene(shape)
    values = (plain + noise).astype(np.float32)[None]
    found = grained(make_evidence(prepared=make_prepared(values)), drawn())[0, 0]
    body = disc(shape, 0.15)
    assert noise_level(found, body) < 0.4 * noise_level(values[0], body)
    assert found[body].mean() == pytest.approx(0.8, abs=0.005)
    assert found[~disc(shape, 0.35)].mean() == pytest.approx(0.2, abs=0.005)


def test_letters_and_padding_are_not_softened():
    plain, noise, _ = scene((64, 64))
    values = (plain + noise).astype(np.float32)[None]
    drawn_over = np.zeros((64, 64), dtype=bool)
    drawn_over[:6, :6] = True
    found = grained(make_evidence(prepared=make_prepared(values), text=drawn_over), drawn())[0, 0]
    assert np.array_equal(found[drawn_over], values[0][drawn_over])


def test_an_image_without_noise_cannot_be_softened():
    with pytest.raises(Unanswered):
        grained(make_evidence(prepared=make_prepared(np.full((1, 32, 32), 0.5))), drawn())


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_grows_where_it_is_and_the_rest_of_the_picture_stays(shape):
    values = np.random.default_rng(0).uniform(0.4, 0.6, (1, *shape)).astype(np.float32)
    padding = np.zeros(shape, dtype=bool)
    padding[..., :4] = True
    values[0][padding] = 0.0
    found = padding_widened(make_evidence(prepared=make_prepared(values), padding=padding), drawn())[0, 0]
    width = 4 + round(WIDER * shape[-1])
    assert not found[..., :width].any()
    assert np.array_equal(found[..., width:], values[0][..., width:])


def test_padding_that_is_no_frame_cannot_be_wider():
    padding = ~disc((32, 32), 0.49)
    for mask in (None, np.zeros((32, 32), dtype=bool), padding & disc((32, 32), 0.6)):
        with pytest.raises(Unanswered):
            padding_widened(make_evidence(padding=mask), drawn())
