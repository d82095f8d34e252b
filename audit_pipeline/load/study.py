"""Deliver: one study source in, the study or the reason against it out, with a disposition for every file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_pipeline.errors import LimitError, LoadError, NotAStudyError, SeveralStudiesError
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_study import read_dicom
from audit_pipeline.load.discover import StudySource, find_studies
from audit_pipeline.load.guard import quiet
from audit_pipeline.load.nifti import read_nifti
from audit_pipeline.load.notes import LEFT_OUT_IMAGES, noted
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Disposition, FileDisposition, Finding, Image, Outcome, Refusal, Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What came of a study: exactly one of `study` and `error`, and always one disposition per file."""

    study: Study | None
    error: LoadError | None
    files: tuple[FileDisposition, ...]
    refusals: tuple[Refusal, ...]


def deliver(source: StudySource, settings: LoadSettings | None = None) -> Delivery:
    """Return what `source` delivers; a refusal is returned and never raised."""
    account = Account(source.files)
    try:
        with quiet():
            images = _images(source, settings or LoadSettings(), account)
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
    study = Study(
        # sorting is stable, and the order of the reader is that of UIDs, not of file names
        images=tuple(sorted(images, key=lambda image: -math.prod(image.shape))),
        files=files,
        findings=_study_findings(files),
        refusals=refusals,
    )
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


def _images(source: StudySource, settings: LoadSettings, account: Account) -> list[Image]:
    if source.kind != "nifti":
        # files of no study may still be damaged DICOM, which is said file by file
        return read_dicom(source.files, settings, account)
    try:
        image = read_nifti(source.files, settings)
    except LoadError as error:
        account.refuse(error, source.files)
        return []
    account.settle(source.files, Disposition.USED)
    return [image]


def _study_findings(files: tuple[FileDisposition, ...]) -> tuple[Finding, ...]:
    """Return what the study has to say beside its images: files that should have been images and are not."""
    left = sum(one.disposition in {Disposition.REFUSED, Disposition.UNREADABLE} for one in files)
    if not left:
        return ()
    message = f"{left} of {len(files)} files of the study were refused; see the reasons beside the dispositions."
    return (noted(LEFT_OUT_IMAGES, Outcome.NOTE, message, value=float(left), limit=0.0, unit="files"),)
