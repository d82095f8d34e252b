"""Commands that audit: run, demo, calibrate, report."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audit_pipeline.cli.application import Device, app
from audit_pipeline.cli.terminal import finish, progress, show


class Level(StrEnum):
    """How much work each check may ask for."""

    SCREEN = "screen"
    STANDARD = "standard"
    DEEP = "deep"


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Configuration (YAML); see configs/ for examples.")],
    inputs: Annotated[
        list[Path] | None, typer.Option("--input", "-i", help="File or folder; replaces input.paths. May be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder; an existing one is resumed.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="key.path=value, for example explain.targets=all. May be repeated."),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="auto takes a GPU when there is one.")] = None,
    level: Annotated[Level | None, typer.Option(help="How much work each check may ask for.")] = None,
    shard: Annotated[str, typer.Option(help="I/N: audit the I-th of N parts of the studies.")] = "1/1",
    limit: Annotated[int | None, typer.Option(min=1, help="Audit at most this many studies.")] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the Python factory named in the model card run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and what it costs; run no model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Audit every study; started again on the same output, finish what is missing."""
    from audit_pipeline.execute.local import run_audit
    from audit_pipeline.execute.preview import preview, preview_text

    foreseen = preview(
        config, inputs=inputs or (), output=output, level=level, sets=sets or (), shard=_shard(shard), limit=limit,
        is_searched=dry_run,
    )  # fmt: skip
    if dry_run:
        show(json.dumps(foreseen, indent=1) if as_json else preview_text(foreseen))
        return
    if not as_json:
        typer.echo(preview_text(foreseen), err=True)
    with progress(quiet=as_json) as on_progress:
        result = run_audit(
            config,
            inputs=inputs or (),
            output=output,
            device=device,
            level=level,
            sets=sets or (),
            shard=_shard(shard),
            limit=limit,
            allow_code=allow_code,
            on_progress=on_progress,
        )
    finish([result], as_json=as_json)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the two runs of the demo.")] = Path(
        "reports/demo"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Audit the embedded phantoms with the embedded models: right, flagged and refused studies, offline."""
    from audit_pipeline.demo.audit import run_demo

    with progress(quiet=as_json) as on_progress:
        results = run_demo(output, on_progress)
    if not as_json:
        typer.echo("The demo plants six faults on purpose; flagged and refused studies are what it should find.\n")
    finish(results, as_json=as_json)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Render the reports again from the stored records, without the model or the images."""
    from audit_pipeline.execute.closing import render_reports

    with progress(quiet=as_json) as on_progress:
        result = render_reports(run_folder, on_progress)
    finish([result], as_json=as_json)


@app.command()
def calibrate(
    config: Annotated[Path, typer.Argument(help="Configuration (YAML) that names clean studies and the model.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The reference to write: a Parquet, and a safetensors beside it.")
    ],
    inputs: Annotated[
        list[Path] | None, typer.Option("--input", "-i", help="File or folder; replaces input.paths. May be repeated.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, as in run. May be repeated.")] = None,
    device: Annotated[Device | None, typer.Option(help="auto takes a GPU when there is one.")] = None,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Let the factory of the model card run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Learn the limits of the checks from clean studies of this site; name the result as checks.reference."""
    from audit_pipeline.execute.calibrate import calibrate as learn
    from audit_pipeline.execute.calibrate import calibration_facts, calibration_text

    with progress(quiet=as_json) as on_progress:
        learnt = learn(
            config, output, inputs=inputs or (), sets=sets or (), device=device, allow_code=allow_code,
            on_progress=on_progress,
        )  # fmt: skip
    show(json.dumps(calibration_facts(learnt), indent=1) if as_json else calibration_text(learnt))
    if learnt.audit.exit_code:
        raise typer.Exit(learnt.audit.exit_code)


def _shard(text: str) -> tuple[int, int]:
    index, _, parts = text.partition("/")
    if not (index.isdecimal() and parts.isdecimal()):
        raise typer.BadParameter(f"--shard needs I/N, for example 2/8, found {text!r}")
    return int(index), int(parts)
