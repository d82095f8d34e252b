"""The oracle matrix against the released peers, and the self-checks that need no peer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from audit_pipeline import explain_batch
from audit_pipeline.explain.cam import upsample
from tests.explain import formulas, peers

both = pytest.mark.parametrize("dimensions", [2, 3])
heads = pytest.mark.parametrize("head", ["pooled", "flat"])
TARGETS = (0, 1, 2)

# our method -> peer, whether the peer rectifies, tolerance relative to the largest value of the map
ORACLES = {
    "gradcam-captum": ("gradcam", lambda: peers.captum("LayerGradCam"), False, 1e-6),
    "gradcam-pytorch-grad-cam": ("gradcam", lambda: peers.grad_cam("GradCAM"), False, 1e-6),
    "gradcam-torchcam": ("gradcam", lambda: peers.torchcam("GradCAM"), True, 1e-6),
    "hirescam-captum": ("hirescam", lambda: peers.captum("LayerGradientXActivation"), False, 2e-7),
    "hirescam-pytorch-grad-cam": ("hirescam", lambda: peers.grad_cam("HiResCAM"), False, 2e-7),
    "layercam-torchcam": ("layercam", lambda: peers.torchcam("LayerCAM"), True, 2e-7),
    "layercam-pytorch-grad-cam": ("layercam", lambda: peers.grad_cam("LayerCAM"), False, 2e-7),
    "xgradcam-torchcam": ("xgradcam", lambda: peers.torchcam("XGradCAM"), True, 1e-6),
    "xgradcam-pytorch-grad-cam": ("xgradcam", lambda: peers.grad_cam("XGradCAM"), False, 1e-6),
    "elementwise-pytorch-grad-cam": ("elementwise", lambda: peers.grad_cam("GradCAMElementWise"), False, 2e-7),
}


def require_close(found, expected, tolerance, signed=None):
    """Assert a difference below `tolerance` of the largest value, of the signed map where a ReLU may blank it."""
    largest = float((expected if signed is None else signed).abs().max())
    assert largest > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * largest)


@both
@heads
@pytest.mark.parametrize("case", ORACLES)
def test_the_map_equals_the_peers(make_net, make_batch, dimensions, head, case):
    method, peer, rectifies, tolerance = ORACLES[case]
    net, images = make_net(dimensions, head), make_batch(dimensions)
    attribute = peer()
    found = explain_batch(net, images, methods=[method], layer="act").values[method]
    for target in TARGETS:
        ours = found[:, target].relu() if rectifies else found[:, target]
        require_close(ours, attribute(net, net.act, images, target), tolerance, signed=found[:, target])


@both
@heads
def test_upsampled_gradcam_equals_monai_with_an_identity_normaliser(make_net, make_batch, dimensions, head):
    visualize = peers.need("monai.visualize")
    net, images = make_net(dimensions, head), make_batch(dimensions, count=1)
    maps = explain_batch(net, images, layer="act").values["gradcam"]
    oracle = visualize.GradCAM(net, "act", postprocessing=lambda values: values)
    for target in TARGETS:
        expected = oracle(images, class_idx=target).detach()[:, 0]
        found = upsample(maps.relu(), tuple(images.shape[2:]))[:, target]
        require_close(found, expected, 1e-6, signed=maps[:, target])


@both
@heads
def test_stretched_gradcam_equals_m3d_cam(make_net, make_batch, dimensions, head):
    attribute = peers.medcam("gcam")
    net, images = make_net(dimensions, head), make_batch(dimensions)
    found = explain_batch(net, images, layer="act").values["gradcam"].relu()
    for target in TARGETS:
        flat = found[:, target].flatten(1)
        lowest, highest = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        stretched = ((flat - lowest) / (highest - lowest).clamp(min=1e-30)).reshape(found[:, target].shape)
        torch.testing.assert_close(stretched, attribute(net, net.act, images, target), rtol=0, atol=1e-6)
    assert found.any()


@both
@heads
def test_gradcam_plus_plus_equals_pytorch_grad_cam_where_its_epsilon_does_not_count(
    make_net, make_batch, dimensions, head
):
    net, images = make_net(dimensions, head), make_batch(dimensions)
    net.fc.weight.data *= 1e4
    attribute = peers.grad_cam("GradCAMPlusPlus")
    found = explain_batch(net, images, methods=["gradcam++"], layer="act").values["gradcam++"]
    for target in TARGETS:
        require_close(found[:, target], attribute(net, net.act, images, target), 1e-5)


@both
def test_cam_equals_torchcam_and_the_closed_form(make_net, make_batch, dimensions):
    net, images = make_net(dimensions), make_batch(dimensions)
    found = explain_batch(net, images, methods=["cam"], layer="act").values["cam"]
    with torch.no_grad():
        activations = net.act(net.stage(net.stem(images)))
    require_close(found, torch.einsum("kc,nc...->nk...", net.fc.weight.detach(), activations), 1e-6)
    attribute = peers.torchcam("CAM", fc_layer="fc")
    for target in TARGETS:
        require_close(found[:, target], attribute(net, net.act, images, target), 1e-6)


@both
@heads
@pytest.mark.parametrize(("method", "name"), [("eigencam", "EigenCAM"), ("eigengradcam", "EigenGradCAM")])
def test_eigen_methods_equal_pytorch_grad_cam_up_to_its_sign(make_net, make_batch, dimensions, head, method, name):
    attribute = peers.grad_cam(name)
    net, images = make_net(dimensions, head), make_batch(dimensions)
    found = explain_batch(net, images, methods=[method], layer="act", targets=[1]).values[method][:, 0]
    for ours, theirs in zip(found, attribute(net, net.act, images, 1), strict=True):
        correlation = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
        assert abs(correlation) > 0.999
        require_close(ours.abs(), theirs.abs(), 1e-4)


class Thirds(nn.Module):
    """One stride of 3: cell centres fall on voxels, where stretching before and after upsampling are the same."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.act = nn.Sequential(convolution(1, 5, 3, 3), nn.ReLU())
        self.fc = nn.Linear(5 * 4**dimensions, 3)

    def forward(self, images):
        return self.fc(self.act(images).flatten(1))


