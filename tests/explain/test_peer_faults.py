"""Faults of the peer libraries, each as a regression test on this engine; docstrings name the peer at fault."""

from __future__ import annotations

import copy
import gc
import inspect

import pytest
import torch
from monai.networks.nets import DenseNet121
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import AuditError, ExplainError, LayerError
from audit_pipeline.explain.cam import upsample
from audit_pipeline.explain.methods import EXPLAINERS
from tests.explain.test_engine import assert_unchanged, state_of

GRADIENT_METHODS = [
    "gradcam",
    "hirescam",
    "gradcam++",
    "xgradcam",
    "layercam",
    "elementwise",
    "eigencam",
    "eigengradcam",
]
OWN_PASSES = ["smoothgradcam++", "scorecam", "ablationcam"]
every = pytest.mark.parametrize("method", [*GRADIENT_METHODS, *OWN_PASSES])
both = pytest.mark.parametrize("dimensions", [2, 3])


def test_fewer_targets_than_images_drop_no_image(make_net, make_batch):
    """pytorch-grad-cam pairs targets with images and leaves the rest blank."""
    net, images = make_net(head="flat"), make_batch(count=3)
    maps = explain_batch(net, images, methods=GRADIENT_METHODS, layer="act", targets=[1])
    for values in maps.values.values():
        assert values.shape[:2] == (3, 1)
        assert values.flatten(1).abs().amax(1).gt(0).all()


def test_images_of_different_predicted_classes_keep_their_own_maps(make_net, make_batch):
    """MONAI sums the logits of all predicted classes of the batch when no class is given."""
    net, images = make_net(head="flat"), make_batch(count=6)
    maps = explain_batch(net, images, methods=GRADIENT_METHODS, layer="act")
    predicted = maps.logits.argmax(1)
    assert len(predicted.unique()) > 1
    for place, target in enumerate(predicted.tolist()):
        alone = explain_batch(net, images[[place]], methods=GRADIENT_METHODS, layer="act", targets=[target])
        for method, values in alone.values.items():
            torch.testing.assert_close(maps.values[method][place, target], values[0, 0], rtol=1e-4, atol=1e-6)


