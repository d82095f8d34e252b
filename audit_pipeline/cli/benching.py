"""The command that measures the checks themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audit_pipeline.cli.application import app
from audit_pipeline.cli.terminal import progress, show


@app.command(name="bench-checks")
def bench_checks(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for bench.json and bench.txt.")] = Path(
        "reports/bench"
    ),
    planted: Annotated[int, typer.Option(min=1, help="Planted studies per fault, severity and dimension.")] = 20,
    clean: Annotated[int, typer.Option(min=1, help="Clean studies per dimension.")] = 100,
    reference: Annotated[int, typer.Option(min=20, help="Clean studies of the reference, per dimension.")] = 120,
    cohorts: Annotated[
        int, typer.Option(min=1, help="Planted cohorts per fault of a cohort and severity, and clean ones in all.")
    ] = 20,
    runs: Annotated[
        int, typer.Option(min=1, help="Runs on disk whose files are verified, clean and per fault and severity.")
    ] = 4,
    crossed: Annotated[
        int,
        typer.Option(min=0, help="Of the planted studies, those that all checks see: which other checks fire as well."),
    ] = 2,
    codes: Annotated[str, typer.Option(help="Only these failure modes, separated by commas.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    trained: Annotated[
        bool, typer.Option("--trained", help="Train models on shortcuts and their clean twins, and audit those.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Plant known faults and see which checks find them; clean studies show which fire without cause."""
    if trained:
        _bench_trained(output, planted, reference, seed, workers, as_json=as_json)
        return
    from audit_pipeline.bench.measure import Amount, bench
    from audit_pipeline.bench.page import bench_text
    from audit_pipeline.store.files import json_bytes, write_atomically

    chosen = tuple(part.strip() for part in codes.split(",") if part.strip())
    amount = Amount(
        planted=planted, crossed=crossed, clean=clean, reference=reference, cohorts=cohorts, runs=runs, seed=seed,
        workers=workers, codes=chosen,
    )  # fmt: skip
    with progress(quiet=as_json, waiting="making phantoms") as on_progress:
        result = bench(amount, on_progress)
    text = bench_text(result)
    write_atomically(output / "bench.json", json_bytes(result))
    write_atomically(output / "bench.txt", (text + "\n").encode())
    show(json.dumps(result, indent=1) if as_json else text)
    if any(missed for gate, missed in result["gates"].items() if gate != "without a plant"):
        raise typer.Exit(1)


def _bench_trained(output: Path, studies: int, reference: int, seed: int, workers: int, *, as_json: bool) -> None:
    """Write trained.json and trained.txt; exit code 1 where a gate is missed."""
    from audit_pipeline.bench.trained import Extent, bench_trained
    from audit_pipeline.bench.trained_page import trained_text
    from audit_pipeline.store.files import json_bytes, write_atomically

    extent = Extent(studies=2 * studies, reference=reference, seed=seed, workers=workers)
    with progress(quiet=as_json, waiting="training models") as on_progress:
        result = bench_trained(extent, on_progress)
    text = trained_text(result)
    write_atomically(output / "trained.json", json_bytes(result))
    write_atomically(output / "trained.txt", (text + "\n").encode())
    show(json.dumps(result, indent=1) if as_json else text)
    if any(result["gates"].values()):
        raise typer.Exit(1)
