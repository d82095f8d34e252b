"""The command line: the only place that prints or sets exit codes. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit_pipeline.errors import AuditError

if TYPE_CHECKING:
    from audit_pipeline.execute.closing import AuditResult, OnProgress

USAGE, DIFFERENT = 2, 3

app = typer.Typer(
    name="audit-pipeline",
    help="Audit a medical imaging classifier: may its predictions be trusted, and if not, what exactly is wrong?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Device(StrEnum):
    """Where the network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Level(StrEnum):
    """How much work each check may ask for."""

    SCREEN = "screen"
    STANDARD = "standard"
    DEEP = "deep"


class Listing(StrEnum):
    """What can be listed."""

    EXPLAINERS = "explainers"
    CHECKS = "checks"
    NETWORKS = "networks"
    SCHEMA = "schema"


def main() -> None:
    """Run the command line; a known error becomes one sentence on standard error and exit code 2."""
    try:
        app()
    except AuditError as error:
        typer.echo(f"{error.code}: {error}", err=True)
        for path in getattr(error, "files", ())[:5]:
            from audit_pipeline.inspection.wording import plain

            typer.echo(f"  {plain(path)}", err=True)
        sys.exit(USAGE)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"audit-pipeline {version('audit-pipeline')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")


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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Audit every study; started again on the same output, finish what is missing."""
    from audit_pipeline.execute.local import run_audit

    with _progress(quiet=as_json) as on_progress:
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
    _finish([result], as_json=as_json)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the two runs of the demo.")] = Path(
        "reports/demo"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Audit the embedded phantoms with the embedded models: right, flagged and refused studies, offline."""
    from audit_pipeline.demo.audit import run_demo

    with _progress(quiet=as_json) as on_progress:
        results = run_demo(output, on_progress)
    if not as_json:
        typer.echo("The demo plants six faults on purpose; flagged and refused studies are what it should find.\n")
    _finish(results, as_json=as_json)


@app.command()
def inspect(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Files, archives, or folders of any depth.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Load as this configuration would; without PATH, its input.paths.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="key.path=value, for example input.select.modality=CT. May be repeated."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain-selection", help="Show which image input.select chooses, and why not the others.")
    ] = False,
) -> None:
    """Show what would be loaded, without a model: dispositions of files, geometry of images, findings, refusals."""
    from audit_pipeline.config import read_config
    from audit_pipeline.inspection import inspect_paths, is_complete

    settings = read_config(config or {"model": {"card": {}}}, sets or ())
    chosen = paths or settings.input.paths
    if not chosen:
        raise typer.BadParameter("name a file or folder, or a configuration with input.paths", param_hint="PATH")
    with _progress(quiet=as_json, waiting="looking for studies") as on_progress:
        found = inspect_paths(
            chosen, section=settings.input, workers=settings.run.workers, explain=explain, on_progress=on_progress
        )
    _show(json.dumps(found, indent=1, allow_nan=False) if as_json else _inspected(found))
    if not is_complete(found):
        raise typer.Exit(1)


def _inspected(found: dict[str, Any]) -> str:
    """Return the page for a terminal that is wide enough, and plain lines for everything else."""
    import shutil

    from audit_pipeline.inspection import NARROWEST, inspection_text, page

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return page(found, width) if width >= NARROWEST else inspection_text(found)


def _show(text: str) -> None:
    """Print text whose letters the terminal may not know; those become code points."""
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, errors="backslashreplace").decode(encoding), color=True)


