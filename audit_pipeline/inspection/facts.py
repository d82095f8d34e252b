"""The facts: every study under the paths as plain data, one study in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from audit_pipeline.config import InputSection
from audit_pipeline.errors import SeriesChoiceError
from audit_pipeline.findings import Finding
from audit_pipeline.geometry import axis_codes
from audit_pipeline.inspection.wording import plain
from audit_pipeline.load import Delivery, LoadSettings, StudySource, deliver, find_studies
from audit_pipeline.load.candidate import plane_of
from audit_pipeline.load.chosen import candidates_of, settings_from
from audit_pipeline.load.select import Candidate, choose, described, reasons, rules_in_words
from audit_pipeline.load.separation import telling_fields
from audit_pipeline.records import Disposition, Image, Study
from audit_pipeline.selection import SelectRules

Facts = Mapping[str, Any]
OnProgress = Callable[[int, int, str], None]


def inspect_paths(
    paths: Sequence[Path],
    *,
    section: InputSection | None = None,
    workers: Literal["auto"] | int = "auto",
    explain: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Return every study below `paths`: files with dispositions, images with geometry, findings, refusals, totals.

    Parameters
    ----------
    section : the section ``input`` of a configuration; its paths and labels are not used
    workers : ``run.workers``
    explain : whether the rules of the section choose among the images of each study, with reasons
    on_progress : called after every study with how many are done, how many there are, and a sentence

    Raises
    ------
    ConfigError
        The rules ask for what does not exist.
    LoadError
        There is nothing at a path, or it cannot be searched.
    """
    given = section or InputSection()
    settings = settings_from(given, workers)
    sources = find_studies(paths)
    claiming = [source for source in sources if not source.is_clutter]
    studies: list[dict[str, Any]] = []
    for source in claiming:
        studies.append(_study(source, settings, given.select if explain else None))
        if on_progress:
            on_progress(len(studies), len(claiming), plain(_ended(studies[-1])))
    others = [str(file) for source in sources if source.is_clutter for file in source.files]
    return {"studies": studies, "other_files": others, "totals": _totals(studies, others)}


def is_complete(found: Facts) -> bool:
    """Whether every study can be delivered and, when rules were applied, exactly one image of it fits them."""
    return all(study["error"] is None and _choice_error(study) is None for study in found["studies"])


def _choice_error(study: Facts) -> Facts | None:
    return study["selection"]["error"] if "selection" in study else None


def _ended(study: Facts) -> str:
    error = study["error"] or _choice_error(study)
    if error:
        return f"{study['name']} refused: {error['code']}"
    count = len(study["images"])
    return f"{study['name']} {count} {'image' if count == 1 else 'images'}"


def _totals(studies: Sequence[Facts], others: Sequence[str]) -> dict[str, Any]:
    dispositions: Counter[str] = Counter()
    for study in studies:
        dispositions.update(study["dispositions"])
    refused = sum(study["error"] is not None for study in studies)
    return {
        "studies": len(studies),
        "delivered": len(studies) - refused,
        "refused": refused,
        "undecided": sum(study["error"] is None and _choice_error(study) is not None for study in studies),
        "images": sum(len(study["images"]) for study in studies),
        "files": sum(dispositions.values()) + len(others),
        "dispositions": dict(sorted(dispositions.items())),
        "other_files": len(others),
    }


def _study(source: StudySource, settings: LoadSettings, rules: SelectRules | None) -> dict[str, Any]:
    try:
        delivery = deliver(source, settings)
        facts = _delivered(source, delivery)
        if rules is not None:
            facts["selection"] = _selection(candidates_of(source, settings, delivery.study), delivery.study, rules)
    except Exception as error:  # noqa: BLE001 - one study that breaks a reader must not end the list
        return _broken(source, error)
    return facts