@both
def test_gradcam_plus_plus_of_a_batch_as_large_as_the_last_axis_is_that_of_each_image(make_net, make_batch, dimensions):
    """MONAI broadcasts the scores of the batch over the columns of the map."""
    net, images = make_net(dimensions, "flat"), make_batch(dimensions, count=4)
    together = explain_batch(net, images, methods=["gradcam++"], layer="act").values["gradcam++"]
    assert together.shape[-1] == len(images)
    for place in range(4):
        alone = explain_batch(net, images[[place]], methods=["gradcam++"], layer="act").values["gradcam++"]
        torch.testing.assert_close(together[[place]], alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("logit", [95.0, 1e4])
def test_gradcam_plus_plus_of_a_large_logit_is_finite_and_unchanged(make_net, make_batch, logit):
    """MONAI and M3d-Cam multiply by exp(logit), which overflows above 88."""
    net, images = make_net(head="flat"), make_batch()
    before = explain_batch(net, images, methods=["gradcam++"], layer="act").values["gradcam++"]
    net.fc.bias.data += logit
    maps = explain_batch(net, images, methods=["gradcam++"], layer="act")
    assert maps.logits.min() > 90
    torch.testing.assert_close(maps.values["gradcam++"], before, rtol=1e-5, atol=1e-7)


@every
@both
def test_an_in_place_activation_after_the_layer_changes_no_map(make_net, make_batch, method, dimensions):
    """pytorch-grad-cam pairs the activation after the ReLU with the gradient before it; MONAI raises."""
    images = make_batch(dimensions)
    expected = explain_batch(make_net(dimensions, "flat"), images, methods=[method], layer="stage").values[method]
    net = make_net(dimensions, "flat", in_place=True)
    found = explain_batch(net, images, methods=[method], layer="stage").values[method]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def densenet(dimensions):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DenseNet121(
            spatial_dims=dimensions, in_channels=1, out_channels=2, init_features=16, growth_rate=8
        ).eval()


@both
def test_densenet_before_its_in_place_relu_has_its_own_activations(dimensions):
    """The layer `features` of the common chest X-ray network, where pytorch-grad-cam was off by 0.55 of the scale."""
    net = densenet(dimensions)
    images = torch.randn(2, 1, *[64] * dimensions, generator=torch.Generator().manual_seed(1))
    maps = explain_batch(net, images, methods=["gradcam", "hirescam"], layer="features", targets=[1])
    leaf = net.features(images).detach().requires_grad_()
    assert (leaf < 0).any()
    pooled = leaf.relu().flatten(2).mean(2)
    (gradient,) = torch.autograd.grad(net.class_layers.out(pooled)[:, 1].sum(), leaf)
    torch.testing.assert_close(maps.values["hirescam"][:, 0], (gradient * leaf).sum(1).detach(), rtol=1e-4, atol=1e-6)
    weights = gradient.flatten(2).mean(2)
    expected = torch.einsum("nc,nc...->n...", weights, leaf.detach())
    torch.testing.assert_close(maps.values["gradcam"][:, 0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_maps_of_the_cpu_before_an_in_place_relu():
    """pytorch-grad-cam gives another map on each, because only a copy to the CPU escapes the in-place ReLU."""
    net = densenet(3)
    images = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(1))
    methods = [*GRADIENT_METHODS, *OWN_PASSES]
    expected = explain_batch(net, images, methods=methods, layer="features", targets=[1]).values
    found = explain_batch(net.cuda(), images.cuda(), methods=methods, layer="features", targets=[1]).values
    for method in methods:
        scale = float(expected[method].abs().max())
        torch.testing.assert_close(found[method].cpu(), expected[method], rtol=0, atol=2e-2 * scale)


@every
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_frozen_weights_and_callers_without_gradients_get_the_same_map(make_net, make_batch, method, context):
    """Frozen weights, no_grad and inference_mode make most peers fail."""
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, methods=[method], layer="act").values[method]
    frozen = copy.deepcopy(net).requires_grad_(False)
    with context():
        found = explain_batch(frozen, images * 1.0, methods=[method], layer="act").values[method]
    torch.testing.assert_close(found.clone(), expected, rtol=1e-5, atol=1e-7)


@every
def test_the_model_in_mixed_modes_leaves_as_it_came(make_net, make_batch, method):
    """MONAI restores one flag for all children; pytorch-grad-cam and M3d-Cam leave gradients, hooks or modes behind."""
    net = make_net(head="flat")
    net.stage.train()
    net.stem[0].weight.requires_grad_(False)
    before = state_of(net)
    explain_batch(net, make_batch(), methods=[method], layer="act")
    assert_unchanged(before, net)


@pytest.mark.parametrize("method", OWN_PASSES)
@both
def test_an_exception_in_a_later_pass_is_raised_and_leaves_the_model_identical(
    make_net, make_batch, method, dimensions
):
    """pytorch-grad-cam's Ablation-CAM leaves its own layer inside the model, and its `with` swallows an IndexError."""
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    calls = []

    def explode(*_):
        calls.append(1)
        if len(calls) > 1:
            raise IndexError("in a later pass")

    handle = net.fc.register_forward_hook(explode)
    before = state_of(net)
    with pytest.raises(IndexError, match="in a later pass"):
        explain_batch(net, images, methods=[method], layer="act")
    assert_unchanged(before, net)
    handle.remove()


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_half_precision_stays_near_single(make_net, make_batch, method, dtype, bound):
    """pytorch-grad-cam and MONAI raise a TypeError for bfloat16; MONAI and captum sum in half precision."""
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, methods=[method], layer="act").values[method]
    half = copy.deepcopy(net).to(dtype)
    found = explain_batch(half, images.to(dtype), methods=[method], layer="act").values[method]
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max() / expected.abs().max()) < bound


class Unnormalised(nn.Module):
    """A volume network that runs on (C, D, H, W) without an error, because no layer asks for a batch axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = nn.Sequential(nn.Conv3d(channels, 4, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(4 * 6**3, 2)

    def forward(self, volume):
        return self.fc(self.act(volume).reshape(-1, 4 * 6**3))


@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (16, 16, 16)])
def test_a_volume_without_its_batch_axis_is_refused_and_not_read_as_slices(make_net, shape):
    """pytorch-grad-cam reads it as a batch of 2D images."""
    with pytest.raises((AuditError, RuntimeError, ValueError)):
        explain_batch(make_net(), torch.randn(shape), layer="act")


@pytest.mark.parametrize("channels", [1, 4])
def test_a_volume_without_its_batch_axis_is_refused_where_the_network_would_run(channels):
    with pytest.raises(ExplainError):
        explain_batch(Unnormalised(channels).eval(), torch.randn(channels, 6, 6, 6), layer="act")


def test_a_hot_cell_lands_where_it_must_and_the_background_stays_zero():
    """pytorch-grad-cam's cubic zoom rings, lifts the background to 0.127 and moves the peak by up to 3.5 voxels."""
    maps = torch.zeros(1, 1, 4, 6, 6)
    maps[0, 0, 1, 2, 4] = 1
    found = upsample(maps, (32, 96, 96))[0, 0]
    axes = [torch.arange(size, dtype=torch.float32) for size in found.shape]
    centre = [
        float((found.sum(dim=[other for other in range(3) if other != axis]) * axes[axis]).sum() / found.sum())
        for axis in range(3)
    ]
    assert centre == pytest.approx([11.5, 39.5, 71.5], abs=1e-3)
    assert found.min() == 0
    assert float((found > 0).float().mean()) < 0.01 * 8
    outside = found.clone()
    outside[4:20, 24:56, 56:88] = 0
    assert not outside.any()


