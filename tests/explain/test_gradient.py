"""Gradient methods against closed forms on linear models and against captum, and what they leave behind: nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain import gradient
from audit_pipeline.explain.baselines import baseline_of
from audit_pipeline.explain.methods import EXPLAINERS

both = pytest.mark.parametrize("dimensions", [2, 3])
GUIDED = ("guided_backprop", "deconvolution", "guided_gradcam")
METHODS = ("saliency", "smoothgrad", "inputxgradient", "integrated_gradients", "gradient_shap", *GUIDED)
every = pytest.mark.parametrize("method", METHODS)


class Linear(nn.Module):
    """A model that is linear in the image; the convolution is the identity and only gives the engine a layer."""

    def __init__(self, dimensions: int, channels: int = 2, side: int = 6) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.same = convolution(channels, channels, 1, bias=False)
        self.same.weight.data = torch.eye(channels).reshape(channels, channels, *[1] * dimensions)
        self.fc = nn.Linear(channels * side**dimensions, 3)

    def forward(self, images):
        return self.fc(self.same(images).flatten(1))

    def weights(self, images):
        return self.fc.weight.detach().reshape(3, *images.shape[1:])


def linear(dimensions):
    torch.manual_seed(1)
    model = Linear(dimensions).eval()
    return model, torch.randn(2, 2, *[6] * dimensions, generator=torch.Generator().manual_seed(2))


def values_of(model, images, method, layer=None, targets=None, seed=0, **settings):
    maps = explain_batch(model, images, methods=[method], layer=layer, targets=targets, settings={method: settings},
                         seed=seed, batch=16)  # fmt: skip
    return maps.values[method]


@both
@pytest.mark.parametrize("method", ["saliency", "smoothgrad"])
def test_the_gradient_of_a_linear_model_is_its_weights_summed_over_channels(dimensions, method):
    model, images = linear(dimensions)
    expected = model.weights(images).sum(dim=1).expand(2, -1, *[6] * dimensions)
    torch.testing.assert_close(values_of(model, images, method), expected)


@both
def test_input_times_gradient_of_a_linear_model_sums_to_the_logit_minus_its_bias(dimensions):
    model, images = linear(dimensions)
    found = values_of(model, images, "inputxgradient")
    torch.testing.assert_close(found, torch.einsum("kc...,nc...->nk...", model.weights(images), images))
    torch.testing.assert_close(found.flatten(2).sum(2), model(images).detach() - model.fc.bias.detach())


@both
@pytest.mark.parametrize("baseline", ["lowest", "zero", "blurred"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_shap"])
def test_path_methods_on_a_linear_model_are_weights_times_the_distance_to_the_baseline(dimensions, baseline, method):
    model, images = linear(dimensions)
    found = values_of(model, images, method, baseline=baseline)
    distance = images - baseline_of(images, baseline)
    if method == "integrated_gradients":
        expected = torch.einsum("kc...,nc...->nk...", model.weights(images), distance)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    else:
        difference = (model(images) - model(images - distance)).detach()
        torch.testing.assert_close(found.flatten(2).sum(2), difference, rtol=1e-4, atol=1e-5)


@both
def test_integrated_gradients_are_complete_on_a_network_with_kinks(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat", side=8), make_batch(dimensions, side=8)
    found = values_of(net, images, "integrated_gradients", tolerance=0.005)
    both_logits = net(torch.cat([images, baseline_of(images, "lowest")])).detach()
    difference = both_logits[:2] - both_logits[2:]
    assert (found.flatten(2).sum(2) - difference).abs().max() <= 0.005 * both_logits.abs().max()


def test_integrated_gradients_that_cannot_be_complete_are_refused():
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Conv2d(1, 1, 1, bias=False)

        def forward(self, images):
            total = self.same(images).flatten(1).mean(1, keepdim=True)
            return torch.cat([(total > 0).float() + 0 * total, total], dim=1)

    model = Step().eval()
    model.same.weight.data[:] = 1
    images = torch.arange(16.0).reshape(1, 1, 4, 4) - 4
    with pytest.raises(ExplainError, match=r"integrated gradients of target 0 miss .* after 1024 steps"):
        values_of(model, images, "integrated_gradients", targets=[0])


@both
def test_saliency_and_input_times_gradient_equal_captum(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    for method, oracle, more in (
        ("saliency", attr.Saliency, {"abs": False}),
        ("inputxgradient", attr.InputXGradient, {}),
    ):
        found = values_of(net, images, method)
        for target in range(3):
            expected = oracle(net).attribute(images.clone().requires_grad_(), target=target, **more)
            torch.testing.assert_close(found[:, target], expected.detach().sum(1), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@both
@pytest.mark.parametrize("in_place", [False, True])
def test_guided_methods_equal_captum_where_every_relu_is_a_module_of_its_own(
    make_net, make_batch, dimensions, in_place
):
    net, images = make_net(dimensions, "flat", in_place=in_place), make_batch(dimensions)
    clean = make_net(dimensions, "flat")
    found = {method: values_of(net, images, method, layer="stage") for method in GUIDED}
    mode = {2: "bilinear", 3: "trilinear"}[dimensions]
    for target in range(3):
        given = images.clone().requires_grad_()
        expected = {
            "guided_backprop": attr.GuidedBackprop(clean).attribute(given, target=target),
            "deconvolution": attr.Deconvolution(clean).attribute(given, target=target),
            "guided_gradcam": attr.GuidedGradCam(clean, clean.stage).attribute(
                given, target=target, interpolate_mode=mode
            ),
        }
        for method, oracle in expected.items():
            torch.testing.assert_close(found[method][:, target], oracle.detach().sum(1), rtol=1e-4, atol=1e-8)


class Rectified(nn.Module):
    """The same network with its ReLUs written in another way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 64, 2)
        self.way, self.act = way, nn.ReLU()

    def rectify(self, values):
        if self.way == "statement":
            values.relu_()
            return values
        ways = {
            "module": self.act, "functional": functional.relu, "method": torch.Tensor.relu, "torch": torch.relu,
            "in place": lambda given: functional.relu(given, inplace=True),
        }  # fmt: skip
        return ways[self.way](values)

    def forward(self, images):
        return self.fc(self.rectify(self.two(self.rectify(self.one(images)))).flatten(1))


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
@pytest.mark.parametrize("way", ["functional", "method", "torch", "in place", "statement"])
def test_every_way_to_write_a_relu_gives_the_same_map(method, way):
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = values_of(Rectified("module").eval(), images, method)
    assert expected.abs().max() > 0
    torch.testing.assert_close(values_of(Rectified(way).eval(), images, method), expected, rtol=0, atol=0)


