"""The rule of the verdict as a truth table."""

import itertools

import pytest

from audit_pipeline.checks import catalogue, verdict
from audit_pipeline.checks.verdicts import ORDER
from audit_pipeline.findings import Finding, Outcome

CRITICAL, ERROR, FLAG, NOTE, PASS, NOT_EVALUABLE = ORDER


def found(code, outcome):
    names = {entry.mode.code: name for name, entry in catalogue().items()}
    return Finding(code=code, name=names.get(code, "other"), family=code[0], outcome=outcome, message="m")


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations_with_replacement(ORDER, 2)))
def test_the_more_serious_of_two_outcomes_is_the_verdict(one, other):
    for pair in ((one, other), (other, one)):
        given = verdict([found("C01", pair[0]), found("C02", pair[1])])
        assert given.prediction is one


def test_no_finding_at_all_is_not_evaluable_and_never_a_pass():
    given = verdict([])
    assert (given.prediction, given.explanation) == (NOT_EVALUABLE, NOT_EVALUABLE)
    assert (given.prediction_code, given.explanation_code) == ("", "")


def test_only_unevaluable_checks_are_not_a_pass():
    given = verdict([found("D05", NOT_EVALUABLE), found("D09", NOT_EVALUABLE)])
    assert given.explanation is NOT_EVALUABLE
    assert given.explanation_code == "D05"


def test_a_crash_is_never_a_pass():
    given = verdict([found("C01", ERROR), found("C02", PASS)])
    assert (given.prediction, given.prediction_code) == (ERROR, "C01")


def test_the_two_verdicts_do_not_mix():
    given = verdict([found("C08", CRITICAL), found("D05", PASS)])
    assert (given.prediction, given.explanation) == (CRITICAL, PASS)
    given = verdict([found("A01", PASS), found("B07", PASS), found("C01", PASS), found("D19", CRITICAL)])
    assert (given.prediction, given.explanation) == (PASS, CRITICAL)
    assert given.explanation_code == "D19"


def test_other_families_judge_neither():
    given = verdict([found("E01", CRITICAL), found("F03", CRITICAL), found("C01", PASS), found("D05", PASS)])
    assert (given.prediction, given.explanation) == (PASS, PASS)


def test_a_pass_has_no_deciding_code():
    assert verdict([found("C01", PASS)]).prediction_code == ""


@pytest.mark.parametrize(
    ("codes", "decides"),
    [
        (("C01", "A21"), "A21"),  # S 5 over S 4
        (("A01", "A19"), "A19"),  # S 4 both, 4*4*4 over 4*3*4
        (("A04", "A21"), "A04"),  # S 5 both, 75 over 60
        (("D02", "D01"), "D01"),  # equal in all, the first code
        (("A31", "A15"), "A15"),  # unknown codes come last
        (("A31", "A26"), "A26"),
    ],
)
def test_the_deciding_code_is_the_most_severe_then_the_largest_product_then_the_first(codes, decides):
    for order in (codes, codes[::-1]):
        given = verdict([found(code, FLAG) for code in order])
        assert decides in {given.prediction_code, given.explanation_code}


def test_every_outcome_has_a_place_in_the_order():
    assert set(ORDER) == set(Outcome)
