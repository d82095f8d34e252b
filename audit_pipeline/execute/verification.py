"""Verifying a run, or one report outside of any: digests, the chain, what reports carry, and their signatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from audit_pipeline.config import AuditConfig
from audit_pipeline.errors import AuditError, StoreError
from audit_pipeline.execute.clinical import identified
from audit_pipeline.execute.closing import cohort_scales, report_context
from audit_pipeline.execute.record_checks import RunEvidence, record_findings
from audit_pipeline.execute.run_facts import code_facts
from audit_pipeline.execute.signing import SIGNED_SUFFIX
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Status
from audit_pipeline.rendering import render
from audit_pipeline.report.archive import attached_files
from audit_pipeline.report.statement import SignatureFacts
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.files import sha256
from audit_pipeline.store.ledger import verify
from audit_pipeline.store.record_file import read_record, timeless_bytes
from audit_pipeline.store.run_folder import RunFolder, timeless_run
from audit_pipeline.study_record import StudyRecord

NO_SIGNATURE = "holds no signature"
RENDERED_AGAIN = 2
"""Study reports that are drawn again from their records and compared byte for byte; each takes about a second."""

RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL, Outcome.ERROR})
OF_THE_RECORD = frozenset({"F01", "F02", "F03"})
"""Checks that read the same when a run is closed and later: another answer means that the record was changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was found.

    differences : one sentence for each; empty when all agrees
    signatures : (file, signature), in the order in which they were made
    unchecked : signed files whose signatures could not be checked, because the optional library is missing
    findings : of the checks of the record, F01 to F06; empty for a single file
    """

    differences: tuple[str, ...]
    signatures: tuple[tuple[str, SignatureFacts], ...] = ()
    unchecked: tuple[str, ...] = field(default=())
    findings: tuple[Finding, ...] = ()


def verify_path(path: Path) -> Verification:
    """Verify a run folder, or the signatures of one PDF.

    Raises
    ------
    StoreError
        The folder is no finished run, or the file cannot be read.
    """
    if not path.is_dir():
        return _of_files({path.name: _content(path)})
    stored = verify(path)
    reports = {report.relative_to(path).as_posix(): report for report in sorted(path.rglob("report*.pdf"))}
    carried = [words for name, report in reports.items() for words in _carried(path, name, report)]
    signed = {name: report.read_bytes() for name, report in reports.items() if name.endswith(SIGNED_SUFFIX)}
    found = _of_files(signed)
    records = _records(path)
    carried += _drawn_otherwise(path, records)
    ledger = (*stored, *found.differences)
    findings = _findings(path, records, ledger, tuple(carried), len(reports))
    return Verification(
        differences=(*stored, *carried, *found.differences, *_changed_findings(path, findings)),
        signatures=found.signatures,
        unchecked=found.unchecked,
        findings=findings,
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


def _records(run: Path) -> tuple[StudyRecord, ...]:
    """Return the records that can be read; the others are the ledger's to name."""
    found = []
    for place in sorted((run / "studies").glob("*/record.json")):
        try:
            found.append(read_record(place))
        except StoreError:
            continue
    return tuple(found)


def _run(run: Path) -> Mapping[str, Any]:
    try:
        return RunFolder(run).run()
    except StoreError:
        return {}


def _drawn_otherwise(run: Path, records: Sequence[StudyRecord]) -> Iterator[str]:
    """Yield a sentence for each of a few study reports that is not what its record gives when it is drawn again.

    Only the code and the libraries that drew a report can draw it again; with others nothing is compared.
    """
    facts, folder = _run(run), RunFolder(run)
    if not facts or facts.get("code", {}).get("sha256") != code_facts()["sha256"] or not _has_versions(facts):
        return
    config = AuditConfig.model_validate(facts["configuration"])
    try:
        context = identified(report_context(config, facts), folder)
    except StoreError:
        return  # without the linkage, a clinical report cannot be drawn again
    if context.settings.scale == "class":
        context = replace(context, cohort_scales=cohort_scales(records, context.settings.sign))
    printed = [one for one in records if (folder.study(one.study) / "report.pdf").exists()]
    for record in sorted(printed, key=lambda one: sha256(one.study.encode()))[:RENDERED_AGAIN]:
        place = folder.study(record.study)
        try:
            panels = read_figures(place / "figures.npz") if record.status is Status.AUDITED else ()
            files = render(record, panels, context, frozenset({record.study}))
        except AuditError:
            continue  # a damaged file is the ledger's to name
        for name, content in files.items():
            if (place / name).exists() and (place / name).read_bytes() != content:
                yield f"studies/{record.study}/{name} is not what its record gives when it is drawn again"


def _has_versions(facts: Mapping[str, Any]) -> bool:
    try:
        return all(version(name) == wanted for name, wanted in facts["versions"].items())
    except PackageNotFoundError:
        return False


def _findings(
    run: Path, records: Sequence[StudyRecord], ledger: tuple[str, ...], reports: tuple[str, ...], compared: int
) -> tuple[Finding, ...]:
    facts = _run(run)
    if not facts:
        return ()
    return record_findings(
        RunEvidence(
            run=facts,
            records=records,
            today=datetime.now(UTC).date(),
            left_out=facts.get("left_out", {}),
            ledger=ledger,
            reports=reports,
            compared=compared,
        )
    )


def _changed_findings(run: Path, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a sentence for each check of the record that now raises what it did not raise when the run was closed."""
    known = {row["code"]: row["outcome"] for row in _run(run).get("record_checks", ())}
    for one in findings:
        if one.code in OF_THE_RECORD and one.code in known and one.outcome in RAISED and known[one.code] != one.outcome:
            yield f"{one.code} {one.title.lower()}: {one.message}"
