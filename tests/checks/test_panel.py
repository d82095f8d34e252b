"""The falsification panel, the mild corruptions, and the filling of what is taken away."""

import numpy as np
import pytest
from evidence_factories import disc, gradient, make_evidence, make_prepared

from audit_pipeline.checks.harmless import benign, corrupted, quantised, repeated
from audit_pipeline.checks.inpaint import filled, noise_level
from audit_pipeline.checks.map_measures import border_band
from audit_pipeline.checks.panel import (
    body_removed,
    border_removed,
    constant,
    noise,
    padding_changed,
    text_removed,
)
from audit_pipeline.evidence import Unanswered

SHAPES = ((40, 48), (12, 20, 24))


def drawn(seed=0):
    return np.random.default_rng(seed)


def scene(shape, level=0.8, noise_sd=0.02):
    body = disc(shape, 0.3)
    values = np.where(body, level, 0.2) + noise_sd * drawn().standard_normal(shape)
    return values.astype(np.float32)[None], body


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hole_in_a_slope_is_filled_with_the_slope(shape):
    slope = np.broadcast_to(np.linspace(0, 1, shape[-1], dtype=np.float32), shape)[None]
    hole = disc(shape, 0.2)
    found = filled(slope, hole, drawn())
    assert np.abs(found[0][hole] - slope[0][hole]).max() < 0.08
    assert np.array_equal(found[0][~hole], slope[0][~hole])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_filling_has_the_noise_of_its_surroundings(shape):
    values, body = scene(shape)
    found = filled(values, body, drawn(1))
    assert found[0][body].mean() == pytest.approx(0.2, abs=0.02)
    assert found[0][body].std() == pytest.approx(0.02, rel=0.5)


def test_without_surroundings_or_without_a_hole():
    values = gradient((16, 16))[None]
    whole = filled(values, np.ones((16, 16), dtype=bool), drawn())
    assert np.allclose(whole, values.mean())
    assert np.array_equal(filled(values, np.zeros((16, 16), dtype=bool), drawn()), values)


def test_the_noise_level_ignores_slopes_and_edges():
    values = (0.03 * drawn().standard_normal((200, 200)) + np.linspace(0, 5, 200)).astype(np.float32)
    values[:, 100:] += 3
    assert noise_level(values, np.ones((200, 200), dtype=bool)) == pytest.approx(0.03, rel=0.05)
    assert noise_level(values, np.zeros((200, 200), dtype=bool)) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_the_body_goes_and_letters_padding_and_the_outer_tenth_stay(shape):
    values, body = scene(shape)
    text, padding = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    text[..., shape[-2] // 2, shape[-1] // 2] = True
    padding[..., :2, :] = True
    values[0][text] = 1.0
    evidence = make_evidence(prepared=make_prepared(values, inside=~padding), body=body, text=text, padding=padding)
    found = body_removed(evidence, drawn())[0, 0]
    assert np.all(found[text] == 1.0)
    assert np.array_equal(found[padding], values[0][padding])
    assert np.array_equal(found[..., -2:, :], values[0][..., -2:, :])
    far = body & ~disc(shape, 0.15)
    assert found[far].mean() < 0.35


def test_a_body_that_fills_the_frame_keeps_its_rim():
    values = np.full((1, 40, 40), 0.5, dtype=np.float32)
    values[:, 15:25, 15:25] = 1.0
    evidence = make_evidence(prepared=make_prepared(values), body=np.ones((40, 40), dtype=bool))
    found = body_removed(evidence, drawn())[0, 0]
    assert found.max() < 0.55
    assert np.array_equal(found[:4], values[0, :4])


@pytest.mark.parametrize("make", [body_removed, text_removed, border_removed, padding_changed])
def test_what_is_not_there_cannot_be_taken_away(make):
    evidence = make_evidence(padding=np.zeros((32, 32), dtype=bool), text=np.zeros((32, 32), dtype=bool))
    with pytest.raises(Unanswered):
        make(evidence, drawn())


def test_nothing_but_padding_cannot_be_changed():
    with pytest.raises(Unanswered):
        padding_changed(make_evidence(padding=np.ones((32, 32), dtype=bool)), drawn())


@pytest.mark.parametrize("shape", SHAPES)
def test_letters_border_and_padding_are_filled_from_beside_them(shape):
    values = np.full((1, *shape), 0.4, dtype=np.float32)
    band = border_band(shape)
    values[0][band] = 1.0
    evidence = make_evidence(prepared=make_prepared(values), border=band, text=band & disc(shape, 0.45), padding=band)
    assert border_removed(evidence, drawn())[0, 0] == pytest.approx(0.4, abs=0.01)
    assert padding_changed(evidence, drawn())[0, 0] == pytest.approx(0.4, abs=0.01)
    assert text_removed(evidence, drawn()).shape == (1, 1, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_even_grey_and_noise_have_the_mean_of_the_image(shape):
    values, _ = scene(shape)
    evidence = make_evidence(prepared=make_prepared(values))
    assert constant(evidence, drawn()) == pytest.approx(float(values.mean()), abs=1e-6)
    random = noise(evidence, drawn())
    assert random.mean() == pytest.approx(float(values.mean()), abs=0.05)
    assert values.min() <= random.min()
    assert random.max() <= values.max()


@pytest.mark.parametrize("shape", SHAPES)
def test_mild_corruption_stays_far_below_what_is_seen(shape):
    values, _ = scene(shape)
    found = corrupted(make_evidence(prepared=make_prepared(values)), drawn())
    assert found.shape == (4, 1, *shape)
    for one in (found[0], found[3]):
        assert 0 < np.sqrt(np.square(one - values).mean()) < 0.03
    assert found.min() >= values.min() - 1e-6
    assert found.max() <= values.max() + 1e-6


def test_a_constant_input_cannot_be_corrupted():
    with pytest.raises(Unanswered):
        corrupted(make_evidence(prepared=make_prepared(np.ones((1, 8, 8)))), drawn())


def test_rounding_of_blocks_keeps_multiples_and_bounds_the_error():
    values = np.full((10, 13), 0.5)
    assert quantised(values, 0.5) == pytest.approx(0.5)
    rough = drawn().random((3, 10, 13))
    error = quantised(rough, 0.1) - rough
    assert error.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.3)


def test_repeats_are_the_input_and_harmless_changes_are_ten():
    evidence = make_evidence()
    assert np.array_equal(repeated(evidence, drawn())[1], evidence.prepared.values)
    assert benign(evidence, drawn()).shape == (10, 1, 32, 32)
