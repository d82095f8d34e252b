"""Renew the small sample in git: ``python -m audit_pipeline.demo.sample RUNS SAMPLE``, what ``make sample`` does.

The demo's two audit reports, and one study report of each kind a newcomer should have seen: a nodule found in a volume
and in a radiograph, a flagged study, a refused one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import StudyRecord


def main(arguments: Sequence[str]) -> None:
    """Copy the sample from the demo's runs."""
    runs, sample = (Path(argument) for argument in arguments)
    shutil.rmtree(sample, ignore_errors=True)
    sample.mkdir(parents=True)
    for name in ("ct_3d", "cxr_2d"):
        folder = RunFolder(runs / name)
        shutil.copyfile(folder.report, sample / f"{name}-audit.pdf")
        for kind, record in chosen(folder.records()).items():
            shutil.copyfile(folder.study(record.study) / "report.pdf", sample / f"{name}-{kind}.pdf")
        if "found" in chosen(folder.records()):
            key = chosen(folder.records())["found"].study
            shutil.copyfile(folder.study(key) / "record.json", sample / f"{name}-found.json")


def chosen(records: Sequence[StudyRecord]) -> dict[str, StudyRecord]:
    """Return one record of each kind that is there: a clear finding, a critical study, a refused one."""
    found: dict[str, StudyRecord] = {}
    for record in records:
        if record.status is Status.REFUSED:
            found.setdefault("refused", record)
        elif record.verdict is not None and record.verdict.prediction is Outcome.CRITICAL:
            found.setdefault("critical", record)
        elif record.prediction is not None and "nodule" in record.prediction.predicted and record.label == "nodule":
            found.setdefault("found", record)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
