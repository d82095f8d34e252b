"""The first eigenvector from a few products is the true one wherever it counts as proven."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline.explain import eigen, krylov
from audit_pipeline.explain.krylov import CHECKED, first_pairs


def drawn(*spectra, size=60):
    """Return matrices (M, n, n) float64 with these first eigenvalues, the rest zero, and their eigenvectors as rows."""
    generator = torch.Generator().manual_seed(3)
    axes = torch.stack(
        [torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0] for _ in spectra]
    )
    levels = torch.zeros(len(spectra), size, dtype=torch.float64)
    for row, spectrum in zip(levels, spectra, strict=True):
        row[: len(spectrum)] = torch.tensor(spectrum)
    return axes @ torch.diag_embed(levels) @ axes.mT, axes.mT


def found_in(matrices, start):
    given = matrices.float()
    taken = []

    def times(vectors):
        taken.append(len(vectors))
        return (given @ vectors.unsqueeze(2))[:, :, 0]

    found = first_pairs(times, start.float(), given.diagonal(dim1=1, dim2=2).sum(dim=1))
    return found, len(taken)


def noise(matrices):
    return torch.randn(matrices.shape[:2], generator=torch.Generator().manual_seed(9))


def sines(found, axes):
    """Return the sines of the angles to the true first eigenvectors."""
    vectors, first = found.vectors.double(), axes[:, 0]
    return (vectors - (vectors * first).sum(dim=1, keepdim=True) * first).norm(dim=1)


def test_a_clear_first_eigenvector_is_proven_after_the_fewest_products():
    matrices, axes = drawn([5.0, 3.0, 1.0, 0.5, 0.2], [2.0, 0.1])
    found, taken = found_in(matrices, noise(matrices))
    assert found.is_proven.all()
    assert taken == CHECKED[0]
    torch.testing.assert_close(found.levels, torch.tensor([5.0, 2.0]), rtol=1e-5, atol=0)
    assert sines(found, axes).max() < 3e-6


def test_a_slowly_falling_spectrum_takes_more_products():
    matrices, axes = drawn([1.0, *(0.8 * 0.8**step for step in range(40))])
    found, taken = found_in(matrices, noise(matrices))
    assert found.is_proven.all()
    assert taken == CHECKED[-1]
    assert sines(found, axes).max() < 3e-6


@pytest.mark.parametrize("second", [0.99, 1.0])
def test_a_second_eigenvalue_close_to_the_first_leaves_the_vector_unproven(second):
    matrices, _ = drawn([1.0, second, 0.3, 0.1], [1.0, 0.2])
    found, _ = found_in(matrices, noise(matrices))
    assert found.is_proven.tolist() == [False, True]


def test_a_start_that_misses_the_first_eigenvector_is_noticed():
    matrix = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, *[0.0] * 40], dtype=torch.float64))[None]
    start = torch.ones(1, 44)
    start[0, 0] = 0
    found, _ = found_in(matrix, start)
    torch.testing.assert_close(found.levels, torch.tensor([2.0]), rtol=1e-5, atol=0)
    assert not found.is_proven.any()


def test_a_start_of_zero_proves_nothing_and_a_matrix_of_zero_has_the_level_zero():
    matrices, _ = drawn([2.0, 0.5], [0.0])
    found, _ = found_in(matrices, torch.zeros(2, 60))
    assert found.is_proven.tolist() == [False, True]
    assert not found.levels.any()
    assert not found.vectors.any()


def test_a_space_that_is_exhausted_at_once_stays_finite():
    matrices, axes = drawn([3.0])
    found, _ = found_in(matrices, noise(matrices))
    assert found.is_proven.all()
    assert sines(found, axes).max() < 3e-6


def test_products_that_are_not_finite_prove_nothing():
    matrices, _ = drawn([2.0, 0.5])
    matrices[0, 3, 4] = torch.inf
    found, _ = found_in(matrices, noise(matrices))
    assert not found.is_proven.any()


def test_the_bound_is_never_below_the_second_eigenvalue():
    generator = torch.Generator().manual_seed(5)
    spectra = torch.rand(200, 20, generator=generator, dtype=torch.float64).pow(
        torch.randint(1, 12, (200, 1), generator=generator)
    )
    matrices, _ = drawn(*spectra.tolist(), size=20)
    for steps in (2, 4, 7):
        space, _ = torch.linalg.qr(torch.randn(200, 20, steps, generator=generator, dtype=torch.float64))
        inner = space.mT @ matrices @ space
        # what couples the space and the rest, and the trace of the rest
        outside = matrices @ space - space @ inner
        coupling = torch.linalg.matrix_norm(outside, ord=2)
        trace = matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
        bound = krylov._highest_other(torch.linalg.eigvalsh(inner), trace, coupling)
        assert (bound >= spectra.sort(dim=1).values[:, -2] * (1 - 1e-12)).all()


def test_only_the_classes_that_are_not_proven_are_decomposed(monkeypatch):
    torch.manual_seed(4)
    asked = []
    original = eigen._of_products
    monkeypatch.setattr(
        eigen, "_of_products", lambda unit, centred: asked.append(tuple(unit.shape)) or original(unit, centred)
    )
    rows = torch.linalg.qr(torch.randn(64, 40) - torch.randn(64, 40).mean(dim=0))[0].mT
    rows -= rows.mean(dim=1, keepdim=True)
    activations = rows.reshape(1, 40, 8, 8)
    weights = torch.ones(1, 3, 40)
    weights[0, 1:, 0] = 20.0  # one channel stands out: its component is clear
    gradients = weights.reshape(1, 3, 40, 1, 1).expand(1, 3, 40, 8, 8)
    found = eigen.eigengradcam_of_uniform(activations, weights)
    assert asked == [(1, 1, 40)]
    torch.testing.assert_close(found[:, 1:], eigen.eigengradcam(activations, gradients)[:, 1:], rtol=1e-4, atol=1e-5)
    # the first class has many components of nearly the same strength: a combination of them is as strong
    one = found[0, 0].flatten().double()
    gram = rows.double().mT @ rows.double()
    highest = float(torch.linalg.eigvalsh(gram)[-1])
    assert float(one @ one) == pytest.approx(highest, rel=1e-4)
    assert float(one @ gram @ one) / highest == pytest.approx(highest, rel=1e-4)
