"""Measures become flags only where clean studies hardly ever reach them, and rules are left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.checks.decide import benjamini_hochberg, conformal_p, decide, holm, quantile_limit
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Finding, Outcome

SEVERITIES = {"gating": 4, "other": 5, "informing": 3}


def measure(name="gating", value=1.0, outcome=Outcome.FLAG, provenance="dom", direction="above", **changes):
    return Finding(
        code="Z01", name=name, family="Z", outcome=outcome, message="It measures.", value=value, limit=0.5,
        provenance=provenance, direction=direction, **changes,
    )  # fmt: skip


def clean(**values):
    empty = np.zeros((1, 1), dtype=np.float32)
    arrays = {name: np.asarray(one, dtype=np.float64) for name, one in values.items()}
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


def test_too_small_a_reference_leaves_the_default_limit():
    assert one(measure(value=0.9), clean(gating=np.linspace(0, 1, 98))).outcome is Outcome.FLAG


def test_a_small_sufficient_reference_never_sees_less_than_none():
    """Holm among 20 measures needs p of 0.0025, which 99 studies cannot give; beyond all of them counts."""
    names = [f"m{place}" for place in range(20)]
    findings = [measure(name, value=2.0 if name == "m0" else 0.1, outcome=Outcome.FLAG) for name in names]
    reference = clean(**{name: np.linspace(0, 1, 99) for name in names})
    found = decide(findings, dict.fromkeys(names, 4), reference)
    assert [one.outcome for one in found] == [Outcome.FLAG, *[Outcome.NOTE] * 19]


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


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_holm_rejects_no_more_than_benjamini_and_hochberg(p_values):
    cautious, bold = holm(p_values), benjamini_hochberg(p_values)
    assert all(not one or other for one, other in zip(cautious, bold, strict=True))
    assert sum(cautious) >= sum(p <= 0.05 / len(p_values) for p in p_values)


def test_holm_and_benjamini_hochberg_agree_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    random = np.random.default_rng(0)
    for _ in range(50):
        p_values = random.beta(0.4, 4, size=12)
        for ours, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
            assert ours(list(p_values)) == list(multitest.multipletests(p_values, 0.05, method=method)[0])


def test_at_most_a_twentieth_of_clean_studies_is_flagged_by_twenty_gating_measures():
    random = np.random.default_rng(0)
    names = [f"m{place}" for place in range(20)]
    reference = clean(**{name: random.normal(size=499) for name in names})
    flagged = 0
    for _ in range(400):
        findings = [measure(name, float(random.normal())) for name in names]
        flagged += any(one.outcome is Outcome.FLAG for one in decide(findings, dict.fromkeys(names, 4), reference))
    assert flagged / 400 < 0.075
