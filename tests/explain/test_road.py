"""The harmonic infill: exact on affine functions, equal to the released 2D ROAD, solved to tolerance, and seeded."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import road
from audit_pipeline.explain.road import harmonic_fill, road_fill
from tests.explain.peers import need

SIZES = [(23, 18), (13, 10, 17)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def affine(size):
    places = torch.meshgrid(*(torch.arange(length, dtype=torch.float64) for length in size), indexing="ij")
    return 5 + sum((axis + 1) * (-1) ** axis * place for axis, place in enumerate(places))


def interior(size, share=0.5, seed=0):
    removed = torch.rand(size, generator=generator(seed)) < share
    inside = torch.zeros(size, dtype=torch.bool)
    inside[tuple(slice(1, -1) for _ in size)] = True
    return removed & inside


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_affine_functions_are_reproduced_exactly_inside(size, share):
    values, removed = affine(size)[None, None], interior(size, share)
    spoiled = torch.where(removed, 1e3, values)
    mean = values[0, 0][~removed].mean()
    spoiled = torch.where(removed, mean, spoiled)
    assert torch.allclose(harmonic_fill(spoiled, removed[None]), values, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_removed_does_not_matter(size):
    values, removed = torch.rand(1, 1, *size, generator=generator()), interior(size)[None]
    other = torch.where(removed[:, None], torch.rand(1, 1, *size, generator=generator(1)), values)
    assert torch.allclose(harmonic_fill(values, removed), harmonic_fill(other, removed), atol=1e-6)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_the_released_imputation_is_equalled_in_2d():
    peer = need("pytorch_grad_cam.metrics.road").NoisyLinearImputer(noise=0)
    images = torch.rand(3, 2, 31, 27, generator=generator())
    removed = torch.rand(3, 31, 27, generator=generator(1)) < torch.tensor([0.3, 0.7, 0.95])[:, None, None]
    removed[0, 8:25, 8:25] = True
    removed[1, :, :15] = True
    expected = torch.stack([peer(image, (~mask).float()) for image, mask in zip(images, removed, strict=True)])
    assert (harmonic_fill(images, removed) - expected).abs().max() < 1e-6
    assert (road_fill(images, removed, noise_share=0) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("size", [(6, 5), (5, 4, 3)])
def test_the_fill_solves_the_dense_equations(size):
    values, removed = torch.rand(size, generator=generator(), dtype=torch.float64), torch.rand(size) < 2
    removed[(0,) * len(size)] = False
    removed[(2,) * len(size)] = False
    places = torch.cartesian_prod(*(torch.arange(length) for length in size))
    apart = (places[:, None] - places).abs()
    weights = torch.where((apart <= 1).all(-1), 0.5 ** apart.sum(-1).double(), 0.0)
    weights.fill_diagonal_(0)
    weights = weights / weights.sum(1, keepdim=True)
    hidden = removed.flatten()
    system = torch.eye(len(places), dtype=torch.float64) - weights * hidden[:, None]
    expected = torch.linalg.solve(system, torch.where(hidden, 0.0, values.flatten()))
    found = harmonic_fill(values[None, None], removed[None], tolerance=1e-11).flatten()
    assert torch.allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("size", SIZES)
def test_the_fill_stays_within_the_values_that_remain(size):
    values = torch.randn(1, 2, *size, generator=generator())
    removed = torch.rand(1, *size, generator=generator(1)) < 0.8
    filled = harmonic_fill(values, removed)
    for channel in range(2):
        kept = values[0, channel][~removed[0]]
        assert filled[0, channel].min() >= kept.min() - 1e-6
        assert filled[0, channel].max() <= kept.max() + 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_gives_the_same_fill_alone_and_in_a_batch(size):
    values = torch.rand(3, 2, *size, generator=generator())
    removed = torch.rand(3, *size, generator=generator(1)) < torch.tensor([0.1, 0.5, 0.9]).reshape(3, *[1] * len(size))
    together = road_fill(values, removed, seed=4)
    alone = torch.cat([road_fill(values[i : i + 1], removed[i : i + 1], seed=4) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("flip", [(2,), (3,), (2, 3)])
def test_a_flipped_image_gives_the_flipped_fill(flip):
    values = torch.rand(1, 1, 15, 12, generator=generator())
    removed = torch.rand(1, 15, 12, generator=generator(1)) < 0.7
    flipped = harmonic_fill(values.flip(flip), removed.flip([axis - 1 for axis in flip]))
    assert torch.allclose(flipped, harmonic_fill(values, removed).flip(flip), atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (40, 40, 40)])
@pytest.mark.parametrize("kept", ["one corner", "one face"])
def test_float32_reaches_its_tolerance_where_almost_nothing_remains(size, kept):
    values = torch.rand(1, 1, *size, generator=generator())
    removed = torch.ones((1, *size), dtype=torch.bool)
    removed[(0, 0) if kept == "one face" else (0,) * (len(size) + 1)] = False
    filled = road_fill(values, removed, noise_share=0)
    if kept == "one corner":
        assert torch.allclose(filled, values[(0, 0) + (0,) * len(size)].expand_as(filled), atol=1e-3)
    assert torch.isfinite(filled).all()


def test_everything_removed_gives_the_mean():
    values = torch.rand(2, 3, 8, 8, generator=generator())
    removed = torch.stack([torch.ones(8, 8, dtype=torch.bool), torch.eye(8, dtype=torch.bool)])
    filled = harmonic_fill(values, removed)
    assert torch.allclose(filled[0], values[0].mean((1, 2), keepdim=True).expand(3, 8, 8), atol=1e-6)
    assert torch.equal(filled[1][:, ~removed[1]], values[1][:, ~removed[1]])


def test_nothing_removed_changes_nothing():
    values = torch.rand(1, 1, 5, 5, 5)
    assert torch.equal(road_fill(values, torch.zeros(1, 5, 5, 5, dtype=torch.bool)), values)


def test_a_constant_image_and_one_voxel_are_filled():
    assert torch.equal(
        harmonic_fill(torch.full((1, 1, 4, 4), 7.0), torch.eye(4).bool()[None]), torch.full((1, 1, 4, 4), 7.0)
    )
    assert float(harmonic_fill(torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 1, 1, dtype=torch.bool))) == 3.0


def test_noise_is_seeded_scaled_and_only_on_removed_voxels():
    values = 50 * torch.rand(1, 1, 40, 40, generator=generator())
    removed = interior((40, 40))[None]
    plain, one, again, other = (
        road_fill(values, removed, noise_share=share, seed=seed)
        for share, seed in ((0, 0), (0.1, 1), (0.1, 1), (0.1, 2))
    )
    before = torch.get_rng_state()
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(one[~removed[:, None]], values[~removed[:, None]])
    noise = (one - plain)[removed[:, None]]
    assert float(noise.std()) == pytest.approx(0.1 * float(values.std()), rel=0.1)
    assert torch.equal(before, torch.get_rng_state())


def test_an_unreached_tolerance_is_an_error(monkeypatch):
    monkeypatch.setattr(road, "LARGEST_ITERATION", 1)
    with pytest.raises(ExplainError, match="residual"):
        harmonic_fill(torch.rand(1, 1, 30, 30, generator=generator()), interior((30, 30))[None])


@pytest.mark.parametrize(
    ("values", "removed"),
    [
        (torch.full((1, 1, 4, 4), torch.nan), torch.ones(1, 4, 4, dtype=torch.bool)),
        (torch.rand(1, 1, 4, 4), torch.ones(1, 4, 4)),
        (torch.rand(1, 1, 4, 4), torch.ones(1, 4, 5, dtype=torch.bool)),
    ],
    ids=["not finite", "not bool", "other shape"],
)
def test_what_cannot_be_imputed_is_refused(values, removed):
    with pytest.raises(ExplainError):
        harmonic_fill(values, removed)
