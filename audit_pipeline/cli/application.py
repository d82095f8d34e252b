"""The application that the commands register with, and how it ends."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import Annotated

import typer

from audit_pipeline.cli.terminal import USAGE
from audit_pipeline.errors import AuditError

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
