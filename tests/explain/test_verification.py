"""What is known about a gradient of zero: no path from the layer, or a path that is silent at this image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.explain import engine, forward
from audit_pipeline.explain.blank import classify
from audit_pipeline.explain.verification import reached

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
both = pytest.mark.parametrize("dimensions", [2, 3])
USED, ELSEWHERE, SILENT, UNWEIGHTED = range(4)


class FourHeads(nn.Module):
    """Class 0 uses the layer, class 1 another branch, class 2 a unit that no image opens, class 3 weights of zero."""

    def __init__(self, dimensions):
        super().__init__()
        torch.manual_seed(5)
        self.stage = nn.Sequential(CONV[dimensions](1, 4, 3, 2, 1), nn.ReLU())
        self.used, self.elsewhere, self.silent, self.unweighted = (nn.Linear(4, 1) for _ in range(4))
        self.aside = nn.Linear(1, 4)
        nn.init.constant_(self.silent.weight, 1.0)
        nn.init.constant_(self.silent.bias, -20.0)
        nn.init.zeros_(self.unweighted.weight)

    def forward(self, images):
        features = self.stage(images).flatten(2).mean(2)
        aside = self.aside(images.flatten(2).mean(2))
        silent = self.silent(features).relu() + 0.5
        return torch.cat([self.used(features), self.elsewhere(aside), silent, self.unweighted(features)], dim=1)


def verified(dimensions, targets):
    images = torch.randn(2, 1, *[8] * dimensions, generator=torch.Generator().manual_seed(1))
    return explain_batch(FourHeads(dimensions).eval(), images, layer="stage", targets=targets, prove=True)


@both
@pytest.mark.parametrize(
    ("target", "kind"),
    [(USED, None), (ELSEWHERE, "disconnected"), (SILENT, "zero gradient"), (UNWEIGHTED, "disconnected")],
)
def test_a_single_class_without_a_path_is_told_apart_from_one_behind_a_silent_unit(dimensions, target, kind):
    maps = verified(dimensions, [target])
    for image in range(2):
        blank = classify(
            maps.values["gradcam"][image, 0].numpy(), maps.verification.facts[image][0], float(maps.signal_floor[image])
        )
        assert (None if blank is None else blank.kind) == kind


@both
def test_each_of_several_classes_is_judged_alone(dimensions):
    facts = verified(dimensions, [SILENT, ELSEWHERE, USED]).verification.facts
    for image in facts:
        assert [one.is_connected for one in image] == [True, False, True]
        assert [one.largest > 0 for one in image] == [False, False, True]


def test_a_logit_that_stops_being_finite_depends_on_the_layer():
    def replay(activations, _index):
        total = activations.flatten(1).sum(1)
        return torch.stack([torch.where(total.abs() > 1, torch.nan, 0.0), torch.zeros_like(total)], dim=1)

    found = reached(torch.rand(3, 2, 4, 4) + 1, torch.zeros(3, 2, dtype=torch.float64), replay)
    assert found.tolist() == [[True, False]] * 3


def test_the_proofs_take_the_gradients_of_the_maps_and_compute_none(make_net, make_batch, monkeypatch):
    calls = []
    original = forward._gradients
    monkeypatch.setattr(forward, "_gradients", lambda *given: calls.append(1) or original(*given))
    maps = engine.explain_batch(make_net(3, "flat"), make_batch(), methods=["hirescam"], layer="act", prove=True)
    assert len(calls) == 1
    assert all(proof.holds is not False for row in maps.verification.proofs for column in row for proof in column)
