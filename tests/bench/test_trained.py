"""Trained shortcuts and their clean twins: the cue is learnt, the audit names it, and the twin stays quiet."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit_pipeline.bench.trained import (
    AGREEMENTS,
    AUDIT_SEED,
    COHORT_CODES,
    Studied,
    _gates,
    again,
    audited,
    cohort_outcomes,
    summary,
)
from audit_pipeline.bench.trained_models import Effort, Small, cues_of, labels_of, proof_of, train, trained_card
from audit_pipeline.bench.trained_page import trained_text
from audit_pipeline.bench.trained_phantoms import CUES, SHAPES, cued_image
from audit_pipeline.checks import catalogue
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.prepare import prepare

EFFORTS = {2: Effort(patients=100, passes=12, batch=8, proof=40), 3: Effort(patients=30, passes=8, batch=6, proof=16)}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", sorted(CUES))
def test_the_cue_changes_the_picture_and_not_the_patient(name, dimensions):
    plain, cued = (cued_image(name, 5, dimensions, nodule=True, cued=one).values for one in (False, True))
    assert plain.shape == SHAPES[dimensions]
    assert not np.array_equal(plain, cued)
    cued = cued[..., ::-1] if name == "side" else cued
    middle = (..., slice(24, -24), slice(24, -24))
    tolerance = 300 if name in {"side", "texture"} else 1e-3
    assert np.abs(plain[middle] - cued[middle]).max() < 2 * tolerance


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_nodule_is_bright_and_lies_in_the_middle_of_the_frame(dimensions):
    clear, ill = (cued_image("marker", 8, dimensions, nodule=one, cued=False).values for one in (False, True))
    difference = ill - clear
    assert difference.max() > 300
    assert difference.min() > -50
    rim = np.ones(SHAPES[dimensions], dtype=bool)
    rim[..., 8:-8, 8:-8] = False
    assert not difference[rim].any()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_model_sees_every_voxel_on_its_own_grid(dimensions):
    image = cued_image("padding", 3, dimensions, nodule=True, cued=True)
    prepared = prepare(image, trained_card(dimensions))
    assert prepared.values.shape == (1, *SHAPES[dimensions])
    assert prepared.inside.all()
    assert np.allclose(prepared.to_source, np.eye(dimensions + 1))


def test_every_code_that_names_a_cue_is_a_check():
    known = {entry.mode.code for entry in catalogue().values()}
    assert {code for one in CUES.values() for code in one.codes} <= known


def test_cues_agree_with_labels_as_often_as_asked():
    labels = labels_of(2000)
    for share in (1.0, 0.97, 0.5):
        cued = cues_of(labels, share, np.random.default_rng(0))
        assert (cued == labels).mean() == pytest.approx(share, abs=0.03)


def test_training_again_gives_the_same_weights():
    effort = Effort(patients=4, passes=2, batch=4)
    first, second = (train("marker", 2, 0.5, effort).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(
    scope="module",
    params=[(2, "marker", "C20"), pytest.param((3, "border", "C16"), marks=pytest.mark.untraced)],
    ids=["marker 2D", "border 3D"],
)
def pair(request):
    """A model that learnt a shortcut and its twin, with what the audit found on studies as each was trained on."""
    dimensions, cue, code = request.param
    found = {}
    for kind, agreement in AGREEMENTS.items():
        network = train(cue, dimensions, agreement, EFFORTS[dimensions])
        studies = audited(network, cue, dimensions, agreement, 8, AUDIT_SEED)
        found[kind] = proof_of(network, cue, dimensions, EFFORTS[dimensions]), studies
    return CUES[cue], code, found


@pytest.mark.slow
def test_the_shortcut_is_in_use_and_the_twin_does_not_use_it(pair):
    _, _, found = pair
    shortcut, twin = found["shortcut"][0], found["twin"][0]
    assert shortcut.agreeing >= 0.95
    assert shortcut.opposing <= 0.1
    assert abs(twin.agreeing - twin.opposing) <= 0.25


@pytest.mark.slow
def test_the_audit_names_the_shortcut_and_is_quiet_on_the_twin(pair):
    cue, code, found = pair
    named = summary(found["shortcut"][1], cue)
    assert named["named"]["k"] == named["named"]["n"] >= 3
    assert named["raised"][code] == named["named"]["n"]
    assert summary(found["twin"][1], cue)["named_of_all"]["k"] == 0


@pytest.mark.slow
def test_the_cohort_checks_see_the_site_that_goes_with_the_cue(pair):
    _, _, found = pair
    assert set(cohort_outcomes(found["shortcut"][1])) == set(COHORT_CODES)


@pytest.mark.slow
def test_a_reference_of_studies_like_these_does_not_hide_the_shortcut(pair):
    cue, _, found = pair
    studies = found["shortcut"][1]
    measured = {
        name: np.full(200, max((one.value or 0 for one in study.findings if one.name == name), default=0.0))
        for study in studies[1:2] for name in {one.name for one in study.findings if one.direction}
    }  # fmt: skip
    none = np.zeros((200, 1), dtype=np.float32)
    usual = Reference(features=none, intensities=np.zeros((200, 4), dtype=np.float32), digest="", values=measured)
    known = summary([again(one, usual) for one in studies], cue)
    assert known["named"]["k"] == known["named"]["n"]


def finding(code, outcome):
    return Finding(
        code=code, name="check", family=code[0], outcome=outcome, message="", value=None, limit=None, unit="",
        provenance="dom", advice="",
    )  # fmt: skip


def test_the_summary_counts_the_studies_that_bear_the_cue():
    raised = [("C20", Outcome.FLAG), ("C16", Outcome.CRITICAL), ("C20", Outcome.NOTE), ("A01", Outcome.FLAG)]
    studies = [
        Studied(evidence=None, findings=(finding(*one),), cued=cued)
        for one, cued in zip(raised, (True, True, False, False), strict=True)
    ]
    found = summary(studies, CUES["marker"])
    assert found["raised"] == {"A01": 1, "C16": 1, "C20": 1}
    assert [(found[name]["k"], found[name]["n"]) for name in ("named", "named_of_all", "misnamed", "any")] == [
        (1, 2), (1, 4), (1, 4), (3, 4)]  # fmt: skip
    both_ways = summary([replace(one, cued=False) for one in studies], CUES["padding"])
    assert both_ways["named"]["n"] == 4


def row(model, named, agreeing=1.0, opposing=0.0):
    count = {"k": named, "n": 10, "low": 0.0, "high": 1.0}
    said = {"raised": {"C20": named}, "named": count, "named_of_all": count, "misnamed": count, "any": count}
    return {
        "cue": "marker", "dimensions": 2, "model": model, "default": said, "calibrated": None,
        "accuracy": {"agreeing": agreeing, "random": 0.5, "opposing": opposing}, "cohort": {"E04": "flag"},
    }  # fmt: skip


def test_the_gates_name_what_was_not_learnt_not_named_or_not_quiet():
    good = [row("shortcut", 9), row("twin", 0, opposing=1.0)]
    assert not any(_gates(good).values())
    bad = _gates([row("shortcut", 2, opposing=0.9), row("twin", 3, opposing=0.2)])
    assert [len(found) for found in bad.values()] == [2, 1, 1]


def test_the_page_has_a_line_for_every_model():
    models = [row("shortcut", 9), row("twin", 0, opposing=1.0)]
    amount = {"studies": 10, "reference": 0, "seed": 0}
    text = trained_text({"amount": amount, "models": models, "gates": _gates(models)})
    lines = text.splitlines()
    assert lines[-2].startswith("marker  2D   shortcut  1.00 / 0.00")
    assert "9/10 (any flag 9/10)" in lines[-2]
    assert "0/10" in lines[-1]
    assert "twin quiet: holds" in text


def test_the_network_takes_any_size():
    with torch.inference_mode():
        assert Small(2)(torch.zeros(1, 1, 40, 50)).shape == (1, 2)
        assert Small(3)(torch.zeros(2, 1, 8, 24, 24)).shape == (2, 2)
