"""Whether border, padding, noise, side or marks decide: what turns the answer is named, and only that."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image, make_prediction, make_prepared

from audit_pipeline.checks.decide import decide
from audit_pipeline.checks.reliance import (
    border_decides,
    marker_decides,
    noise_decides,
    padding_decides,
    side_decides,
    usual_move,
)
from audit_pipeline.evidence import Answer, IntendedUse, Reference
from audit_pipeline.findings import Outcome

SHAPE = (32, 32)
CHANGED = {border_decides: "border_removed", padding_decides: "padding_changed", noise_decides: "grained",
           marker_decides: "text_removed", side_decides: "flipped"}  # fmt: skip


def said(*chances):
    """Return the answer with these probabilities of the first class."""
    rows = np.asarray([[chance, 1 - chance] for chance in chances])
    return Answer(logits=np.log(rows), probabilities=rows)


def evidence(own=0.95, **answers):
    """Return evidence of a study with marks and padding, whose first class is a finding with an operating point."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:3] = True
    prediction = make_prediction((own, 1 - own), thresholds={"class a": 0.5})
    known = {"benign": said(*[own] * 10), "body_removed": said(0.97), "constant": said(0.1)} | answers
    return make_evidence(prediction=prediction, padding=mask, text=mask, answers=known)


@pytest.mark.parametrize(("check", "variant"), CHANGED.items())
def test_a_decision_that_turns_with_what_is_changed_is_flagged(check, variant):
    answer = said(0.9, 0.03) if variant == "flipped" else said(0.03)
    found = check(evidence(**{variant: answer}))
    assert found.outcome is Outcome.FLAG
    assert found.value == pytest.approx(0.92)
    assert "the decision turns" in found.message


@pytest.mark.parametrize(("check", "variant"), CHANGED.items())
def test_a_decision_that_stays_passes(check, variant):
    answer = said(0.02, 0.93) if variant == "flipped" else said(0.93)
    assert check(evidence(**{variant: answer})).outcome is Outcome.PASS


@pytest.mark.parametrize("check", [marker_decides, side_decides])
def test_a_model_that_harmless_changes_move_as_far_is_unstable_and_nothing_is_named(check):
    answer = said(0.9, 0.03) if check is side_decides else said(0.03)
    shaky = evidence(**{CHANGED[check]: answer, "benign": said(*[0.03] * 6, *[0.95] * 4)})
    assert usual_move(shaky) > 6
    assert check(shaky).outcome is Outcome.PASS


def test_a_border_counts_only_where_it_can_make_the_finding_without_the_body():
    needs_the_body = evidence(border_removed=said(0.03), body_removed=said(0.05))
    assert border_decides(needs_the_body).outcome is Outcome.NOTE
    filling_makes_a_finding = evidence(own=0.05, border_removed=said(0.97), body_removed=said(0.03))
    assert border_decides(filling_makes_a_finding).outcome is Outcome.NOTE


@pytest.mark.parametrize(("left", "outcome"), [(0.80, Outcome.NOTE), (0.85, Outcome.NOTE), (0.90, Outcome.FLAG)])
def test_a_finding_that_loses_half_of_its_log_odds_with_the_body_is_no_proof_against_the_border(left, outcome):
    # of log-odds of 4 above the threshold of 0.5, 0.80 leaves 1.4, 0.85 leaves 1.7 and 0.90 leaves 2.2
    found = border_decides(evidence(own=1 / (1 + np.exp(-4)), border_removed=said(0.03), body_removed=said(left)))
    assert found.outcome is outcome


def test_marks_on_the_border_are_named_as_marks():
    both = evidence(border_removed=said(0.03), text_removed=said(0.03))
    assert border_decides(both).outcome is Outcome.PASS
    assert "C20" in border_decides(both).message
    assert border_decides(both).limit is None, "another check decides, so no limit stands beside the number"
    assert marker_decides(both).outcome is Outcome.FLAG


def test_padding_at_the_border_is_named_as_padding():
    both = evidence(border_removed=said(0.03), padding_changed=said(0.03))
    assert border_decides(both).outcome is Outcome.PASS
    assert padding_decides(both).outcome is Outcome.FLAG


def test_wider_padding_is_asked_beside_filled_padding():
    found = padding_decides(evidence(padding_changed=said(0.94), padding_widened=said(0.03)))
    assert found.outcome is Outcome.FLAG
    assert found.message.startswith("With wider padding")


def test_without_padding_or_marks_nothing_is_to_be_named():
    nothing = np.zeros(SHAPE, dtype=bool)
    bare = replace(evidence(), padding=nothing, text=nothing)
    assert padding_decides(bare).outcome is marker_decides(bare).outcome is Outcome.PASS


def test_what_was_not_asked_cannot_be_judged():
    for check in CHANGED:
        assert check(evidence()).outcome is Outcome.NOT_EVALUABLE


def test_a_class_that_names_a_side_may_depend_on_it():
    asked = evidence(flipped=said(0.9, 0.03))
    allowed = replace(asked, intended=IntendedUse(sides={"class a": "left"}))
    assert side_decides(allowed).outcome is Outcome.PASS


def test_a_finding_that_comes_with_the_mirrored_anatomy_is_a_note():
    assert side_decides(evidence(own=0.05, flipped=said(0.05, 0.97))).outcome is Outcome.NOTE


def test_a_side_view_has_no_left_and_right():
    image = make_image(metadata={"ViewPosition": "LL"})
    assert side_decides(replace(evidence(flipped=said(0.9, 0.03)), image=image)).outcome is Outcome.NOT_EVALUABLE


def test_in_a_volume_left_and_right_follow_the_geometry():
    affine = np.zeros((4, 4))
    affine[0, 0], affine[1, 1], affine[2, 2], affine[3, 3] = -1, 1, 1, 1
    prepared = replace(make_prepared(np.zeros((1, 6, 8, 10))), affine=affine)
    turned = replace(evidence(flipped=said(0.03, 0.9, 0.9)), prepared=prepared)
    assert side_decides(turned).outcome is Outcome.FLAG
    elsewhere = replace(evidence(flipped=said(0.9, 0.03, 0.03)), prepared=prepared)
    assert side_decides(elsewhere).outcome is Outcome.PASS


def test_a_reference_of_the_same_model_cannot_make_a_shortcut_usual():
    found = marker_decides(evidence(text_removed=said(0.03)))
    none = np.zeros((200, 1), dtype=np.float32)
    usual = Reference(features=none, intensities=none, digest="", values={found.name: np.full(200, 0.99)})
    assert decide((found,), {found.name: 5}, usual)[0].outcome is Outcome.FLAG


def test_a_finding_at_the_edge_that_wider_padding_hides_is_no_shortcut():
    answers = {"padding_changed": said(0.94), "padding_widened": said(0.03)}
    assert padding_decides(evidence(**answers, body_removed=said(0.02))).outcome is Outcome.NOTE
    assert padding_decides(evidence(**answers, body_removed=said(0.97))).outcome is Outcome.FLAG


def test_a_finding_that_comes_with_wider_padding_is_flagged_without_the_body_too():
    found = padding_decides(evidence(own=0.05, padding_widened=said(0.97), body_removed=said(0.02)))
    assert found.outcome is Outcome.FLAG
