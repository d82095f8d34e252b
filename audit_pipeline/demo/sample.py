"""Renew the sample in git: ``python -m audit_pipeline.demo.sample RUNS SAMPLE``, the second half of ``make sample``.

The demo's two audit reports and one study report of each kind a newcomer should have seen: a nodule found in a volume
and in a radiograph, a flagged study, a refused one. Of the runs of `sample_runs`: a study with several findings, a
volume read slice by slice, and the audit of a cohort of 60.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit_pipeline.demo.sample_runs import COHORT, FINDINGS, SLICES
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import StudyRecord

LABEL_SEPARATOR = "|"
ALL_KINDS = ("found", "critical", "refused")


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What the sample takes from a run.

    kinds : study reports, see `chosen`; record, page : whether the record and the HTML page of the found study come too
    audit, audit_page : whether the audit report and its HTML page do
    """

    kinds: tuple[str, ...] = ("found",)
    record: bool = False
    page: bool = False
    audit: bool = False
    audit_page: bool = False


TAKEN: dict[str, Taken] = {
    "ct_3d": Taken(kinds=ALL_KINDS, record=True, audit=True),
    "cxr_2d": Taken(kinds=ALL_KINDS, record=True, page=True, audit=True, audit_page=True),
    FINDINGS: Taken(),
    SLICES: Taken(),
    COHORT: Taken(kinds=(), audit=True, audit_page=True),
}
"""The first two are the demo's."""


def main(arguments: Sequence[str]) -> None:
    """Copy the sample from the runs below a folder."""
    runs, sample = (Path(argument) for argument in arguments)
    renew(runs, sample, tuple(TAKEN))


def renew(runs: Path, sample: Path, names: Sequence[str]) -> None:
    """Write the sample anew from the runs of these names."""
    shutil.rmtree(sample, ignore_errors=True)
    sample.mkdir(parents=True)
    for name in names:
        take(RunFolder(runs / name), sample, name, TAKEN[name])


def take(folder: RunFolder, sample: Path, name: str, taken: Taken) -> None:
    """Copy what the sample takes from one run."""
    if taken.audit:
        shutil.copyfile(folder.report, sample / f"{name}-audit.pdf")
    if taken.audit_page:
        shutil.copyfile(folder.report.with_suffix(".html"), sample / f"{name}-audit.html")
    found = chosen(folder.records())
    for kind, record in found.items():
        if kind in taken.kinds:
            shutil.copyfile(folder.study(record.study) / "report.pdf", sample / f"{name}-{kind}.pdf")
    for is_taken, file in ((taken.record, "record.json"), (taken.page, "report.html")):
        if is_taken and "found" in found:
            place = folder.study(found["found"].study) / file
            shutil.copyfile(place, sample / f"{name}-found{place.suffix}")


def chosen(records: Sequence[StudyRecord]) -> dict[str, StudyRecord]:
    """Return one record of each kind that is there: a clear finding, a critical study, a refused one.

    Of several studies with a finding that was called as labelled, the first with the most findings, not a critical one
    where there is another.
    """
    found: dict[str, StudyRecord] = {}
    best = (0, False)
    for record in records:
        is_critical = record.verdict is not None and record.verdict.prediction is Outcome.CRITICAL
        if record.status is Status.REFUSED:
            found.setdefault("refused", record)
        elif is_critical:
            found.setdefault("critical", record)
        if (rank := (rightly_called(record), not is_critical)) > best and rank[0]:
            best, found["found"] = rank, record
    return found


def rightly_called(record: StudyRecord) -> int:
    """Return how many findings were called, where they are those of the label and one is a nodule; otherwise 0."""
    if record.prediction is None or record.label is None:
        return 0
    called, labelled = set(record.prediction.predicted), set(record.label.split(LABEL_SEPARATOR))
    return len(called) if called == labelled and "nodule" in called else 0


if __name__ == "__main__":
    main(sys.argv[1:])