@both
def test_scorecam_equals_torchcam_where_the_order_of_stretch_and_upsampling_does_not_matter(dimensions):
    attribute = peers.torchcam("ScoreCAM")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = Thirds(dimensions).eval()
    images = torch.randn(2, 1, *[12] * dimensions, generator=torch.Generator().manual_seed(3))
    found = explain_batch(net, images, methods=["scorecam"], layer="act").values["scorecam"]
    for target in TARGETS:
        require_close(found[:, target], attribute(net, net.act, images, target), 1e-5)


def test_ablationcam_equals_pytorch_grad_cam_times_the_logit(make_net, make_batch):
    attribute = peers.grad_cam("AblationCAM")
    net, images = make_net(2, "flat"), make_batch(2)
    maps = explain_batch(net, images, methods=["ablationcam"], layer="act", targets=[1])
    theirs = attribute(net, net.act, images, 1) * maps.logits[:, 1].reshape(-1, 1, 1)
    require_close(maps.values["ablationcam"][:, 0], theirs, 1e-5)


def test_the_table_of_formulas_is_up_to_date():
    for name in ("captum.attr", "monai.visualize", "medcam.medcam", "torchcam.methods", "pytorch_grad_cam"):
        peers.need(name)
    assert formulas.FILE.read_text() == formulas.table()


class Skipping(nn.Module):
    """A skip connection around the last stage, in place where asked for, and either head."""

    def __init__(self, dimensions: int, head: str, *, in_place: bool) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.stem = nn.Sequential(convolution(1, 6, 3, 2, 1), nn.ReLU(inplace=in_place))
        self.stage = nn.Sequential(convolution(6, 6, 3, 1, 1), nn.ReLU(inplace=in_place))
        self.join = nn.Identity()
        self.act = nn.ReLU(inplace=in_place)
        self.head = head
        self.fc = nn.Linear(6 if head == "pooled" else 6 * 4**dimensions, 3)

    def forward(self, images):
        features = self.stem(images)
        joined = self.act(self.join(self.stage(features) + features))
        return self.fc(joined.flatten(2).mean(2) if self.head == "pooled" else joined.flatten(1))


@pytest.fixture
def make_skipping():
    def make(dimensions, head, in_place):
        with torch.random.fork_rng():
            torch.manual_seed(11)
            return Skipping(dimensions, head, in_place=in_place).eval()

    return make


in_place = pytest.mark.parametrize("in_place", [False, True])


