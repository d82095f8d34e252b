"""Maps that lie beside their cells, and steps that a wrong resize leaves."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import STATISTICS, focal, make_evidence, make_explanation, make_image, make_prepared

from audit_pipeline.checks.map_geometry import misplaced_map, repeated_map_slices, shift_between
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import follow, half_pixel_map

GRIDS = [(7, 7), (4, 5, 6)]


def placed(grid, affine=None, **changes):
    """Return the evidence of a smooth map with one hot cell, everything in place."""
    peak = tuple(size // 2 for size in grid)
    values = 0.2 * np.random.default_rng(0).random(grid) + focal(grid, peak)
    shape = tuple(8 * size for size in grid)
    to_source = half_pixel_map(grid, shape)
    facts = replace(STATISTICS, peak_index=tuple(int(part) for part in np.rint(to_source[:-1, :-1] @ peak + 3.5)))
    one = replace(make_explanation(values), statistics=facts, affine=follow(affine, to_source))
    prepared = replace(make_prepared(shape=shape), affine=affine)
    return make_evidence(replace(one, **changes), image=make_image(np.zeros(shape), affine=affine), prepared=prepared)


def moved(evidence, **changes):
    return replace(evidence, explanations=(replace(evidence.explanations[0], **changes),))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("affine", [None, np.diag([-1.0, 2.0, 3.0, 1.0])])
def test_a_map_in_its_place_passes(grid, affine):
    finding = misplaced_map(placed(grid, affine))
    assert finding.outcome is Outcome.PASS
    assert finding.value < 1e-6
    assert repeated_map_slices(placed(grid, affine)).outcome is Outcome.PASS


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("voxels", [1, 4, -4])
def test_a_map_moved_by_a_voxel_or_half_a_cell_is_found(grid, voxels):
    evidence = placed(grid)
    shifted = np.roll(evidence.explanations[0].on_input, voxels, axis=0)
    finding = misplaced_map(moved(evidence, on_input=shifted))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value > 0.5 * abs(voxels) / 8


@pytest.mark.parametrize("grid", GRIDS)
def test_a_mirrored_map_on_the_input_is_another_map(grid):
    evidence = placed(grid)
    finding = misplaced_map(moved(evidence, on_input=np.flip(evidence.explanations[0].on_input, 0)))
    assert finding.outcome is Outcome.CRITICAL


def test_half_a_cell_in_the_source_is_half_a_cell():
    evidence = placed((7, 7))
    to_source = evidence.explanations[0].to_source.copy()
    to_source[0, -1] += 4
    finding = misplaced_map(moved(evidence, to_source=to_source))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value == pytest.approx(0.5)
    assert "in the source" in finding.message


@pytest.mark.parametrize("change", [lambda affine: None, lambda affine: affine[:, [1, 0, 2, 3]]])
def test_a_lost_or_exchanged_affine_is_found(change):
    evidence = placed((4, 5, 6), np.diag([-1.0, 2.0, 3.0, 1.0]))
    affine = change(evidence.explanations[0].affine)
    assert misplaced_map(moved(evidence, affine=affine)).outcome is Outcome.CRITICAL


def test_an_input_that_lost_its_place_in_the_patient_is_found():
    evidence = placed((4, 5, 6), np.diag([-1.0, 2.0, 3.0, 1.0]))
    lost = replace(evidence, prepared=replace(evidence.prepared, affine=None))
    assert misplaced_map(lost).outcome is Outcome.CRITICAL


def test_a_recorded_peak_that_is_not_the_strongest_cell_is_found():
    evidence = placed((7, 7))
    wrong = replace(evidence.explanations[0].statistics, peak_index=(1, 1))
    finding = misplaced_map(moved(evidence, statistics=wrong))
    assert finding.outcome is Outcome.CRITICAL
    assert "the recorded peak" in finding.message


def test_the_least_squares_shift_of_a_ramp_is_exact():
    ramp = np.linspace(0, 1, 50)[:, None] * np.ones((50, 20))
    assert shift_between(ramp, ramp - 2 / 49) == pytest.approx([2, 0])
    assert shift_between(np.ones((5, 5)), np.ones((5, 5))) == pytest.approx([0, 0])


@pytest.mark.parametrize("grid", GRIDS)
def test_repeated_end_slices_and_nearest_neighbours_are_steps(grid):
    evidence = placed(grid)
    repeated = evidence.explanations[0].on_input.copy()
    repeated[:6] = repeated[6]
    finding = repeated_map_slices(moved(evidence, on_input=repeated))
    assert (finding.outcome, finding.value) == (Outcome.FLAG, 3)
    nearest = evidence.explanations[0].values
    for axis in range(len(grid)):
        nearest = np.repeat(nearest, 8, axis)
    assert repeated_map_slices(moved(evidence, on_input=nearest)).outcome is Outcome.FLAG


def test_a_blank_map_is_nowhere():
    assert misplaced_map(placed((7, 7), blank="constant")).outcome is Outcome.NOT_EVALUABLE
