"""Proofs hold for honest maps within rounding, break for tampered ones, and are silent where nothing is owed."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import gradcam, hirescam
from audit_pipeline.explain.proof import along_the_ray, closed_form, completeness, rounding, tail_replay

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
both = pytest.mark.parametrize("dimensions", [2, 3])
TARGETS = (2, 0)


class Case:
    """A network cut in two, with the activations, gradients and maps of a batch."""

    def __init__(self, dimensions, head, *, side=8, channels=16, count=3):
        torch.manual_seed(11)
        self.trunk = nn.Sequential(CONV[dimensions](1, channels, 3, 2, 1), nn.ReLU())
        self.head = head(channels, (side // 2) ** dimensions, CONV[dimensions])
        images = torch.randn(count, 1, *[side] * dimensions, generator=torch.Generator().manual_seed(4))
        leaf = self.trunk(images).detach().requires_grad_()
        logits = self.head(leaf)
        rows = [torch.autograd.grad(logits[:, t].sum(), leaf, retain_graph=True)[0] for t in TARGETS]
        self.activations, self.logits = leaf.detach(), logits.detach()
        self.gradients = torch.stack(rows, dim=1)
        self.hirescam, self.gradcam = (method(self.activations, self.gradients) for method in (hirescam, gradcam))

    def replay(self, activations, index):
        assert len(activations) == len(index)
        with torch.no_grad():
            return self.head(activations)

    @property
    def ray(self):
        return along_the_ray(self.activations, self.replay)

    def complete(self, maps=None):
        given = self.hirescam if maps is None else maps
        return completeness(given, self.activations, self.gradients, self.ray, TARGETS)


class Pool(nn.Module):
    def forward(self, features):
        return features.flatten(2).mean(2)


def pooled(channels, _cells, _conv):
    return nn.Sequential(Pool(), nn.Linear(channels, 4))


def flat(channels, cells, _conv):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * cells, 4))


def convolved(channels, cells, conv):
    return nn.Sequential(conv(channels, 8, 3, 1, 1), nn.Flatten(), nn.Linear(8 * cells, 4))


def rectified_without_bias(channels, cells, conv):
    return nn.Sequential(conv(channels, 8, 3, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * cells, 4))


def rectified(channels, cells, conv):
    return nn.Sequential(conv(channels, 8, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * cells, 4))


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return self.factor * logits


def sigmoid(channels, cells, conv, factor=20.0):
    return nn.Sequential(flat(channels, cells, conv), Scale(factor), nn.Sigmoid())


def every(proofs):
    return [proof for row in proofs for proof in row]


@both
@pytest.mark.parametrize("head", [pooled, flat, convolved, rectified_without_bias])
@pytest.mark.parametrize("side", [8, 16])
def test_behind_the_layer_affine_heads_are_complete_within_rounding(dimensions, head, side):
    proofs = every(Case(dimensions, head, side=side).complete())
    assert len(proofs) == 3 * 2
    for proof in proofs:
        assert proof.holds is True, proof.sentence
        assert proof.residual <= proof.tolerance
        assert proof.relative < 1e-5
        assert "is the output" in proof.sentence


@both
@pytest.mark.parametrize("head", [rectified, sigmoid])
def test_a_head_that_is_not_linear_owes_no_sum(dimensions, head):
    for proof in every(Case(dimensions, head).complete()):
        assert proof.holds is None
        assert "not linear" in proof.sentence


@pytest.mark.parametrize("power", range(-8, 4))
def test_a_faintly_curved_head_raises_no_false_alarm(power):
    """Between a head as good as linear and one that plainly is not, the sum is either right or not owed."""
    proofs = every(Case(2, lambda *shape: sigmoid(*shape, factor=4.0**power)).complete())
    assert all(proof.holds is not False for proof in proofs)


@both
@pytest.mark.parametrize("head", [pooled, flat])
@pytest.mark.parametrize(
    "tamper",
    [
        lambda maps: maps * 1.01,
        torch.relu,
        lambda maps: (maps - maps.amin()) / (maps.amax() - maps.amin()),
        lambda maps: maps + 1e-4 * maps.abs().amax(),
        lambda maps: maps[:, [1, 0]],
        lambda maps: maps[[1, 2, 0]],
    ],
    ids=["scaled", "rectified", "min-max", "shifted", "classes swapped", "patients swapped"],
)
def test_a_tampered_map_breaks_completeness(dimensions, head, tamper):
    case = Case(dimensions, head)
    broken = [proof for proof in every(case.complete(tamper(case.hirescam))) if proof.holds is False]
    assert len(broken) >= 5
    assert all("NOT the output" in proof.sentence for proof in broken)


@both
def test_gradcam_behind_a_flat_head_is_shown_to_be_incomplete(dimensions):
    case = Case(dimensions, flat)
    assert all(proof.holds is False for proof in every(case.complete(case.gradcam)))


@both
def test_behind_a_pooled_head_gradcam_is_hirescam_in_closed_form(dimensions):
    case = Case(dimensions, pooled)
    for proof in every(closed_form(case.gradcam, case.hirescam, case.activations, case.gradients)):
        assert proof.holds is True
        assert proof.relative < 1e-5
    weights = case.head[1].weight[list(TARGETS)].detach() / case.activations[0, 0].numel()
    torch.testing.assert_close(case.hirescam, torch.einsum("kc,nc...->nk...", weights, case.activations))


@both
def test_a_wrong_gradcam_behind_a_pooled_head_is_found(dimensions):
    case = Case(dimensions, pooled)
    moved = case.gradcam.roll(1, dims=-1)
    proofs = every(closed_form(moved, case.hirescam, case.activations, case.gradients))
    assert all(proof.holds is False and "NOT equal" in proof.sentence for proof in proofs)


@both
def test_behind_a_flat_head_the_closed_form_is_not_owed(dimensions):
    case = Case(dimensions, flat)
    proofs = every(closed_form(case.gradcam, case.hirescam, case.activations, case.gradients))
    assert all(proof.holds is None for proof in proofs)


@both
@pytest.mark.parametrize("head", [pooled, flat, convolved, rectified, sigmoid])
def test_the_tail_gives_the_logits_again(dimensions, head):
    case = Case(dimensions, head)
    proofs = every(tail_replay(case.logits, case.ray, case.activations, TARGETS))
    assert all(proof.holds is True and proof.residual == 0 for proof in proofs)


@both
@pytest.mark.parametrize("head", [pooled, flat, rectified])
def test_activations_of_another_pass_are_found_by_the_replay(dimensions, head):
    case = Case(dimensions, head)
    ray = along_the_ray(case.activations + 0.01 * case.activations.amax(), case.replay)
    proofs = every(tail_replay(case.logits, ray, case.activations, TARGETS))
    assert all(proof.holds is False and "NOT again" in proof.sentence for proof in proofs)


def test_the_bias_of_a_linear_head_is_its_answer_to_zero_activations():
    case = Case(3, flat)
    torch.testing.assert_close(case.ray.zero, case.head[1].bias.detach().double().expand(3, 4))


def test_replaying_does_not_change_the_activations():
    case = Case(2, flat)
    before = case.activations.clone()

    def in_place(activations, _index):
        return case.head(activations.mul_(1.0).relu_())

    along_the_ray(case.activations - 1.0, in_place)
    along_the_ray(case.activations, lambda activations, _index: case.head(activations.add_(3.0)))
    assert torch.equal(case.activations, before)


def test_the_rounding_allowed_covers_float32_against_float64_with_room_and_without_waste():
    """Over 200 seeded sums the worst error lies within the bound, and the bound within 1e4 of the worst error."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(200):
        one, other = torch.randn(2, 10_000, generator=generator)
        exact = (one.double() * other.double()).sum()
        scale = (one.double() * other.double()).abs().sum()
        worst = max(worst, float((torch.dot(one, other).double() - exact).abs() / scale))
    assert worst < rounding(10_000) < 1e4 * worst


