"""The limits of random maps: a small simulation repeats the table, and the checks that use it hold their rate."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_explanation

from audit_pipeline.checks.map_location import on_border
from audit_pipeline.checks.map_measures import (
    border_band,
    enrichment,
    half_peak_area,
    mass,
    normalised_entropy,
    profile,
)
from audit_pipeline.checks.map_shape import diffuse_map, one_slice
from audit_pipeline.checks.null_limits import NULL_TABLE, limits_for
from audit_pipeline.findings import Outcome

GRIDS = [
    ((7, 7), (112, 112), 600),
    ((14, 14), (112, 112), 500),
    ((4, 4, 4), (32, 32, 32), 400),
    ((8, 8, 8), (40, 40, 40), 400),
    ((2, 7, 7), (16, 56, 56), 400),
]


def random_maps(grid, shape, draws, seed=7):
    """Return random maps: 64 rectified normal channels summed with normal weights."""
    random = np.random.default_rng(seed)
    while draws:
        activations = np.maximum(random.standard_normal((64, *grid)), 0)
        values = np.tensordot(random.standard_normal(64), activations, axes=1)
        if values.max() > 0:
            draws -= 1
            yield make_explanation(values, shape=shape)


@pytest.mark.parametrize(("grid", "shape", "draws"), GRIDS)
def test_at_most_a_few_per_cent_of_random_maps_are_flagged(grid, shape, draws):
    """The limits are 99 % quantiles; 2.5 % allows for the sampling error of a few hundred draws."""
    flags = {on_border: 0, diffuse_map: 0, one_slice: 0}
    for explanation in random_maps(grid, shape, draws):
        evidence = make_evidence(explanation)
        for one in flags:
            flags[one] += one(evidence).outcome is Outcome.FLAG
    assert max(flags.values()) <= 0.025 * draws


@pytest.mark.parametrize(("grid", "shape", "draws"), GRIDS)
def test_the_table_holds_the_95_per_cent_quantiles_of_random_maps(grid, shape, draws):
    maps = [mass(one) for one in random_maps(grid, shape, draws, seed=11)]
    band, limits = border_band(shape), limits_for(grid)
    error = 2.6 * np.sqrt(0.95 * 0.05 / draws)
    for values, limit in (
        ([enrichment(one, band) for one in maps], limits.border_95),
        ([normalised_entropy(one) for one in maps], limits.entropy_95),
    ):
        assert np.mean(np.asarray(values) > limit) == pytest.approx(0.05, abs=error + 0.02)
    assert np.mean([half_peak_area(one) > limits.half_peak_area_99 for one in maps]) <= 0.01 + 2.6 * error / 2
    if len(grid) == 3:
        ratios = [float(profile(one, 0).max() * shape[0]) for one in maps]
        assert np.mean(np.asarray(ratios) > limits.slice_ratio_95) == pytest.approx(0.05, abs=error + 0.02)


def test_published_quantiles_of_the_practice_table_are_met_within_their_sampling_error():
    published = {(7, 7): 1.43, (14, 14): 1.24, (4, 4, 4): 1.15, (8, 8, 8): 1.13, (2, 7, 7): 1.19}
    for grid, border_95 in published.items():
        assert limits_for(grid).border_95 == pytest.approx(border_95, rel=0.05)


def test_a_grid_of_the_table_gets_its_row_whatever_the_in_plane_order():
    for grid, limits in NULL_TABLE.items():
        assert limits_for(grid) == limits
        assert limits_for((*grid[:-2], grid[-1], grid[-2])) == limits


def test_between_rows_the_limits_lie_between_theirs():
    limits = limits_for((12, 12))
    assert NULL_TABLE[(14, 14)].border_99 < limits.border_99 < NULL_TABLE[(7, 7)].border_99


def test_grids_beyond_the_table_still_get_finite_limits():
    for grid in ((224, 224), (1, 1), (64, 64, 64), (1, 2, 3)):
        limits = limits_for(grid)
        assert 1 < limits.border_99 < 3
        assert 0 < limits.half_peak_area_99 <= 1


def test_other_dimensions_have_no_limits():
    with pytest.raises(ValueError, match="two or three axes"):
        limits_for((7,))
