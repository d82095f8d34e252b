"""Scales over the cohort: from the recorded extremes of every study, one for each method and class."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from audit_pipeline.execute.closing import cohort_scales


def record(*maps):
    """A record as far as scales read it: (method, target, min, max, floor) for every map."""
    return SimpleNamespace(
        explanations=[
            SimpleNamespace(
                method=method, target=target, target_name="abc"[target], unit="logit", signal_floor=floor,
                statistics=SimpleNamespace(min=low, max=high),
            )
            for method, target, low, high, floor in maps
        ]
    )  # fmt: skip


RECORDS = [
    record(("gradcam", 0, -5.0, 1.0, 1e-6), ("gradcam", 1, -0.5, 2.0, 1e-6), ("hirescam", 0, -1.0, 8.0, 1e-6)),
    record(("gradcam", 0, -1.0, 3.0, 1e-6)),
    record(),
    record(("gradcam", 2, -1e-9, 1e-9, 1e-6)),
]


@pytest.mark.parametrize(("sign", "high", "low"), [("positive", 3.0, 0.0), ("signed", 5.0, -5.0)])
def test_every_method_and_class_has_the_limit_of_its_strongest_map(sign, high, low):
    found = cohort_scales(RECORDS, sign)
    assert (found["gradcam", 0].low, found["gradcam", 0].high) == (low, high)
    assert found["gradcam", 1].high == 2.0
    assert found["hirescam", 0].high == 8.0
    assert "of 2 maps of a over the cohort" in found["gradcam", 0].rule


def test_a_class_without_evidence_anywhere_has_no_scale():
    scale = cohort_scales(RECORDS, "positive")["gradcam", 2]
    assert scale.high is None
    assert scale.reason == "no map rises above its signal floor"
    assert "1 map of c" in scale.rule
