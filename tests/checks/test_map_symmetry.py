"""Maps of mirrored, harmlessly changed and unchanged inputs."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_prediction

from audit_pipeline.checks.benign import benign_changes
from audit_pipeline.checks.map_symmetry import arrangements, foreign_map, unstable_map, wrong_axes
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome

GRIDS = [(8, 8), (5, 6, 6)]


def answer(maps, probabilities=(0.9, 0.1)):
    maps = np.asarray(maps, dtype=np.float32)
    rows = np.tile(probabilities, (len(maps), 1))
    return Answer(logits=np.log(rows), probabilities=rows, maps=maps)


def lopsided(grid):
    return 0.1 * np.random.default_rng(0).random(grid) + focal(grid, (1, 3) if len(grid) == 2 else (1, 1, 3))


def mirrored(values):
    return answer([np.flip(values, axis) for axis in range(values.ndim)])


@pytest.mark.parametrize("grid", GRIDS)
def test_a_map_that_follows_the_mirror_is_right(grid):
    values = lopsided(grid)
    finding = wrong_axes(make_evidence(make_explanation(values), answers={"flipped": mirrored(values)}))
    assert finding.outcome is Outcome.PASS
    assert finding.value > 0.5


@pytest.mark.parametrize("grid", GRIDS)
def test_every_wrong_arrangement_is_found(grid):
    values = lopsided(grid)
    for name, arranged in arrangements(grid):
        evidence = make_evidence(make_explanation(arranged(values)), answers={"flipped": mirrored(values)})
        finding = wrong_axes(evidence)
        assert finding.outcome is Outcome.CRITICAL, name
        assert finding.value < -0.5


def test_an_engine_that_exchanges_the_axes_of_every_map_is_found():
    values = lopsided((8, 8))
    exchanged = answer([np.flip(values, 0).T, np.flip(values, 1).T])
    finding = wrong_axes(make_evidence(make_explanation(values.T), answers={"flipped": exchanged}))
    assert finding.outcome is Outcome.CRITICAL
    assert "reversed" in finding.message


def test_there_are_seven_wrong_arrangements_of_a_square_and_three_of_a_rectangle():
    assert len(list(arrangements((4, 4)))) == 7
    assert len(list(arrangements((4, 5)))) == 3
    assert len(list(arrangements((4, 4, 4)))) == 47


def test_a_symmetric_map_decides_nothing_and_unanswered_is_not_evaluable():
    values = np.zeros((8, 8))
    values[3:5, 3:5] = 1
    finding = wrong_axes(make_evidence(make_explanation(values), answers={"flipped": mirrored(values)}))
    assert (finding.outcome, finding.value) == (Outcome.PASS, pytest.approx(0, abs=1e-9))
    assert wrong_axes(make_evidence(make_explanation(values))).outcome is Outcome.NOT_EVALUABLE


def changed(values, shape, noise=0.0):
    """Return the maps that a model of perfect equivariance gives, each with noise."""
    random = np.random.default_rng(1)
    grown = np.kron(values, np.ones((8,) * values.ndim))
    maps = []
    for change in benign_changes(shape):
        moved = change.changed(grown[None].astype(np.float32))[0]
        blocks = moved.reshape([part for size in values.shape for part in (size, 8)])
        means = blocks.mean(axis=tuple(range(1, 2 * values.ndim, 2)))
        maps.append((1 - noise) * means + noise * random.random(values.shape))
    return maps


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("noise", "outcome"), [(0.0, Outcome.PASS), (1.0, Outcome.FLAG)])
def test_a_steady_map_passes_and_a_random_one_does_not(grid, noise, outcome):
    axes = np.meshgrid(*[np.linspace(0, 1, size) for size in grid], indexing="ij")
    one = make_explanation(sum((place + 1) * axis for place, axis in enumerate(axes)))
    maps = changed(one.values, one.on_input.shape, noise)
    finding = unstable_map(make_evidence(one, answers={"benign": answer(maps)}))
    assert finding.outcome is outcome


def test_only_changes_that_leave_the_probability_count():
    one = make_explanation(lopsided((8, 8)))
    maps = changed(one.values, one.on_input.shape)
    finding = unstable_map(make_evidence(one, answers={"benign": answer(maps, (0.8, 0.2))}))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "0 harmless changes" in finding.message


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    "change", [lambda v: v[::-1], lambda v: v - v.min(), lambda v: -v, lambda v: 2 * v, lambda v: np.roll(v, 1)]
)
def test_any_other_map_than_that_of_the_input_is_foreign(grid, change):
    values = np.random.default_rng(2).normal(size=grid)
    assert foreign_map(make_evidence(make_explanation(values), answers={"again": answer([values])})).value < 1e-6
    finding = foreign_map(make_evidence(make_explanation(change(values)), answers={"again": answer([values])}))
    assert finding.outcome is Outcome.CRITICAL


def test_a_map_of_an_input_that_gives_none_is_foreign_and_another_grid_is_not_compared():
    one = make_explanation(lopsided((8, 8)))
    nothing = make_evidence(one, answers={"again": answer([np.zeros((8, 8))])})
    assert foreign_map(nothing).outcome is Outcome.CRITICAL
    other = make_evidence(one, answers={"again": answer([np.zeros((4, 4))])})
    assert foreign_map(other).outcome is Outcome.NOT_EVALUABLE
    without = make_evidence(one, answers={"again": replace(answer([np.zeros((8, 8))]), maps=None)})
    assert foreign_map(without).outcome is Outcome.NOT_EVALUABLE
    blank = make_evidence(make_explanation(np.zeros((8, 8))), prediction=make_prediction())
    assert foreign_map(blank).outcome is Outcome.NOT_EVALUABLE
