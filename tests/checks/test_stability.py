"""The answer under harmless changes, mild corruption and repetition; whether it needs the image and the patient."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_prediction, make_prepared

from audit_pipeline.checks.decisions import decided, flipped, positives
from audit_pipeline.checks.dependence import image_not_needed, patient_not_needed
from audit_pipeline.checks.stability import fragile, not_repeatable, unstable
from audit_pipeline.evidence import Answer, Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task


def answer(*chances):
    rows = np.asarray([[one] if np.isscalar(one) else one for one in chances], dtype=np.float64)
    return Answer(logits=np.log(rows) - np.log1p(-rows), probabilities=rows)


def asked(probability=0.7, threshold=0.5, **answers):
    prediction = make_prediction(
        (probability,), (float(np.log(probability / (1 - probability))),), Task.BINARY, {"class a": threshold}
    )
    return make_evidence(prediction=prediction, answers=answers)


class Recorded:
    """A model that answers everything alike."""

    def __init__(self, given):
        self.given = given

    def predict(self, _inputs):
        return self.given


def test_an_answer_that_stays_passes_and_its_largest_change_is_the_value():
    finding = unstable(asked(benign=answer(*[0.7] * 9, 0.62)))
    assert (finding.outcome, finding.value) == (Outcome.PASS, pytest.approx(0.08))
    assert "gamma 1.05" in finding.message


def test_a_decision_that_turns_is_flagged_unless_it_was_at_the_operating_point():
    assert unstable(asked(benign=answer(*[0.7] * 9, 0.49))).outcome is Outcome.FLAG
    assert unstable(asked(0.52, benign=answer(*[0.52] * 9, 0.49))).outcome is Outcome.PASS


def test_a_large_change_is_flagged_though_the_decision_stays():
    finding = unstable(asked(0.99, benign=answer(*[0.99] * 9, 0.6)))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, pytest.approx(0.39))


def test_mild_corruption_that_turns_the_decision_is_named():
    finding = fragile(asked(corrupted=answer(0.3, 0.7, 0.7, 0.69)))
    assert finding.outcome is Outcome.FLAG
    assert "1 change turns the decision by more than 0.05: noise." in finding.message
    assert fragile(asked(corrupted=answer(0.6, 0.7, 0.7, 0.69))).outcome is Outcome.PASS


@pytest.mark.parametrize("check", [unstable, fragile, image_not_needed, patient_not_needed])
def test_what_was_not_asked_is_not_evaluable(check):
    assert check(asked()).outcome is Outcome.NOT_EVALUABLE


def test_an_answer_that_is_not_finite_is_not_evaluable():
    assert fragile(asked(corrupted=answer(0.7, np.nan, 0.7, 0.7))).outcome is Outcome.NOT_EVALUABLE


def test_the_same_answer_again_passes_and_another_decision_is_critical():
    same = asked(repeated=answer(0.7, 0.7))
    assert not_repeatable(replace(same, model=Recorded(answer(0.7)))).outcome is Outcome.PASS
    assert not_repeatable(replace(same, model=Recorded(answer(0.7001)))).outcome is Outcome.FLAG
    assert not_repeatable(replace(same, model=Recorded(answer(0.4)))).outcome is Outcome.CRITICAL
    assert not_repeatable(same).outcome is Outcome.NOT_EVALUABLE


def test_a_batch_of_saturated_answers_still_shows_drifting_logits():
    drifting = Answer(logits=np.asarray([[60.0], [40.0]]), probabilities=np.ones((2, 1)))
    prediction = make_prediction((1.0,), (50.0,), Task.BINARY, {"class a": 0.5})
    given = make_evidence(prediction=prediction, answers={"repeated": drifting}, model=Recorded(drifting))
    assert not_repeatable(given).outcome is Outcome.FLAG


def test_the_tolerance_is_that_of_the_device_and_the_precision():
    model, again = Recorded(answer(0.70005)), answer(0.7, 0.7)
    for device, precision, limit in (("cpu", "fp32", 1e-5), ("cuda", "fp32", 1e-4), ("cuda", "fp16", 1e-2)):
        given = asked(repeated=again)
        given = replace(given, prediction=replace(given.prediction, device=device, precision=precision), model=model)
        finding = not_repeatable(given)
        assert finding.limit == limit
        assert finding.outcome is (Outcome.FLAG if limit < 5e-5 else Outcome.PASS)


def test_a_bias_that_answers_everything_alike_does_not_need_the_image():
    assert image_not_needed(asked(0.2, constant=answer(0.21), noise=answer(0.2))).outcome is Outcome.FLAG
    assert image_not_needed(asked(0.2, constant=answer(0.21), noise=answer(0.001))).outcome is Outcome.PASS


def test_a_finding_in_grey_and_in_noise_is_flagged_and_the_absence_of_one_is_not():
    assert image_not_needed(asked(0.98, constant=answer(0.999), noise=answer(0.96))).outcome is Outcome.FLAG
    assert image_not_needed(asked(0.02, constant=answer(0.001), noise=answer(0.04))).outcome is Outcome.PASS


def test_a_finding_in_grey_and_in_noise_that_goes_with_the_body_is_a_note():
    empty = {"constant": answer(0.999), "noise": answer(0.96)}
    assert image_not_needed(asked(0.98, **empty, body_removed=answer(0.2))).outcome is Outcome.NOTE
    assert image_not_needed(asked(0.98, **empty, body_removed=answer(0.9))).outcome is Outcome.FLAG


@pytest.mark.parametrize(
    ("grey", "noise", "told"),
    [(0.6, 0.1, "an even grey (0.6)"), (0.1, 0.7, "noise (0.7)"), (0.6, 0.7, "an even grey (0.6) and of noise (0.7)")],
)
def test_a_finding_that_an_image_of_nothing_gets_as_well_is_a_note_that_names_it(grey, noise, told):
    finding = image_not_needed(asked(0.98, constant=answer(grey), noise=answer(noise), body_removed=answer(0.2)))
    assert finding.outcome is Outcome.NOTE
    assert f"class a is concluded of {told} too" in finding.message
    assert "too" not in image_not_needed(asked(0.02, constant=answer(grey), noise=answer(noise))).message


def known(*probabilities):
    odds = np.log(np.asarray(probabilities) / (1 - np.asarray(probabilities)))
    empty = np.zeros((odds.size, 1), dtype=np.float32)
    return Reference(features=empty, intensities=empty, digest="", logits=odds[:, None].astype(np.float32))


@pytest.mark.parametrize(("others", "outcome"), [(0, Outcome.FLAG), (10, Outcome.NOTE)])
def test_a_model_that_clean_studies_show_to_answer_otherwise_needs_the_image(others, outcome):
    reference = known(*[0.9] * (40 - others), *[0.1] * others)
    empty = {"constant": answer(0.99), "noise": answer(0.97), "body_removed": answer(0.8)}
    for check in (image_not_needed, patient_not_needed):
        finding = check(replace(asked(0.98, **empty), reference=reference))
        assert finding.outcome is outcome
        assert ("10 of 40 clean reference studies" in finding.message) == bool(others)


def test_what_stays_beside_the_body_decides_where_an_even_grey_is_no_finding():
    reference = known(*[0.1] * 40)
    kept = replace(asked(0.98, constant=answer(0.2), body_removed=answer(0.97)), reference=reference)
    assert patient_not_needed(kept).outcome is Outcome.CRITICAL


@pytest.mark.parametrize(
    ("probability", "without", "outcome"),
    [(0.9, 0.85, Outcome.CRITICAL), (0.9, 0.75, Outcome.FLAG), (0.9, 0.6, Outcome.NOTE), (0.9, 0.2, Outcome.PASS),
     (0.1, 0.05, Outcome.PASS), (0.1, 0.1, Outcome.FLAG)],
)  # fmt: skip
def test_a_finding_that_outlives_the_body_is_flagged(probability, without, outcome):
    assert patient_not_needed(asked(probability, body_removed=answer(without))).outcome is outcome


def test_what_the_border_does_is_told_beside_what_the_body_does():
    finding = patient_not_needed(asked(0.9, body_removed=answer(0.1), border_removed=answer(0.5)))
    assert finding.outcome is Outcome.PASS
    assert (
        "move by up to 4.39 (limit 0.002), without the border by 2.2; class a falls from 0.9 to 0.1." in finding.message
    )


def test_several_classes_are_decided_by_their_operating_points():
    prediction = make_prediction((0.5, 0.3, 0.2), thresholds={"class b": 0.25})
    rows = np.asarray([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    assert decided(prediction, rows) == (frozenset({"class b"}), frozenset({"class c"}))
    assert flipped(prediction, rows).tolist() == [False, True]
    assert positives(prediction) == (1,)
    assert positives(make_prediction((0.9, 0.1))) == ()
    labels = make_prediction((0.9, 0.1), task=Task.MULTILABEL, thresholds={"class b": 0.05})
    assert decided(labels, np.asarray([[0.9, 0.1]])) == (frozenset({"class a", "class b"}),)
    assert positives(labels) == (0, 1)


def test_a_prepared_volume_has_changes_of_its_own():
    evidence = replace(asked(benign=answer(*[0.7] * 9, 0.2)), prepared=make_prepared(np.zeros((1, 8, 16, 16))))
    assert unstable(evidence).outcome is Outcome.FLAG
