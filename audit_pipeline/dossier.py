"""From the stages' records to what is kept: facts without voxels, and the files of a study folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from audit_pipeline.disclosure import disclosed
from audit_pipeline.explain.place import on_source
from audit_pipeline.explain.views import slice_mass
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import axis_codes
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.records import Explanation, Image, Prediction, Prepared
from audit_pipeline.store.files import sha256
from audit_pipeline.study_record import ExplanationFacts, ImageFacts, PredictionFacts, StudyRecord

SHARE_DECIMALS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Dossier:
    """One study, finished: its record and its files (path in the folder -> content)."""

    record: StudyRecord
    files: Mapping[str, bytes] = field(default_factory=dict)


def image_facts(image: Image, prepared: Prepared | None) -> ImageFacts:
    """Return what is kept of the image, and of the model input when it was made."""
    facts = ImageFacts(
        shape=image.shape,
        spacing_mm=image.spacing_mm,
        affine=None if image.affine is None else tuple(tuple(float(v) for v in row) for row in image.affine),
        orientation="" if image.affine is None or len(image.shape) < 3 else axis_codes(image.affine),
        modality=image.modality,
        unit=image.unit,
        format=image.format,
        source_digests=image.sources,
        metadata=disclosed(image.metadata),
        stack=image.stack,
        invalid_share=0.0 if image.invalid is None else float(image.invalid.mean()),
    )
    if prepared is None:
        return facts
    return replace(
        facts,
        input_shape=tuple(prepared.values.shape),
        input_spacing_mm=prepared.spacing_mm,
        input_digest=sha256(prepared.values.tobytes()),
        padding_share=float(1 - prepared.inside.mean()),
        steps=prepared.steps,
        window=prepared.display_window,
    )


def prediction_facts(prediction: Prediction) -> PredictionFacts:
    """Return the prediction by class name."""
    return PredictionFacts(
        task=str(prediction.task),
        logits=dict(zip(prediction.classes, prediction.logits, strict=True)),
        probabilities=dict(zip(prediction.classes, prediction.probabilities, strict=True)),
        predicted=prediction.predicted,
        thresholds=dict(prediction.thresholds),
        device=prediction.device,
        precision=prediction.precision,
        parts=prediction.parts,
    )


def map_files(explanations: Sequence[Explanation], image: Image) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Return, per method and target, the name in the study folder and the NIfTI file of the map."""
    files: dict[tuple[str, int], tuple[str, bytes]] = {}
    names = {(one.target, _slug(one.target_name)) for one in explanations}
    slugs = [slug for _, slug in names]
    for one in explanations:
        values, affine = on_source(one, image.shape, image.affine)
        factors = [full / few for full, few in zip(image.shape, values.shape, strict=True)]
        spacing = [None if side is None else side * f for side, f in zip(image.spacing_mm, factors, strict=True)]
        slug = _slug(one.target_name)
        unique = slug if slugs.count(slug) == 1 else f"{slug}-{one.target}"
        name = f"maps/{one.method}-{unique}.nii.gz"
        files[one.method, one.target] = (name, nifti_bytes(values, affine, spacing))
    return files


def explanation_facts(
    explanation: Explanation, name: str, content: bytes, checks: Mapping[str, Outcome], shape: Sequence[int] = ()
) -> ExplanationFacts:
    """Return one map without its values.

    checks : outcomes of the map checks on it; shape : of the source image, for the share of evidence in every slice
    """
    return ExplanationFacts(
        method=explanation.method,
        target=explanation.target,
        target_name=explanation.target_name,
        layer=explanation.layer,
        grid=explanation.grid,
        cell_mm=explanation.cell_mm,
        statistics=explanation.statistics,
        map=name,
        map_sha256=sha256(content),
        caution=explanation.caution,
        unit=explanation.unit,
        blank=explanation.blank_sentence,
        signal_floor=explanation.signal_floor,
        proofs=explanation.proofs,
        checks=dict(checks),
        slice_shares=_slice_shares(explanation, shape),
    )


def kept_explanations(
    explanations: Sequence[Explanation],
    files: Mapping[tuple[str, int], tuple[str, bytes]],
    judged: Mapping[tuple[str, int], Mapping[str, Outcome]],
    shape: Sequence[int],
) -> tuple[ExplanationFacts, ...]:
    """Return every map without its values.

    files : see `map_files`; judged : method and target -> outcomes of the map checks; shape : of the source image
    """
    keys = [(one.method, one.target) for one in explanations]
    return tuple(
        explanation_facts(one, *files[key], judged[key], shape) for key, one in zip(keys, explanations, strict=True)
    )


def _slice_shares(explanation: Explanation, shape: Sequence[int]) -> tuple[float, ...]:
    """Return the share of the positive evidence in every slice of a volume; nothing for 2D and for no evidence."""
    if len(shape) != 3:
        return ()
    mass = slice_mass(tuple(shape), explanation).astype(np.float64)
    total = float(mass.sum())
    return tuple(round(float(one) / total, SHARE_DECIMALS) for one in mass) if total > 0 else ()


def _slug(name: str) -> str:
    """Return a class name as part of a file name: ASCII letters, digits and dashes."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return plain.strip("-")[:40] or "class"
