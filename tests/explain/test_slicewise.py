"""2D networks on volumes: the stacked maps are those of the aggregated model, and add up to its logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.over_parts import OverParts
from audit_pipeline.explain.parts import explain_whole
from audit_pipeline.explain.slicewise import Slices, aggregate, slice_weights, weighted_stack

RULES = [("max", 1), ("mean", 1), ("topk", 3)]
rules = pytest.mark.parametrize(("aggregation", "k"), RULES)
SLICES = 11


class VolumeModel(nn.Module):
    """The 2D network on every slice, and the aggregate written with torch's own operations."""

    def __init__(self, net, aggregation, k):
        super().__init__()
        self.net, self.aggregation, self.k = net, aggregation, k

    def forward(self, slices):
        logits = self.net(slices)
        if self.aggregation == "mean":
            return logits.mean(dim=0)
        return logits.topk(self.k if self.aggregation == "topk" else 1, dim=0).values.mean(dim=0)


@pytest.fixture
def volume(make_batch):
    """A volume (1, 1, D, H, W) whose slices are seeded noise."""
    return make_batch(2, count=SLICES).transpose(0, 1)[None]


def differentiated(net, slices, targets, aggregation, k):
    """Return activations and gradients of the aggregated model at the layer, by autograd alone."""
    kept = []
    handle = net.act.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    logits = VolumeModel(net, aggregation, k)(slices)
    handle.remove()
    gradients = [torch.autograd.grad(logits[target], kept[0], retain_graph=True)[0] for target in targets]
    return kept[0].detach(), gradients


@rules
@pytest.mark.parametrize("head", ["pooled", "flat"])
def test_the_stacked_hirescam_is_that_of_the_aggregated_model(make_net, volume, head, aggregation, k):
    net, targets = make_net(2, head), (2, 0)
    found = explain_whole(
        OverParts(net, Slices(), aggregation, k), volume, methods=["hirescam"], layer="act", targets=targets
    )
    activations, gradients = differentiated(net, volume[0].transpose(0, 1), targets, aggregation, k)
    for column, gradient in enumerate(gradients):
        expected = (gradient * activations).sum(dim=1)
        torch.testing.assert_close(found.values["hirescam"][0, column], expected, rtol=1e-5, atol=1e-7)


@rules
def test_the_stacked_gradcam_is_that_of_the_aggregated_model_slice_by_slice(make_net, volume, aggregation, k):
    net = make_net(2, "flat")
    found = explain_whole(OverParts(net, Slices(), aggregation, k), volume, layer="act", targets=(1,))
    activations, (gradient,) = differentiated(net, volume[0].transpose(0, 1), (1,), aggregation, k)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1)
    torch.testing.assert_close(found.values["gradcam"][0, 0], expected, rtol=1e-5, atol=1e-7)


@rules
def test_the_stack_sums_to_the_logit_of_the_volume_minus_the_bias(make_net, volume, aggregation, k):
    net, targets = make_net(2, "flat"), (0, 1, 2)
    model = OverParts(net, Slices(), aggregation, k)
    found = explain_whole(model, volume, methods=["hirescam"], layer="act", targets=targets, prove=True)
    expected = VolumeModel(net, aggregation, k)(volume[0].transpose(0, 1)).detach()
    torch.testing.assert_close(found.logits[0], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model(volume)[0].detach(), expected, rtol=1e-6, atol=1e-6)
    added = found.values["hirescam"][0].flatten(1).sum(1)
    torch.testing.assert_close(added, found.logits[0] - net.fc.bias.detach(), rtol=1e-5, atol=1e-6)
    for proofs in found.verification.proofs[0]:
        complete = next(proof for proof in proofs if proof.kind == "completeness")
        assert complete.holds is True
        assert complete.residual <= complete.tolerance


