"""Why a layer was chosen stands in both reports, with the numbers of the record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pdf_reading import words
from report_cases import MODEL, context, volume_case

from audit_pipeline.report import render_audit, render_study
from audit_pipeline.report.layer_table import layer_story
from audit_pipeline.study_record import LayerChoice, LayerFacts

RANKING = tuple(
    LayerFacts(
        layer=layer, rank=rank, mean_rank=mean, grid=(6, 6, 6), channels=8, cell_pixels=4.0, cell_mm=cell,
        unaccounted=missed, gain=gain, stability=0.875,
    )
    for layer, rank, mean, cell, missed, gain in (
        ("features.deep", 1, 1.75, 24.0, 2e-7, 1.25), ("features.early", 2, 2.25, None, 0.37, None),
    )
)  # fmt: skip
CHOICE = LayerChoice(
    layer="features.deep",
    reason="features.deep is the only one of 2 stages whose map accounts for the whole logit.",
    studies=("9c3465c09194", "2ddd1d2de857"),
    ranking=RANKING,
)
EXPECTED = (
    CHOICE.reason, "features.deep (chosen)", "features.early", "24 mm", "4 pixels", "0.37", "1.25", "0.875", "1.75",
    "2 studies: 9c3465c09194, 2ddd1d2de857",
)  # fmt: skip


@pytest.fixture(scope="module")
def chosen():
    record, panels = volume_case()
    return replace(record, model=replace(MODEL, layer_choice=CHOICE)), panels


def test_the_report_of_a_study_shows_the_ranking_and_why_the_first_won(chosen):
    printed = words(render_study(*chosen, context()))
    for part in EXPECTED:
        assert part in printed, part


def test_the_report_of_the_audit_shows_it_once(chosen):
    record, _ = chosen
    other = replace(record, study="bbbbbbbbbbbb")
    printed = words(render_audit([record, other], {"counts": {"found": 2, "audited": 2}}, {}, context()))
    for part in EXPECTED:
        assert part in printed, part
    assert printed.count("features.deep (chosen)") == 1


def test_a_record_that_does_not_tell_has_no_section():
    record, panels = volume_case()
    assert record.model.layer_choice is None
    assert layer_story(None) == []
    assert "Why this layer" not in words(render_study(record, panels, context()))
