"""Running the cohort checks: crashes are findings, many tests are weighed together, settings are checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.declare import COHORT_CHECKS, CohortResult, NotEvaluable, cohort_check, finding_of
from audit_pipeline.cohort.run import cohort_settings_schema, run_cohort_checks, validate_cohort_settings, weighed
from audit_pipeline.config import CohortSection
from audit_pipeline.errors import ConfigError
from audit_pipeline.findings import Outcome

MODE = next(iter(cohort_catalogue().values())).mode
ABOUT = {
    "title": "t", "sentence": "s", "severity": (1, 1, 1), "provenance": "dom", "reference": "r", "advice": "a",
}  # fmt: skip


def with_p(p_value, *, declared=False):
    result = CohortResult(Outcome.FLAG, "Found.", p_value=p_value)
    return finding_of(MODE, result, is_confirmatory=declared)


@pytest.fixture
def registered():
    before = set(COHORT_CHECKS)
    yield
    for name in set(COHORT_CHECKS) - before:
        COHORT_CHECKS._entries.pop(name)


def test_a_flag_that_chance_explains_among_all_tests_becomes_a_note():
    found = weighed([with_p(0.03), with_p(0.0001), with_p(0.5)])
    assert [one.finding.outcome for one in found] == [Outcome.NOTE, Outcome.FLAG, Outcome.NOTE]
    assert "among 3 tests" in found[0].finding.message


def test_rules_and_declared_tests_are_not_weighed():
    found = weighed([with_p(None), with_p(0.04, declared=True), with_p(0.9), with_p(0.9)])
    assert [one.finding.outcome for one in found[:2]] == [Outcome.FLAG, Outcome.FLAG]


def test_without_a_cohort_every_check_says_so():
    found = run_cohort_checks(None, CohortSection())
    assert len(found) == len(cohort_catalogue())
    assert {one.finding.outcome for one in found} == {Outcome.NOT_EVALUABLE}
    assert [one.finding.code for one in found] == sorted(one.finding.code for one in found)


def test_disabled_checks_have_no_finding_by_name_or_code():
    found = run_cohort_checks(None, CohortSection(disable=["E01", "leakage"]))
    assert {"E01", "E14"}.isdisjoint(one.finding.code for one in found)


def test_a_check_that_crashes_is_an_error_and_the_others_still_run(registered):
    @cohort_check("E90", **ABOUT)
    def broken(cohort):
        raise ZeroDivisionError

    cohort = clean_cohort(30, np.random.default_rng(0))
    found = {one.finding.code: one.finding for one in run_cohort_checks(cohort, CohortSection())}
    assert found["E90"].outcome is Outcome.ERROR
    assert "ZeroDivisionError" in found["E90"].message
    assert found["E17"].outcome is Outcome.PASS


def test_numbers_that_are_not_finite_never_leave_a_check(registered):
    @cohort_check("E91", **ABOUT)
    def odd(cohort):
        return CohortResult(Outcome.PASS, "x.", value=float("nan"), low=float("inf"), p_value=float("nan"))

    found = COHORT_CHECKS["odd"].function(None)
    assert (found.finding.value, found.low, found.finding.p_value) == (None, None, None)


def test_a_missing_prerequisite_is_not_evaluable(registered):
    @cohort_check("E92", **ABOUT)
    def lacking(cohort):
        raise NotEvaluable("There is nothing.")

    found = COHORT_CHECKS["lacking"].function(clean_cohort(10, np.random.default_rng(0)))
    assert (found.finding.outcome, found.finding.message) == (Outcome.NOT_EVALUABLE, "There is nothing.")


@pytest.mark.parametrize(
    ("section", "match"),
    [
        ({"disable": ["E99"]}, "cohort.disable: unknown cohort check 'E99'"),
        ({"settings": {"subgroup_gab": {}}}, "did you mean 'subgroup_gap'"),
        ({"settings": {"subgroup_gap": {"margn": 0.1}}}, "did you mean 'margin'"),
        ({"settings": {"subgroup_gap": {"margin": -1}}}, "needs a finite number not below 0"),
        ({"settings": {"subgroup_gap": {"margin": True}}}, "needs a finite number"),
        ({"settings": {"few_sites": {"least": 2.5}}}, "like 3, found 2.5"),
    ],
)
def test_impossible_settings_are_refused_with_the_nearest_name(section, match):
    with pytest.raises(ConfigError, match=match):
        validate_cohort_settings(CohortSection(**section))


def test_settings_reach_the_check():
    cohort = clean_cohort(60, np.random.default_rng(0))
    found = run_cohort_checks(cohort, CohortSection(settings={"few_sites": {"least": 9}}))
    assert next(one.finding for one in found if one.finding.code == "E17").limit == 9.0


def test_two_runs_give_the_same_findings():
    cohort = clean_cohort(120, np.random.default_rng(0))
    assert run_cohort_checks(cohort, CohortSection()) == run_cohort_checks(replace(cohort), CohortSection())


def test_a_code_or_metadata_that_cannot_be_is_refused(registered):
    for change in ({"provenance": "guess"}, {"severity": (0, 1, 1)}):
        with pytest.raises(ValueError, match="impossible"):
            cohort_check("E93", **{**ABOUT, **change})(lambda cohort: None)
    with pytest.raises(ValueError, match="twice"):
        cohort_check("E01", **ABOUT)(lambda cohort: None)


def test_the_schema_names_every_keyword_with_its_default():
    schema = cohort_settings_schema()
    assert schema["subgroup_gap"]["properties"]["margin"] == {"type": "number", "default": 0.05}
    assert set(schema) == set(cohort_catalogue())
