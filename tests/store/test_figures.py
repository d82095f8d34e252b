"""Figures: what is stored draws the same picture again, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.explain.views import panels
from audit_pipeline.store.figures import figures_bytes, read_figures
from tests.explain.test_views import AXIAL, explanation


@pytest.fixture
def shown(make_image):
    image = make_image(np.random.default_rng(0).normal(size=(8, 9, 10)), affine=AXIAL)
    values = np.random.default_rng(1).normal(size=(2, 3, 2))
    to_source = np.array([[4.0, 0, 0, 1.5], [0, 3, 0, 1], [0, 0, 5, 2], [0, 0, 0, 1]])
    maps = [
        explanation(values * sign, to_source, (1.5, 4.0, 7.0), method=m)
        for sign, m in ((1, "gradcam"), (-1, "hirescam"))
    ]
    maps.append(explanation(values, to_source, None, target=0))
    return panels(image, maps), maps


def test_panels_survive_storage_exactly(tmp_path, shown):
    before, maps = shown
    place = tmp_path / "figures.npz"
    place.write_bytes(figures_bytes(before, maps))
    after = read_figures(place)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new.anatomy, old.anatomy)
        np.testing.assert_array_equal(new.to_source, old.to_source)
        assert set(new.maps) == set(old.maps)
        for method, values in old.maps.items():
            np.testing.assert_array_equal(new.maps[method], values)
        for name in (
            "role",
            "plane",
            "axis",
            "index",
            "position_mm",
            "target",
            "pixel_mm",
            "cell_mm",
            "letters",
            "peaks",
        ):
            assert getattr(new, name) == getattr(old, name)


def test_the_same_figures_are_the_same_bytes(shown):
    assert figures_bytes(*shown) == figures_bytes(*shown)


def test_a_damaged_file_is_an_error(tmp_path):
    place = tmp_path / "figures.npz"
    with pytest.raises(StoreError, match="missing or damaged"):
        read_figures(place)
    place.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(StoreError, match="missing or damaged"):
        read_figures(place)


def test_the_first_panels_can_be_read_alone(tmp_path, shown):
    place = tmp_path / "figures.npz"
    place.write_bytes(figures_bytes(*shown))
    (first,) = read_figures(place, most=1)
    np.testing.assert_array_equal(first.anatomy, shown[0][0].anatomy)
