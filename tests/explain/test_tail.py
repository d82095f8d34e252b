"""Replaying what follows a layer: the same logits as the whole network, without its trunk, or an honest None."""

from __future__ import annotations

import linecache

import pytest
import torch
from monai.networks.nets import DenseNet121, resnet18
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.explain.forward import replayed
from audit_pipeline.explain.tail import tail_of

both = pytest.mark.parametrize("dimensions", [2, 3])
CONV = {2: nn.Conv2d, 3: nn.Conv3d}


def seen_at(net, layer, images):
    """Return the layer's output and the logits."""
    found = []
    handle = net.get_submodule(layer).register_forward_hook(lambda *given: found.append(given[2].clone()))
    with torch.no_grad():
        logits = net(images)
    handle.remove()
    return found[0], logits


def require_same_replay(net, layer, images, rtol=1e-5):
    """Assert that the tail answers other activations for other images as the whole network does; return it."""
    activations, logits = seen_at(net, layer, images)
    tail = tail_of(net, layer, images, activations, logits)
    assert tail is not None
    index = torch.tensor([1, 0, 1, 1])
    other = torch.randn(4, *activations.shape[1:], generator=torch.Generator().manual_seed(5))
    expected = replayed(net, net.get_submodule(layer), images, other, index, 3)
    found = tail(other, index, 3)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * float(expected.abs().max()))
    return tail


def images_of(dimensions, side, count=2):
    return torch.randn(count, 1, *[side] * dimensions, generator=torch.Generator().manual_seed(3))


@both
@pytest.mark.parametrize("layer", ["class_layers.relu", "features", "features.denseblock4.denselayer16"])
def test_the_tail_of_densenet121_is_replayed_without_its_trunk(dimensions, layer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = DenseNet121(spatial_dims=dimensions, in_channels=1, out_channels=3).eval()
    tail = require_same_replay(net, layer, images_of(dimensions, 64 if dimensions == 2 else 40))
    assert tail.kept == ()


@both
@pytest.mark.parametrize("layer", ["layer4", "layer3"])
def test_the_tail_of_resnet18_is_replayed_without_its_trunk(dimensions, layer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = resnet18(spatial_dims=dimensions, n_input_channels=1, num_classes=3, widen_factor=0.25).eval()
    tail = require_same_replay(net, layer, images_of(dimensions, 64 if dimensions == 2 else 40))
    assert tail.kept == ()


def test_a_path_around_the_layer_is_kept_for_each_image():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = resnet18(spatial_dims=3, n_input_channels=1, num_classes=3, widen_factor=0.25).eval()
    tail = require_same_replay(net, "layer4.1.conv1", images_of(3, 40))
    assert [kept.shape[0] for kept in tail.kept] == [2]


@both
@pytest.mark.parametrize("head", ["pooled", "flat"])
@pytest.mark.parametrize("layer", ["stem", "stage", "act"])
@pytest.mark.parametrize("in_place", [False, True])
def test_networks_with_either_head_and_in_place_activations_are_replayed(make_net, dimensions, head, layer, in_place):
    require_same_replay(make_net(dimensions, head, in_place=in_place), layer, images_of(dimensions, 16))


def test_the_trunk_does_not_run_in_a_replay(make_net):
    net, images = make_net(), images_of(3, 16)
    activations, logits = seen_at(net, "act", images)
    calls = []
    handle = net.stem.register_forward_hook(lambda *_: calls.append(1))
    tail = tail_of(net, "act", images, activations, logits)
    tail(activations, torch.arange(2), 8)
    handle.remove()
    assert calls == []


def test_a_replay_leaves_what_it_is_given_unchanged(make_net):
    net, images = make_net(in_place=True), images_of(3, 16)
    activations, logits = seen_at(net, "stage", images)
    given = activations.clone()
    tail_of(net, "stage", images, given, logits)(given, torch.arange(2), 8)
    assert torch.equal(given, activations)
    assert (given < 0).any()


def test_parameters_and_hooks_are_those_of_the_model(make_net):
    net, images = make_net(), images_of(3, 16)
    before = {name: id(parameter) for name, parameter in net.named_parameters()}
    activations, logits = seen_at(net, "act", images)
    tail = tail_of(net, "act", images, activations, logits)
    net.fc.bias.data += 1
    torch.testing.assert_close(tail(activations, torch.arange(2), 8), logits + 1)
    assert {name: id(parameter) for name, parameter in net.named_parameters()} == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_the_gradient_of_the_tail_is_that_of_the_network(make_net):
    net, images = make_net(head="flat"), images_of(3, 16)
    activations, logits = seen_at(net, "stem", images)
    tail = tail_of(net, "stem", images, activations, logits)
    leaf = activations.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tail.logits(leaf, torch.arange(2))[:, 1].sum(), leaf)
    expected = explain_batch(net, images, methods=["hirescam"], layer="stem", targets=[1]).values["hirescam"][:, 0]
    torch.testing.assert_close((gradient * activations).sum(1), expected, rtol=1e-5, atol=1e-6)


@both
def test_the_tail_passes_a_gradient_check_in_double_precision(make_net, dimensions):
    net, images = make_net(dimensions, "flat", side=8).double(), images_of(dimensions, 8, count=1).double()
    activations, logits = seen_at(net, "stage", images)
    tail = tail_of(net, "stage", images, activations, logits)
    leaf = (activations + 0.05 * activations.sign()).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: tail.logits(given, torch.arange(1)), (leaf,))


