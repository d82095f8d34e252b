"""2D models on volumes: the stacked maps are those of the aggregated model, and add up to its logit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.slicewise import aggregate, slice_weights, stack_slices

RULES = [("max", 1), ("mean", 1), ("topk", 3)]
rules = pytest.mark.parametrize(("aggregation", "k"), RULES)


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


def explained(net, method, targets):
    def explain(images):
        maps = explain_batch(net, images, methods=[method], layer="act", targets=targets)
        return maps.logits, maps.values[method]

    return explain


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
def test_the_stacked_hirescam_is_that_of_the_aggregated_model(make_net, make_batch, head, aggregation, k):
    net, slices, targets = make_net(2, head), make_batch(2, count=7), (2, 0)
    stack = stack_slices(explained(net, "hirescam", targets), slices, targets, aggregation=aggregation, k=k, batch=3)
    activations, gradients = differentiated(net, slices, targets, aggregation, k)
    for column, gradient in enumerate(gradients):
        torch.testing.assert_close(stack.values[column], (gradient * activations).sum(dim=1), rtol=1e-5, atol=1e-7)


@rules
def test_the_stacked_gradcam_is_that_of_the_aggregated_model_slice_by_slice(make_net, make_batch, aggregation, k):
    net, slices = make_net(2, "flat"), make_batch(2, count=7)
    stack = stack_slices(explained(net, "gradcam", (1,)), slices, (1,), aggregation=aggregation, k=k)
    activations, (gradient,) = differentiated(net, slices, (1,), aggregation, k)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1)
    torch.testing.assert_close(stack.values[0], expected, rtol=1e-5, atol=1e-7)


@rules
def test_the_stack_sums_to_the_logit_of_the_volume_minus_the_bias(make_net, make_batch, aggregation, k):
    net, slices, targets = make_net(2, "flat"), make_batch(2, count=7), (0, 1, 2)
    stack = stack_slices(explained(net, "hirescam", targets), slices, targets, aggregation=aggregation, k=k)
    torch.testing.assert_close(stack.logits, VolumeModel(net, aggregation, k)(slices).detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        stack.values.flatten(1).sum(1), stack.logits - net.fc.bias.detach(), rtol=1e-5, atol=1e-6
    )


@rules
def test_weights_are_the_derivative_of_the_aggregate(aggregation, k):
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    reference = {"max": lambda z: z.amax(0), "mean": lambda z: z.mean(0), "topk": lambda z: z.topk(3, 0)[0].mean(0)}
    (expected,) = torch.autograd.grad(reference[aggregation](logits).sum(), logits)
    torch.testing.assert_close(slice_weights(logits.detach(), aggregation, k), expected)
    torch.testing.assert_close(aggregate(logits.detach(), aggregation, k), reference[aggregation](logits).detach())


def test_each_class_chooses_its_own_slice_and_every_other_slice_is_exactly_zero():
    logits = torch.tensor([[5.0, 0.0], [1.0, 2.0], [0.0, 9.0]])
    stack = stack_slices(lambda _images: (logits, torch.ones(3, 2, 2, 2)), torch.zeros(3, 1, 4, 4), (0, 1))
    assert stack.values.flatten(2).sum(2).tolist() == [[4, 0, 0], [0, 0, 4]]
    assert stack.logits.tolist() == [5, 9]
    assert (stack.slice_values == 1).all()
    assert stack.rule == "highest slice"


def test_equal_slices_give_the_whole_weight_to_the_first():
    assert slice_weights(torch.zeros(4, 1), "max").flatten().tolist() == [1, 0, 0, 0]


def test_a_slice_outside_the_aggregate_cannot_spoil_it():
    logits = torch.tensor([[3.0], [-torch.inf]])
    assert aggregate(logits, "max").tolist() == [3.0]


@pytest.mark.parametrize(("aggregation", "k", "words"), [("topk", 5, "k = 5"), ("topk", 0, "k = 0"), ("sum", 1, "sum")])
def test_an_impossible_aggregation_is_refused(aggregation, k, words):
    with pytest.raises(ExplainError, match=words):
        slice_weights(torch.zeros(4, 1), aggregation, k)


def test_maps_must_match_the_targets():
    with pytest.raises(ExplainError, match="one map per target, 2, found 1"):
        stack_slices(lambda _images: (torch.zeros(1, 3), torch.zeros(1, 1, 2, 2)), torch.zeros(1, 1, 4, 4), (0, 1))
