"""Commands about trust in what is stored: sign a report, verify a run or a signed report."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit_pipeline.cli.application import app
from audit_pipeline.cli.terminal import DIFFERENT, show
from audit_pipeline.errors import ConfigError

if TYPE_CHECKING:
    from audit_pipeline.execute.verification import Verification
    from audit_pipeline.report.statement import SignatureFacts

PASSWORD = "AUDIT_PIPELINE_KEY_PASSWORD"  # noqa: S105 - the name of a variable
NO_TIMESTAMP = "none"


class MeaningOption(StrEnum):
    """What the signature says."""

    AUTHOR = "author"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    REJECTED = "rejected"


@app.command()
def sign(
    target: Annotated[Path, typer.Argument(metavar="REPORT|RUN", help="A report.pdf, or a run for its audit report.")],
    key: Annotated[
        Path, typer.Option(help=f"PKCS#12 file (.p12); its password is asked for, or read from {PASSWORD}.")
    ],
    meaning: Annotated[MeaningOption, typer.Option(help="What the signature says.")],
    name: Annotated[str, typer.Option(help="Name to print; the one in the certificate when left out.")] = "",
    reason: Annotated[str, typer.Option(help="Why, in a few words.")] = "",
    timestamp_url: Annotated[
        str, typer.Option(help="Time-stamp authority (RFC 3161); none: offline, by the clock of this machine.")
    ] = NO_TIMESTAMP,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Sign a report: REPORT.signed.pdf beside it gets a visible block and the ledger of the run an entry.

    An audit is not signed as reviewed or approved while a study that asks for a verdict has none in reviews.csv.
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from audit_pipeline.execute.signing import sign_report
    from audit_pipeline.report.statement import Meaning, Statement

    now = datetime.now(UTC).replace(microsecond=0)
    statement = Statement(name=name, meaning=Meaning(meaning.value), time=now, reason=reason.strip())
    url = None if timestamp_url == NO_TIMESTAMP else timestamp_url
    signed = sign_report(target, key, _password(), statement, timestamp_url=url)
    if as_json:
        typer.echo(json.dumps({"file": str(signed.path), "signature": asdict(signed.signature)}))
        return
    show(f"{signed.path}: {_sentence(signed.signature)}")
    if signed.run is None:
        typer.echo("The report lies in no run folder, so no ledger knows of the signature.")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="RUN|REPORT", help="A run folder, or a signed report.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Recompute every digest of a run, the chain over them, and every signature; any difference is named."""
    from audit_pipeline.execute.verification import verify_path

    found = verify_path(path)
    if as_json:
        typer.echo(json.dumps(_document(found)))
    else:
        show("\n".join(_lines(found, is_run=path.is_dir())))
    if found.differences:
        raise typer.Exit(DIFFERENT)
    if found.unchecked:
        from audit_pipeline.report.statement import SigningLibraryError

        raise SigningLibraryError(
            f"signatures of {len(found.unchecked)} files were not checked; install audit-pipeline[sign] and repeat"
        )


def _password() -> bytes:
    """Return the password of the key: from the environment, else typed in unseen."""
    given = os.environ.get(PASSWORD)
    if given is None:
        if not _is_terminal():
            raise ConfigError(f"the password of the key is needed; set {PASSWORD}, or sign at a terminal")
        given = typer.prompt("Password of the key", hide_input=True, default="", show_default=False)
    return given.encode()


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _document(found: Verification) -> dict[str, object]:
    from dataclasses import asdict

    from audit_pipeline.execute.record_checks import rows_of

    return {
        "differences": list(found.differences),
        "signatures": [{"file": name, **asdict(one)} for name, one in found.signatures],
        "unchecked": list(found.unchecked),
        "findings": rows_of(found.findings),
    }


def _lines(found: Verification, *, is_run: bool) -> list[str]:
    agreed = "Every file is as the run wrote it." if is_run else "The file is as it was signed."
    lines = [*found.differences] or ([] if found.unchecked and not is_run else [agreed])
    lines += [f"{name}: {_sentence(one)}" for name, one in found.signatures]
    return [*lines, *(f"{one.code} {one.outcome}: {one.message}" for one in found.findings)]


def _sentence(one: SignatureFacts) -> str:
    reason = f" ({one.reason})" if one.reason else ""
    vouched = ", self-signed: nobody else vouches for the name" if one.is_self_signed else ""
    return (
        f"signed as {one.meaning}{reason} by {one.name} on {one.time}, covers {one.covers}; "
        f"certificate of {one.subject}, SHA-256 {one.certificate_sha256}{vouched}"
    )
