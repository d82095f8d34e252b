"""Receptive fields measured on the model equal those of the arithmetic of convolutions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet121
from torch import nn

from audit_pipeline.errors import ExplainError, LayerError
from audit_pipeline.explain.receptive import receptive_fields

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
both = pytest.mark.parametrize("dimensions", [2, 3])


class Trunk(nn.Module):
    """Any trunk with a head that accepts one input size only."""

    def __init__(self, trunk, image):
        super().__init__()
        self.trunk = trunk
        self.fc = nn.Linear(trunk(image).flatten(1).shape[1], 2)

    def forward(self, images):
        return self.fc(self.trunk(images).flatten(1))


def measured(trunk, size, **settings):
    image = torch.zeros(1, 1, *size)
    return receptive_fields(Trunk(trunk.eval(), image).eval(), "trunk", image, **settings)


def arithmetic(layers):
    """Return stride, offset and size of (kernel, stride, padding, dilation), from the first layer to the last."""
    jump, offset, size = 1, 0.0, 1
    for kernel, stride, padding, dilation in layers:
        reach = dilation * (kernel - 1)
        offset += (reach / 2 - padding) * jump
        size += reach * jump
        jump *= stride
    return jump, offset, size


CHAINS = {
    "padded": [(3, 1, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1)],
    "unpadded": [(5, 2, 0, 1), (2, 2, 0, 1)],
    "dilated": [(3, 1, 2, 2), (3, 2, 3, 3)],
    "even kernels": [(4, 2, 1, 1), (2, 2, 1, 1)],
    "stride three": [(3, 3, 1, 1), (3, 1, 1, 1)],
}


def chain(dimensions, layers):
    torch.manual_seed(0)
    parts = []
    for place, (kernel, stride, padding, dilation) in enumerate(layers):
        parts += [CONV[dimensions](1 if place == 0 else 3, 3, kernel, stride, padding, dilation), nn.ReLU()]
    return nn.Sequential(*parts)


@both
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("odd", [0, 1])
def test_stride_offset_and_size_are_those_of_the_arithmetic(dimensions, name, odd):
    size = (28 + odd, 24 + odd, 32 - odd)[:dimensions]
    found = measured(chain(dimensions, CHAINS[name]), size, draws=1)
    stride, offset, width = arithmetic(CHAINS[name])
    assert found.stride == (stride,) * dimensions
    assert found.offset == (offset,) * dimensions
    assert found.theoretical == (width,) * dimensions
    assert found.source == ("structure",) * dimensions
    assert found.input_size == size


def test_axes_may_differ_in_kernel_stride_dilation_and_padding():
    trunk = nn.Conv3d(1, 2, (3, 5, 4), (1, 3, 2), (1, 0, 2), (2, 1, 1))
    found = measured(trunk, (20, 26, 31), draws=1)
    expected = [arithmetic([layer]) for layer in ((3, 1, 1, 2), (5, 3, 0, 1), (4, 2, 2, 1))]
    assert list(zip(found.stride, found.offset, found.theoretical, strict=True)) == expected


@both
def test_pooling_and_normalisation_count_whatever_the_weights(dimensions):
    torch.manual_seed(0)
    trunk = nn.Sequential(
        CONV[dimensions](1, 4, 3, 1, 1), NORM[dimensions](4), nn.ReLU(), MAX[dimensions](3, 2, 1),
        CONV[dimensions](4, 4, 3, 1, 1), nn.GELU(), MEAN[dimensions](2),
    )  # fmt: skip
    trunk[4].weight.data[:] = 0
    found = measured(trunk, (24, 20, 16)[:dimensions], draws=1)
    stride, offset, width = arithmetic([(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 2, 0, 1)])
    assert (found.stride[0], found.offset[0], found.theoretical[0]) == (stride, offset, width)


def test_a_field_larger_than_the_image_is_still_measured_whole():
    """DenseNet-121: 2071 pixels at stride 32; the three 2 x 2 average pools shift the centre by 2 + 4 + 8."""
    torch.manual_seed(0)
    net = DenseNet121(spatial_dims=2, in_channels=1, out_channels=3).eval()
    found = receptive_fields(net, "features", torch.zeros(1, 1, 96, 96), draws=1)
    assert found.grid == (3, 3)
    assert found.stride == (32, 32)
    assert found.offset == (14, 14)
    assert found.theoretical == (2071, 2071)
    assert max(found.effective) < 96


@both
def test_equal_weights_over_a_window_have_an_effective_field_of_that_window(dimensions):
    found = measured(MEAN[dimensions](5, 5), (25, 30, 20)[:dimensions])
    assert found.theoretical == (5,) * dimensions
    assert found.effective == pytest.approx((5,) * dimensions)


def test_the_effective_field_is_the_second_moment_of_the_energy():
    """Two means over 3 give weights 1 2 3 2 1, energies 1 4 9 4 1, a variance of 16 / 19."""
    found = measured(nn.Sequential(nn.AvgPool2d(3, 1), nn.AvgPool2d(3, 1)), (17, 17))
    assert found.theoretical == (5, 5)
    assert found.effective == pytest.approx([np.sqrt(12 * 16 / 19 + 1)] * 2)


def test_the_effective_field_of_random_weights_grows_with_the_root_of_depth():
    """Luo et al. 2016, section 2: each layer of kernel k adds (k^2 - 1) / 12 to the variance of the energy."""
    torch.manual_seed(1)
    deep = nn.Sequential(*[nn.Conv2d(1 if place == 0 else 16, 16, 3, 1, 1, bias=False) for place in range(9)])
    for layer in deep:
        nn.init.normal_(layer.weight, std=0.1)
    found = measured(deep, (41, 41), draws=8)
    assert found.theoretical == (19, 19)
    assert found.effective == pytest.approx([np.sqrt(9 * 8 + 1)] * 2, rel=0.1)


class Excited(nn.Module):
    """Every place is scaled by the mean over the image, as in squeeze-and-excitation: the field is everything."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, 2, 1)

    def forward(self, images):
        features = self.conv(images)
        return torch.relu(features) * torch.sigmoid(features.mean(dim=(2, 3), keepdim=True))


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_where_every_cell_sees_everything_the_centre_is_that_of_the_gradient(size):
    torch.manual_seed(0)
    found = measured(Excited(), size, draws=16)
    assert found.theoretical == (None, None)
    assert found.source == ("gradient", "gradient")
    assert found.stride == (2, 2)
    assert found.offset == pytest.approx((0, 0), abs=0.5)