@app.command(name="list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """List explainers, checks or networks with their keywords; or print the schema of the configuration."""
    from audit_pipeline.listing import LISTINGS, listing_text

    entries = LISTINGS[what]()
    typer.echo(json.dumps(entries, indent=1) if as_json or what is Listing.SCHEMA else listing_text(entries))


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Render the reports again from the stored records, without the model or the images."""
    from audit_pipeline.execute.closing import render_reports

    with _progress(quiet=as_json) as on_progress:
        result = render_reports(run_folder, on_progress)
    _finish([result], as_json=as_json)


@app.command()
def verify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Recompute every digest of a run and the chain over them; any difference is named."""
    from audit_pipeline.store.ledger import verify as differences_of

    differences = differences_of(run_folder)
    if as_json:
        typer.echo(json.dumps({"differences": list(differences)}))
    else:
        typer.echo("\n".join(differences) or "Every file is as the run wrote it.")
    if differences:
        raise typer.Exit(DIFFERENT)


def _shard(text: str) -> tuple[int, int]:
    index, _, parts = text.partition("/")
    if not (index.isdecimal() and parts.isdecimal()):
        raise typer.BadParameter(f"--shard needs I/N, for example 2/8, found {text!r}")
    return int(index), int(parts)


@contextmanager
def _progress(*, quiet: bool, waiting: str = "loading the model") -> Iterator[OnProgress | None]:
    """Yield a callback that draws a bar on a terminal, prints a line elsewhere, and nothing when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(waiting) as on_progress:
            yield on_progress
    else:
        yield lambda done, total, sentence: typer.echo(f"[{done}/{total}] {sentence}", err=True)


@contextmanager
def _bar(waiting: str) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(waiting, total=None)

        def advance(done: int, total: int, sentence: str) -> None:
            bar.update(task, total=total, completed=done, description=sentence)

        yield advance


def _finish(results: list[AuditResult], *, as_json: bool) -> None:
    """Print how the runs ended and leave with their exit code."""
    if as_json:
        ended: list[dict[str, Any]] = [
            {"folder": str(one.folder), "report": str(one.report), "counts": dict(one.counts)} for one in results
        ]
        typer.echo(json.dumps(ended if len(ended) > 1 else ended[0], indent=1))
    else:
        for one in results:
            counts = ", ".join(f"{number} {name}" for name, number in one.counts.items())
            typer.echo(f"{counts}")
            for record in one.records:
                if record.error is not None:
                    typer.echo(f"  {record.study} {record.status}: {record.error.message}")
            typer.echo(f"Audit report: {one.report}\n")
    code = max(one.exit_code for one in results)
    if code:
        raise typer.Exit(code)


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A file, an archive, or the folder of one study.")],
    card: Annotated[Path, typer.Option(help="Model card (YAML).")],
    methods: Annotated[
        str, typer.Option(help="Names from list explainers, separated by commas.")
    ] = "gradcam,hirescam,layercam,gradcam++",
    layer: Annotated[str | None, typer.Option(help="Module name; several, with commas, fuse layercam.")] = None,
    target: Annotated[str, typer.Option(help="A class, predicted, all or topN.")] = "predicted",
    mask: Annotated[Path | None, typer.Option(help="NIfTI of what a reader marked, to compare the maps with.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for maps and pictures.")] = Path(
        "reports/explain"
    ),
    sets: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, as in run. May be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that draws random numbers.")] = 0,
    steps: Annotated[int, typer.Option(min=0, help="Points of the faithfulness curves; 0 leaves them out.")] = 5,
    nulls: Annotated[int, typer.Option(min=0, help="Shifted maps that give the curves their p-values.")] = 19,
    rank_layers: Annotated[bool, typer.Option("--rank-layers", help="Compare the stages of the network.")] = False,
    device: Annotated[Device, typer.Option(help="auto takes a GPU when there is one.")] = Device.AUTO,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Let the factory of the model card run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Show and save everything about one image: maps, their places, proofs, faithfulness and agreement with a mask."""
    from audit_pipeline.explaining import Wanted, explain_image, explanation_text

    wanted = Wanted(
        card=card, methods=tuple(methods.split(",")), output=output, target=target, layer=layer, mask=mask, seed=seed,
        device=device, sets=tuple(sets or ()), steps=steps, nulls=nulls, rank_layers=rank_layers, allow_code=allow_code,
    )  # fmt: skip
    with _progress(quiet=as_json) as on_progress:
        found = explain_image(image, wanted, on_progress)
    _show(json.dumps(found, indent=1, allow_nan=False) if as_json else explanation_text(found))
    if found["error"] is not None:
        raise typer.Exit(1)