@pytest.mark.parametrize("head", [pooled, flat])
def test_bfloat16_arithmetic_needs_and_gets_its_own_unit_roundoff(head):
    case = Case(2, head)
    half = copy.deepcopy(case.head).bfloat16()
    leaf = case.activations.bfloat16().requires_grad_()
    logits = half(leaf)
    rows = [torch.autograd.grad(logits[:, t].sum(), leaf, retain_graph=True)[0] for t in TARGETS]
    activations, gradients = leaf.detach().float(), torch.stack(rows, dim=1).float()
    with torch.no_grad():
        ray = along_the_ray(activations, lambda given, _index: half(given.bfloat16()).float())
    maps = hirescam(activations, gradients)
    proofs = every(completeness(maps, activations, gradients, ray, TARGETS, unit_roundoff=2.0**-8))
    assert all(proof.holds is True for proof in proofs)


def test_evidence_that_cancels_is_judged_by_what_cancels():
    case = Case(2, flat)
    ray = replace(case.ray)
    proofs = every(completeness(case.hirescam, case.activations, case.gradients, ray, TARGETS))
    energy = (case.gradients * case.activations[:, None]).abs().flatten(2).sum(2).flatten()
    for proof, scale in zip(proofs, energy.tolist(), strict=True):
        assert proof.tolerance >= rounding(case.activations[0].numel()) * scale


def test_shapes_that_do_not_belong_together_are_refused():
    case = Case(2, flat)
    with pytest.raises(ExplainError, match="a proof needs maps"):
        completeness(case.hirescam[:, :1], case.activations, case.gradients, case.ray, TARGETS)
