"""Layers ranked by evidence: completeness first, then cells, gain over shifted maps and stability."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audit_pipeline.errors import LayerError
from audit_pipeline.explain.fingerprint import fingerprint
from audit_pipeline.explain.over_parts import OverParts
from audit_pipeline.explain.parts import rank_input
from audit_pipeline.explain.ranking import CURVES, LayerEvidence, combined, rank_layers, stages, why
from audit_pipeline.explain.slicewise import Slices
from tests.explain.test_attention import GRIDS, batch_of
from tests.explain.test_gridded import small_vit
from tests.part_networks import Bright


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_stage_that_accounts_for_the_logit_comes_first(make_net, make_batch, dimensions):
    net, image = make_net(dimensions), make_batch(dimensions)[0]
    ranked = rank_layers(net, image, 1, spacing_mm=[2.0] * dimensions)
    assert [one.rank for one in ranked] == [1, 2]
    assert ranked[0].layer == "act"
    assert ranked[0].unaccounted < 1e-5
    assert ranked[1].unaccounted > 0.01
    assert ranked[0].grid == (4,) * dimensions
    assert ranked[0].cell_pixels == pytest.approx(4.0)
    assert ranked[0].cell_mm == pytest.approx(8.0)


def test_every_grid_of_the_network_has_one_stage(make_net, make_batch):
    assert stages(make_net(), make_batch()) == ("stem", "act")


def test_a_planted_detector_gains_over_its_shifted_maps():
    class Bright(nn.Module):
        """The logit is what lies above 1, summed; the map of its layer is exactly that."""

        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Conv2d(1, 1, 1)
            self.act = nn.ReLU()
            nn.init.ones_(self.stage.weight)
            nn.init.constant_(self.stage.bias, -1.0)

        def forward(self, images):
            return self.act(self.stage(images)).sum(dim=(2, 3))

    image = torch.zeros(1, 24, 24)
    image[:, 4:8, 15:19] = 3.0
    (only,) = rank_layers(Bright(), image, 0)
    assert only.gain > 0
    assert only.p_value == pytest.approx(1 / (1 + CURVES.nulls))
    assert only.unaccounted == pytest.approx(0.0, abs=1e-6)


def test_the_ranking_is_the_same_twice_and_leaves_the_model_as_it_came(make_net, make_batch):
    net, image = make_net(3, "flat").train(), make_batch()[0]
    before = fingerprint(net)
    first, second = (rank_layers(net, image, 0, seed=4) for _ in range(2))
    assert first == second
    assert fingerprint(net) == before


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_of_tokens_are_ranked_on_their_grids(dimensions):
    net, image = small_vit(dimensions, 3), batch_of(dimensions)[0]
    before = fingerprint(net)
    ranked = rank_layers(net, image, 1)
    assert {one.layer for one in ranked} == {"blocks.0", "blocks.1", "blocks.2.norm1"}
    # behind it everything is normalised, so the logit does not change when all tokens are scaled (Euler, degree 0)
    (scaled,) = [one for one in ranked if one.layer == "blocks.1"]
    assert scaled.unaccounted == pytest.approx(1.0, abs=0.05)
    assert {one.grid for one in ranked} == {GRIDS[dimensions]}
    assert fingerprint(net) == before


def test_slices_are_compared_on_those_that_speak_loudest():
    volume = torch.zeros(1, 6, 16, 16)
    volume[0, 2, 4:8, 4:8], volume[0, 4, 8:12, 8:12], volume[0, 5, 2:4, 2:4] = 3.0, 2.0, 1.0
    network = Bright(2)
    whole = OverParts(network, Slices(), "max").eval()
    found = rank_input(
        whole, volume.numpy(), target=lambda logits: [int(logits[0].argmax())], spacing_mm=(5.0, 2.0, 2.0)
    )
    slices = [rank_layers(network, volume[:, place], 1, spacing_mm=(2.0, 2.0)) for place in (2, 4, 5)]
    assert found == combined(slices)
    assert found[0].cell_mm == pytest.approx(4.0)


def test_a_network_without_convolutions_has_no_stage():
    with pytest.raises(LayerError, match="no layer with a convolution"):
        rank_layers(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.zeros(1, 8, 8), 0)


def evidence(layer, side, missed, gain, stability=0.5):
    return LayerEvidence(
        layer=layer, rank=0, mean_rank=0.0, grid=(side, side), channels=4, cell_pixels=64 / side, cell_mm=None,
        unaccounted=missed, gain=gain, p_value=0.2, stability=stability,
    )  # fmt: skip


def test_several_images_are_ranked_by_their_means_and_what_one_does_not_tell_is_left_out():
    first = (evidence("late", 4, 0.3, 1.0), evidence("early", 16, 0.5, 2.0, None))
    second = (evidence("early", 16, 0.7, 4.0), evidence("late", 4, 0.1, 2.0))
    ranked = combined([first, second])
    assert [(one.layer, one.rank, one.gain, one.p_value) for one in ranked] == [
        ("early", 1, 3.0, None), ("late", 2, 1.5, None),
    ]  # fmt: skip
    assert [one.unaccounted for one in ranked] == pytest.approx([0.6, 0.2])
    assert ranked[0].stability == 0.5
    assert [one.mean_rank for one in ranked] == [1.375, 1.625]


def test_rounding_in_completeness_decides_nothing():
    ranked = combined([(evidence("late", 4, 1e-8, 1.0), evidence("early", 16, 1e-6, 1.0))] * 2)
    assert [one.layer for one in ranked] == ["early", "late"]


def test_a_sentence_says_why_the_first_layer_won():
    complete = combined([(evidence("late", 4, 0.0, 1.0), evidence("early", 16, 0.4, 2.0))] * 2)
    assert why(complete) == (
        "late is the only one of 2 stages whose map accounts for the whole logit; the others miss 40% of it and more."
    )
    neither = combined([(evidence("late", 4, 0.3, 1.0), evidence("early", 16, 0.4, 2.0))] * 2)
    assert why(neither).endswith("gain and stability: 1.38, the next is late with 1.62.")
    assert why(neither[:1]) == "early is the only stage of the network with a grid."


def test_the_target_may_be_chosen_from_the_logits_and_further_layers_are_ranked_too(make_net, make_batch):
    net, image = make_net(), make_batch()[0]
    seen = []

    def highest(logits):
        seen.append(tuple(logits.shape))
        return [int(logits[0].argmax())]

    chosen = rank_input(net, image.numpy(), target=highest, also=("stem", "act"))
    assert seen == [(1, net(image[None]).shape[1])]
    assert chosen == rank_layers(net, image, int(net(image[None])[0].argmax()))
