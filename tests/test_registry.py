"""The registry refuses duplicates and helps with names."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from audit_pipeline import registry
from audit_pipeline.errors import ConfigError
from audit_pipeline.registry import Registry


def test_a_second_entry_of_the_same_name_is_an_error_not_a_replacement():
    shapes = Registry("shape")
    shapes.add("ring", 1)
    with pytest.raises(ValueError, match="registered twice"):
        shapes.add("ring", 2)
    assert shapes["ring"] == 1


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known():
    shapes = Registry("shape")
    shapes.add("ring", 1)
    shapes.add("square", 2)
    with pytest.raises(ConfigError, match=r"unknown shape 'squar'; did you mean 'square'\? Known: ring, square"):
        shapes["squar"]


def test_other_packages_add_entries_on_first_use(monkeypatch):
    point = EntryPoint(name="path", value="pathlib:Path", group="audit_pipeline.shapes")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "audit_pipeline.shapes" else [])
    shapes = Registry("shape", group="audit_pipeline.shapes")
    shapes.add("ring", 1)
    assert list(shapes) == ["ring", "path"]
    assert "path" in shapes
    assert len(shapes) == 2
    assert shapes["path"].__name__ == "Path"


def test_the_decorator_form_registers_and_returns_the_object():
    shapes = Registry("shape")

    @shapes.register("ring")
    def ring() -> int:
        return 7

    assert shapes["ring"] is ring
