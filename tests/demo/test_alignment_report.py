"""Cells placed two ways: the report measures every stage, and what it printed is what the default rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit_pipeline.card import read_card
from audit_pipeline.demo.alignment_report import HEAD, placements, report
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.methods_report import SEEDS, planted
from audit_pipeline.explain.alignment import SMALL_CELL_PIXELS, cell_centres
from audit_pipeline.explain.layers import choose_layer
from audit_pipeline.models.classifier import load_classifier


@pytest.fixture(scope="module")
def measured():
    card = read_card(WEIGHTS / "cxr_2d.yaml")
    network = load_classifier(card, device="cpu").network
    given = planted(range(SEEDS, SEEDS + 8), card)
    return network, given, placements(network, given, len(card.classes) - 1)


def test_one_layer_per_grid_is_placed_two_ways(measured):
    network, given, found = measured
    assert found[-1].layer == choose_layer(network, torch.from_numpy(np.array(given[0].values))[None])
    assert len({one.grid for one in found}) == len(found) == 4
    for one in found:
        assert one.reason == ""
        assert one.tiled.value is not None
        assert one.precision.value is not None
        assert 0 < one.apart < 0.5


def test_small_cells_of_the_radiograph_network_lie_at_their_receptive_fields(measured):
    network, given, found = measured
    (one,) = (one for one in found if one.cell_pixels == SMALL_CELL_PIXELS)
    assert one.precision.low > 0
    cells = cell_centres(network, one.layer, one.grid, given[0].values.shape)
    np.testing.assert_allclose(cells, [[4, 0, 0], [0, 4, 0], [0, 0, 1]])
    deeper = found[-1]
    assert cell_centres(network, deeper.layer, deeper.grid, given[0].values.shape) is None


def test_the_text_holds_layers_and_columns():
    text = report("cxr_2d", 3)
    for part in ("3 phantoms", "class_layers.relu", "16x16", *HEAD):
        assert part in text
