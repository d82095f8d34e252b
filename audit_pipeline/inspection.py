"""What ``inspect`` shows: how every file and image under a path would be taken, without running a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_pipeline.geometry import axis_codes
from audit_pipeline.load import Delivery, StudySource, deliver, find_studies
from audit_pipeline.records import Disposition, Finding, Image

SHOWN_FILES = 20
"""Files that were not used are listed up to this number; ``--json`` lists all."""


def inspect_path(path: Path) -> dict[str, Any]:
    """Return every study under `path` as plain data: files with dispositions, images with geometry, refusals.

    Raises
    ------
    NotAStudyError
        There is nothing at the path.
    """
    sources = find_studies([path])
    return {
        "studies": [_study(source, deliver(source)) for source in sources if not source.is_clutter],
        "other_files": [str(file) for source in sources if source.is_clutter for file in source.files],
    }


def _study(source: StudySource, delivery: Delivery) -> dict[str, Any]:
    study = delivery.study
    return {
        "name": source.name,
        "kind": source.kind,
        "files": [
            {"path": str(file.path), "disposition": str(file.disposition), "reason": file.reason}
            for file in delivery.files
        ],
        "dispositions": dict(sorted(Counter(str(file.disposition) for file in delivery.files).items())),
        "images": [_image(image) for image in study.images] if study else [],
        "findings": [_finding(finding) for finding in study.findings] if study else [],
        "refusals": [
            {"code": one.code, "message": one.message, "files": [str(path) for path in one.files]}
            for one in delivery.refusals
        ],
        "error": None if delivery.error is None else {"code": delivery.error.code, "message": str(delivery.error)},
    }


def _image(image: Image) -> dict[str, Any]:
    stack = image.stack
    return {
        "shape": list(image.shape),
        "colour": image.is_colour,
        "spacing_mm": list(image.spacing_mm),
        "orientation": axis_codes(image.affine) if image.affine is not None and len(image.shape) == 3 else None,
        "affine": None if image.affine is None else image.affine.tolist(),
        "modality": image.modality,
        "unit": image.unit,
        "range": [float(image.values.min()), float(image.values.max())],
        "stack": None if stack is None else {name: getattr(stack, name) for name in stack.__slots__},
        "metadata": dict(image.metadata),
        "findings": [_finding(finding) for finding in image.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "outcome": str(finding.outcome),
        "value": finding.value,
        "unit": finding.unit,
        "message": finding.message,
        "advice": finding.advice,
    }


def inspection_text(found: Mapping[str, Any]) -> str:
    """Return the same facts for a person at a terminal."""
    studies: Sequence[Mapping[str, Any]] = found["studies"]
    lines = [line for study in studies for line in _lines(study)]
    refused = sum(study["error"] is not None for study in studies)
    files = sum(len(study["files"]) for study in studies)
    others = len(found["other_files"])
    lines += [f"{_counted(others, 'other file')} (text): no image", ""] if others else []
    lines.append(
        f"{len(studies)} {'study' if len(studies) == 1 else 'studies'} in {_counted(files, 'file')}: "
        f"{len(studies) - refused} can be delivered, {refused} refused"
    )
    return "\n".join(lines)


def _lines(study: Mapping[str, Any]) -> Iterator[str]:
    counts = ", ".join(f"{number} {name}" for name, number in study["dispositions"].items())
    yield f"{study['name']}  [{study['kind']}, {_counted(len(study['files']), 'file')}: {counts}]"
    for image in study["images"]:
        yield f"  image {_size(image['shape'])}  {_spacing(image)}  {_describe(image)}"
        yield from _finding_lines(image["findings"])
    yield from _finding_lines(study["findings"])
    if study["error"]:
        yield f"  refused  {study['error']['code']}: {study['error']['message']}"
    already = study["error"]["message"] if study["error"] else None
    for refusal in study["refusals"]:
        if refusal["message"] != already:
            yield f"  left out  {refusal['code']}: {refusal['message']}"
    yield from _file_lines([file for file in study["files"] if already is None or already not in file["reason"]])
    yield ""


def _finding_lines(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for finding in findings:
        yield f"  {finding['outcome']}  {finding['code']} {finding['message']}"


def _file_lines(files: Sequence[Mapping[str, str]]) -> Iterator[str]:
    unused = [file for file in files if file["disposition"] != Disposition.USED and file["reason"]]
    for file in unused[:SHOWN_FILES]:
        yield f"    {file['disposition']}  {Path(file['path']).name}: {file['reason']}"
    if len(unused) > SHOWN_FILES:
        yield f"    and {len(unused) - SHOWN_FILES} more; --json lists all"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape)


def _spacing(image: Mapping[str, Any]) -> str:
    sides = image["spacing_mm"]
    return "spacing unknown" if None in sides else " x ".join(f"{side:.4g}" for side in sides) + " mm"


def _describe(image: Mapping[str, Any]) -> str:
    low, high = image["range"]
    parts = [
        image["modality"] or "no modality",
        f"axes {image['orientation']}" if image["orientation"] else "",
        f"{low:g} to {high:g} {image['unit']}",
        "colour" if image["colour"] else "",
    ]
    if image["stack"]:
        parts.append(f"slices off the line by at most {image['stack']['residual_mm']:.3g} mm")
    return ", ".join(part for part in parts if part)
