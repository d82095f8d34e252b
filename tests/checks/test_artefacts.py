"""Metal in CT and ghosts in MR."""

import numpy as np
import pytest
from evidence_factories import disc, make_evidence, make_image, make_prepared
from real_images import MR_SLICES, real_image

from audit_pipeline.checks.artefacts import scanner_artefact
from audit_pipeline.findings import Outcome

SHAPES = [(128, 128), (6, 128, 128)]


def judged_ct(metal_share, text=None):
    body = disc((128, 128), 0.4)
    values = np.where(body, 40.0, -1000.0)
    places = np.argwhere(body)[: round(metal_share * body.sum())]
    values[tuple(places.T)] = 3071
    prepared = make_prepared(values[None])
    return scanner_artefact(make_evidence(image=make_image(values), prepared=prepared, body=body, text=text))


@pytest.mark.parametrize(("share", "outcome"), [(0.0, Outcome.PASS), (0.01, Outcome.FLAG)])
def test_the_share_of_metal_in_the_body_is_measured(share, outcome):
    finding = judged_ct(share)
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(share, abs=2e-4)


def test_letters_are_no_metal():
    assert judged_ct(0.01, text=np.ones((128, 128), dtype=bool)).outcome is Outcome.PASS


def head(shape, ghost, axis):
    body = np.broadcast_to(disc(shape[-2:], 0.2), shape)
    signal = np.where(body, 600.0 + 200 * np.sin(np.arange(shape[-1]) / 3), 0.0)
    signal = signal + ghost * np.roll(signal, shape[axis] // 2, axis=axis)
    noise = np.random.default_rng(0).normal(0, 8, (2, *shape))
    return np.hypot(signal + noise[0], noise[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [-2, -1])
def test_a_ghost_at_half_the_field_is_flagged_in_either_direction(shape, axis):
    clean = make_image(head(shape, 0.0, axis), modality="MR")
    ghosted = make_image(head(shape, 0.10, axis), modality="MR")
    assert scanner_artefact(make_evidence(image=clean)).outcome is Outcome.PASS
    finding = scanner_artefact(make_evidence(image=ghosted))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(0.09, abs=0.03)


@pytest.mark.parametrize("name", MR_SLICES)
def test_real_mr_slices_have_no_ghost(name):
    assert scanner_artefact(make_evidence(image=real_image(name))).outcome is not Outcome.FLAG


@pytest.mark.parametrize(
    "image",
    [
        make_image(modality="DX"),
        make_image(),
        make_image(np.zeros((64, 64)), modality="MR"),
        make_image(np.ones((64, 64, 3)), modality="MR", is_colour=True),
        make_image(np.random.default_rng(0).random((16, 16)), modality="MR"),
        make_image(np.eye(128), modality="MR"),
    ],
)
def test_where_there_is_no_body_or_no_air_nothing_can_be_said(image):
    assert scanner_artefact(make_evidence(image=image)).outcome is Outcome.NOT_EVALUABLE