def test_guided_backprop_keeps_only_positive_gradients_through_active_units():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1, bias=False))
    net[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    net[3].weight.data = torch.tensor([[1.0, -2, 3, 4, 5, 6, -7, 8]])
    images = torch.tensor([[[[1.0, 1], [-1, 1]]]])
    guided, plain = values_of(net, images, "guided_backprop"), values_of(net, images, "saliency")
    deconvolution = values_of(net, images, "deconvolution")
    assert plain.flatten().tolist() == [1, -2, 7, 4]
    assert guided.flatten().tolist() == [1, 0, 0, 4]
    assert deconvolution.flatten().tolist() == [1 - 5, 0 - 6, 3 - 0, 4 - 8]


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
def test_a_network_without_relu_is_refused(method):
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(128, 2))
    with pytest.raises(ExplainError, match="rules for ReLU, and the forward pass ran none"):
        values_of(net, torch.randn(1, 1, 8, 8), method)


def test_methods_that_fail_sanity_checks_carry_their_caution():
    for method in GUIDED:
        assert "Adebayo" in EXPLAINERS[method].caution
    for method in METHODS:
        explainer = EXPLAINERS[method]
        assert explainer.kind == "input"
        assert explainer.sentence
        assert explainer.reference


@both
def test_gradient_shap_approaches_integrated_gradients(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat", side=8), make_batch(dimensions, side=8)
    exact = values_of(net, images, "integrated_gradients")
    error = {}
    for samples in (4, 256):
        found = values_of(net, images, "gradient_shap", samples=samples)
        error[samples] = float((found - exact).norm() / exact.norm())
    assert error[256] < 0.05
    assert error[256] < error[4]


@pytest.mark.parametrize("method", ["smoothgrad", "gradient_shap"])
def test_one_seed_gives_one_map_and_another_seed_another(make_net, make_batch, method):
    net, images = make_net(2, "flat"), make_batch(2)
    first, again = (values_of(net, images, method, seed=5) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, values_of(net, images, method, seed=6))


@every
def test_the_map_of_an_image_does_not_depend_on_its_batch(make_net, make_batch, method):
    net, images = make_net(2, "flat"), make_batch(2, count=4)
    together = values_of(net, images, method, layer="act")
    alone = values_of(net, images[2:3], method, layer="act")
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-6)


