"""The engine against captum, closed forms and its promise to leave the model as it came."""

from __future__ import annotations

import copy

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from monai.networks.nets import DenseNet, resnet10
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ConfigError, ExplainError, LayerError
from audit_pipeline.explain.cam import fused

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks")

both = pytest.mark.parametrize("dimensions", [2, 3])
heads = pytest.mark.parametrize("head", ["pooled", "flat"])


@both
@heads
def test_gradcam_equals_captum(make_net, make_batch, dimensions, head):
    net, images = make_net(dimensions, head), make_batch(dimensions)
    maps = explain_batch(net, images, methods=["gradcam"], layer="act")
    oracle = LayerGradCam(net, net.act)
    for target in range(3):
        expected = oracle.attribute(images, target=target).detach()[:, 0]
        torch.testing.assert_close(maps.values["gradcam"][:, target], expected, rtol=1e-5, atol=1e-7)


@both
@heads
def test_hirescam_equals_captums_gradient_times_activation(make_net, make_batch, dimensions, head):
    net, images = make_net(dimensions, head), make_batch(dimensions)
    maps = explain_batch(net, images, methods=["hirescam"], layer="act")
    oracle = LayerGradientXActivation(net, net.act)
    for target in range(3):
        expected = oracle.attribute(images, target=target).detach().sum(dim=1)
        torch.testing.assert_close(maps.values["hirescam"][:, target], expected, rtol=1e-5, atol=1e-7)


@both
@heads
def test_the_sum_of_hirescam_is_the_logit_minus_its_bias(make_net, make_batch, dimensions, head):
    net, images = make_net(dimensions, head), make_batch(dimensions)
    maps = explain_batch(net, images, methods=["hirescam"], layer="act")
    torch.testing.assert_close(
        maps.values["hirescam"].flatten(2).sum(2), maps.logits - net.fc.bias.detach(), rtol=1e-5, atol=1e-6
    )