def test_a_blank_map_is_below_its_floor_and_all_negative_evidence_is_not(make_net, make_batch):
    """Every peer shows both as the same zeros."""
    net, images = make_net(), make_batch()
    net.fc.weight.data[0] = 0
    net.fc.weight.data[1] = -net.fc.weight.data[1].abs()
    maps = explain_batch(net, images, methods=["hirescam"], layer="act")
    values = maps.values["hirescam"].flatten(2)
    assert (values[:, 0].abs().amax(1) <= maps.signal_floor[:, 0]).all()
    assert (values[:, 1].amax(1) <= 0).all()
    assert (values[:, 1].abs().amax(1) > maps.signal_floor[:, 1]).all()


def test_calls_hold_no_tensors_after_they_return(make_net, make_batch):
    """captum returns attached maps, and every map held keeps its graph."""
    net, images = make_net(head="flat"), make_batch()

    def alive():
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    explain_batch(net, images, methods=[*GRADIENT_METHODS, "ablationcam"], layer="act")
    before = alive()
    for _ in range(10):
        explain_batch(net, images, methods=[*GRADIENT_METHODS, "ablationcam"], layer="act")
    assert alive() == before


class Shared(nn.Module):
    """One module that runs twice, and one that returns a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.act, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 2)
        self.pair = Pair()

    def forward(self, images):
        features, _ = self.pair(self.act(self.act(self.one(images)) - 0.1))
        return self.fc(features.mean(dim=(2, 3)))


class Pair(nn.Module):
    def forward(self, features):
        return features, features.sum()


@pytest.mark.parametrize(("layer", "reason"), [("act", "runs more than once"), ("pair", "returns tuple")])
@every
def test_a_module_that_runs_twice_or_returns_a_pair_is_refused(layer, reason, method):
    """MONAI and M3d-Cam pair the last activation with the first gradient."""
    with pytest.raises(LayerError, match=reason):
        explain_batch(Shared(), torch.randn(1, 1, 8, 8), methods=[method], layer=layer)


@every
def test_a_second_call_on_the_same_tensor_gives_the_same_map(make_net, make_batch, method):
    """MONAI adds up the gradients of all calls on a tensor."""
    net, images = make_net(head="flat"), make_batch().requires_grad_()
    first = explain_batch(net, images, methods=[method], layer="act").values[method].clone()
    second = explain_batch(net, images, methods=[method], layer="act").values[method]
    assert torch.equal(first, second)
    assert images.grad is None


def test_cam_on_a_flat_head_is_refused_in_words(make_net, make_batch):
    """torch-cam ends in a size mismatch."""
    with pytest.raises(ExplainError, match="use hirescam"):
        explain_batch(make_net(head="flat"), make_batch(), methods=["cam"], layer="act")


def test_the_map_keeps_its_sign_and_its_scale(make_net, make_batch):
    """pytorch-grad-cam clips and stretches HiResCAM, which takes its meaning away."""
    net, images = make_net(head="flat"), make_batch()
    maps = explain_batch(net, images, methods=["hirescam"], layer="act")
    assert (maps.values["hirescam"] < 0).any()
    evidence = maps.values["hirescam"].flatten(2).sum(2) + net.fc.bias.detach()
    torch.testing.assert_close(evidence, maps.logits, rtol=1e-5, atol=1e-6)


def test_no_method_stands_in_for_another(make_net, make_batch):
    """torchxai-explain falls back to another method without saying so."""
    net, images = make_net(head="flat"), make_batch()
    maps = explain_batch(net, images, methods=[*GRADIENT_METHODS, *OWN_PASSES], layer="stage.0", targets=[0]).values
    names = list(maps)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            assert not torch.allclose(maps[name], maps[other], rtol=1e-3, atol=1e-6), (name, other)


def test_every_cam_function_is_free_of_global_state():
    for name in GRADIENT_METHODS:
        parameters = inspect.signature(EXPLAINERS[name].function).parameters
        assert list(parameters)[:2] == ["activations", "gradients"]
