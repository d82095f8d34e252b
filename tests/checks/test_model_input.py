"""The model input against its reference, its window, its padding and its source."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import disc, make_evidence, make_image, make_prepared

from audit_pipeline.checks.model_input import clipped_body, mostly_padding, transform_chain, wrong_normalisation
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Outcome


def reference(studies=40, mean=0.4, spread=0.2, **parts):
    random = np.random.default_rng(0)
    moments = np.column_stack([
        random.normal(mean, 0.02, studies), random.normal(spread, 0.01, studies), np.zeros(studies), np.ones(studies)
    ])  # fmt: skip
    return Reference(features=np.zeros((studies, 2)), intensities=moments.astype(np.float32), digest="", **parts)


def scaled(mean=0.4, spread=0.2, shape=(64, 64)):
    values = np.random.default_rng(1).normal(0, 1, shape)
    return mean + spread * (values - values.mean()) / values.std()


def judged(check, values, **changes):
    return check(make_evidence(prepared=make_prepared(values[None]), **changes))


def test_an_input_like_the_reference_passes():
    finding = judged(wrong_normalisation, scaled(), reference=reference())
    assert finding.outcome is Outcome.PASS
    assert finding.value < 0.5


@pytest.mark.parametrize("shape", [(64, 64), (16, 16, 16)])
@pytest.mark.parametrize(("gain", "offset"), [(255, 0), (0.2, 0), (1, 0.5), (2000, -1000), (-1, 1)])
def test_another_scale_is_flagged(shape, gain, offset):
    values = gain * scaled(shape=shape) + offset
    finding = judged(wrong_normalisation, values, reference=reference())
    assert finding.outcome is Outcome.FLAG


def test_the_value_is_the_ratio_of_deviations_in_closed_form():
    known = replace(reference(), intensities=np.tile(np.float32([0.5, 0.25, 0, 1]), (40, 1)))
    finding = judged(wrong_normalisation, scaled(0.5, 0.5), reference=known)
    assert finding.value == pytest.approx(1.0, abs=1e-5)


def test_without_enough_reference_studies_the_scale_is_open_and_no_number_is_critical():
    assert judged(wrong_normalisation, scaled()).outcome is Outcome.NOT_EVALUABLE
    assert judged(wrong_normalisation, scaled(), reference=reference(10)).outcome is Outcome.NOT_EVALUABLE
    broken = scaled()
    broken[3, 3] = np.inf
    assert judged(wrong_normalisation, broken, reference=reference()).outcome is Outcome.CRITICAL


@pytest.mark.parametrize(("share", "outcome"), [(0.1, Outcome.PASS), (0.5, Outcome.FLAG)])
def test_the_clipped_share_of_the_body_is_measured(share, outcome):
    values = np.linspace(0, 1, 4096).reshape(64, 64)
    values = np.clip((values - share / 2) / (1 - share), 0, 1)
    body = np.ones((64, 64), dtype=bool)
    finding = judged(clipped_body, values, body=body)
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(share, abs=0.002)


def test_the_reference_says_how_much_clipping_is_usual():
    quantiles = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (40, 1))
    values = np.clip((np.linspace(0, 1, 4096).reshape(64, 64) - 0.1) / 0.8, 0, 1)
    finding = judged(clipped_body, values, body=np.ones((64, 64), dtype=bool), reference=reference(quantiles=quantiles))
    assert finding.outcome is Outcome.FLAG
    assert finding.limit == pytest.approx(2 / 64 + 0.05)


def test_clipping_needs_a_body_and_a_range():
    assert judged(clipped_body, scaled()).outcome is Outcome.NOT_EVALUABLE
    body = np.ones((64, 64), dtype=bool)
    assert judged(clipped_body, np.zeros((64, 64)), body=body).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize(("rows", "outcome"), [(10, Outcome.PASS), (26, Outcome.NOTE), (40, Outcome.FLAG)])
def test_padding_is_noted_from_thirty_and_flagged_from_fifty_per_cent(rows, outcome):
    padding = np.zeros((64, 64), dtype=bool)
    padding[:rows] = True
    finding = judged(mostly_padding, scaled(), padding=padding)
    assert (finding.outcome, finding.value) == (outcome, rows / 64)


def test_unknown_padding_is_open():
    assert judged(mostly_padding, scaled()).outcome is Outcome.NOT_EVALUABLE


def pictured(shape):
    values = 1000.0 * disc(shape, 0.35) + 400 * np.linspace(0, 1, shape[-1]) * disc(shape, 0.3)
    for axis, size in enumerate(shape):
        values += 150 * np.sin(np.arange(size) / (3 + axis)).reshape(
            [-1 if one == axis else 1 for one in range(len(shape))]
        )
    return values + np.random.default_rng(0).normal(0, 40, shape)


def chained(change, shape):
    values = pictured(shape)
    prepared = make_prepared(change((values - values.min()) / np.ptp(values))[None])
    window = (float(values.min()), float(values.max()))
    return transform_chain(make_evidence(image=make_image(values), prepared=replace(prepared, display_window=window)))


@pytest.mark.parametrize("shape", [(96, 80), (24, 32, 40)])
def test_an_input_that_is_its_source_passes(shape):
    finding = chained(lambda values: values, shape)
    assert finding.outcome is Outcome.PASS
    assert finding.value > 0


@pytest.mark.parametrize("shape", [(96, 80), (24, 32, 40)])
@pytest.mark.parametrize(
    "change",
    [
        lambda values: np.roll(values, 1, axis=-1),
        lambda values: np.roll(values, -3, axis=0),
        lambda values: values[..., ::-1],
        lambda values: values[::-1],
        lambda values: np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape),
    ],
)
def test_a_shifted_mirrored_or_other_input_is_flagged(change, shape):
    assert chained(change, shape).outcome is Outcome.FLAG


def test_a_constant_or_uncovered_input_cannot_be_compared():
    assert judged(transform_chain, np.zeros((64, 64))).outcome is Outcome.NOT_EVALUABLE
    assert judged(transform_chain, scaled(), padding=np.ones((64, 64), dtype=bool)).outcome is Outcome.NOT_EVALUABLE
