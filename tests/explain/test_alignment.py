"""Where cells lie by default: at their receptive fields where they are small and that is known, else evenly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.explain.alignment import cell_centres
from audit_pipeline.explain.fingerprint import fingerprint


class Shifted(nn.Module):
    """Stride 2 with padding 1: cell i looks at pixels 2 i - 1 to 2 i + 1, so at 2 i, not at 2 i + 0.5."""

    def __init__(self, dimensions, *more):
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.trunk = nn.Sequential(convolution(1, 3, 3, stride=2, padding=1), *more)
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.trunk(images).flatten(2).mean(dim=2))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_small_cells_lie_where_they_look(dimensions):
    net, sides = Shifted(dimensions), (12, 14, 16)[:dimensions]
    grid = tuple(side // 2 for side in sides)
    expected = np.diag([2.0] * dimensions + [1.0])
    np.testing.assert_allclose(cell_centres(net, "trunk", grid, (1, *sides)), expected)


def test_large_cells_and_pixels_tile_evenly():
    net = Shifted(2, nn.AvgPool2d(4))
    assert cell_centres(net, "trunk", (4, 4), (1, 32, 32)) is None
    assert cell_centres(net, "trunk", (32, 32), (1, 32, 32)) is None


def test_where_every_cell_sees_the_whole_image_structure_says_nothing_and_cells_tile_evenly():
    net = Shifted(2, nn.InstanceNorm2d(3))
    assert cell_centres(net, "trunk", (16, 16), (1, 32, 32)) is None


def test_a_grid_that_is_not_that_of_the_layer_tiles_evenly():
    assert cell_centres(Shifted(2), "trunk", (15, 15), (1, 32, 32)) is None
    assert cell_centres(Shifted(2), "no such layer", (16, 16), (1, 32, 32)) is None
    assert cell_centres(Shifted(2), "trunk", (4, 16, 16), (1, 32, 32)) is None


def test_the_model_is_measured_once_and_stays_as_it_was():
    net = Shifted(2)
    before, passes = fingerprint(net), []
    net.trunk.register_forward_hook(lambda *_given: passes.append(1))
    first = cell_centres(net, "trunk", (16, 16), (1, 32, 32))
    measured = len(passes)
    np.testing.assert_array_equal(cell_centres(net, "trunk", (16, 16), (1, 32, 32)), first)
    assert len(passes) == measured > 0
    assert {name: torch.equal(one, net.state_dict()[name]) for name, one in net.state_dict().items()}
    assert before is not None
