"""Whether the slices make a volume at a known place: gaps (A01), unknown position (A04)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Image, StackFacts
from audit_pipeline.wording import counted, listed, percent, shown

TOMOGRAPHIC = frozenset({"CT", "MR", "PT", "NM", ""})
"""Modalities whose single slices have a place in the patient; "" is NIfTI, which always stores one."""


ROUNDING = 1e-9
"""A share of the slice step that only the arithmetic makes."""


@check(
    "A01",
    title="Missing or uneven slices",
    family="A",
    sentence="Slices are missing or unevenly spaced, so the volume is not the anatomy it seems.",
    severity=(4, 3, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.2.1.1, Image Position (Patient)",
    advice="Request the complete series and load it again.",
)
def slice_gaps(evidence: Evidence, *, note_deviation: float = 0.01, flag_ratio: float = 1.5) -> Result:
    """Compare every gap between slices with the median gap.

    A note when a gap or a slice's distance from the fitted line deviates by more than `note_deviation` of the slice
    step; flagged from `flag_ratio` times the median gap on, below its inverse, or when slices were filled in.
    """
    image = evidence.image
    if len(image.spacing_mm) == 2:
        return not_evaluable("A single image has no gaps between slices.")
    filled = _filled_slices(image)
    if filled:
        text = f"{counted(len(filled), 'slice')} of {image.shape[0]} without any measured value: {listed(filled)}."
        return Result(Outcome.FLAG, text, value=len(filled), limit=0, unit="slices", slices=filled)
    if image.stack is None:
        stores = "NIfTI stores one spacing" if image.format == "nifti" else "The slice positions were not measured"
        return not_evaluable(f"{stores}; gaps cannot be seen.")
    return _unevenness(image.stack, note_deviation, flag_ratio)


def _filled_slices(image: Image) -> tuple[int, ...]:
    if image.invalid is None:
        return ()
    return tuple(int(index) for index in np.flatnonzero(image.invalid.all(axis=(1, 2))))


def _unevenness(stack: StackFacts, note_deviation: float, flag_ratio: float) -> Result:
    largest, smallest = stack.largest_gap_ratio, stack.smallest_gap_ratio
    line = stack.residual_mm / stack.step_mm if stack.step_mm > 0 else 0.0
    deviation = max(largest - 1, 1 - smallest, line)
    deviation = deviation if deviation > ROUNDING else 0.0
    gaps = f"gaps between {stack.slices} slices range from {shown(smallest)} to {shown(largest)} times the median gap"
    if largest >= flag_ratio or smallest <= 1 / flag_ratio:
        text = f"The {gaps} (limit {shown(flag_ratio)})."
        return Result(Outcome.FLAG, text, value=largest, limit=flag_ratio, unit="times the median gap")
    outcome = Outcome.NOTE if deviation > note_deviation else Outcome.PASS
    text = (
        f"The {gaps}, and positions deviate from an even grid by {percent(deviation)} of the step of "
        f"{shown(stack.step_mm)} mm (limit {percent(note_deviation)})."
    )
    return Result(outcome, text, value=deviation, limit=note_deviation, unit="share of the slice step")


@check(
    "A04",
    title="Unknown position",
    family="A",
    sentence="It is not known where the voxels lie in the patient, so sides, sizes and places cannot be trusted.",
    severity=(5, 3, 5),
    provenance="std",
    reference="DICOM PS3.3 C.7.6.2; NIfTI-1 qform_code and sform_code",
    advice="Stop and export the study again with its geometry.",
)
def unknown_affine(evidence: Evidence) -> Result:
    """Find images without a usable affine: critical for a volume, flagged for a single tomographic slice.

    A projection image needs no position in the patient; without calibrated spacing it gets a note, because no length
    can be given in mm.
    """
    image = evidence.image
    if image.affine is not None and _is_usable(image):
        return Result(Outcome.PASS, "The position of every voxel in the patient is known.")
    if image.affine is not None:
        return Result(Outcome.CRITICAL, "The affine is not finite or folds an axis away; no position can be trusted.")
    if len(image.spacing_mm) == 3:
        return Result(Outcome.CRITICAL, "The volume has no known position and orientation in the patient.")
    if image.modality in TOMOGRAPHIC:
        return Result(Outcome.FLAG, "The slice has no known position and orientation in the patient.")
    if None in image.spacing_mm:
        return Result(Outcome.NOTE, "The projection image has no calibrated spacing; lengths are in pixels.")
    return Result(Outcome.PASS, "A projection image needs no position in the patient, and its spacing is known.")


def _is_usable(image: Image) -> bool:
    affine = np.asarray(image.affine)
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or lengths.min() == 0:
        return False
    return bool(abs(np.linalg.det(columns / lengths)) > 1e-3)
