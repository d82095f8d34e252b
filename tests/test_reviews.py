"""What a reviewer says: which studies ask for a word, and how far two readings agree."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from audit_pipeline.findings import FailureMode, Finding, Outcome
from audit_pipeline.reviews import ReviewVerdict, agreement, gating_codes

MODE = FailureMode(
    code="B07", name="x", title="X", family="B", sentence="", severity=(4, 1, 1), provenance="dom", reference="",
    advice="",
)  # fmt: skip
MODES = {"B07": MODE, "C04": replace(MODE, code="C04", severity=(3, 5, 5)), "D21": replace(MODE, code="D21")}


def record(*pairs, prediction=True):
    findings = tuple(
        Finding(code=code, name="x", family=code[0], outcome=outcome, message="") for code, outcome in pairs
    )
    return SimpleNamespace(findings=findings, prediction=object() if prediction else None)


def test_a_flag_of_severity_four_asks_for_a_word_and_one_of_severity_three_does_not():
    found = gating_codes(record(("C04", Outcome.CRITICAL), ("B07", Outcome.FLAG)), MODES)
    assert found == ("B07",)


def test_an_error_of_a_grave_check_asks_for_a_word_like_a_flag():
    assert gating_codes(record(("D21", Outcome.ERROR)), MODES) == ("D21",)


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.NOTE, Outcome.NOT_EVALUABLE])
def test_what_was_not_raised_asks_for_nothing(outcome):
    assert gating_codes(record(("B07", outcome)), MODES) == ()


def test_a_study_without_a_prediction_and_a_code_without_metadata_ask_for_nothing():
    assert gating_codes(record(("B07", Outcome.FLAG), prediction=False), MODES) == ()
    assert gating_codes(record(("Z99", Outcome.FLAG)), MODES) == ()


def test_a_code_that_was_raised_twice_is_named_once():
    assert gating_codes(record(("B07", Outcome.FLAG), ("B07", Outcome.CRITICAL)), MODES) == ("B07",)


def test_kappa_and_its_interval_are_those_of_statsmodels():
    draw = np.random.default_rng(3)
    words = list(ReviewVerdict)
    first = draw.integers(0, 4, 200)
    second = np.where(draw.random(200) < 0.6, first, draw.integers(0, 4, 200))
    pairs = [(words[one], words[other]) for one, other in zip(first, second, strict=True)]
    table = np.zeros((len(words), len(words)))
    np.add.at(table, (first, second), 1)
    expected, found = cohens_kappa(table), agreement(pairs)
    assert found.value == pytest.approx(expected.kappa, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((expected.kappa_low, expected.kappa_upp), abs=1e-9)


def test_the_interval_of_kappa_stays_within_its_range():
    pairs = [(ReviewVerdict.AGREE, ReviewVerdict.AGREE)] * 3 + [(ReviewVerdict.AGREE, ReviewVerdict.DISAGREE)]
    found = agreement([*pairs, (ReviewVerdict.DISAGREE, ReviewVerdict.DISAGREE)])
    assert -1 <= found.low < found.value < found.high <= 1


def test_kappa_of_readings_that_use_one_word_only_is_not_defined():
    assert agreement([(ReviewVerdict.AGREE, ReviewVerdict.AGREE)] * 5) is None
    assert agreement([]) is None
