"""Spread of what the checks measured, and the maps of the cohort by method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from audit_pipeline.cohort.gauges import gauges
from audit_pipeline.cohort.map_quality import map_quality
from audit_pipeline.findings import Outcome
from audit_pipeline.records import MapStatistics
from audit_pipeline.study_record import ExplanationFacts
from tests.cohort.cohorts import finding, record, refused


def told(values, outcomes, **more):
    return [
        record(place, 0.4, None, findings=[replace(finding("B01", outcome, value), **more)])
        for place, (value, outcome) in enumerate(zip(values, outcomes, strict=True))
    ]


def test_quantiles_and_the_share_raised_are_over_the_studies_with_an_answer():
    values = np.linspace(0, 1, 21)
    outcomes = [Outcome.FLAG] * 3 + [Outcome.PASS] * 16 + [Outcome.NOT_EVALUABLE, Outcome.ERROR]
    (found,) = gauges([*told(values, outcomes, limit=0.8, unit="mm"), refused(99)])
    assert found.quantiles == pytest.approx((0.05, 0.25, 0.5, 0.75, 0.95))
    assert (found.raised.k, found.raised.n, found.studies, found.n) == (3, 19, 21, 21)
    assert (found.raised.low, found.raised.high) == pytest.approx(proportion_confint(3, 19, method="wilson"))
    assert (found.limit, found.unit) == (0.8, "mm")


def test_limits_that_differ_and_few_values_are_not_stated():
    records = told([0.1, 0.2, 0.3], [Outcome.PASS] * 3, limit=0.8)
    records[0] = replace(records[0], findings=(replace(records[0].findings[0], limit=0.7),))
    (found,) = gauges(records)
    assert found.limit is None
    assert found.quantiles == ()


def test_a_code_that_a_study_has_twice_counts_with_its_worst_finding():
    both = [finding("D05", Outcome.PASS, 0.9), finding("D05", Outcome.CRITICAL, 0.1)]
    (found,) = gauges([record(1, 0.4, None, findings=both)])
    assert (found.raised.k, found.raised.n) == (1, 1)


def explained(method, checks, *, blank="", share=0.25, peak=1.0):
    statistics = MapStatistics(
        min=0.0, max=peak, mean=0.1, std=0.1, peak_value=peak, peak_index=(0, 0), peak_position_mm=None,
        centre_index=None, mass_levels=None, positive_share=share,
    )  # fmt: skip
    return ExplanationFacts(
        method=method, target=0, target_name="nodule", layer="l", grid=(2, 2), cell_mm=(None, None),
        statistics=statistics, map="m", blank=blank, checks=checks,
    )  # fmt: skip


def test_maps_are_tallied_by_method_and_by_their_worst_check():
    maps = [
        explained("gradcam", {"D05": Outcome.PASS, "D21": Outcome.NOT_EVALUABLE}, share=0.1),
        explained("gradcam", {"D05": Outcome.NOTE}, share=0.2),
        explained("gradcam", {"D05": Outcome.FLAG, "D21": Outcome.CRITICAL}, share=0.3),
        explained("gradcam", {"D19": Outcome.FLAG}, share=0.4),
        explained("gradcam", {"D19": Outcome.NOT_EVALUABLE}, share=0.5, blank="Empty.", peak=0.0),
        explained("hirescam", {}),
    ]
    records = [replace(record(place, 0.4, None), explanations=(one,)) for place, one in enumerate(maps)]
    first, second = map_quality(records)
    assert (first.method, first.maps, first.studies) == ("gradcam", 5, 5)
    assert (first.passed.k, first.passed.n, first.with_open, first.not_judged) == (2, 4, 1, 1)
    assert first.worst == {"critical": 1, "flag": 1}
    assert first.raised == {"D05": 1, "D19": 1, "D21": 1}
    assert first.blank == 1
    assert first.positive_share[1] == pytest.approx(0.3)
    assert first.peak == ()
    assert (second.passed.n, second.not_judged) == (0, 1)


def test_maps_of_one_study_are_one_piece_of_evidence_when_they_agree():
    outcomes = [Outcome.FLAG] * 4 + [Outcome.PASS] * 16
    single = [explained("gradcam", {"D05": outcome}) for outcome in outcomes]
    (once,) = map_quality([replace(record(k, 0.4, None), explanations=(one,)) for k, one in enumerate(single)])
    (twice,) = map_quality([replace(record(k, 0.4, None), explanations=(one, one)) for k, one in enumerate(single)])
    assert (twice.passed.k, twice.passed.n) == (32, 40)
    assert (once.passed.low, once.passed.high) == pytest.approx(proportion_confint(16, 20, method="wilson"))
    effective = round(40 / (2 * 20 / 19))  # the design effect of pairs that agree, with 20 clusters
    assert (twice.passed.low, twice.passed.high) == pytest.approx(
        proportion_confint(0.8 * effective, effective, method="wilson")
    )