def _delivered(source: StudySource, delivery: Delivery) -> dict[str, Any]:
    study = delivery.study
    return {
        "name": source.name,
        "kind": source.kind,
        "files": [
            {"path": str(file.path), "disposition": str(file.disposition), "reason": file.reason}
            for file in delivery.files
        ],
        "dispositions": dict(sorted(Counter(str(file.disposition) for file in delivery.files).items())),
        "images": _images(study) if study else [],
        "findings": [_finding(finding) for finding in study.findings] if study else [],
        "refusals": [
            {"code": one.code, "message": one.message, "files": [str(path) for path in one.files]}
            for one in delivery.refusals
        ],
        "error": None if delivery.error is None else {"code": delivery.error.code, "message": str(delivery.error)},
    }


def _broken(source: StudySource, error: Exception) -> dict[str, Any]:
    """Return a study that broke the reader; the text of the exception may quote the file and is left out."""
    code = type(error).__name__
    message = f"an unexpected {code} while the study was read; report it, and leave the study out meanwhile"
    files = [{"path": str(file), "disposition": str(Disposition.REFUSED), "reason": message} for file in source.files]
    return {
        "name": source.name,
        "kind": source.kind,
        "files": files,
        "dispositions": {str(Disposition.REFUSED): len(files)},
        "images": [],
        "findings": [],
        "refusals": [],
        "error": {"code": code, "message": message},
    }


def _images(study: Study) -> list[dict[str, Any]]:
    telling = telling_fields(study.images)
    return [_image(image, told) for image, told in zip(study.images, telling, strict=True)]


def _image(image: Image, told: Mapping[str, str]) -> dict[str, Any]:
    stack = image.stack
    return {
        "shape": list(image.shape),
        "colour": image.is_colour,
        "spacing_mm": list(image.spacing_mm),
        "orientation": axis_codes(image.affine) if image.affine is not None and len(image.shape) == 3 else None,
        "plane": plane_of(image),
        "affine": None if image.affine is None else image.affine.tolist(),
        "modality": image.modality,
        "unit": image.unit,
        "range": [float(image.values.min()), float(image.values.max())],
        "invalid_share": 0.0 if image.invalid is None else float(image.invalid.mean()),
        "stack": None if stack is None else {name: getattr(stack, name) for name in stack.__slots__},
        "metadata": dict(image.metadata),
        "told_by": dict(told),
        "findings": [_finding(finding) for finding in image.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "title": finding.title,
        "outcome": str(finding.outcome),
        "value": finding.value,
        "limit": finding.limit,
        "unit": finding.unit,
        "message": finding.message,
        "advice": finding.advice,
    }


def _selection(candidates: Sequence[Candidate], study: Study | None, rules: SelectRules) -> dict[str, Any]:
    against = reasons(candidates, rules)
    chosen, error = None, None
    if candidates:
        try:
            chosen = choose(candidates, rules)
        except SeriesChoiceError as refusal:
            error = {"code": refusal.code, "message": str(refusal)}
    return {
        "rules": list(rules_in_words(rules)),
        "candidates": [
            {
                "description": described(candidate),
                "plane": plane_of(candidate),
                "spacing_mm": list(candidate.spacing_mm),
                "told_by": told,
                "image": _delivered_as(candidate, study),
                "reason": reason,
            }
            for candidate, told, reason in zip(candidates, telling_fields(candidates), against, strict=True)
        ],
        "chosen": chosen,
        "error": error,
    }


def _delivered_as(candidate: Candidate, study: Study | None) -> int | None:
    """Return the number of the image that a candidate became; None when it was refused or cannot be told apart."""
    images = study.images if study else ()
    same = [number for number, image in enumerate(images) if image is candidate or _is_same(candidate, image)]
    return same[0] if len(same) == 1 else None


def _is_same(candidate: Candidate, image: Image) -> bool:
    if (candidate.modality, candidate.shape) != (image.modality, image.shape):
        return False
    if candidate.affine is None or image.affine is None:
        is_placed_alike = candidate.affine is image.affine
    else:
        is_placed_alike = np.array_equal(candidate.affine, image.affine)
    return is_placed_alike and all(image.metadata.get(name) == value for name, value in candidate.metadata.items())