@both
def test_behind_average_pooling_gradcam_is_hirescam_in_closed_form(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions)
    maps = explain_batch(net, images, methods=["gradcam", "hirescam"], layer="act")
    with torch.no_grad():
        activations = net.act(net.stage(net.stem(images)))
    cells = activations[0, 0].numel()
    closed = torch.einsum("kc,nc...->nk...", net.fc.weight.detach() / cells, activations)
    torch.testing.assert_close(maps.values["gradcam"], closed, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(maps.values["hirescam"], closed, rtol=1e-5, atol=1e-7)
    assert maps.gradient_is_uniform.all()
    assert not explain_batch(make_net(dimensions, "flat"), images, layer="act").gradient_is_uniform.any()


def test_a_volume_of_one_slice_gives_the_2d_result():
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2))
    deep = nn.Sequential(nn.Conv3d(1, 4, (1, 3, 3), padding=(0, 1, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2))
    deep[0].weight.data = flat[0].weight.data[:, :, None]
    deep[0].bias.data = flat[0].bias.data
    deep[3].load_state_dict(flat[3].state_dict())
    image = torch.randn(1, 1, 8, 8)
    for method in ("gradcam", "hirescam"):
        two = explain_batch(flat, image, methods=[method], layer="1").values[method]
        three = explain_batch(deep, image[:, :, None], methods=[method], layer="1").values[method]
        torch.testing.assert_close(three[:, :, 0], two, rtol=1e-5, atol=1e-7)


@both
def test_both_ends_of_the_pooled_family_are_the_two_methods(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    ends = explain_batch(net, images, methods=["gradcam", "hirescam"], layer="act")
    fine = explain_batch(net, images, layer="act", pooling=1).values["gradcam"]
    torch.testing.assert_close(fine, ends.values["hirescam"], rtol=0, atol=0)
    whole = explain_batch(net, images, layer="act", pooling=4).values["gradcam"]
    torch.testing.assert_close(whole, ends.values["gradcam"], rtol=1e-5, atol=1e-6)
    between = explain_batch(net, images, layer="act", pooling=2).values["gradcam"]
    assert not torch.allclose(between, whole)


def test_images_of_a_batch_do_not_influence_each_other(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch(count=3)
    together = explain_batch(net, images, layer="act").values["gradcam"]
    alone = explain_batch(net, images[1:2], layer="act").values["gradcam"]
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-7)


def test_maps_scale_with_the_logit(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch()
    before = explain_batch(net, images, methods=["hirescam"], layer="act").values["hirescam"]
    net.fc.weight.data *= 7
    after = explain_batch(net, images, methods=["hirescam"], layer="act").values["hirescam"]
    torch.testing.assert_close(after, 7 * before, rtol=1e-4, atol=1e-6)


def test_an_in_place_operation_after_the_layer_does_not_reach_its_activation(make_net, make_batch):
    images = make_batch()
    safe = explain_batch(make_net(head="flat"), images, methods=["gradcam", "hirescam"], layer="stage")
    in_place = explain_batch(
        make_net(head="flat", in_place=True), images, methods=["gradcam", "hirescam"], layer="stage"
    )
    for method, values in safe.values.items():
        torch.testing.assert_close(in_place.values[method], values, rtol=0, atol=0)


def test_targets_choose_columns_in_the_order_given(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch()
    full = explain_batch(net, images, layer="act")
    some = explain_batch(net, images, layer="act", targets=[2, 0])
    assert some.targets == (2, 0)
    torch.testing.assert_close(some.values["gradcam"], full.values["gradcam"][:, [2, 0]])
    by_logit = explain_batch(net, images[:1], layer="act", targets=lambda logits: [int(logits[0].argmax())])
    assert by_logit.targets == (int(full.logits[0].argmax()),)


@pytest.mark.parametrize("targets", [[3], [-1], []])
def test_impossible_targets_are_refused(make_net, make_batch, targets):
    with pytest.raises(ExplainError, match="class indices from 0 to 2"):
        explain_batch(make_net(), make_batch(), targets=targets)


def state_of(net):
    return (
        {name: value.clone() for name, value in net.state_dict().items()},
        {name: parameter.grad for name, parameter in net.named_parameters()},
        {name: parameter.requires_grad for name, parameter in net.named_parameters()},
        {name: module.training for name, module in net.named_modules()},
        {name: (len(module._forward_hooks), len(module._backward_hooks)) for name, module in net.named_modules()},
        torch.get_rng_state(),
        torch.is_grad_enabled(),
    )


def assert_unchanged(before, net):
    after = state_of(net)
    for name, value in before[0].items():
        assert torch.equal(value, after[0][name])
    assert before[1:5] == after[1:5]
    assert torch.equal(before[5], after[5])
    assert before[6] == after[6]


def test_the_model_leaves_as_it_came_in_mixed_modes(make_net, make_batch):
    net = make_net()
    net.stage.train()
    net.stem[0].weight.requires_grad_(False)
    before = state_of(net)
    explain_batch(net, make_batch(), methods=["gradcam", "hirescam"])
    assert_unchanged(before, net)


def test_the_model_leaves_as_it_came_after_an_error_in_the_middle(make_net, make_batch):
    net = make_net()

    def explode(*_):
        raise IndexError("in the head")

    handle = net.fc.register_forward_hook(explode)
    before = state_of(net)
    with pytest.raises(IndexError, match="in the head"):
        explain_batch(net, make_batch(), layer="act")
    assert_unchanged(before, net)
    handle.remove()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_every_calling_context_gives_the_same_maps(make_net, make_batch, context):
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, layer="act").values["gradcam"]
    with context():
        found = explain_batch(net, images * 1.0, layer="act").values["gradcam"]
    torch.testing.assert_close(found, expected)


def test_frozen_weights_give_the_same_maps(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, layer="act").values["gradcam"]
    frozen = copy.deepcopy(net).requires_grad_(False)
    torch.testing.assert_close(explain_batch(frozen, images, layer="act").values["gradcam"], expected)


def test_nothing_before_the_layer_is_remembered_for_the_backward_pass(make_net, make_batch):
    net = make_net()
    seen = []
    handle = net.stem.register_forward_hook(lambda _module, _inputs, output: seen.append(output.requires_grad))
    explain_batch(net, make_batch(), layer="act")
    handle.remove()
    assert seen == [False]


def test_results_hold_no_graph(make_net, make_batch):
    maps = explain_batch(make_net(), make_batch())
    assert not maps.logits.requires_grad
    assert not maps.values["gradcam"].requires_grad


def test_the_automatic_layer_is_the_last_convolutional_stage(make_net, make_batch):
    assert explain_batch(make_net(), make_batch()).layer == "act"
    dense = DenseNet(spatial_dims=3, in_channels=1, out_channels=2, init_features=8, growth_rate=4, block_config=(2, 2))
    assert explain_batch(dense, torch.randn(1, 1, 32, 32, 32)).layer == "class_layers.relu"
    residual = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, widen_factor=0.25)
    assert explain_batch(residual, torch.randn(1, 1, 64, 64), layer="auto").layer == "layer4"


def test_a_wrong_layer_lists_the_candidates_with_their_grid(make_net, make_batch):
    with pytest.raises(
        LayerError, match=r"did you mean 'stage'.*stem \(6 channels, 8x8x8\).*stage \(8 channels, 4x4x4\)"
    ):
        explain_batch(make_net(), make_batch(), layer="stge")


def test_layers_without_a_usable_output_are_refused_with_the_reason(make_net, make_batch):
    with pytest.raises(LayerError, match="no spatial extent"):
        explain_batch(make_net(), make_batch(), layer="pool")
    with pytest.raises(LayerError, match="no spatial extent"):
        explain_batch(make_net(), make_batch(), layer="fc")


class Awkward(nn.Module):
    """A shared ReLU, a side branch that does not reach the logits, a module that never runs, a tuple output."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.side, self.idle, self.act = nn.Conv2d(4, 2, 1), nn.Conv2d(1, 1, 1), nn.ReLU()
        self.pair = Pair()
        self.fc = nn.Linear(4, 2)

    def forward(self, images):
        features = self.act(self.two(self.act(self.one(images))))
        self.side(features)
        self.pair(features)
        return self.fc(features.mean(dim=(2, 3)))


class Pair(nn.Module):
    def forward(self, features):
        return features, features


@pytest.mark.parametrize(
    ("layer", "reason"),
    [("act", "runs more than once"), ("side", "do not depend"), ("idle", "does not run"), ("pair", "returns tuple")],
)
def test_awkward_layers_are_refused_with_the_reason(layer, reason):
    with pytest.raises(LayerError, match=reason):
        explain_batch(Awkward(), torch.randn(1, 1, 8, 8), layer=layer)


def test_a_network_without_convolutions_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(LayerError, match="no layer with a convolution"):
        explain_batch(net, torch.randn(1, 1, 8, 8))


@pytest.mark.parametrize("images", [torch.randn(1, 16, 16), torch.zeros(1, 1, 8, 8, dtype=torch.int64)])
def test_images_of_the_wrong_kind_are_refused(make_net, images):
    with pytest.raises(ExplainError, match="floating-point batch"):
        explain_batch(make_net(2), images)


def test_unknown_methods_and_pooling_are_refused(make_net, make_batch):
    with pytest.raises(ConfigError, match="did you mean 'gradcam'"):
        explain_batch(make_net(), make_batch(), methods=["grad-cam"])
    with pytest.raises(ExplainError, match="single string"):
        explain_batch(make_net(), make_batch(), methods="gradcam")
    with pytest.raises(ExplainError, match="pooling must be"):
        explain_batch(make_net(), make_batch(), pooling=0)


def test_a_model_that_returns_no_logits_is_refused(make_batch):
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1))
    with pytest.raises(ExplainError, match=r"logits of shape \(2, K\)"):
        explain_batch(net, make_batch(), layer="0")


def test_upsampling_is_half_pixel_linear(make_net, make_batch):
    maps = explain_batch(make_net(), make_batch())
    upsampled = maps.upsample((16, 16, 16))["gradcam"]
    expected = nn.functional.interpolate(maps.values["gradcam"], (16, 16, 16), mode="trilinear", align_corners=False)
    torch.testing.assert_close(upsampled, expected)


def test_a_target_that_uses_nothing_has_a_zero_map_below_its_floor(make_net, make_batch):
    net = make_net()
    net.fc.weight.data[1] = 0
    maps = explain_batch(net, make_batch(), methods=["gradcam"], layer="act")
    assert (maps.values["gradcam"][:, 1].abs().flatten(1).amax(1) <= maps.signal_floor[:, 1]).all()
    assert (maps.values["gradcam"][:, 0].abs().flatten(1).amax(1) > maps.signal_floor[:, 0]).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_maps(make_net, make_batch):
    net, images = make_net(head="flat"), make_batch()
    expected = explain_batch(net, images, layer="act").values["gradcam"]
    found = explain_batch(net.cuda(), images, layer="act").values["gradcam"]
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)


def test_blocks_given_in_millimetres_are_those_of_as_many_cells(make_net, make_batch):
    net, images = make_net(3, "flat"), make_batch()
    in_cells = explain_batch(net, images, layer="act", pooling=(1, 2, 2)).values["gradcam"]
    # 16 pixels of 2, 1 and 1 mm in 4 cells: cells of 8, 4 and 4 mm
    in_mm = explain_batch(net, images, layer="act", pooling="8 mm", spacing_mm=(2.0, 1.0, 1.0)).values["gradcam"]
    torch.testing.assert_close(in_mm, in_cells)
    with pytest.raises(ExplainError, match="need the spacing"):
        explain_batch(net, images, layer="act", pooling="8 mm")


def test_layercam_of_several_layers_is_fused_on_the_finest_grid(make_net, make_batch):
    net, images = make_net(3, "flat"), make_batch()
    maps = explain_batch(net, images, methods=["layercam", "hirescam"], layer=["stem", "act"])
    assert maps.layer == "act"
    assert maps.values["layercam"].shape == (2, 3, 8, 8, 8)
    torch.testing.assert_close(
        maps.values["hirescam"], explain_batch(net, images, methods=["hirescam"], layer="act").values["hirescam"]
    )
    alone = [explain_batch(net, images, methods=["layercam"], layer=one).values["layercam"] for one in ("stem", "act")]
    torch.testing.assert_close(maps.values["layercam"], fused(alone, (8, 8, 8)))
