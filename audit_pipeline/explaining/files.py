"""What is written: maps for viewers, pictures through the peak of each map, the document of facts, and a page of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_pipeline.blanking import blanked
from audit_pipeline.dossier import explanation_facts
from audit_pipeline.errors import StoreError
from audit_pipeline.explain.views import panels
from audit_pipeline.explaining.plain import explanation_blocks
from audit_pipeline.records import Explanation, Image, Status
from audit_pipeline.report import Explained, ReportContext, Subject, overlay_pictures, render_explanation_html
from audit_pipeline.store.files import json_bytes, write_atomically
from audit_pipeline.study_record import ImageFacts, ModelFacts, PredictionFacts, StudyRecord

DOCUMENT, PAGE = "explanation.json", "explanation.html"

Facts = dict[str, Any]
Key = tuple[str, int]


def described(
    image: ImageFacts,
    prediction: PredictionFacts,
    model: ModelFacts,
    explanations: Sequence[Explanation],
    files: Mapping[Key, tuple[str, bytes]],
) -> StudyRecord:
    """Return the record that the pictures are drawn from; no check has judged its maps."""
    return StudyRecord(
        study="",
        status=Status.AUDITED,
        model=model,
        image=image,
        prediction=prediction,
        explanations=tuple(explanation_facts(one, *files[one.method, one.target], {}) for one in explanations),
    )


def pictures(
    record: StudyRecord, image: Image, explanations: Sequence[Explanation], context: ReportContext
) -> tuple[dict[Key, list[str]], dict[str, bytes]]:
    """Return, per map, the names of its pictures, and the pictures: the planes through its own peak, or the 2D image.

    The colours of a method are on one scale over all its targets. Text in the pixels is blanked.
    """
    names: dict[Key, list[str]] = {}
    files: dict[str, bytes] = {}
    low, high = (record.image.window if record.image else None) or (0.0, 0.0)
    for one in explanations:
        drawn = overlay_pictures(record, blanked(panels(image, [one]), image, (low + high) / 2), context)
        names[one.method, one.target] = list(drawn)
        files |= drawn
    return names, files


def save(found: Facts, files: Mapping[str, bytes], folder: Path) -> Facts:
    """Write the files, the document and the page, and return the document as plain data; unknown numbers are None.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    kept: Facts = json.loads(json.dumps(_finite(found), allow_nan=False))
    try:
        for name, content in {**files, PAGE: _page(kept, files), DOCUMENT: json_bytes(kept)}.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise StoreError(
            f"the output folder cannot be written: {error.strerror}; name another with --output"
        ) from error
    return kept


def _page(found: Facts, files: Mapping[str, bytes]) -> bytes:
    subjects = [
        Subject(title=one.title, heads=one.heads, rows=one.rows, notes=one.notes) for one in explanation_blocks(found)
    ]
    maps = [
        Explained(
            title=f"{one['method']} of {one['target_name']}",
            facts=one,
            pictures={name: files[name] for name in one["overlays"]},
        )
        for one in found["maps"]
    ]
    return render_explanation_html(f"One image explained: {found['model']['name']}", subjects, maps)


def _finite(content: Any) -> Any:
    """Return the content with None where a number is not finite, and lists where there were tuples."""
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
