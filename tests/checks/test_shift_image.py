"""Look, acquisition and grey values against the reference; features and logits too (B01 to B06)."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prediction, make_prepared

from audit_pipeline.checks.shift import novelty_disagrees, unfamiliar_features, unfamiliar_logits
from audit_pipeline.checks.shift_image import histogram_shift, strange_look, unseen_acquisition
from audit_pipeline.checks.traits import quantiles_of, thumbnail_of
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import sealed

STUDIES = 120
MEASURES = (unfamiliar_features, unfamiliar_logits, strange_look, histogram_shift)


def field(random, shape, strength=1.0):
    places = np.meshgrid(*[np.linspace(0, 1, size) for size in shape], indexing="ij")
    waves = sum(random.normal() * np.sin((1 + number) * place) for number, place in enumerate(places))
    return (0.5 + 0.1 * strength * waves + 0.02 * random.standard_normal(shape)).astype(np.float32)


def study(random, dimensions, values=None):
    shape = (32, 32) if dimensions == 2 else (16, 16, 16)
    values = field(random, shape) if values is None else values
    features, evidence = random.standard_normal(6), random.normal(0, 3)
    logits = (-evidence / 2, evidence / 2)
    chances = np.exp(logits) / np.exp(logits).sum()
    return make_evidence(
        prepared=make_prepared(values[None]),
        prediction=make_prediction(tuple(chances), logits=logits, features=features),
        image=make_image(values),
    )


def reference(dimensions, seed=0):
    random = np.random.default_rng(seed)
    known = [study(random, dimensions) for _ in range(STUDIES)]
    return Reference(
        features=sealed(np.asarray([one.prediction.features for one in known], dtype=np.float32)),
        intensities=sealed(np.zeros((STUDIES, 4), dtype=np.float32)),
        quantiles=sealed(np.stack([quantiles_of(one.prepared, None) for one in known])),
        thumbnails=sealed(np.stack([thumbnail_of(one.prepared) for one in known])),
        logits=sealed(np.asarray([one.prediction.logits for one in known], dtype=np.float32)),
        digest="",
    )


KNOWN = {dimensions: reference(dimensions, seed=1) for dimensions in (2, 3)}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("measure", MEASURES)
def test_studies_of_the_same_kind_are_hardly_ever_flagged(measure, dimensions):
    random = np.random.default_rng(7)
    found = [measure(replace(study(random, dimensions), reference=KNOWN[dimensions])) for _ in range(40)]
    assert sum(one.outcome is not Outcome.PASS for one in found) <= 2
    assert all(one.calibrated and one.value is not None for one in found)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_measure_flags_its_own_strangeness_far_beyond_the_reference(dimensions):
    random = np.random.default_rng(8)
    evidence = replace(study(random, dimensions), reference=KNOWN[dimensions])
    strange = make_prediction((0.5, 0.5), logits=(-60.0, 60.0), features=np.full(6, 9.0))
    noise = random.random(evidence.prepared.inside.shape).astype(np.float32)
    odd = replace(evidence, prediction=strange, prepared=make_prepared(5 + 5 * noise[None]))
    for measure in MEASURES:
        finding = measure(odd)
        assert (finding.outcome, finding.provenance) == (Outcome.FLAG, "dom"), finding.message
        assert "far beyond" in finding.message


def test_the_distance_of_grey_values_is_the_mean_difference_of_the_quantile_functions():
    known = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (STUDIES, 1))
    plain = replace(KNOWN[2], quantiles=sealed(known + np.linspace(0, 0.01, STUDIES, dtype=np.float32)[:, None]))
    values = np.full((32, 32), 0.25, dtype=np.float32)
    finding = histogram_shift(replace(study(np.random.default_rng(0), 2, values), reference=plain))
    assert finding.value == pytest.approx(float(np.abs(0.25 - known[0] - 0.005).mean()), abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_what_the_reference_does_not_hold_is_not_evaluable(measure):
    evidence = study(np.random.default_rng(0), 2)
    old = Reference(features=np.zeros((5, 6)), intensities=np.zeros((5, 4)), digest="")
    assert measure(evidence).outcome is Outcome.NOT_EVALUABLE
    assert measure(replace(evidence, reference=old)).outcome is Outcome.NOT_EVALUABLE


def test_thumbnails_of_another_size_and_inputs_that_are_not_finite_are_not_compared():
    evidence = replace(study(np.random.default_rng(0), 3), reference=KNOWN[2])
    assert strange_look(evidence).outcome is Outcome.NOT_EVALUABLE
    broken = make_prepared(np.full((1, 32, 32), np.nan))
    finding = strange_look(replace(study(np.random.default_rng(0), 2), prepared=broken, reference=KNOWN[2]))
    assert finding.outcome is Outcome.NOT_EVALUABLE


def test_old_references_of_features_alone_still_judge_the_features():
    old = Reference(features=KNOWN[2].features, intensities=KNOWN[2].intensities, digest="")
    finding = unfamiliar_features(replace(study(np.random.default_rng(3), 2), reference=old))
    assert finding.outcome is Outcome.PASS
    assert "no relative Mahalanobis" in finding.message


HEADER = {
    "Manufacturer": tuple(("A", "B")[place % 2] for place in range(STUDIES)),
    "SoftwareVersions": tuple(f"v{place}" for place in range(STUDIES)),
    "KVP": tuple((100.0, 120.0)[place % 2] for place in range(STUDIES)),
    "PatientAge": (40.0,) * STUDIES,
}


@pytest.mark.parametrize(
    ("metadata", "outcome", "words"),
    [
        ({"Manufacturer": "a ", "KVP": 110.0}, Outcome.PASS, "2 acquisition fields compared"),
        ({"Manufacturer": "C"}, Outcome.FLAG, "Manufacturer is C, where the reference has A, B"),
        ({"SoftwareVersions": "v999", "KVP": 100.0}, Outcome.PASS, "2 acquisition fields"),
        ({"KVP": 80.0}, Outcome.FLAG, "Tube voltage (kV) is 80, where the reference has 100 to 120"),
        ({"KVP": 121.0}, Outcome.PASS, "1 acquisition field "),
        ({"PatientAge": 4.0}, Outcome.NOT_EVALUABLE, "No acquisition field"),
        ({}, Outcome.NOT_EVALUABLE, "No acquisition field"),
    ],
)
def test_an_acquisition_is_unseen_where_no_reference_study_has_it(metadata, outcome, words):
    evidence = make_evidence(image=make_image(metadata=metadata), reference=replace(KNOWN[2], header=HEADER))
    finding = unseen_acquisition(evidence)
    assert finding.outcome is outcome
    assert words in finding.message


def test_one_measure_against_the_others_is_a_note():
    random = np.random.default_rng(0)
    evidence = replace(study(random, 2), reference=replace(KNOWN[2], thumbnails=None))
    middle = KNOWN[2].logits[np.argsort(np.abs(KNOWN[2].logits[:, 0]))[STUDIES // 2]]
    odd = make_prediction((0.5, 0.5), logits=tuple(middle.tolist()), features=np.full(6, 20.0))
    assert novelty_disagrees(replace(evidence, prediction=odd)).outcome is Outcome.NOTE
    calm = make_prediction((0.5, 0.5), logits=tuple(middle.tolist()), features=np.zeros(6))
    assert novelty_disagrees(replace(evidence, prediction=calm)).outcome is Outcome.PASS
    assert novelty_disagrees(make_evidence()).outcome is Outcome.NOT_EVALUABLE


def test_logits_of_other_classes_or_that_are_not_finite_are_not_compared():
    evidence = replace(study(np.random.default_rng(0), 2), reference=KNOWN[2])
    three = make_prediction((0.2, 0.3, 0.5))
    assert unfamiliar_logits(replace(evidence, prediction=three)).outcome is Outcome.NOT_EVALUABLE
    wrong = make_prediction((0.5, 0.5), logits=(np.inf, 0.0))
    assert unfamiliar_logits(replace(evidence, prediction=wrong)).outcome is Outcome.NOT_EVALUABLE
