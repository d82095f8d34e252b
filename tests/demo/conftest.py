"""The cohorts and the audit of the demo, made once per test run, also when several workers share the tests."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit_pipeline.demo.cohort import write_ct_cohort, write_dx_cohort


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoRun:
    """What ``audit_pipeline demo --output folder --json`` left behind."""

    folder: Path
    code: int
    stdout: str
    stderr: str

    @property
    def ended(self) -> list[dict[str, Any]]:
        """The printed document."""
        return json.loads(self.stdout)


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first process to ask fills with `make`, while the others wait."""
    base = factory.getbasetemp()
    root = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def cohorts(tmp_path_factory) -> Path:
    """Return a folder with the cohorts ``ct`` and ``dx``."""

    def write(folder: Path) -> None:
        write_ct_cohort(folder / "ct")
        write_dx_cohort(folder / "dx")

    return _once(tmp_path_factory, "demo-cohorts", write)


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> DemoRun:
    """Return the demo as a user starts it."""

    def run(folder: Path) -> None:
        command = [sys.executable, "-m", "audit_pipeline", "demo", "--output", str(folder / "runs"), "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # free of the cost of coverage
        facts = {"code": ended.returncode, "stdout": ended.stdout, "stderr": ended.stderr}
        (folder / "ended.json").write_text(json.dumps(facts))

    folder = _once(tmp_path_factory, "demo-run", run)
    return DemoRun(folder=folder / "runs", **json.loads((folder / "ended.json").read_text()))
