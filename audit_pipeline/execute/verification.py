"""Verifying a run, or one report outside of any: digests, the chain, what reports carry, and their signatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.errors import StoreError
from audit_pipeline.execute.signing import SIGNED_SUFFIX
from audit_pipeline.report.archive import attached_files
from audit_pipeline.report.statement import SignatureFacts
from audit_pipeline.store.ledger import verify
from audit_pipeline.store.record_file import read_record, timeless_bytes
from audit_pipeline.store.run_folder import RunFolder, timeless_run

NO_SIGNATURE = "holds no signature"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was found.

    differences : one sentence for each; empty when all agrees
    signatures : (file, signature), in the order in which they were made
    unchecked : signed files whose signatures could not be checked, because the optional library is missing
    """

    differences: tuple[str, ...]
    signatures: tuple[tuple[str, SignatureFacts], ...] = ()
    unchecked: tuple[str, ...] = field(default=())


def verify_path(path: Path) -> Verification:
    """Verify a run folder, or the signatures of one PDF.

    Raises
    ------
    StoreError
        The folder is no finished run, or the file cannot be read.
    """
    if not path.is_dir():
        return _of_files({path.name: _content(path)})
    differences = verify(path)
    reports = {report.relative_to(path).as_posix(): report for report in sorted(path.rglob("report*.pdf"))}
    carried = tuple(words for name, report in reports.items() for words in _carried(path, name, report))
    signed = {name: report.read_bytes() for name, report in reports.items() if name.endswith(SIGNED_SUFFIX)}
    found = _of_files(signed)
    return Verification(
        differences=(*differences, *carried, *found.differences),
        signatures=found.signatures,
        unchecked=found.unchecked,
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path.name} cannot be read: {error.strerror}; name a run folder or a signed PDF") from error


def _of_files(files: Mapping[str, bytes]) -> Verification:
    """Return what the signatures of files say; each of them should have one."""
    if not files:
        return Verification(differences=())
    try:
        from audit_pipeline.report.signature_check import check_signatures
    except ModuleNotFoundError:
        return Verification(differences=(), unchecked=tuple(files))
    differences: list[str] = []
    signatures: list[tuple[str, SignatureFacts]] = []
    for name, content in files.items():
        facts, wrong = check_signatures(content)
        signatures += [(name, one) for one in facts]
        differences += [f"{name}: {words}" for words in wrong]
        if not facts and not wrong:
            differences.append(f"{name} {NO_SIGNATURE}")
    return Verification(differences=tuple(differences), signatures=tuple(signatures))


def _carried(run: Path, name: str, report: Path) -> Iterator[str]:
    """Yield a sentence for each attached record that is not the stored one."""
    stored = _stored(run, report.parent)
    for attached, content in attached_files(report.read_bytes()).items():
        if attached in stored and stored[attached] != content:
            yield f"{name} carries another {attached} than the one that is stored"


def _stored(run: Path, folder: Path) -> Mapping[str, bytes]:
    """Return what the reports of a folder should carry; a file that cannot be read is the ledger's to name."""
    try:
        if folder != run:
            return {"record.json": timeless_bytes(read_record(folder / "record.json"))}
        return {"run.json": timeless_run(RunFolder(run).run()), "cohort.json": (run / "cohort.json").read_bytes()}
    except (StoreError, OSError):
        return {}
