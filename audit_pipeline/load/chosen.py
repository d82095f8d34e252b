"""What a configuration means for the load stage: its settings, and the candidates that its rules choose among."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from audit_pipeline.config import InputSection
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_study import plan_dicom
from audit_pipeline.load.discover import StudySource
from audit_pipeline.load.guard import quiet
from audit_pipeline.load.select import Candidate, requested_tags, validate_rules
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Study


def settings_from(section: InputSection, workers: Literal["auto"] | int = "auto") -> LoadSettings:
    """Return what the section ``input`` and ``run.workers`` ask of the loader; everything else keeps its default.

    Raises
    ------
    ConfigError
        A selection rule names a header field that does not exist, see `select.validate_rules`.
    """
    validate_rules(section.select)
    return LoadSettings(
        volume=section.volume,
        polarity=section.polarity,
        gaps=section.gaps,
        prefer_affine=section.prefer_affine,
        uneven=section.uneven,
        suv=section.suv,
        part=section.part,
        selector_tags=requested_tags(section.select),
        workers=None if workers == "auto" else workers,
    )


def candidates_of(source: StudySource, settings: LoadSettings, study: Study | None) -> Sequence[Candidate]:
    """Return the images that the rules of a run choose among, largest first.

    For DICOM these are the images before their pixels are decoded, so one with damaged pixels is among them.

    Parameters
    ----------
    study : what `source` delivers without rules; None when it delivers nothing
    """
    if source.kind == "nifti":
        return () if study is None else study.images
    with quiet():
        plans = plan_dicom(source.files, settings, Account(source.files))
    return sorted(plans, key=lambda plan: -math.prod(plan.shape))
