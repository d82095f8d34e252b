"""Commands that look: what would be loaded, one image explained, what can be listed."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from audit_pipeline.cli.application import Device, app
from audit_pipeline.cli.terminal import progress, show


class Listing(StrEnum):
    """What can be listed."""

    EXPLAINERS = "explainers"
    CHECKS = "checks"
    NETWORKS = "networks"
    SCHEMA = "schema"


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
    with progress(quiet=as_json, waiting="looking for studies") as on_progress:
        found = inspect_paths(
            chosen, section=settings.input, workers=settings.run.workers, explain=explain, on_progress=on_progress
        )
    show(json.dumps(found, indent=1, allow_nan=False) if as_json else _inspected(found))
    if not is_complete(found):
        raise typer.Exit(1)


def _inspected(found: dict[str, Any]) -> str:
    """Return the page for a terminal that is wide enough, and plain lines for everything else."""
    import shutil

    from audit_pipeline.inspection import NARROWEST, inspection_text, page

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return page(found, width) if width >= NARROWEST else inspection_text(found)


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
    reach: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the image at the end of the curves.")] = 0.2,
    sanity: Annotated[
        int,
        typer.Option(
            min=0, help="Forward passes a test of a map (random weights, noise, seeds) may cost; 0: no tests."
        ),
    ] = 2000,
    rank_layers: Annotated[bool, typer.Option("--rank-layers", help="Compare the stages of the network.")] = False,
    device: Annotated[Device, typer.Option(help="auto takes a GPU when there is one.")] = Device.AUTO,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Let the factory of the model card run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Show and save everything about one image: maps, their places, proofs, faithfulness and agreement with a mask."""
    from audit_pipeline.explaining import Wanted, explain_image, explanation_text

    wanted = Wanted(
        card=card, methods=tuple(methods.split(",")), output=output, target=target, layer=layer, mask=mask, seed=seed,
        device=device, sets=tuple(sets or ()), steps=steps, nulls=nulls, reach=reach, sanity=sanity,
        rank_layers=rank_layers, allow_code=allow_code,
    )  # fmt: skip
    with progress(quiet=as_json) as on_progress:
        found = explain_image(image, wanted, on_progress)
    show(json.dumps(found, indent=1, allow_nan=False) if as_json else explanation_text(found))
    if found["error"] is not None:
        raise typer.Exit(1)
