"""Deliver: one study source in, the study or the reason against it out, with a disposition for every file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_pipeline.errors import LimitError, LoadError, NotAStudyError, SeriesChoiceError, SeveralStudiesError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_plan import Plan
from audit_pipeline.load.dicom_study import decode_plans, plan_dicom
from audit_pipeline.load.discover import StudySource, find_studies
from audit_pipeline.load.guard import quiet
from audit_pipeline.load.nifti import read_nifti
from audit_pipeline.load.notes import LEFT_OUT_IMAGES, noted
from audit_pipeline.load.select import choose
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Disposition, FileDisposition, Image, Refusal, Study
from audit_pipeline.selection import SelectRules


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What came of a study: exactly one of `study` and `error`, and always one disposition per file."""

    study: Study | None
    error: LoadError | None
    files: tuple[FileDisposition, ...]
    refusals: tuple[Refusal, ...]


def deliver(source: StudySource, settings: LoadSettings | None = None, rules: SelectRules | None = None) -> Delivery:
    """Return what `source` delivers; a refusal is returned and never raised.

    With `rules`, one image is chosen by geometry and header before any pixel is decoded, and it alone is delivered:
    the files of the others end as ``other-series``.
    """
    account = Account(source.files)
    try:
        with quiet():
            images = _images(source, settings or LoadSettings(), rules, account)
    except MemoryError:
        images = []
        message = (
            "the study does not fit into the memory of this machine; lower the limit on voxels or use a larger one"
        )
        account.refuse(LimitError(message), source.files)
    files = account.dispositions()
    refusals = account.refusals
    if not images:
        nothing = NotAStudyError("no file of the study is an image; DICOM and NIfTI images are read")
        error = account.decisive_error() or nothing
        return Delivery(study=None, error=error, files=files, refusals=refusals)
    study = Study(images=tuple(images), files=files, findings=_study_findings(source, files), refusals=refusals)
    return Delivery(study=study, error=None, files=files, refusals=refusals)


def load_source(source: StudySource, settings: LoadSettings | None = None) -> Study:
    """Return the study of `source`.

    Raises
    ------
    LoadError
        No image can be delivered; the type says why.
    """
    delivery = deliver(source, settings)
    if delivery.study is None:
        raise delivery.error or NotAStudyError("the study holds no image")
    return delivery.study


def load_study(path: Path | str, **settings: Any) -> Study:
    """Return the one study in a file or folder.

    Parameters
    ----------
    path : Path or str
        A DICOM or NIfTI file, or a folder with the files of one study.
    **settings
        Fields of `LoadSettings`.

    Raises
    ------
    SeveralStudiesError
        There is more than one study.
    LoadError
        No image can be delivered; the type says why.
    """
    chosen = LoadSettings(**settings)
    sources = find_studies([Path(path)])
    studies = [source for source in sources if source.kind != "unknown"]
    if len(studies) > 1:
        raise SeveralStudiesError(
            f"one study was expected, found {len(studies)}; name one of them, or list them with find_studies"
        )
    return load_source((studies or sources)[0], chosen)


def _images(source: StudySource, settings: LoadSettings, rules: SelectRules | None, account: Account) -> list[Image]:
    """Return the images of a study, largest first."""
    if source.kind == "nifti":
        return _nifti_images(source, settings, rules, account)
    # files of no study may still be damaged DICOM, which is said file by file; sorting is stable, and the order of the
    # plans is that of UIDs, not of file names
    plans = sorted(plan_dicom(source.files, settings, account), key=lambda plan: -math.prod(plan.shape))
    if rules is not None and plans:
        plans = _chosen(plans, rules, account)
    return decode_plans(plans, settings, account)


def _chosen(plans: Sequence[Plan], rules: SelectRules, account: Account) -> list[Plan]:
    try:
        chosen = plans[choose(plans, rules)]
    except SeriesChoiceError as error:
        account.refuse(error, list(dict.fromkeys(header.path for plan in plans for header in plan.headers)))
        return []
    kept = {header.path for header in chosen.headers}
    others = (header.path for plan in plans for header in plan.headers if header.path not in kept)
    account.settle(others, Disposition.OTHER_SERIES, "another image of the study was chosen by the rules")
    return [chosen]


def _nifti_images(
    source: StudySource, settings: LoadSettings, rules: SelectRules | None, account: Account
) -> list[Image]:
    try:
        image = read_nifti(source.files, settings)
        if rules is not None:
            choose([image], rules)
    except LoadError as error:
        account.refuse(error, source.files)
        return []
    account.settle(source.files, Disposition.USED)
    return [image]


def _study_findings(source: StudySource, files: tuple[FileDisposition, ...]) -> tuple[Finding, ...]:
    """Return what the study has to say beside its images: files that should have been images and are not."""
    found = []
    left = sum(one.disposition in {Disposition.REFUSED, Disposition.UNREADABLE} for one in files)
    if left:
        message = f"{left} of {len(files)} files of the study were refused; see the reasons beside the dispositions."
        found.append(noted(LEFT_OUT_IMAGES, Outcome.NOTE, message, value=float(left), limit=0.0, unit="files"))
    if source.absent:
        message = f"The DICOMDIR lists {source.absent} further images of this study that are not there."
        found.append(noted(LEFT_OUT_IMAGES, Outcome.FLAG, message, value=float(source.absent), limit=0.0, unit="files"))
    return tuple(found)
