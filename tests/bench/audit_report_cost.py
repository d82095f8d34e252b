"""What the audit report of 1,000 studies costs: seconds by part, and the peak memory of the process.

    .venv/bin/python -m tests.bench.audit_report_cost [STUDIES] [binary|multilabel] [--profile]

The records are drawn at random (`tests.fabricated_cohort`) and written into a run folder with traits, slices and maps.
Then, each in a process of its own, whose peak includes the libraries that it loads first:

- `run`: the run is closed as `audit-pipeline run` closes it, with torch and all that predicts and explains loaded;
- `report`: the audit report is drawn again as by `audit-pipeline report`, which computes no statistics; the reports of
  single studies are left out, which are drawn one after the other before it.
"""

from __future__ import annotations

import cProfile
import functools
import importlib
import json
import pstats
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path

import cv2
import numpy as np

from audit_pipeline.cohort.record import Plan
from audit_pipeline.config import AuditConfig
from audit_pipeline.demo.phantom import phantom
from audit_pipeline.demo.radiograph import radiograph
from audit_pipeline.evidence import Traits
from audit_pipeline.execute import closing
from audit_pipeline.records import Explanation, Panel, Status
from audit_pipeline.store.figures import figures_bytes
from audit_pipeline.store.run_folder import RUN_SCHEMA, RunFolder
from audit_pipeline.store.traits import traits_bytes
from audit_pipeline.study_record import ExplanationFacts, StudyRecord
from tests.fabricated_cohort import BINARY, context, fabricated

FINDINGS = tuple(f"finding {number}" for number in range(14))
CONFIG = {
    "audit": {"name": "Benchmark of the audit report", "intended_use": "none"},
    "model": {"card": {}},
    "cohort": {"groups": ["sex", "site"], "claims": {}},
    "report": {"pdf": "none", "html": "all"},
}
RADIOGRAPHS, CELLS, CHANNELS = 40, 8, 64
PARTS = (
    "worst_first", "results_bytes", "findings_bytes", "gathered", "concluded", "described", "render_audit",
    "render_audit_html", "write_ledger",
)  # fmt: skip
LIBRARIES = ("numpy", "torch", "audit_pipeline.execute.closing", "audit_pipeline.execute.local")


def write_run(folder: Path, count: int, task: str) -> None:
    """Write a finished run that was not closed yet."""
    classes = FINDINGS if task == "multilabel" else BINARY
    records = fabricated(count, classes, task if task == "multilabel" else "multiclass")
    run = RunFolder(folder)
    draw = np.random.default_rng(1)
    for record in records:
        files = {}
        if record.status is Status.AUDITED:
            files = {"traits.npz": traits_bytes(_traits(record, draw)), "figures.npz": _figures(record, draw)}
        run.commit(record, files)
    model = {"name": "drawn", "version": "1", "card_sha256": "c" * 64, "weights_sha256": "w" * 64}
    model |= {"intended_use": ""}
    content = {
        "schema": RUN_SCHEMA,
        "identity": {"settings": "0" * 64},
        "configuration": _configuration(),
        "model": model,
        "versions": {"audit-pipeline": "bench"},
        "start": "2026-01-01T00:00:00+00:00",
    }
    run.write_json("run.json", content)


def _configuration() -> dict[str, object]:
    return json.loads(AuditConfig.model_validate(CONFIG).model_dump_json())


def _traits(record: StudyRecord, draw: np.random.Generator) -> Traits:
    return Traits(
        features=draw.normal(size=CHANNELS).astype(np.float32), moments=np.zeros(4, np.float32),
        quantiles=np.sort(draw.normal(size=64)).astype(np.float32),
        thumbnail=draw.normal(size=576).astype(np.float32),
        logits=np.asarray(list(record.prediction.logits.values()), np.float32),
    )  # fmt: skip


@functools.cache
def _radiograph(number: int) -> np.ndarray:
    """Return a radiograph of the demonstration, as large and as easily compressed as a slice of a true study."""
    return radiograph(phantom(number), number).values


def _figures(record: StudyRecord, draw: np.random.Generator) -> bytes:
    anatomy = _radiograph(int(draw.integers(RADIOGRAPHS)))
    explained = [_explanation(facts, anatomy.shape, draw) for facts in record.explanations]
    maps = {one.method: one.on_input for one in explained}
    panel = Panel(
        role="image", plane="image", axis=None, index=None, position_mm=None, anatomy=anatomy, maps=maps,
        target=explained[0].target, pixel_mm=(1.4, 1.4), cell_mm=(45.0, 45.0), letters=("R", "L", "H", "F"),
        peaks={}, to_source=np.eye(3),
    )  # fmt: skip
    return figures_bytes([panel], explained)


