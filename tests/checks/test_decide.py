"""Measures become flags only where clean studies hardly ever reach them, and rules are left alone."""

import numpy as np
import pytest

from audit_pipeline.checks.decide import (
    conformal_p,
    decide,
    quantile_limit,
    standing_of,
    tail_p,
)
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import STANDING_QUANTILES, Finding, Outcome

SEVERITIES = {"gating": 4, "other": 5, "informing": 3}


def measure(name="gating", value=1.0, outcome=Outcome.FLAG, provenance="dom", direction="above", **changes):
    return Finding(
        code="Z01", name=name, family="Z", outcome=outcome, message="It measures.", value=value, limit=0.5,
        provenance=provenance, direction=direction, **changes,
    )  # fmt: skip


def clean(studies=0, **values):
    arrays = {name: np.asarray(one, dtype=np.float64) for name, one in values.items()}
    empty = np.zeros((max(studies, *(one.size for one in arrays.values())), 1), dtype=np.float32)
    return Reference(features=empty, intensities=empty, digest="", values=arrays)


def one(finding, reference, severities=SEVERITIES):
    return decide([finding], severities, reference)[0]


def test_the_p_value_counts_the_clean_studies_that_are_as_extreme():
    assert conformal_p(5.0, np.arange(9.0), "above") == pytest.approx((1 + 4) / 10)
    assert conformal_p(0.0, np.arange(9.0), "below") == pytest.approx((1 + 1) / 10)


def test_a_flag_beyond_every_clean_study_stays():
    found = one(measure(value=2.0), clean(gating=np.linspace(0, 1, 200)))
    assert found.outcome is Outcome.FLAG
    assert found.calibrated
    assert found.p_value == pytest.approx(1 / 201)


def test_a_flag_that_clean_studies_show_as_often_becomes_a_note_with_the_p_value():
    found = one(measure(value=0.9), clean(gating=np.linspace(0, 1, 200)))
    assert found.outcome is Outcome.NOTE
    assert "p = 0.1" in found.message


def test_without_a_reference_the_default_limit_stands():
    found = one(measure(), None)
    assert (found.outcome, found.calibrated, found.p_value) == (Outcome.FLAG, False, None)


@pytest.mark.parametrize("studies", [5, 200])
def test_a_measure_has_its_place_among_the_reference_studies_however_few(studies):
    known = np.linspace(0, 1, studies)
    standing = one(measure(value=0.9), clean(gating=known)).standing
    assert standing.quantiles == pytest.approx(np.quantile(known, STANDING_QUANTILES))
    assert (standing.studies, standing.p_value) == (studies, conformal_p(0.9, known, "above"))


def test_without_a_reference_a_direction_or_finite_values_there_is_no_place():
    assert one(measure(), None).standing is None
    assert one(measure(), clean(other=[1.0, 2.0])).standing is None
    assert one(measure(direction=""), clean(gating=[1.0, 2.0])).standing is None
    assert standing_of(1.0, np.asarray([1.0, np.inf])) is None
    assert standing_of(1.0, np.zeros(0)) is None


def test_far_beyond_a_reference_too_small_for_a_conformal_p_value_a_flag_stays():
    """Holm among 20 measures needs p of 0.0025, which 99 studies cannot give by counting."""
    names = [f"m{place}" for place in range(20)]
    findings = [measure(name, value=2.0 if name == "m0" else 0.1, outcome=Outcome.FLAG) for name in names]
    reference = clean(**{name: np.linspace(0, 1, 99) for name in names})
    found = decide(findings, dict.fromkeys(names, 4), reference)
    assert [one.outcome for one in found] == [Outcome.FLAG, *[Outcome.NOTE] * 19]


def test_just_beyond_all_clean_studies_is_no_flag_among_many_measures():
    names = [f"m{place}" for place in range(20)]
    findings = [measure(name, value=1.02 if name == "m0" else 0.1) for name in names]
    reference = clean(**{name: np.linspace(0, 1, 99) for name in names})
    assert {one.outcome for one in decide(findings, dict.fromkeys(names, 4), reference)} == {Outcome.NOTE}


def test_the_tail_of_an_exponential_distribution_is_its_own():
    known = -np.log1p(-(np.arange(100_000) + 0.5) / 100_000)
    assert tail_p(14.0, known, "above") == pytest.approx(np.exp(-14.0), rel=0.02)
    assert tail_p(-14.0, -known, "below") == pytest.approx(np.exp(-14.0), rel=0.02)
    assert tail_p(1.0, known, "above") == 1.0


def test_beyond_studies_that_are_all_alike_nothing_is_left_to_chance():
    assert tail_p(0.1, np.zeros(120), "above") == 0.0


