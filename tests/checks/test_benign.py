"""Harmless changes of the input and their way back for maps."""

import numpy as np
import pytest

from audit_pipeline.checks.benign import COUNT, benign_changes


def smooth(shape):
    axes = np.meshgrid(*[np.linspace(0, 3, size) for size in shape], indexing="ij")
    return sum(np.sin(axis + place) for place, axis in enumerate(axes)).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 48), (24, 32, 40)])
def test_there_are_ten_changes_and_none_leaves_the_input_as_it_is(shape):
    values = smooth(shape)[None]
    changes = benign_changes(shape)
    assert len(changes) == COUNT
    for change in changes:
        changed = change.changed(values)
        assert changed.dtype == np.float32
        assert changed.shape == values.shape
        assert 0 < np.abs(changed - values).max() < 1.2


@pytest.mark.parametrize("shape", [(64, 48), (24, 32, 40)])
def test_undoing_brings_every_place_back_to_where_it_was(shape):
    """The input itself is the map here; what is compared lies inside the frame, where nothing was invented."""
    values = smooth(shape)
    inner = tuple(slice(4, -4) for _ in shape)
    for change in benign_changes(shape):
        if change.gamma != 1:
            continue
        back, is_seen = change.undone(change.changed(values[None])[0], shape)
        assert is_seen[inner].all()
        assert np.abs(back - values)[inner].max() < 0.02


def test_cells_that_left_the_frame_are_marked():
    shift = benign_changes((100, 100))[0]
    _, is_seen = shift.undone(np.zeros((100, 100), dtype=np.float32), (100, 100))
    assert (~is_seen).sum() == 200


def test_gamma_keeps_the_range():
    values = smooth((16, 16))[None]
    for change in benign_changes((16, 16))[-2:]:
        changed = change.changed(values)
        assert (changed.min(), changed.max()) == (values.min(), values.max())