def _explanation(facts: ExplanationFacts, shape: tuple[int, ...], draw: np.random.Generator) -> Explanation:
    grid = draw.normal(size=(CELLS, CELLS)).astype(np.float32)
    rows, columns = shape
    scale = np.diag([rows / CELLS, columns / CELLS, 1.0])
    return Explanation(
        method=facts.method, target=facts.target, target_name=facts.target_name, layer=facts.layer, values=grid,
        on_input=cv2.resize(grid, (columns, rows)), to_source=scale, to_input=None, affine=None,
        cell_mm=facts.cell_mm, statistics=facts.statistics, signal_floor=1e-6,
    )  # fmt: skip


def timed(names: tuple[str, ...]) -> dict[str, list[float]]:
    """Wrap functions of `closing`: the returned mapping holds their seconds and the peak of memory after them."""
    spent = {name: [0.0, 0.0] for name in names}

    def around(name, function):
        def measured(*arguments, **settings):
            start = time.perf_counter()
            try:
                return function(*arguments, **settings)
            finally:
                spent[name][0] += time.perf_counter() - start
                spent[name][1] = _peak_mb()

        return measured

    for name in names:
        setattr(closing, name, around(name, getattr(closing, name)))
    return spent


def _peak_mb(status: str = "") -> float:
    """Return the peak memory that `status` tells, the content of ``/proc/PID/status``; of this process without it."""
    told = status or Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", told)[1]) / 1024


class _Missing(MetaPathFinder):
    """Refuses pandas, which oracles of the tests bring along and scikit-learn loads where it finds it: 45 MB."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def close(folder: Path, kind: str, *, profile: bool) -> None:
    """Close the run as where only the product is installed, and print what it took.

    kind : "run" for the end of a run, "report" for its report drawn again
    """
    sys.meta_path.insert(0, _Missing())
    if kind == "run":
        importlib.import_module("audit_pipeline.execute.local")
    run = RunFolder(folder)
    sys.stdout.write(f"{kind}\n  {'before':20}{'':8}   peak {_peak_mb():.0f} MB: the libraries\n")
    config = AuditConfig.model_validate(CONFIG)
    told = replace(context(), settings=config.report)
    plan = Plan(groups=("sex", "site"), thresholds_from="a tuning set") if kind == "run" else None
    spent = timed(PARTS)
    profiler = cProfile.Profile()
    start = time.perf_counter()
    if profile:
        profiler.enable()
    closing.close(run, told, config, excluded={}, plan=plan)
    profiler.disable()
    whole = time.perf_counter() - start
    for name, (seconds, peak) in spent.items():
        if peak:
            sys.stdout.write(f"  {name:20}{seconds:8.1f} s, peak {peak:.0f} MB\n")
    sys.stdout.write(f"  {'whole':20}{whole:8.1f} s, peak {_peak_mb():.0f} MB, processor {time.process_time():.1f} s\n")
    for name in ("report.pdf", "report.html", "cohort.json"):
        sys.stdout.write(f"  {name:20}{(folder / name).stat().st_size / 1e6:8.2f} MB\n")
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


def main(arguments: list[str]) -> None:
    """Write a run, then close it in processes of their own so that only this is measured."""
    if arguments[:1] == ["close"]:
        close(Path(arguments[1]), arguments[2], profile="--profile" in arguments)
        return
    plain = [one for one in arguments if not one.startswith("-")]
    count = int(plain[0]) if plain else 1000
    task = plain[1] if len(plain) > 1 else "binary"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        write_run(folder, count, task)
        sys.stdout.write(f"{count} studies, {task}\n")
        for module in LIBRARIES:
            code = f"import {module}; print(open('/proc/self/status').read())"
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            sys.stdout.write(f"  import {module:32} peak {_peak_mb(done.stdout):.0f} MB\n")
        sys.stdout.flush()
        options = [one for one in arguments if one.startswith("-")]
        for kind in ("run", "report"):
            command = ["-m", "tests.bench.audit_report_cost", "close", str(folder), kind, *options]
            subprocess.run([sys.executable, *command], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
