"""Sliding windows: no seam, one normalisation, one slab of memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.explain.windows import Windows, stitch, stitched_slabs, window_starts
from audit_pipeline.geometry import transform_points

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
both = pytest.mark.parametrize("dimensions", [2, 3])
importances = pytest.mark.parametrize("importance", ["constant", "gaussian"])


class FullyConvolutional(nn.Module):
    """Stride 4, padded, a sum or a mean over all places: any input size is a valid one."""

    def __init__(self, dimensions, head):
        super().__init__()
        conv = CONV[dimensions]
        self.features = nn.Sequential(
            conv(1, 4, 3, 2, 1), nn.ReLU(), conv(4, 6, 3, 2, 1), nn.ReLU(), conv(6, 6, 3, 1, 1), nn.ReLU()
        )
        self.classes, self.head = conv(6, 3, 1), head

    def forward(self, images):
        places = self.classes(self.features(images)).flatten(2)
        return places.sum(2) if self.head == "sum" else places.mean(2)


@pytest.fixture(scope="module", params=["sum", "mean"])
def head(request):
    return request.param


def net_of(dimensions, head="sum"):
    torch.manual_seed(5)
    return FullyConvolutional(dimensions, head).eval()


def explained(net):
    def explain(images):
        maps = explain_batch(net, images, methods=["hirescam"], layer="features")
        return maps.logits, maps.values["hirescam"]

    return explain


def volume_of(*size):
    return torch.randn(1, *size, generator=torch.Generator().manual_seed(1))


SIZES = {2: ((72, 56), (32, 24)), 3: ((48, 40, 32), (32, 24, 24))}


@both
@importances
def test_with_margins_of_the_receptive_field_the_seams_vanish_everywhere(dimensions, importance, head):
    net, (size, window) = net_of(dimensions, head), SIZES[dimensions]
    field = receptive_fields(net, "features", torch.zeros(1, 1, *window), draws=1)
    margin = tuple(
        int(np.ceil(pixels / 2 / stride)) for pixels, stride in zip(field.theoretical, field.stride, strict=True)
    )
    volume = volume_of(*size)
    whole = explained(net)(volume[None])[1][0].numpy()
    windows = Windows(size=window, overlap=0.75, importance=importance, margin=margin, batch=3)
    found = stitch(explained(net), volume, windows).values
    factor = np.prod(window) / np.prod(size) if head == "mean" else 1.0
    np.testing.assert_allclose(found * factor, whole, rtol=0, atol=1e-4 * np.abs(whole).max())


@both
def test_without_margins_only_cells_that_a_window_border_reaches_differ(dimensions):
    net, size, window = net_of(dimensions), (64, 48, 48)[:dimensions], (32, 24, 24)[:dimensions]
    volume = volume_of(*size)
    whole = explained(net)(volume[None])[1][0].numpy()
    found = stitch(explained(net), volume, Windows(size=window, overlap=0.0, importance="constant")).values
    reached = np.zeros(whole.shape[1:], bool)
    for axis, (length, side) in enumerate(zip(size, window, strict=True)):
        for start in window_starts(length, side, 0.0, 4):
            for border in {start, start + side} - {0, length}:
                cell = border // 4
                lines = [slice(None)] * dimensions
                lines[axis] = slice(cell - 2, cell + 2)
                reached[tuple(lines)] = True
    assert 0 < reached.mean() < 1
    np.testing.assert_allclose(found[:, ~reached], whole[:, ~reached], rtol=0, atol=1e-4 * np.abs(whole).max())
    assert np.abs(found - whole)[:, reached].max() > 1e-3 * np.abs(whole).max()


def test_the_gaussian_weakens_the_seams_that_constant_weights_leave():
    net, volume = net_of(3), volume_of(48, 48, 48)
    whole = explained(net)(volume[None])[1][0].numpy()
    errors = {}
    for importance in ("constant", "gaussian"):
        found = stitch(explained(net), volume, Windows(size=(24,) * 3, importance=importance)).values
        errors[importance] = np.square(found - whole)
    assert errors["gaussian"].mean() < 0.5 * errors["constant"].mean()


@both
def test_a_window_without_evidence_stays_dark_beside_a_bright_one(dimensions):
    side = 16

    def explain(images):
        bright = images.flatten(1).amax(1)
        cells = torch.ones(len(images), 1, *[4] * dimensions)
        return bright[:, None], bright.reshape(-1, 1, *[1] * dimensions) * cells

    volume = torch.full((1, 2 * side, *[side] * (dimensions - 1)), 1e-6)
    volume[:, side:] = 5.0
    values = stitch(explain, volume, Windows(size=(side,) * dimensions, overlap=0.0)).values[0]
    assert values[:4] == pytest.approx(1e-6)
    assert values[4:] == pytest.approx(5.0)


@importances
def test_signs_survive_and_equal_maps_average_to_themselves(importance):
    def explain(images):
        return torch.zeros(len(images), 1), torch.full((len(images), 1, 4, 4), -2.5)

    values = stitch(explain, torch.zeros(1, 40, 28), Windows(size=(16, 16), overlap=0.6, importance=importance)).values
    np.testing.assert_allclose(values, -2.5, rtol=1e-6)


@importances
def test_cells_that_do_not_line_up_are_stitched_on_voxels_and_keep_a_ramp_a_ramp(importance):
    """The window's cell is 16 / 5 voxels wide; a map linear in the volume must come back linear."""

    def explain(images):
        ramp = images[:, :1, :, :1].expand(-1, -1, -1, 16)
        return torch.zeros(len(images), 1), nn.functional.interpolate(ramp, size=(5, 5), mode="area")

    volume = torch.arange(41.0).reshape(1, 41, 1).expand(1, 41, 23)
    found = stitch(explain, volume, Windows(size=(16, 16), overlap=0.5, importance=importance, margin=1))
    assert found.values.shape == (1, 41, 23)
    inside = slice(2, -2)
    np.testing.assert_allclose(found.values[0, inside], volume[0, inside].numpy(), atol=0.35)
    np.testing.assert_array_equal(found.to_volume, np.eye(3))