class Around(nn.Module):
    """A layer with awkward surroundings: what `forward` does is chosen by the test."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, images, mask=None):
        first = self.one(images)
        if self.kind == "branch" and first.mean() > 100:
            first = first * 2
        features = self.two(first).relu_()
        if self.kind == "twice":
            features = self.two(features)
        if self.kind == "skip":
            features = features + first * images.mean(dim=(1, 2, 3), keepdim=True)
        if self.kind == "mask" and mask is not None:
            features = features * mask
        if self.kind == "batch":
            features = features - features.mean(dim=0, keepdim=True)
        pooled = features.mean(dim=(2, 3))
        if self.kind == "sizes":
            pooled = features.view(images.shape[0], 4, first.size(2), -1).mean(dim=(2, 3)) * self.scale
        if self.kind == "arithmetic":
            pooled = features.view(images.shape[0], 2 * images.size(1) + 2, -1).mean(2)
        return self.fc(pooled)


@pytest.mark.parametrize("kind", ["plain", "skip", "mask", "sizes"])
def test_skips_optional_inputs_parameters_and_sizes_are_followed(kind):
    require_same_replay(Around(kind).eval(), "two", images_of(2, 8))


@pytest.mark.parametrize("kind", ["branch", "twice", "batch", "arithmetic"])
def test_what_cannot_be_split_off_is_refused_with_none(kind):
    net, images = Around(kind).eval(), images_of(2, 8)
    activations, logits = seen_at(net, "two", images)
    assert tail_of(net, "two", images, activations, logits) is None


def test_a_hook_around_the_layer_is_neither_called_nor_skipped(make_net):
    net, images = make_net(), images_of(3, 16)
    activations, logits = seen_at(net, "act", images)
    calls = []
    handle = net.register_forward_hook(lambda *_: calls.append(1))
    assert tail_of(net, "act", images, activations, logits) is None
    handle.remove()
    assert calls == []


def test_logits_that_the_tail_does_not_give_are_noticed(make_net):
    net, images = make_net(), images_of(3, 16)
    activations, logits = seen_at(net, "act", images)
    assert tail_of(net, "act", images, activations, logits * 1.001) is None
    assert tail_of(net, "act", images, activations * 1.01, logits) is None


def test_many_tails_leave_no_generated_source_behind(make_net):
    net, images = make_net(2), images_of(2, 16)
    activations, logits = seen_at(net, "act", images)
    tail_of(net, "act", images, activations, logits)
    before = len(linecache.cache)
    for _ in range(20):
        tail_of(net, "act", images, activations, logits)
    assert len(linecache.cache) == before