@both
@heads
@in_place
def test_completeness_holds_with_skips_and_in_place_activations(make_skipping, make_batch, dimensions, head, in_place):
    net, images = make_skipping(dimensions, head, in_place), make_batch(dimensions, side=8)
    for layer in ("act", "join"):
        maps = explain_batch(net, images, methods=["hirescam"], layer=layer)
        evidence = maps.values["hirescam"].flatten(2).sum(2)
        torch.testing.assert_close(evidence, maps.logits - net.fc.bias.detach(), rtol=1e-5, atol=1e-6)


@both
@in_place
def test_behind_average_pooling_the_three_maps_are_the_closed_form(make_skipping, make_batch, dimensions, in_place):
    net, images = make_skipping(dimensions, "pooled", in_place), make_batch(dimensions, side=8)
    maps = explain_batch(net, images, methods=["gradcam", "hirescam", "cam"], layer="act").values
    with torch.no_grad():
        features = net.stem(images)
        activations = (net.stage(features.clone()) + features).relu()
    cells = activations[0, 0].numel()
    closed = torch.einsum("kc,nc...->nk...", net.fc.weight.detach() / cells, activations)
    for values in (maps["gradcam"], maps["hirescam"], maps["cam"] / cells):
        torch.testing.assert_close(values, closed, rtol=1e-5, atol=1e-7)


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


@both
@heads
@in_place
def test_no_image_depends_on_its_batch(make_skipping, make_batch, dimensions, head, in_place):
    net, images = make_skipping(dimensions, head, in_place), make_batch(dimensions, count=3, side=8)
    together = explain_batch(net, images, methods=GRADIENT_METHODS, layer="join").values
    alone = explain_batch(net, images[1:2], methods=GRADIENT_METHODS, layer="join").values
    for method in GRADIENT_METHODS:
        torch.testing.assert_close(together[method][1:2], alone[method], rtol=1e-4, atol=1e-6)


@both
@in_place
def test_maps_scale_with_the_logit(make_skipping, make_batch, dimensions, in_place):
    methods = ["gradcam", "hirescam", "xgradcam", "layercam", "elementwise", "eigengradcam", "ablationcam"]
    net, images = make_skipping(dimensions, "flat", in_place), make_batch(dimensions, side=8)
    before = explain_batch(net, images, methods=methods, layer="join").values
    net.fc.weight.data *= 7
    net.fc.bias.data *= 7
    after = explain_batch(net, images, methods=methods, layer="join").values
    for method in methods:
        require_close(after[method], 7 * before[method], 1e-5)


@both
@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "cam", "smoothgradcam++", "scorecam", "ablationcam"])
def test_an_image_moved_by_one_stride_moves_the_map_by_one_cell(make_net, dimensions, method):
    net = make_net(dimensions)
    blob = torch.rand(1, 1, *[8] * dimensions, generator=torch.Generator().manual_seed(3))
    near = functional.pad(blob, [8, 16] * dimensions)
    far = functional.pad(blob, [12, 12] * dimensions)
    settings = {"smoothgradcam++": {"sigma": 0.0, "samples": 1}}
    first = explain_batch(net, near, methods=[method], layer="act", settings=settings).values[method]
    second = explain_batch(net, far, methods=[method], layer="act", settings=settings).values[method]
    inner, moved = (..., *[slice(1, 6)] * dimensions), (..., *[slice(2, 7)] * dimensions)
    require_close(second[moved], first[inner], 1e-4)


@both
@in_place
def test_permuting_channels_changes_no_map(make_skipping, make_batch, dimensions, in_place):
    methods = [*GRADIENT_METHODS, "smoothgradcam++", "scorecam", "ablationcam"]
    net, images = make_skipping(dimensions, "pooled", in_place), make_batch(dimensions, side=8)
    before = explain_batch(net, images, methods=methods, layer="act").values
    order = torch.tensor([3, 0, 5, 4, 1, 2])
    for convolution in (net.stem[0], net.stage[0]):
        convolution.weight.data, convolution.bias.data = convolution.weight.data[order], convolution.bias.data[order]
    net.stage[0].weight.data = net.stage[0].weight.data[:, order]
    net.fc.weight.data = net.fc.weight.data[:, order]
    after = explain_batch(net, images, methods=methods, layer="act").values
    for method in methods:
        require_close(after[method], before[method], 1e-4)