def test_twenty_measures_of_clean_studies_hardly_ever_raise_a_flag():
    random = np.random.default_rng(0)
    raised = 0
    for _ in range(200):
        names = [f"m{place}" for place in range(20)]
        reference = clean(**{name: random.normal(size=100) for name in names})
        findings = [measure(name, value=float(random.normal())) for name in names]
        raised += any(one.outcome is Outcome.FLAG for one in decide(findings, dict.fromkeys(names, 4), reference))
    assert raised <= 0.08 * 200


def test_a_measure_without_a_default_limit_is_flagged_by_the_reference_alone():
    values = np.linspace(0, 1, 500)
    low, high = (
        one(measure(value=at, outcome=Outcome.PASS, provenance="cal"), clean(gating=values)) for at in (0.5, 2)
    )
    assert (low.outcome, high.outcome) == (Outcome.PASS, Outcome.FLAG)
    assert high.limit == pytest.approx(np.sort(values)[int(np.ceil(501 * 0.99)) - 1])


def test_a_measure_without_a_default_limit_and_reference_is_not_a_pass():
    found = one(measure(outcome=Outcome.PASS, provenance="cal"), None)
    assert found.outcome is Outcome.NOT_EVALUABLE
    assert "99 clean reference studies" in found.message


def test_rules_are_never_weighed():
    found = one(measure(value=0.9, direction="", outcome=Outcome.CRITICAL), clean(gating=np.linspace(0, 1, 200)))
    assert (found.outcome, found.p_value) == (Outcome.CRITICAL, None)


def test_a_fault_may_lie_below_its_limit():
    values = clean(gating=np.linspace(1, 2, 200))
    assert one(measure(value=0.1, direction="below"), values).outcome is Outcome.FLAG
    assert one(measure(value=1.5, direction="below"), values).outcome is Outcome.NOTE


def test_gating_and_informing_measures_are_two_families():
    """p = 0.04 passes Benjamini and Hochberg alone, and fails Holm beside an unremarkable one."""
    values = np.linspace(0, 1, 499)
    reference = clean(gating=values, other=values, informing=values)
    p_four_percent = values[-20]
    findings = [
        measure("gating", p_four_percent),
        measure("other", 0.5),
        measure("informing", p_four_percent),
    ]
    found = decide(findings, SEVERITIES, reference)
    assert found[0].p_value == pytest.approx(0.042, abs=0.001)
    assert [one.outcome for one in found] == [Outcome.NOTE, Outcome.NOTE, Outcome.FLAG]


def test_quantiles_of_the_reference_follow_split_conformal_prediction():
    values = np.arange(1.0, 200.0)
    assert quantile_limit(values, "above") == 198.0
    assert quantile_limit(values, "below") == 2.0


def test_at_most_a_twentieth_of_clean_studies_is_flagged_by_twenty_gating_measures():
    random = np.random.default_rng(0)
    names = [f"m{place}" for place in range(20)]
    reference = clean(**{name: random.normal(size=499) for name in names})
    flagged = 0
    for _ in range(400):
        findings = [measure(name, float(random.normal())) for name in names]
        flagged += any(one.outcome is Outcome.FLAG for one in decide(findings, dict.fromkeys(names, 4), reference))
    assert flagged / 400 < 0.075


def test_a_measure_that_few_studies_of_a_large_reference_have_is_judged_by_its_tail():
    few = clean(120, gating=np.linspace(0, 1, 40))
    often, near, far = (one(measure(value=value), few) for value in (0.9, 1.05, 2.0))
    assert [one.outcome for one in (often, near, far)] == [Outcome.NOTE, Outcome.FLAG, Outcome.FLAG]
    assert all(one.calibrated for one in (often, near, far))
    assert "p = 0.12" in often.message


def test_among_many_measures_just_beyond_a_few_clean_studies_is_a_note_and_far_beyond_a_flag():
    names = [f"m{place}" for place in range(20)]
    few = clean(120, **{name: np.linspace(0, 1, 40) for name in names})
    for value, outcome in ((1.05, Outcome.NOTE), (2.0, Outcome.FLAG)):
        findings = [measure(name, value if name == "m0" else 0.6) for name in names]
        assert decide(findings, dict.fromkeys(names, 4), few)[0].outcome is outcome


@pytest.mark.parametrize("reference", [clean(120, gating=np.linspace(0, 1, 18)), clean(gating=np.linspace(0, 1, 98))])
def test_too_few_clean_studies_leave_the_default_limit(reference):
    found = one(measure(value=0.6), reference)
    assert (found.outcome, found.calibrated, found.message) == (Outcome.FLAG, False, "It measures.")
