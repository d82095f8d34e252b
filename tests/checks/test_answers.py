"""What the model said, for the record: every answer with its amount, every missing one with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from evidence_factories import make_evidence, make_prediction

from audit_pipeline.checks.answers import NOT_ASKED, NOT_FINITE, answer_facts
from audit_pipeline.checks.benign import benign_changes
from audit_pipeline.checks.harmless import BLUR_VOXELS, CORRUPTIONS, GAMMA, NOISE, QUANTUM
from audit_pipeline.checks.panel import PANEL
from audit_pipeline.evidence import Answer


def answer(count, first=0.1):
    chances = np.asarray([[first + 0.02 * place, 0.9 - 0.02 * place] for place in range(count)])
    return Answer(logits=np.log(chances), probabilities=chances)


@pytest.fixture
def evidence():
    given = {
        "benign": answer(10), "corrupted": answer(len(CORRUPTIONS), 0.4), "noise": answer(1, 0.7),
        "repeated": answer(2), "text_removed": "There are no letters.", "constant": answer(1, float("nan")),
    }  # fmt: skip
    return make_evidence(prediction=make_prediction((0.9, 0.1)), answers=given)


def rows(evidence, group):
    return [one for one in answer_facts(evidence) if one.group == group]


def test_every_harmless_change_is_a_row_in_order_with_its_answer_by_class(evidence):
    found = rows(evidence, "harmless")
    changes = benign_changes(evidence.prepared.values.shape[1:])
    assert [one.sentence for one in found] == [change.sentence for change in changes]
    classes = evidence.prediction.classes
    assert [list(one.probabilities.values()) for one in found] == evidence.answers["benign"].probabilities.tolist()
    assert all(tuple(one.probabilities) == classes for one in found)


def test_amounts_are_the_length_of_a_shift_the_sign_of_a_turn_and_the_exponent_of_gamma(evidence):
    found = {one.sentence: one for one in rows(evidence, "harmless")}
    turn = found["turned by -3.0 degrees"]
    assert (turn.name, turn.amount, turn.unit, turn.unchanged) == ("turn in the plane", -3.0, "degrees", 0.0)
    gamma = found["gamma 0.95"]
    assert (gamma.name, gamma.amount, gamma.unchanged) == ("gamma", 0.95, 1.0)
    diagonal = found["shifted by 1 row, 1 column"]
    assert (diagonal.name, diagonal.amount) == ("shift in the plane", pytest.approx(2**0.5))


def test_a_shift_of_one_slice_is_a_kind_of_its_own_with_its_sign():
    found = {one.sentence: (one.kind, one.amount) for one in benign_changes((8, 40, 40))}
    assert found["shifted by (-1, 0, 0) voxels"] == ("shift along the slices", -1.0)


def test_corruptions_have_the_amounts_with_which_they_are_made(evidence):
    found = {one.name: (one.amount, one.unchanged) for one in rows(evidence, "corruption")}
    assert found == {
        "noise": (NOISE, 0.0), "blur": (BLUR_VOXELS, 0.0), "gamma": (GAMMA, 1.0), "block quantisation": (QUANTUM, 0.0),
    }  # fmt: skip


def test_the_panel_holds_every_variant_with_its_answer_or_the_reason(evidence):
    found = {one.name: one for one in rows(evidence, "falsification")}
    assert tuple(found)[: len(PANEL)] == PANEL
    assert list(found["noise"].probabilities.values()) == pytest.approx([0.7, 0.9])
    assert (found["text_removed"].probabilities, found["text_removed"].reason) == ({}, "There are no letters.")
    assert (found["body_removed"].probabilities, found["body_removed"].reason) == ({}, NOT_ASKED)
    assert (found["constant"].probabilities, found["constant"].reason) == ({}, NOT_FINITE)


def test_a_variant_that_was_not_asked_is_one_row_with_the_reason_and_no_amount():
    (row,) = rows(make_evidence(), "harmless")
    assert (row.name, row.probabilities, row.amount, row.unchanged, row.reason) == ("benign", {}, None, None, NOT_ASKED)


def test_repeats_are_kept(evidence):
    assert [list(one.probabilities.values()) for one in rows(evidence, "repeat")] == evidence.answers[
        "repeated"
    ].probabilities.tolist()
