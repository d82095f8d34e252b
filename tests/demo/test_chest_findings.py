"""Radiographs of phantoms with several findings: each changes what it should, where it should, and nothing else."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from audit_pipeline.demo.chest_findings import FINDINGS, SHARES, chest
from audit_pipeline.demo.phantom import phantom
from audit_pipeline.demo.radiograph import radiograph

SEED = 4


@cache
def seen(*findings):
    return chest(SEED, findings).seen.values


@cache
def change(name):
    """Brightening by one finding alone; rows toward the feet, columns toward the patient's left."""
    return seen(name) - seen()


def test_without_findings_it_is_the_radiograph_of_the_phantom():
    assert np.array_equal(seen(), radiograph(phantom(SEED, nodule=False), SEED).values)


def test_a_seed_gives_the_same_findings_and_the_same_picture():
    first, second = chest(9), chest(9)
    assert first.findings == second.findings
    assert np.array_equal(first.seen.values, second.seen.values)


@pytest.mark.parametrize("name", FINDINGS)
def test_the_picture_says_what_it_shows(name):
    assert chest(SEED, (name,)).findings == (name,)
    assert change(name).max() > 100


def test_fluid_lies_at_the_bottom_of_one_side():
    rows, columns = np.nonzero(change("effusion") > 300)
    middle = seen().shape[1] / 2
    assert rows.mean() > 0.5 * seen().shape[0]
    assert (columns > middle).all() or (columns < middle).all()


def test_a_pacemaker_lies_on_the_upper_left_of_the_patient_and_its_lead_goes_down_the_middle():
    rows, columns = np.nonzero(change("pacemaker") > 600)
    height, width = seen().shape
    assert rows.mean() < 0.4 * height
    assert 0.6 * width < columns.mean() < 0.95 * width
    lead_rows, lead_columns = np.nonzero(change("pacemaker") > 150)
    low = lead_rows > 0.5 * height
    assert low.any()
    assert (np.abs(lead_columns[low] - width / 2) < 0.2 * width).all()


def test_a_large_heart_grows_around_its_middle():
    rows, columns = np.nonzero(change("cardiomegaly") > 300)
    height, width = seen().shape
    assert 0.3 * height < rows.mean() < 0.95 * height
    assert 0.35 * width < columns.mean() < 0.75 * width


def test_a_consolidation_is_one_place_in_the_lungs():
    brighter = change("consolidation") > 60
    rows, columns = np.nonzero(brighter)
    assert brighter.any()
    assert np.ptp(rows) < 0.6 * seen().shape[0]
    assert np.ptp(columns) < 0.6 * seen().shape[1]


def test_findings_come_as_often_as_declared():
    drawn = [np.random.default_rng([seed, 21]).random(len(FINDINGS)) for seed in range(2000)]
    shares = (np.asarray(drawn) < list(SHARES.values())).mean(axis=0)
    assert shares == pytest.approx(list(SHARES.values()), abs=0.04)
