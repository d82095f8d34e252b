"""The facts as lines of text that do not depend on any terminal: for files, pipes and other programs' logs."""

from __future__ import annotations

from collections.abc import Iterator

from audit_pipeline.inspection import wording
from audit_pipeline.inspection.wording import Facts


def inspection_text(found: Facts) -> str:
    """Return one fact a line, studies in order, a blank line after each, and the totals last."""
    return "\n".join([*_head(found), *(line for study in found["studies"] for line in _lines(study)), *_foot(found)])


def _head(found: Facts) -> Iterator[str]:
    rules = wording.rules(found)
    if rules is not None:
        yield f"rules  {rules}"
        yield ""


def _lines(study: Facts) -> Iterator[str]:
    count = wording.counted(len(study["files"]), "file")
    yield f"{wording.plain(study['name'])}  [{study['kind']}, {count}: {wording.summed(study['dispositions'])}]"
    for number, image in enumerate(study["images"], 1):
        yield f"  image {number}  {_described(image)}"
    for label, sentence in wording.sentences(study):
        yield f"  {label}  {sentence}"
    yield ""


def _described(image: Facts) -> str:
    spacing = wording.spacing(image)
    parts = [
        wording.plain(image["modality"] or "no modality"),
        wording.size(image),
        "spacing unknown" if spacing == "unknown" else f"{spacing} mm",
        wording.plane(image) + (f", axes {image['orientation']}" if image["orientation"] else ""),
        wording.value_range(image),
        ", ".join(wording.stack(image)),
    ]
    return "  ".join(part for part in parts if part)


def _foot(found: Facts) -> Iterator[str]:
    for code, title, advice in wording.advice(found):
        yield f"advice  {code} {title}: {advice}"
    for label, sentence in wording.foot(found):
        yield f"{label}  {sentence}"
    yield from wording.totals(found)
