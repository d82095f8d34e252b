"""What must not change a map: a third axis of one slice, a mirror, the order of the axes, a shift by one stride."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from audit_pipeline import explain_batch
from audit_pipeline.explain.methods import EXPLAINERS
from tests.explain.conftest import Net

CAMS = [name for name, one in EXPLAINERS.items() if one.kind in {"cam", "layer"}]
INPUT = ["saliency", "inputxgradient", "integrated_gradients", "guided_backprop", "deconvolution", "guided_gradcam",
         "occlusion"]  # fmt: skip
METHODS = [*CAMS, *INPUT]
NOISELESS = {
    "smoothgradcam++": {"samples": 1, "sigma": 0.0},
    "occlusion": {"window": 4, "stride": 4},
    "integrated_gradients": {"steps": 64},
}
both = pytest.mark.parametrize("dimensions", [2, 3])
every = pytest.mark.parametrize("method", METHODS)


def map_of(net, images, method, settings=None):
    own = settings if settings is not None else NOISELESS.get(method, {})
    return explain_batch(net, images, methods=[method], layer="act", settings={method: own}).values[method]


def close(found, expected, share=1e-3):
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=share * scale)


def network(dimensions, head="pooled"):
    torch.manual_seed(7)
    net = Net(dimensions, head).eval()
    net.stage[1].running_mean.normal_(0, 0.1)
    net.stage[1].running_var.uniform_(0.5, 1.5)
    return net


def images_of(dimensions, side=16, count=2):
    return torch.randn(count, 1, *[side] * dimensions, generator=torch.Generator().manual_seed(3))


def flattened(volume_net):
    """The 2D network whose result a volume of one slice must have: the middle plane of every kernel."""
    plane = copy.deepcopy(volume_net)
    for holder, name in ((plane.stem, 0), (plane.stage, 0)):
        deep = holder[name]
        flat = nn.Conv2d(deep.in_channels, deep.out_channels, 3, 2, 1)
        flat.weight.data, flat.bias.data = deep.weight.data[:, :, 1].clone(), deep.bias.data.clone()
        holder[name] = flat
    norm = nn.BatchNorm2d(8)
    norm.load_state_dict(plane.stage[1].state_dict())
    plane.stage[1] = norm
    plane.pool = nn.AdaptiveAvgPool2d(1)
    return plane.eval()


@every
def test_a_volume_of_one_slice_gives_the_map_of_the_plane(method):
    volume = network(3)
    plane, images = flattened(volume), images_of(2)
    deep = NOISELESS.get(method, {})
    if method == "occlusion":
        deep = {"window": [1, 4, 4], "stride": [1, 4, 4]}
    found = map_of(volume, images.unsqueeze(2), method, deep)
    close(found.squeeze(2), map_of(plane, images, method))


def mirrored(net, axis):
    """The network that answers a mirrored image as the given one answers the image."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            module.weight.data = module.weight.data.flip(axis + 2)
    return twin


@both
@every
def test_a_mirrored_network_on_a_mirrored_image_gives_the_mirrored_map(dimensions, method):
    net = network(dimensions)
    images = images_of(dimensions, side=17)
    settings = {"occlusion": {"window": 1.0, "stride": 1.0}}.get(method)
    expected = map_of(net, images, method, settings)
    for axis in range(dimensions):
        found = map_of(mirrored(net, axis), images.flip(axis + 2), method, settings)
        close(found.flip(axis + 2), expected)


@both
@every
def test_permuted_axes_of_image_and_kernels_give_the_permuted_map(dimensions, method):
    net = network(dimensions)
    images = images_of(dimensions)[..., :12]
    expected = map_of(net, images, method)
    for order in itertools.permutations(range(dimensions)):
        axes = (0, 1, *(axis + 2 for axis in order))
        twin = copy.deepcopy(net)
        for module in twin.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.weight.data = module.weight.data.permute(axes).contiguous()
        close(map_of(twin, images.permute(axes).contiguous(), method), expected.permute(axes))


@both
@every
def test_an_image_moved_by_one_stride_moves_the_map_by_one_cell_or_as_many_voxels(dimensions, method):
    net = network(dimensions)
    net.fc.weight.data.abs_()  # some Grad-CAM is positive, which its guided product needs
    blob = torch.rand(1, 1, *[8] * dimensions, generator=torch.Generator().manual_seed(3))
    near, far = functional.pad(blob, [8, 16] * dimensions), functional.pad(blob, [12, 12] * dimensions)
    first, second = (map_of(net, images, method) for images in (near, far))
    step = near.shape[-1] // first.shape[-1]
    cells = {1: (8, 20), 4: (1, 6)}[step]
    moved = 4 // step
    inner = (..., *[slice(*cells)] * dimensions)
    shifted = (..., *[slice(cells[0] + moved, cells[1] + moved)] * dimensions)
    close(second[shifted], first[inner])


@both
def test_the_tail_behind_the_layer_passes_a_gradient_check_in_double_precision(dimensions):
    net = network(dimensions, "flat").double()
    images = images_of(dimensions, count=1).double()
    maps = explain_batch(net, images, methods=["hirescam"], layer="stage")
    leaf = net.stage(net.stem(images)).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda activations: net.fc(net.act(activations).flatten(1)), (leaf,))
    (gradient,) = torch.autograd.grad(net.fc(net.act(leaf).flatten(1))[:, 1].sum(), leaf)
    close(maps.values["hirescam"][:, 1], (gradient * leaf).sum(1).detach().float(), share=1e-6)
