"""The report of methods on planted nodules: the edge control loses, every row has its numbers, the text holds them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from audit_pipeline.card import read_card
from audit_pipeline.demo import methods_report
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.examples import example
from audit_pipeline.demo.methods_report import EDGES, SEEDS, explainers, measure, planted, report, table, within
from audit_pipeline.demo.train import HELD_OUT, REFERENCE, TRAINING, TUNING
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import CurveSettings
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.models.classifier import load_classifier

CURVES = CurveSettings(steps=1, reach=0.05, nulls=1, batch=8)
NAMES = {"ct_3d": 3, "cxr_2d": 6}


@cache
def measured(name):
    card = read_card(WEIGHTS / f"{name}.yaml")
    network, target = load_classifier(card, device="cpu").network, len(card.classes) - 1
    given = planted(range(SEEDS, SEEDS + NAMES[name]), card)
    rows = measure(network, given, explainers(target, ["hirescam"]), target, CURVES)
    return network, given, target, {row.method: row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_edge_map_loses_against_hirescam(name):
    rows = measured(name)[3]
    ours, edges = rows["hirescam"].scores, rows[EDGES].scores
    for column in ("VxAP", "mass in mask"):
        assert ours[column].value > 2 * edges[column].value, column
    assert ours["hit rate"].value >= edges["hit rate"].value
    assert ours["pointing"].value >= edges["pointing"].value


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_edges_do_not_need_the_weights_and_hirescam_does(name):
    rows = measured(name)[3]
    assert rows[EDGES].scores["randomised"].value == pytest.approx(1)
    assert rows["hirescam"].scores["randomised"].value < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_a_value_and_time_is_measured(name):
    for row in measured(name)[3].values():
        assert set(row.scores) == set(methods_report.COLUMNS)
        assert all(np.isfinite(one.value) for one in row.scores.values())
        assert row.seconds > 0


def test_the_planted_mask_lies_where_the_nodule_is():
    for name in NAMES:
        card = read_card(WEIGHTS / f"{name}.yaml")
        (one,) = planted([SEEDS + 2], card)
        assert np.argwhere(one.mask).mean(axis=0) == pytest.approx(
            example(SEEDS + 2, card, nodule=True).centre, abs=0.6
        )
        assert one.mask.shape == one.values.shape[1:]
        assert len(one.spacing_mm) == card.spatial_dims


def test_its_phantoms_have_no_other_use():
    used = set().union(TRAINING, TUNING, REFERENCE, HELD_OUT)
    assert not used & set(range(SEEDS, SEEDS + 1000))


def test_a_method_that_does_not_fit_has_a_row_with_the_reason():
    network, given, target, _ = measured("cxr_2d")

    def refuses(_model, _images):
        raise ExplainError("no tokens here")

    (row,) = measure(network, given[:1], {"rollout": refuses}, target, CURVES)
    assert (row.scores, row.reason) == ({}, "no tokens here")


def test_settings_are_small_and_the_control_is_last():
    assert list(explainers(0, ["gradcam", "hirescam"])) == ["gradcam", "hirescam", EDGES]


def test_every_registered_method_is_measured_and_costly_settings_are_bounded():
    assert list(explainers(0)) == [*EXPLAINERS, EDGES]


def test_time_that_is_spent_ends_a_measure_after_its_first_phantom():
    assert [number for number, _ in within(0.0, iter("abc"))] == [0]
    assert [number for number, _ in within(float("inf"), iter("abc"))] == [0, 1, 2]


@pytest.mark.slow
def test_a_method_that_time_ended_says_what_was_seen():
    text = report("cxr_2d", 3, ["hirescam"], CURVES, seconds=0.0)
    assert text.count(" 1/1/1*") == 2
    assert "the 0 s of a method ended one of them" in text


def test_columns_are_aligned():
    lines = table(["method", "x"], [["a", "1.00"], ["longer name", "2"]]).splitlines()
    assert [line.find(part) for line, part in zip(lines, ("x", "---", "1.00", "2"), strict=True)] == [13, 0, 13, 13]


@pytest.mark.slow
def test_the_text_holds_methods_columns_and_layers():
    text = report("cxr_2d", 2, ["hirescam"], CURVES)
    for part in ("hirescam", EDGES, *methods_report.COLUMNS, "2 phantoms", "2/2/2", "BCa"):
        assert part in text