@both
def test_slabs_are_the_rows_of_the_whole_map(dimensions):
    net, (size, window) = net_of(dimensions), SIZES[dimensions]
    volume, windows = volume_of(*size), Windows(size=window, overlap=0.5)
    slabs = list(stitched_slabs(explained(net), volume, windows))
    assert [slab.start for slab in slabs] == sorted(slab.start for slab in slabs)
    assert all(slab.values.shape[1] <= window[0] // 4 for slab in slabs)
    whole = stitch(explained(net), volume, windows).values
    np.testing.assert_array_equal(np.concatenate([slab.values for slab in slabs], axis=1), whole)


def test_memory_holds_one_slab_however_long_the_volume():
    def explain(images):
        return torch.zeros(len(images), 1), torch.ones(len(images), 4, 32, 32)

    peaks = []
    for length in (256, 2048):
        volume = torch.zeros(1, length, 32)
        tracemalloc.start()
        for slab in stitched_slabs(explain, volume, Windows(size=(32, 32))):
            assert slab.values.min() == 1.0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


@pytest.mark.parametrize(("rule", "combine"), [("mean", np.mean), ("max", np.max)])
def test_the_logit_of_the_volume_follows_the_stated_rule(rule, combine):
    net, volume = net_of(2), volume_of(72, 56)
    found = stitch(explained(net), volume, Windows(size=(32, 24), rule=rule, batch=2))
    cuts = [volume[:, a : a + 32, b : b + 24] for a, b in found.starts]
    logits = net(torch.stack(cuts)).detach().numpy()
    np.testing.assert_allclose(found.window_logits, logits, atol=1e-5)
    np.testing.assert_allclose(found.logits, combine(logits, axis=0), atol=1e-5)
    assert found.rule == rule


def test_a_volume_of_one_window_gives_the_map_of_that_window():
    net, volume = net_of(2), volume_of(32, 24)
    found = stitch(explained(net), volume, Windows(size=(32, 24), margin=2))
    np.testing.assert_allclose(found.values, explained(net)(volume[None])[1][0].numpy(), rtol=1e-6, atol=1e-7)


def test_the_grid_lies_in_the_volume_where_its_cells_are():
    found = stitch(explained(net_of(2)), volume_of(72, 56), Windows(size=(32, 24)))
    assert found.values.shape == (3, 18, 14)
    np.testing.assert_allclose(transform_points(found.to_volume, (2, 5)), (9.5, 21.5))


@pytest.mark.parametrize("length", range(8, 40))
def test_windows_cover_an_axis_to_its_very_end(length):
    starts = window_starts(length, 8, 0.5, 4)
    covered = {place for start in starts for place in range(start, start + 8)}
    assert covered == set(range(length))


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (Windows(size=(64, 64)), "at least as large as a window"),
        (Windows(size=(16, 16, 16)), "at least as large as a window"),
        (Windows(size=(16, 16), overlap=1.0), "overlap < 1"),
        (Windows(size=(16, 16), overlap=0.0, margin=1), "leave gaps"),
        (Windows(size=(16, 16), rule="median"), "mean or max"),
    ],
)
def test_windows_that_cannot_be_right_are_refused(windows, words):
    with pytest.raises(ExplainError, match=words):
        stitch(explained(net_of(2)), volume_of(48, 32), windows)


def test_a_window_that_is_not_finite_is_refused():
    def explain(images):
        return torch.zeros(len(images), 1), torch.full((len(images), 1, 4, 4), torch.nan)

    with pytest.raises(ExplainError, match="not finite"):
        stitch(explain, torch.zeros(1, 32, 32), Windows(size=(16, 16)))
