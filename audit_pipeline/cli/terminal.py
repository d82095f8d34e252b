"""What a terminal sees: progress, text in letters it knows, how runs ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from audit_pipeline.execute.closing import AuditResult, OnProgress

USAGE, DIFFERENT = 2, 3


def show(text: str) -> None:
    """Print text whose letters the terminal may not know; those become code points."""
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, errors="backslashreplace").decode(encoding), color=True)


@contextmanager
def progress(*, quiet: bool, waiting: str = "loading the model") -> Iterator[OnProgress | None]:
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


def finish(results: list[AuditResult], *, as_json: bool) -> None:
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
