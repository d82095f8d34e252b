"""Fixtures of the load stage; the synthetic series come from `dicom_bench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from dicom_bench import save
from pydicom.dataset import Dataset


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes slices into a folder of their own and returns the folder."""

    def write(slices: Sequence[Dataset], names: Sequence[str] | None = None) -> Path:
        save(tmp_path / "study", slices, names)
        return tmp_path / "study"

    return write
