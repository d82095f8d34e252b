"""The decorator turns a result into a finding, with every fact of the catalogue standing once."""

import inspect

import pytest

from audit_pipeline.checks import catalogue
from audit_pipeline.checks.declare import CHECKS, Result, check, finding_of
from audit_pipeline.findings import FailureMode, Outcome

CODES = [
    *(f"A{number:02}" for number in range(1, 25) if number != 23),  # A23 compares studies: a check of the cohort
    *(f"B{number:02}" for number in range(1, 8)),
    *(f"C{number:02}" for number in range(1, 21)),
    *(f"D{number:02}" for number in range(1, 31) if number not in {26, 27}),  # D26 and D27 compare studies too
]
FACTS = {
    "title": "A title",
    "family": "Z",
    "sentence": "A sentence.",
    "severity": (1, 1, 1),
    "provenance": "dom",
    "reference": "None",
    "advice": "Nothing.",
}


def test_the_catalogue_is_in_the_order_of_its_codes():
    assert [entry.mode.code for entry in catalogue().values()] == CODES


def test_a_check_is_named_like_its_function_and_its_family_is_its_first_letter():
    for name, entry in catalogue().items():
        assert name == entry.mode.name == entry.function.__name__
        assert entry.mode.family == entry.mode.code[0]


def test_the_defaults_are_the_keyword_arguments_of_the_function():
    for entry in catalogue().values():
        parameters = inspect.signature(entry.function).parameters
        assert dict(entry.defaults) == {
            name: one.default for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY
        }


def test_near_threshold_keeps_the_name_and_the_argument_of_the_contract():
    assert catalogue()["near_threshold"].mode.code == "C01"
    assert catalogue()["near_threshold"].defaults["margin"] == 0.05


def test_every_check_says_in_full_sentences_what_it_finds_and_what_to_do():
    for entry in catalogue().values():
        assert entry.mode.sentence.endswith(".")
        assert entry.mode.advice.endswith(".")
        assert entry.mode.reference
        assert entry.function.__doc__


def test_a_code_or_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="D05 is registered twice"):
        check("D05", **FACTS)(lambda evidence: Result(Outcome.PASS, ""))

    def empty_map(evidence):
        """Take a name."""

    with pytest.raises(ValueError, match="'empty_map' is registered twice"):
        check("Z01", **FACTS)(empty_map)
    assert len(CHECKS) == len(CODES)


@pytest.mark.parametrize("wrong", [{"provenance": "guess"}, {"severity": (0, 3, 3)}, {"severity": (1, 6, 3)}])
def test_impossible_metadata_is_refused(wrong):
    with pytest.raises(ValueError, match="impossible"):
        check("Z02", **(FACTS | wrong))(lambda evidence: Result(Outcome.PASS, ""))


def test_a_number_that_is_not_finite_never_reaches_a_finding():
    mode = FailureMode(code="Z03", name="z", **FACTS)
    finding = finding_of(mode, Result(Outcome.PASS, "m", value=float("nan"), limit=float("inf")))
    assert finding.value is None
    assert finding.limit is None


def test_a_result_may_name_a_better_source_of_its_limit():
    mode = FailureMode(code="Z04", name="z", **FACTS)
    assert finding_of(mode, Result(Outcome.PASS, "m", provenance="std")).provenance == "std"
    assert finding_of(mode, Result(Outcome.PASS, "m")).provenance == "dom"
