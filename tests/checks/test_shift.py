"""Distance to the reference studies."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_explanation, make_prediction, make_prepared

from audit_pipeline.checks.shift import confidence_of, confident_outlier
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task, sealed


def reference(studies=200, channels=8, seed=0):
    random = np.random.default_rng(seed)
    return Reference(
        features=sealed(
            random.normal(size=(studies, channels)).astype(np.float32) * np.arange(1, channels + 1, dtype="f4")
        ),
        intensities=sealed(random.normal(0.5, 0.1, size=(studies, 4)).astype(np.float32)),
        digest="0" * 64,
    )


def judged(features, probabilities=(0.99, 0.01), known=None, **settings):
    prediction = make_prediction(probabilities, features=features)
    known = reference() if known is None else known
    return confident_outlier(make_evidence(prediction=prediction, reference=known), **settings)


def test_an_outlier_is_critical_when_the_model_is_sure_and_flagged_when_it_is_not():
    far = np.arange(1, 9) * 10.0
    assert judged(far).outcome is Outcome.CRITICAL
    assert judged(far, (0.6, 0.4)).outcome is Outcome.FLAG
    assert judged(far).value > judged(far).limit


def test_a_study_in_the_middle_of_the_reference_passes_however_sure_the_model_is():
    finding = judged(np.zeros(8))
    assert finding.outcome is Outcome.PASS
    assert "confidence is 99 %" in finding.message


def test_about_one_per_cent_of_new_studies_of_the_same_kind_are_outside():
    fresh = reference(studies=600, seed=1).features
    outside = sum(judged(row).outcome is not Outcome.PASS for row in fresh)
    assert outside <= 0.03 * 600


def test_the_limit_is_the_conformal_quantile_of_the_reference_itself():
    known = reference(studies=120, channels=3)
    standard = known.features.astype(float) / known.features.astype(float).std(axis=0)
    distances = np.sort(np.linalg.norm(standard[:, None] - standard[None], axis=2), axis=1)[:, 10]
    finding = judged(np.zeros(3), known=known, alpha=0.05)
    assert finding.limit == pytest.approx(np.sort(distances)[int(np.ceil(121 * 0.95)) - 1], rel=1e-6)


def test_the_distance_is_measured_in_standard_deviations_of_each_feature():
    known = reference(studies=120, channels=3)
    finding = judged(np.array([300.0, 0, 0]), known=known)
    spread = known.features.astype(float)[:, 0].std()
    assert finding.value == pytest.approx(300 / spread, rel=0.02)


def test_too_few_studies_for_one_per_cent_are_said_and_the_largest_distance_is_the_limit():
    known = reference(studies=40)
    finding = judged(np.zeros(8), known=known)
    assert "With so few studies the limit is their largest distance, p = 0.0244" in finding.message
    assert judged(np.zeros(8), known=reference(studies=99)).message.count("With so few") == 0


def test_the_p_value_is_conformal():
    assert "p = 0.00498" in judged(np.arange(1, 9) * 100.0).message  # 1 / 201
    assert "p = 1)" in judged(np.zeros(8)).message


def test_a_constant_feature_does_not_divide_by_zero():
    features = reference(studies=50, channels=2).features.copy()
    features[:, 1] = 4.0
    known = Reference(features=sealed(features), intensities=sealed(np.ones((50, 4), dtype="f4")), digest="")
    assert judged((0.0, 4.0), known=known).outcome is Outcome.PASS
    assert judged((0.0, 400.0), known=known).outcome is Outcome.CRITICAL


def test_intensities_far_from_the_reference_are_told():
    prepared = make_prepared(np.full((1, 8, 8), 3.0) + np.linspace(0, 0.1, 64).reshape(1, 8, 8))
    evidence = make_evidence(prediction=make_prediction(features=np.zeros(8)), reference=reference(), prepared=prepared)
    assert "of the input lies" in confident_outlier(evidence).message
    assert "standard deviations off" in confident_outlier(evidence).message


@pytest.mark.parametrize(
    ("features", "studies", "words"),
    [
        (np.zeros(8), 15, "There are 15 reference studies, and the comparison needs 20."),
        (np.zeros(5), 50, "The study has 5 features and the reference 8"),
        ((), 50, "The study has 0 features"),
        (np.full(8, np.nan), 50, "is not finite"),
    ],
)
def test_what_cannot_be_compared_is_not_evaluable(features, studies, words):
    finding = judged(features, known=reference(studies=studies))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert words in finding.message


def test_without_a_reference_it_is_not_evaluable():
    assert confident_outlier(make_evidence()).outcome is Outcome.NOT_EVALUABLE


def test_both_ends_of_a_single_sigmoid_are_confident_but_not_an_absent_label():
    assert confidence_of(make_prediction((0.01,), task=Task.BINARY)) == pytest.approx(0.99)
    assert confidence_of(make_prediction((0.01, 0.3), task=Task.MULTILABEL)) == pytest.approx(0.3)
    assert confidence_of(make_prediction((0.2, 0.8))) == pytest.approx(0.8)


def test_features_of_another_layer_are_not_compared():
    known = replace(reference(), layer="elsewhere")
    evidence = make_evidence(
        make_explanation(np.ones((4, 4))), prediction=make_prediction((0.9, 0.1), features=np.zeros(8)), reference=known
    )
    finding = confident_outlier(evidence)
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "the reference holds those of elsewhere" in finding.message
