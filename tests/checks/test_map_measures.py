"""Measures of maps against closed forms and SciPy."""

import numpy as np
import pytest
from evidence_factories import focal, make_explanation

from audit_pipeline.checks.map_measures import (
    border_band,
    coarsened,
    common_correlation,
    effective_count,
    enrichment,
    half_peak_area,
    half_peak_parts,
    interpolation_matrix,
    mass,
    normalised_entropy,
    profile,
    resampled,
    share,
    toroidal_shares,
)


def test_resampling_agrees_with_the_half_pixel_interpolation_of_torch():
    import torch

    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=(9, 8, 20), mode="trilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(resampled(values, (9, 8, 20)), theirs, atol=1e-12)


def test_one_cell_is_spread_evenly():
    np.testing.assert_allclose(interpolation_matrix(1, 5), np.ones((5, 1)))


def test_the_mass_sums_to_one_and_negative_evidence_has_none():
    masses = mass(make_explanation([[1.0, -5.0], [0.0, -1.0]], shape=(2, 2)))
    np.testing.assert_allclose(masses, [[1, 0], [0, 0]])


def test_the_mass_does_not_depend_on_the_scale_of_the_map():
    values = np.random.default_rng(1).normal(size=(7, 7))
    np.testing.assert_allclose(mass(make_explanation(values)), mass(make_explanation(1e-4 * values)), rtol=1e-5)


def test_an_empty_map_has_no_mass():
    with pytest.raises(ValueError, match="no mass"):
        mass(make_explanation(-np.ones((7, 7))))


@pytest.mark.parametrize("shape", [(100, 100), (40, 50, 60)])
def test_a_border_ring_is_enriched_by_the_inverse_of_its_area(shape):
    band = border_band(shape)
    inner = np.prod([0.8 * size for size in shape]) / np.prod(shape)
    assert band.mean() == pytest.approx(1 - inner)
    assert enrichment(band / band.sum(), band) == pytest.approx(1 / (1 - inner))


def test_an_even_map_is_enriched_nowhere():
    even = np.full((20, 30), 1 / 600)
    assert enrichment(even, border_band((20, 30))) == pytest.approx(1)
    assert share(even, np.ones((20, 30), dtype=bool)) == pytest.approx(1)


def test_an_empty_region_has_no_enrichment():
    assert enrichment(np.full((4, 4), 1 / 16), np.zeros((4, 4), dtype=bool)) is None


def test_the_entropy_is_one_for_an_even_map_and_zero_for_one_voxel():
    assert normalised_entropy(np.full((8, 8), 1 / 64)) == pytest.approx(1)
    assert normalised_entropy(focal((8, 8), (2, 2))) == 0
    assert normalised_entropy(np.ones((1, 1))) == 0


def test_the_entropy_of_half_an_even_map_is_that_of_its_logarithms():
    half = np.zeros(64)
    half[:32] = 1 / 32
    assert normalised_entropy(half) == pytest.approx(np.log(32) / np.log(64))


def test_the_area_above_half_peak_counts_voxels():
    assert half_peak_area(np.array([1.0, 0.5, 0.49, 0.0])) == pytest.approx(0.5)


def test_the_effective_count_of_equal_slices_is_their_number():
    assert effective_count(np.full(7, 1 / 7)) == pytest.approx(7)
    assert effective_count(np.array([1.0, 0, 0])) == pytest.approx(1)


def test_the_profile_sums_the_other_axes():
    masses = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(profile(masses, 1), masses.sum(axis=(0, 2)))


def test_shifts_of_an_even_map_change_nothing():
    region = border_band((12, 12))
    shares = toroidal_shares(np.full((12, 12), 1 / 144), region, 20)
    np.testing.assert_allclose(shares, region.mean())


def test_the_mean_over_many_shifts_is_the_area_of_the_region():
    masses = mass(make_explanation(focal((7, 7), (3, 3))))
    region = np.zeros(masses.shape, dtype=bool)
    region[:, :20] = True
    shares = toroidal_shares(masses, region, 4000)
    assert shares.mean() == pytest.approx(region.mean(), abs=4 * shares.std() / np.sqrt(4000))


def test_shifts_are_the_same_at_every_call():
    masses, region = mass(make_explanation(focal((7, 7), (1, 3)))), border_band((56, 56))
    np.testing.assert_array_equal(toroidal_shares(masses, region, 5), toroidal_shares(masses, region, 5))


@pytest.mark.parametrize(("fine", "coarse"), [((6, 8), (3, 4)), ((7, 5), (3, 2)), ((4, 6, 8), (2, 3, 3))])
def test_coarsening_keeps_the_mean_and_undoes_repetition(fine, coarse):
    values = np.random.default_rng(0).normal(size=fine)
    assert coarsened(values, coarse).mean() == pytest.approx(values.mean())
    repeated = np.kron(values, np.ones((2,) * len(fine)))
    np.testing.assert_allclose(coarsened(repeated, fine), values, atol=1e-12)


def test_maps_of_different_grids_are_compared_by_their_places_in_the_frame():
    values = np.random.default_rng(0).normal(size=(6, 8))
    assert common_correlation(values, np.kron(values, np.ones((3, 2)))) == pytest.approx(1)
    assert common_correlation(values, -values) == pytest.approx(-1)
    assert common_correlation(values, np.ones((6, 8))) is None


def test_the_parts_of_a_map_are_its_connected_places_above_half_of_the_peak():
    values = np.zeros((8, 8))
    values[0, :3], values[5, 5], values[7, 0] = 1.0, 0.6, 0.4
    assert sorted(half_peak_parts(values)) == [1, 3]