class FixedSize(nn.Module):
    """Patches with a learned position each: no other input size is possible."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 6, 8, 8)
        self.position = nn.Parameter(torch.randn(1, 6, 4, 6))

    def forward(self, images):
        return self.patch(images) + self.position


def test_a_model_that_takes_one_size_only_is_measured_at_that_size():
    found = measured(FixedSize(), (32, 48), draws=2)
    assert (found.stride, found.offset, found.theoretical) == ((8, 8), (3.5, 3.5), (8, 8))


def test_sizes_in_millimetres_follow_the_spacing():
    found = measured(nn.Conv3d(1, 2, 3, (1, 2, 2), 1), (8, 8, 8), draws=1)
    assert found.in_mm((5.0, 0.5, None), "stride") == (5, 1, None)
    assert found.in_mm((5.0, 0.5, 0.5), "theoretical") == (15, 1.5, 1.5)


def test_the_index_map_is_offset_plus_stride_times_index():
    found = measured(nn.Conv2d(1, 2, 5, (2, 3), 0), (20, 20), draws=1)
    np.testing.assert_array_equal(found.to_input() @ [2, 3, 1], [2 + 2 * 2, 2 + 3 * 3, 1])


class CareLess(nn.Module):
    """Updates running statistics and draws from them even in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, 1, 1), nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        mean, variance = self.norm.running_mean, self.norm.running_var
        return self.dropout(nn.functional.batch_norm(self.conv(images), mean, variance, training=True))


def test_nothing_of_the_model_changes_even_when_it_learns_in_evaluation_mode():
    torch.manual_seed(0)
    net = Trunk(CareLess(), torch.zeros(1, 1, 12, 12)).train()
    net.trunk.dropout.eval()
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    state = torch.get_rng_state()
    receptive_fields(net, "trunk", torch.zeros(1, 1, 12, 12), draws=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in net.modules()] == modes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
    for name, values in net.state_dict().items():
        assert torch.equal(values, before[name]), name


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_gets_the_same_answer(context):
    torch.manual_seed(0)
    net = Trunk(nn.Conv2d(1, 2, 3, 2, 1), torch.zeros(1, 1, 16, 16)).eval()
    image = torch.zeros(1, 1, 16, 16)
    expected = receptive_fields(net, "trunk", image, seed=3)
    with context():
        assert receptive_fields(net, "trunk", image, seed=3) == expected


def test_weights_that_are_not_finite_are_refused():
    net = Trunk(nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8)).eval()
    net.trunk.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ExplainError, match="not finite"):
        receptive_fields(net, "trunk", torch.zeros(1, 1, 8, 8))


def test_a_layer_without_spatial_output_is_refused():
    net = Trunk(nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8)).eval()
    with pytest.raises(LayerError, match="no spatial output"):
        receptive_fields(net, "fc", torch.zeros(1, 1, 8, 8))


def test_a_cell_that_noise_does_not_move_has_no_effective_width():
    net = Trunk(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()), torch.zeros(1, 1, 8, 8)).eval()
    nn.init.constant_(net.trunk[0].bias, -100.0)
    found = receptive_fields(net, "trunk", torch.zeros(1, 1, 8, 8))
    assert found.effective == (None, None)
    assert found.in_mm((2.0, 2.0)) == (None, None)
    assert found.theoretical == (3, 3)
