"""The cut at the layer: several layers at once, every wrapper of a model, every precision, no memory kept."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import forward
from audit_pipeline.explain.forward import cut_forward, gradients_at


def all_gradients(net, images, layers, targets):
    nodes, logits = cut_forward(net, {name: net.get_submodule(name) for name in layers}, images)
    chunks = [found for _, found in gradients_at(nodes, logits, targets)]
    return nodes, {name: torch.cat([found[name] for found in chunks], dim=1) for name in layers}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("in_place", [False, True])
def test_several_layers_come_out_of_one_pass_as_each_alone(make_net, make_batch, dimensions, in_place):
    net, images = make_net(dimensions, "flat", in_place=in_place), make_batch(dimensions)
    layers = ["stem", "stage", "act"]
    nodes, together = all_gradients(net, images, layers, [0, 2])
    for name in layers:
        alone, expected = all_gradients(net, images, [name], [0, 2])
        torch.testing.assert_close(nodes[name], alone[name])
        torch.testing.assert_close(together[name], expected[name])


def test_gradients_in_one_traversal_equal_those_one_by_one(make_net, make_batch, monkeypatch):
    net, images = make_net(3, "flat"), make_batch()
    _, together = all_gradients(net, images, ["stage"], [0, 1, 2])
    monkeypatch.setattr(forward, "STACKED_ELEMENTS", 1)
    _, alone = all_gradients(net, images, ["stage"], [0, 1, 2])
    torch.testing.assert_close(together["stage"], alone["stage"])


class Cubed(torch.autograd.Function):
    """An operation without a batching rule."""

    @staticmethod
    def forward(context, values):
        context.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(context, gradient):
        (values,) = context.saved_tensors
        return 3 * values**2 * gradient


class WithCustomOperation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, images):
        return self.fc(Cubed.apply(self.stage(images)).mean(dim=(2, 3)))


def test_an_operation_that_cannot_be_batched_is_differentiated_class_by_class():
    torch.manual_seed(0)
    net, images = WithCustomOperation(), torch.randn(2, 1, 8, 8)
    maps = explain_batch(net, images, methods=["hirescam"], layer="stage")
    activations = net.stage(images).detach()
    gradient = torch.einsum("kc,ncij->nkcij", net.fc.weight.detach(), 3 * activations**2) / activations[0, 0].numel()
    torch.testing.assert_close(maps.values["hirescam"], (gradient * activations[:, None]).sum(2))


def test_a_replicated_model_is_explained_on_its_own_device(make_net, make_batch):
    net, images = make_net(), make_batch()
    expected = explain_batch(net, images, layer="act").values["gradcam"]
    found = explain_batch(nn.DataParallel(net), images, layer="act").values["gradcam"]
    torch.testing.assert_close(found, expected)


def test_a_compiled_model_is_explained_eagerly(make_net, make_batch):
    net, images = make_net(), make_batch()
    expected = explain_batch(net, images, layer="act").values["gradcam"]
    compiled = torch.compile(net, backend="eager")
    torch.testing.assert_close(explain_batch(compiled, images, layer="act").values["gradcam"], expected)


def test_a_scripted_model_is_refused_with_what_to_do(make_net, make_batch):
    with torch.no_grad(), pytest.warns(DeprecationWarning, match="deprecated"):
        traced = torch.jit.trace(make_net(), make_batch(), check_trace=False)
    with pytest.raises(ExplainError, match="give the Python module with its state_dict"):
        explain_batch(traced, make_batch())


@pytest.mark.parametrize("head", ["pooled", "flat"])
def test_sixteen_bit_weights_give_the_same_maps_within_their_rounding(make_net, make_batch, head):
    net, images = make_net(3, head), make_batch()
    expected = explain_batch(net, images, methods=["gradcam", "hirescam"], layer="act")
    found = explain_batch(net.to(torch.bfloat16), images, methods=["gradcam", "hirescam"], layer="act")
    for method, values in found.values.items():
        assert values.dtype == torch.float32
        largest = expected.values[method].abs().max()
        assert (values - expected.values[method]).abs().max() < 0.03 * largest


def _resident_bytes() -> int:
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_a_thousand_calls_keep_less_than_a_mebibyte(make_net, make_batch):
    net, images = make_net(2), make_batch(2, count=1)
    for _ in range(200):
        explain_batch(net, images, methods=["gradcam", "hirescam"], layer="act")
    gc.collect()
    before = _resident_bytes()
    for _ in range(1000):
        explain_batch(net, images, methods=["gradcam", "hirescam"], layer="act")
    gc.collect()
    assert _resident_bytes() - before < 2**20


def test_memory_at_the_layer_does_not_grow_with_the_classes(make_batch, monkeypatch):
    held = []
    original = forward._gradients
    monkeypatch.setattr(forward, "STACKED_ELEMENTS", 4 * 2 * 8 * 16**3)

    def watched(leaves, columns, chunk):
        found = original(leaves, columns, chunk)
        held.append(max(one.numel() for one in found if one is not None))
        return found

    monkeypatch.setattr(forward, "_gradients", watched)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 14)
    )
    maps = explain_batch(net, make_batch(), layer="1")
    assert maps.values["gradcam"].shape[1] == 14
    assert max(held) <= forward.STACKED_ELEMENTS
    assert len(held) == 4


@pytest.mark.parametrize("head", ["pooled", "flat"])
def test_inside_autocast_the_maps_are_those_in_the_precision_of_the_weights(make_net, make_batch, head):
    net, images = make_net(3, head), make_batch()
    methods = ["gradcam", "hirescam", "gradcam++", "eigengradcam", "saliency"]
    expected = explain_batch(net, images, methods=methods, layer="act", prove=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = explain_batch(net, images, methods=methods, layer="act", prove=True)
        assert torch.is_autocast_enabled("cpu")
    for method, values in found.values.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, expected.values[method], rtol=0, atol=0)
    assert torch.equal(found.logits, expected.logits)
    assert found.verification.proofs == expected.verification.proofs


@pytest.mark.parametrize("head", ["pooled", "flat"])
def test_sixteen_bit_weights_are_proven_within_the_rounding_of_sixteen_bits(make_net, make_batch, head):
    net, images = make_net(3, head).to(torch.bfloat16), make_batch()
    maps = explain_batch(net, images, methods=["hirescam"], layer="act", prove=True)
    proofs = [proof for image in maps.verification.proofs for column in image for proof in column]
    assert all(proof.holds for proof in proofs if proof.kind == "completeness")
    assert not any(proof.holds is False for proof in proofs)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(nn.DataParallel(net), backend="eager")])
def test_every_method_and_proof_of_a_wrapped_model_is_that_of_the_model(make_net, make_batch, wrap):
    net, images = make_net(3, "flat"), make_batch()
    methods = ["hirescam", "eigengradcam", "ablationcam", "saliency"]
    expected = explain_batch(net, images, methods=methods, prove=True)
    found = explain_batch(wrap(net), images, methods=methods, prove=True)
    assert found.layer == expected.layer
    for method, values in found.values.items():
        torch.testing.assert_close(values, expected.values[method])
    assert found.verification.proofs == expected.verification.proofs
