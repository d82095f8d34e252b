"""Signing a report of a run: the signed copy beside it, and the line in the ledger that ties the two together.

NAME.pdf stays as the run wrote it. Its signatures stand in NAME.signed.pdf, which begins with the same bytes; each
further signature is appended to that file. A report may be signed outside of a run folder; then no ledger knows of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from audit_pipeline.errors import StoreError
from audit_pipeline.report.statement import (
    ForeignReportError,
    KeyFileError,
    SignatureFacts,
    SigningError,
    SigningLibraryError,
    Statement,
)
from audit_pipeline.store.files import write_atomically
from audit_pipeline.store.ledger import LEDGER, add_signature, is_as_written
from audit_pipeline.store.reviews import REVIEWS

SIGNED_SUFFIX = ".signed.pdf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """What signing left: the signed file, the run whose ledger knows of it, and the new signature."""

    path: Path
    run: Path | None
    signature: SignatureFacts


def sign_report(
    target: Path, key_file: Path, password: bytes, statement: Statement, *, timestamp_url: str | None = None
) -> Signed:
    """Sign a report, or the audit report of a run folder.

    Raises
    ------
    SigningError
        The key, its password or certificate, or the file to sign is not as it must be; see `report.statement`.
    StoreError
        The run did not finish, or the report is not as its ledger says.
    """
    signing, checking = _library()
    report = target / "report.pdf" if target.is_dir() else target
    place = report if report.name.endswith(SIGNED_SUFFIX) else report.with_suffix(SIGNED_SUFFIX)
    run = run_of(report)
    content = _to_sign(report, place, run)
    signing.check_report(content)
    signing.check_reviews(content, statement.meaning)
    _, wrong = checking.check_signatures(content)
    if wrong:
        raise SigningError(f"the report cannot be signed further: {wrong[0]}")
    key = signing.open_key(_key_bytes(key_file), password)
    signed: bytes = signing.sign(content, key, statement, timestamp_url=timestamp_url)
    facts, wrong = checking.check_signatures(signed)
    if wrong:
        raise SigningError(f"the signature does not hold, nothing was written: {wrong[0]}")
    write_atomically(place, signed)
    if run is not None:
        add_signature(run, place.absolute().relative_to(run).as_posix(), signed, _entry(facts[-1]))
    return Signed(path=place, run=run, signature=facts[-1])


def run_of(report: Path) -> Path | None:
    """Return the run folder that a report lies in, None outside of any.

    Raises
    ------
    StoreError
        The run did not finish, so that it has no ledger.
    """
    for folder in report.absolute().parents[:3]:
        if (folder / "run.json").is_file():
            if not (folder / LEDGER).is_file():
                raise StoreError(f"the run has no {LEDGER}: let it finish, then sign its reports")
            return folder
    return None


def _to_sign(report: Path, place: Path, run: Path | None) -> bytes:
    """Return the bytes that get the signature: those of the signed copy where there is one."""
    try:
        content = report.read_bytes()
    except OSError as error:
        raise ForeignReportError(f"the report cannot be read: {error.strerror}; name a report.pdf or a run") from error
    reviews = () if run is None else (run / REVIEWS,)
    for path in (report, place, *reviews):
        if run and path.exists() and not is_as_written(run, path.absolute().relative_to(run).as_posix()):
            raise StoreError(f"{path.name} is not as the ledger of its run says; find out why with the command verify")
    if place == report or not place.exists():
        return content
    earlier = place.read_bytes()
    if not earlier.startswith(content):
        raise StoreError(
            f"{place.name} holds signatures of an earlier rendering of {report.name}; name the signed file to sign "
            "that one, or move it away to sign the new rendering"
        )
    return earlier


def _key_bytes(key_file: Path) -> bytes:
    try:
        return key_file.read_bytes()
    except OSError as error:
        raise KeyFileError(f"the key file cannot be read: {error.strerror}") from error


def _entry(facts: SignatureFacts) -> dict[str, str]:
    """Return what the ledger keeps of a signature."""
    kept = asdict(facts)
    return {"signer": kept["name"], **{key: kept[key] for key in ("meaning", "reason", "time", "subject")},
            "certificate_sha256": kept["certificate_sha256"]}  # fmt: skip


def _library() -> tuple[ModuleType, ModuleType]:
    """Return the two modules that need the optional library.

    Raises
    ------
    SigningLibraryError
        It is not installed.
    """
    try:
        from audit_pipeline.report import signature_check, signing
    except ModuleNotFoundError as error:
        raise SigningLibraryError(
            "signatures need the optional library pyHanko; install audit-pipeline[sign] and try again"
        ) from error
    return signing, signature_check
