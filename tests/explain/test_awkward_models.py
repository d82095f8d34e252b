"""What stands between a network and its map, each in 2D and 3D: the map is right, or it is refused with the reason."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError, LayerError
from tests.explain.conftest import CONV
from tests.explain.test_engine import assert_unchanged, state_of
from tests.explain.test_oracles import Skipping

both = pytest.mark.parametrize("dimensions", [2, 3])
METHODS = [
    "gradcam", "hirescam", "gradcam++", "xgradcam", "layercam", "elementwise", "eigencam", "eigengradcam",
    "smoothgradcam++", "scorecam", "ablationcam",
]  # fmt: skip
SETTINGS = {"smoothgradcam++": {"samples": 2}}


def maps_of(net, images, layer="act", methods=METHODS):
    settings = {name: one for name, one in SETTINGS.items() if name in methods}
    return explain_batch(net, images, methods=methods, layer=layer, settings=settings)


def assert_same(found, expected, share=1e-4):
    for method, values in expected.values.items():
        scale = float(values.abs().max())
        torch.testing.assert_close(found.values[method], values, rtol=0, atol=share * scale + 1e-12, msg=method)


@both
@pytest.mark.parametrize("head", ["pooled", "flat"])
@pytest.mark.parametrize("layer", ["stem", "stage"])
def test_an_in_place_activation_behind_the_layer_reaches_no_map(make_net, make_batch, dimensions, head, layer):
    images = make_batch(dimensions)
    expected = maps_of(make_net(dimensions, head), images, layer)
    assert_same(maps_of(make_net(dimensions, head, in_place=True), images, layer), expected)


class Shared(nn.Module):
    """One activation that runs behind both stages, and a layer that returns its features with something else."""

    def __init__(self, dimensions):
        super().__init__()
        torch.manual_seed(8)
        self.first, self.second = CONV[dimensions](1, 4, 3, 2, 1), CONV[dimensions](4, 6, 3, 2, 1)
        self.act, self.pair = nn.ReLU(), Pair()
        self.fc = nn.Linear(6, 3)

    def forward(self, images):
        features, _ = self.pair(self.act(self.second(self.act(self.first(images)))))
        return self.fc(features.flatten(2).mean(2))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, features):
        return self.inner(features), features.sum()


@both
@pytest.mark.parametrize(
    ("layer", "reason"), [("act", "runs more than once"), ("pair", "returns tuple, not one tensor")]
)
def test_a_shared_module_and_a_layer_that_returns_a_tuple_are_refused(make_batch, dimensions, layer, reason):
    with pytest.raises(LayerError, match=reason):
        maps_of(Shared(dimensions).eval(), make_batch(dimensions), layer)


@both
def test_beside_a_shared_module_and_a_tuple_the_map_is_the_closed_form(make_batch, dimensions):
    net, images = Shared(dimensions).eval(), make_batch(dimensions)
    with torch.no_grad():
        before = net.second(net.act(net.first(images)))
        closed = torch.einsum("kc,nc...->nk...", net.fc.weight, before.relu()) / before[0, 0].numel()
    for layer in ("second", "pair.inner"):
        found = maps_of(net, images, layer, ["hirescam"]).values["hirescam"]
        torch.testing.assert_close(found, closed, rtol=1e-4, atol=1e-7)
    assert maps_of(net, images, None, ["hirescam"]).layer == "pair.inner"


@both
@pytest.mark.parametrize("kind", ["tuple", "mapping"])
def test_a_network_that_returns_several_things_is_refused_with_what_to_do(make_net, make_batch, dimensions, kind):
    net = make_net(dimensions)
    net.register_forward_hook(lambda _net, _in, output: (output, 1) if kind == "tuple" else {"logits": output})
    with pytest.raises(ExplainError, match=r"must return logits .* name the one that holds the logits in model.output"):
        maps_of(net, make_batch(dimensions))


@both
@pytest.mark.parametrize("in_place", [False, True])
def test_a_skip_connection_around_the_layer_is_a_constant_and_the_gradient_is_that_of_the_layer(
    make_batch, dimensions, in_place
):
    torch.manual_seed(11)
    net, images = Skipping(dimensions, "flat", in_place=in_place).eval(), make_batch(dimensions, side=8)
    found = maps_of(net, images, "stage", ["hirescam", "gradcam"])
    with torch.no_grad():
        stem = net.stem(images)
    leaf = net.stage(stem.clone()).detach().requires_grad_()
    logits = net.fc((leaf + stem).relu().flatten(1))
    torch.testing.assert_close(found.logits, logits.detach(), rtol=1e-5, atol=1e-6)
    for target in range(3):
        (gradient,) = torch.autograd.grad(logits[:, target].sum(), leaf, retain_graph=True)
        weights = gradient.flatten(2).mean(2)
        hires, grad = (gradient * leaf).sum(1), torch.einsum("nc,nc...->n...", weights, leaf)
        torch.testing.assert_close(found.values["hirescam"][:, target], hires.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.values["gradcam"][:, target], grad.detach(), rtol=1e-4, atol=1e-6)


@both
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_frozen_weights_and_every_caller_get_the_same_maps(make_net, make_batch, dimensions, context, is_frozen):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    expected = maps_of(net, images)
    given = copy.deepcopy(net).requires_grad_(not is_frozen)
    with context():
        found = maps_of(given, images * 1.0)
    assert_same(found, expected, share=1e-6)
    assert [one.requires_grad for one in given.parameters()] == [not is_frozen] * len(list(given.parameters()))


@both
def test_a_model_in_training_mode_is_explained_as_it_predicts_and_goes_on_training(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    expected = maps_of(net, images)
    training = copy.deepcopy(net).train()
    training.stem.eval()
    before = state_of(training)
    assert_same(maps_of(training, images), expected, share=1e-6)
    assert_unchanged(before, training)
    assert (training.training, training.stem.training, training.stage[1].training) == (True, False, True)


@both
@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")], ids=["dp", "compiled"]
)
def test_replicated_and_compiled_models_give_the_maps_of_the_network_inside(make_net, make_batch, dimensions, wrap):
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    expected = maps_of(net, images)
    wrapped = wrap(copy.deepcopy(net))
    before = state_of(wrapped)
    assert_same(maps_of(wrapped, images), expected, share=1e-6)
    assert_unchanged(before, wrapped)


@both
def test_a_compiled_model_that_has_run_before_is_explained_too(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions)
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad():
        logits = compiled(images)
    found = maps_of(compiled, images, methods=["gradcam"])
    torch.testing.assert_close(found.logits, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.values["gradcam"], maps_of(net, images, methods=["gradcam"]).values["gradcam"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@both
def test_a_scripted_model_is_refused_with_what_to_give_instead(make_net, make_batch, dimensions):
    scripted = torch.jit.trace(make_net(dimensions), make_batch(dimensions))
    with pytest.raises(ExplainError, match="give the Python module with its state_dict"):
        maps_of(scripted, make_batch(dimensions))


@both
@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.08), (torch.float16, 0.01)])
def test_sixteen_bit_weights_give_float32_maps_within_their_rounding(make_net, make_batch, dimensions, dtype, bound):
    methods = ["gradcam", "hirescam", "gradcam++", "layercam", "elementwise", "eigencam", "ablationcam"]
    net, images = make_net(dimensions, "flat"), make_batch(dimensions)
    expected = maps_of(net, images, methods=methods).values
    found = maps_of(copy.deepcopy(net).to(dtype), images, methods=methods).values
    for method, values in found.items():
        assert values.dtype == torch.float32
        assert float((values - expected[method]).norm() / expected[method].norm()) < bound, method


@both
def test_hooks_that_the_caller_left_on_the_layer_are_kept_and_seen(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions)
    handle = net.act.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    before = state_of(net)
    doubled = maps_of(net, images, methods=["hirescam"])
    assert_unchanged(before, net)
    handle.remove()
    plain = maps_of(net, images, methods=["hirescam"])
    torch.testing.assert_close(doubled.values["hirescam"], 2 * plain.values["hirescam"], rtol=1e-5, atol=1e-7)
