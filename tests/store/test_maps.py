"""The first map of a study, read back."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.maps import coarse, read_first_map


def archive(path, grids, **arrays):
    text = np.frombuffer(json.dumps({"panels": [], "grids": grids}).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez(stream, description=text, **arrays)
    path.write_bytes(stream.getvalue())
    return path


def test_the_first_map_comes_with_the_class_it_explains(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    place = archive(tmp_path / "f.npz", [{"target": 2, "method": "gradcam"}], grid_0=values)
    target, found = read_first_map(place)
    assert target == 2
    assert (found == values).all()


def test_a_study_without_maps_has_none(tmp_path):
    assert read_first_map(archive(tmp_path / "f.npz", [])) is None


def test_a_damaged_file_is_said(tmp_path):
    (tmp_path / "f.npz").write_bytes(b"no archive")
    with pytest.raises(StoreError, match="damaged"):
        read_first_map(tmp_path / "f.npz")
    with pytest.raises(StoreError, match="damaged"):
        read_first_map(archive(tmp_path / "g.npz", [{"target": 1}]))


def test_large_maps_are_averaged_over_cubes_and_keep_their_mean():
    values = np.random.default_rng(0).random((32, 32, 32)).astype(np.float32)
    found = coarse(values)
    assert found.shape == (16, 16, 16)
    assert found[0, 0, 0] == pytest.approx(values[:2, :2, :2].mean())
    assert found.mean() == pytest.approx(values.mean())
    assert coarse(values[:4]) is not None
