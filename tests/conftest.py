"""Shared by all tests: one thread per worker, a fixed site key, small images and networks."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is loaded, here and by every process that a test starts

import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings

from audit_pipeline.records import Image, sealed
from audit_pipeline.store.pseudonym import ENVIRONMENT

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def _one_thread_per_worker() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _site_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "a site key for tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Run a test marked `untraced` without the tracer of coverage.

    The marker `no_cover` of pytest-cov 7.1 does not: in a worker of xdist an older tracer takes over.
    """
    tracer = sys.gettrace() if item.get_closest_marker("untraced") else None
    if tracer is None:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture
def make_image():
    """Return a factory of images whose values and geometry the test chooses."""

    def make(values, affine=None, spacing_mm=None, **fields) -> Image:
        array = np.ascontiguousarray(values, dtype=np.float32)
        matrix = None if affine is None else np.asarray(affine, dtype=np.float64)
        if spacing_mm is None:
            known = None if matrix is None else np.linalg.norm(matrix[:3, :3], axis=0)
            spacing_mm = tuple(None if known is None else float(known[axis]) for axis in range(array.ndim))
        defaults = {"modality": "CT", "unit": "HU", "format": "dicom"}
        return Image(values=sealed(array), affine=matrix, spacing_mm=spacing_mm, **(defaults | fields))

    return make


def pytest_terminal_summary(terminalreporter) -> None:
    """Print how the cases of the loader's benches ended."""
    ended: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "bench" and getattr(report, "when", "") == "call":
                    bench, _, verdict = value.partition(":")
                    ended.setdefault(bench, Counter())[verdict] += 1
    for bench, counts in sorted(ended.items()):
        listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("right", "flagged", "refused", "wrong"))
        terminalreporter.write_line(f"loader bench, {bench}: {counts.total()} cases: {listed}")
