"""Random logits, edges and repeatability in closed form."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.controls import edge_similarity, random_logit, repeatability, sobel


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_random_logit_of_mirrored_logits_is_mirrored():
    maps = torch.randn(5, 1, 6, 6, generator=seeded())
    found = random_logit(torch.cat([maps, -maps], dim=1))
    assert found.spearman.value == pytest.approx(-1)
    assert found.spearman_absolute.value == pytest.approx(1)


def test_the_random_logit_of_independent_targets_is_uncorrelated_and_of_copies_is_one():
    maps = torch.randn(30, 4, 8, 8, generator=seeded())
    found = random_logit(maps, own=2)
    assert abs(found.spearman.value) < 0.1
    assert random_logit(maps[:, :1].expand(-1, 3, -1, -1)).spearman.value == pytest.approx(1)


def test_one_target_has_no_random_logit():
    found = random_logit(torch.randn(3, 1, 4, 4))
    assert found.ssim.value is None
    assert "one target" in found.ssim.reason


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_the_edge_magnitude_of_a_ramp_is_its_slope(axis):
    ramp = 3.0 * torch.arange(6.0).reshape([6 if other == axis else 1 for other in range(5)]).expand(1, 1, 6, 6, 6)
    edges = sobel(ramp)
    assert torch.allclose(edges.movedim(axis - 1, 0)[1:-1], torch.tensor(3.0))
    assert torch.equal(sobel(torch.full((1, 2, 5, 5), 4.0)), torch.zeros(1, 5, 5))


def test_a_map_of_edges_is_recognised_on_its_own_grid():
    images = torch.rand(4, 1, 24, 24, generator=seeded())
    coarse = torch.nn.functional.interpolate(sobel(images)[:, None], (6, 6), mode="area")[:, 0]
    assert edge_similarity(coarse, images).spearman.value == pytest.approx(1)
    assert abs(edge_similarity(torch.randn(4, 6, 6, generator=seeded(2)), images).spearman.value) < 0.3


def test_repeatability_is_one_for_equal_maps_and_chance_for_strangers():
    one, other = (torch.randn(20, 30, 30, generator=seeded(seed)) for seed in (0, 1))
    assert repeatability([one, 2 * one, one + 5]).value == 1
    assert repeatability([one, other]).value == pytest.approx(0.1 / 1.9, abs=0.015)
    sparse = torch.zeros(1, 40, 10)
    sparse[0, 7, :4] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert repeatability([sparse, 2 * sparse]).value == 1
    plateau = (sparse > 0).float()
    assert repeatability([plateau, plateau]).value == 1
    assert repeatability([sparse, sparse.flip(1)]).value == 0
    with pytest.raises(ExplainError, match="at least 2"):
        repeatability([one])