@rules
def test_weights_are_the_derivative_of_the_aggregate(aggregation, k):
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    reference = {"max": lambda z: z.amax(0), "mean": lambda z: z.mean(0), "topk": lambda z: z.topk(3, 0)[0].mean(0)}
    (expected,) = torch.autograd.grad(reference[aggregation](logits).sum(), logits)
    torch.testing.assert_close(slice_weights(logits.detach(), aggregation, k), expected)
    (own,) = torch.autograd.grad(aggregate(logits, aggregation, k).sum(), logits)
    torch.testing.assert_close(own, expected)
    torch.testing.assert_close(aggregate(logits.detach(), aggregation, k), reference[aggregation](logits).detach())


def test_each_class_chooses_its_own_slice_and_every_other_slice_is_exactly_zero():
    weights = slice_weights(torch.tensor([[5.0, 0.0], [1.0, 2.0], [0.0, 9.0]]), "max")
    stack = weighted_stack(torch.ones(3, 2, 2, 2), weights)
    assert stack.flatten(2).sum(2).tolist() == [[4, 0, 0], [0, 0, 4]]


def test_equal_slices_give_the_whole_weight_to_the_first():
    assert slice_weights(torch.zeros(4, 1), "max").flatten().tolist() == [1, 0, 0, 0]


def test_a_slice_outside_the_aggregate_cannot_spoil_it():
    logits = torch.tensor([[3.0], [-torch.inf]])
    assert aggregate(logits, "max").tolist() == [3.0]
    maps = torch.stack([torch.ones(1, 2, 2), torch.full((1, 2, 2), torch.nan)])
    assert weighted_stack(maps, slice_weights(logits, "max"))[0, 1].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(("aggregation", "k", "words"), [("topk", 5, "k = 5"), ("topk", 0, "k = 0"), ("sum", 1, "sum")])
def test_an_impossible_aggregation_is_refused(aggregation, k, words):
    with pytest.raises(ExplainError, match=words):
        slice_weights(torch.zeros(4, 1), aggregation, k)


def test_neighbours_become_channels_and_the_ends_repeat():
    volume = torch.arange(5.0)[None, :, None, None].expand(1, 5, 2, 2)
    taken = Slices(neighbours=1).take(volume, 0, 5)[:, :, 0, 0]
    assert taken.tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4]]


def test_neighbours_of_a_volume_with_channels_are_refused():
    with pytest.raises(ExplainError, match="one is expected, found 3"):
        Slices(neighbours=1).take(torch.zeros(3, 4, 2, 2), 0, 4)


def test_a_map_of_neighbouring_slices_belongs_to_the_middle_one(make_batch):
    class Middle(nn.Module):
        """Sees only the middle channel."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 1, bias=False)
            nn.init.zeros_(self.conv.weight)
            self.conv.weight.data[0, 1] = 1.0

        def forward(self, images):
            return self.conv(images).flatten(2).sum(2)

    volume = make_batch(2, count=6).transpose(0, 1)[None]
    model = OverParts(Middle(), Slices(neighbours=1), "mean")
    found = explain_whole(model, volume, methods=["hirescam"], layer="conv", targets=(0,))
    torch.testing.assert_close(found.values["hirescam"][0, 0], volume[0, 0] / 6, rtol=1e-5, atol=1e-7)


def test_the_centres_of_the_slices_lie_in_the_middle_of_their_planes():
    np.testing.assert_array_equal(Slices().centres((3, 5, 7)), [[0, 2, 3], [1, 2, 3], [2, 2, 3]])


def test_a_volume_of_one_slice_is_explained_as_that_slice(make_net, make_batch):
    net, image = make_net(2, "flat"), make_batch(2, count=1)
    methods = ["gradcam", "hirescam", "xgradcam", "gradcam++", "layercam", "elementwise", "eigencam", "eigengradcam"]
    alone = explain_batch(net, image, methods=methods, layer="act", prove=True)
    for aggregation, k in RULES:
        whole = explain_whole(
            OverParts(net, Slices(), aggregation, k), image[:, :, None], methods=methods, layer="act", prove=True
        )
        torch.testing.assert_close(whole.logits, alone.logits)
        for method in methods:
            torch.testing.assert_close(whole.values[method][:, :, 0], alone.values[method])
        assert whole.verification.proofs == alone.verification.proofs
        torch.testing.assert_close(whole.features, alone.features)
        torch.testing.assert_close(whole.signal_floor, alone.signal_floor)