@every
def test_a_map_has_one_column_per_target_in_the_order_given(make_net, make_batch, method):
    net, images = make_net(3, "flat", side=8), make_batch(3, side=8)
    full = values_of(net, images, method, layer="act")
    assert full.shape == (2, 3, 8, 8, 8)
    assert not full.requires_grad
    torch.testing.assert_close(values_of(net, images, method, layer="act", targets=[2, 0]), full[:, [2, 0]])


def state_of(net):
    numpy_state = np.random.get_state()  # noqa: NPY002 - the state that must not change
    return (
        [(name, value.clone()) for name, value in net.state_dict().items()],
        [parameter.grad for parameter in net.parameters()],
        [parameter.requires_grad for parameter in net.parameters()],
        [(module.training, getattr(module, "inplace", None)) for module in net.modules()],
        [len(hooks) for module in net.modules() for hooks in
         (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)],
        torch.get_rng_state().tolist(),
        (numpy_state[1].tolist(), numpy_state[2]),
        torch.is_grad_enabled(),
    )  # fmt: skip


def assert_equal(before, after):
    for (name, value), (other, now) in zip(before[0], after[0], strict=True):
        assert name == other
        assert torch.equal(value, now)
    assert before[1:] == after[1:]


@every
@pytest.mark.parametrize("is_broken", [False, True])
def test_model_and_random_states_leave_as_they_came_also_after_an_error(make_net, make_batch, method, is_broken):
    net = make_net(2, "flat", in_place=True)
    net.stem.train()
    net.fc.weight.requires_grad_(False)
    calls = []

    def fail_late(*_):
        calls.append(1)
        if is_broken and len(calls) > 1:
            raise IndexError("in the head")

    net.fc.register_forward_hook(fail_late)
    before = state_of(net)
    if is_broken:
        with pytest.raises(IndexError, match="in the head"):
            values_of(net, make_batch(2), method, layer="stage")
    else:
        values_of(net, make_batch(2), method, layer="stage")
    assert_equal(before, state_of(net))


@pytest.mark.parametrize(
    ("method", "setting", "reason"),
    [
        ("integrated_gradients", {"baseline": "black"}, "baseline must be one of lowest, zero, blurred"),
        ("integrated_gradients", {"steps": 0}, "steps must be a whole number above zero"),
        ("smoothgrad", {"sigma": -0.1}, "sigma must be a number of at least zero"),
        ("gradient_shap", {"samples": True}, "samples must be a whole number above zero"),
        ("saliency", {"steps": 3}, "saliency has no setting steps"),
    ],
)
def test_impossible_settings_are_refused(make_net, make_batch, method, setting, reason):
    with pytest.raises(ExplainError, match=reason):
        values_of(make_net(2), make_batch(2), method, **setting)


def test_the_blurred_baseline_keeps_constants_and_the_lowest_is_that_of_each_channel():
    images = torch.stack([torch.full((5, 7), 3.0), torch.arange(35.0).reshape(5, 7)])[None]
    blurred = baseline_of(images, "blurred")
    torch.testing.assert_close(blurred[0, 0], images[0, 0])
    assert blurred[0, 1].std() < images[0, 1].std()
    torch.testing.assert_close(blurred[0, 1].flip(0, 1), 34 - blurred[0, 1])
    assert baseline_of(images, "lowest").amax((2, 3)).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("method", ["saliency", "inputxgradient"])
def test_images_and_targets_share_batches_and_give_what_each_gives_alone(make_net, make_batch, method, monkeypatch):
    net, images = make_net(2, "flat"), make_batch(2, count=3)
    sizes = []
    handle = net.fc.register_forward_hook(lambda _module, given, _output: sizes.append(len(given[0])))
    together = values_of(net, images, method, layer="act", targets=[2, 0])
    # the pass that all methods share has the three images, the other the six pairs of image and target
    assert sizes[-1] == 6
    monkeypatch.setattr(gradient, "PAIRED_ELEMENTS", 1)
    alone = values_of(net, images, method, layer="act", targets=[2, 0])
    assert sizes[-6:] == [1] * 6
    handle.remove()
    torch.testing.assert_close(together, alone)
