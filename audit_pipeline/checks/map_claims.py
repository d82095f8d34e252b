"""What a reader takes from the map: where the finding is (D23), how small it may be (D24), on which side (D25)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.map_location import widened
from audit_pipeline.checks.map_measures import enrichment, mass
from audit_pipeline.checks.masks import otsu
from audit_pipeline.checks.per_map import judge_maps, top_explanations
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation, Mask, Matrix
from audit_pipeline.wording import percent, shown

SIDES = {"left": 1.0, "right": -1.0}
"""Sign of a side along x of LPS+, which grows to the patient's left."""


@check(
    "D23",
    title="Misses the reference",
    family="D",
    sentence="The map does not point to the finding that a reader marked.",
    severity=(4, 4, 3),
    provenance="dom",
    reference="Saporta 2022 (doi:10.1038/s42256-022-00536-x); Arun 2021 (doi:10.1148/ryai.2021200267)",
    advice="Ask whether the model is right for the wrong reason.",
    direction="below",
)
def misses_reference(evidence: Evidence, *, enrichment_limit: float = 1.0, overlap_limit: float = 0.10) -> Result:
    """Compare the maps of the labelled class with the mask of a reader.

    Flagged when the peak lies farther than one cell of the map's grid from the mask, or the mask holds less evidence
    than its size; a note when only the overlap (intersection over union, at Otsu's threshold) is below `overlap_limit`,
    as it must be for findings smaller than a cell. The value is the enrichment of the mask, widened by half a cell.
    """
    reference = evidence.reference_mask
    if reference is None or not reference.any():
        return not_evaluable(evidence.mask_reason or "No reader marked the finding.")
    maps = labelled_maps(evidence)

    def judge(explanation: Explanation) -> Result:
        masses = mass(explanation)
        near = widened(widened(reference, explanation.grid), explanation.grid)
        found = enrichment(masses, widened(reference, explanation.grid)) or 0.0
        is_hit = bool(near.ravel()[int(masses.argmax())])
        overlap = otsu_overlap(masses, reference)
        text = (
            f"the peak lies {'on' if is_hit else 'outside'} the marked finding, which holds {shown(found)} times the "
            f"evidence of an even map (limit {shown(enrichment_limit)}) and overlaps by {shown(overlap)} (limit "
            f"{shown(overlap_limit)})."
        )
        is_missed = not is_hit or found < enrichment_limit
        outcome = Outcome.FLAG if is_missed else Outcome.NOTE if overlap < overlap_limit else Outcome.PASS
        return Result(outcome, text, value=found, limit=enrichment_limit, unit="times an even map")

    return judge_maps(evidence, judge, maps=maps, is_below=True)


def labelled_maps(evidence: Evidence) -> tuple[Explanation, ...]:
    """Return the maps of the class that the label names, or of the top class where the label names none.

    Raises
    ------
    Unanswered
        The label names a class of the model that was not explained.
    """
    if evidence.label not in evidence.prediction.classes:
        return top_explanations(evidence)
    maps = tuple(one for one in evidence.explanations if one.target_name == evidence.label)
    if not maps:
        raise Unanswered(f"The marked finding is {evidence.label}, and this class was not explained.")
    return maps


def otsu_overlap(masses: Matrix, reference: Mask) -> float:
    """Return the intersection over union of a mask and the map above Otsu's threshold."""
    scaled = masses / masses.max()
    chosen = scaled > otsu(scaled.ravel())
    union = float((chosen | reference).sum())
    return float((chosen & reference).sum()) / union if union else 0.0


@check(
    "D24",
    title="Grid too coarse for the target",
    family="D",
    sentence="One cell of the map is larger than twice the smallest thing the model is meant to find.",
    severity=(3, 5, 5),
    provenance="std",
    reference="The map cannot place anything more finely than one cell of its grid",
    advice="Do not claim a place smaller than a cell; explain a finer layer.",
)
def coarse_grid(evidence: Evidence, *, cells: float = 2.0) -> Result:
    """Note maps with an edge of a cell longer than `cells` times the smallest target of the model card."""
    target = evidence.intended.target_mm
    maps = top_explanations(evidence)
    if target is None:
        return not_evaluable("The model card leaves allowed.target_mm open, the smallest target of the model.")
    if not maps:
        return not_evaluable("There is no map to judge.")
    known = [edge for one in maps for edge in one.cell_mm if edge is not None]
    if not known:
        return not_evaluable("The size of a cell in the patient is not known.")
    longest = max(known)
    text = f"A cell of the map is {shown(longest)} mm long, and the smallest target {shown(target)} mm "
    text += f"(limit {shown(cells * target)} mm)."
    outcome = Outcome.NOTE if longest > cells * target else Outcome.PASS
    return Result(outcome, text, value=longest, limit=cells * target, unit="mm")


@check(
    "D25",
    title="Evidence on the wrong side",
    family="D",
    sentence="The class names one side of the patient, and the evidence lies on the other.",
    severity=(5, 2, 4),
    provenance="dom",
    reference="Laterality index about the middle of the body, DICOM PS3.3, C.7.6.2.1.1 and C.7.6.1.1.1",
    advice="Check the orientation of the image first (A05), then the display of the map.",
    direction="below",
)
def wrong_side(evidence: Evidence, *, limit: float = -0.20) -> Result:
    """Measure ``(L - R) / (L + R)`` of the evidence about the middle of the body, positive on the side of the class.

    Left and right are those of the patient. Below `limit` the evidence lies clearly on the wrong side.
    """
    maps = top_explanations(evidence)
    if not maps:
        return not_evaluable("There is no map to judge.")
    side = evidence.intended.sides.get(maps[0].target_name)
    if side not in SIDES:
        return not_evaluable(f"The model card names no side for {maps[0].target_name}.")
    if evidence.body is None:
        return not_evaluable("The body was not found, so it has no middle.")
    leftward = towards_left(evidence)
    low, high = np.percentile(leftward[evidence.body], (1, 99))
    middle = (low + high) / 2

    def judge(explanation: Explanation) -> Result:
        masses = mass(explanation)
        left, right = float(masses[leftward > middle].sum()), float(masses[leftward < middle].sum())
        value = SIDES[side] * (left - right) / max(left + right, 1e-12)
        text = (
            f"{percent(left)} of the evidence lies left and {percent(right)} right of the middle of the body, and the "
            f"class is one of the {side} side (index {shown(value)}, limit {shown(limit)})."
        )
        outcome = Outcome.FLAG if value < limit else Outcome.PASS
        return Result(outcome, text, value=value, limit=limit, unit="laterality index")

    return judge_maps(evidence, judge, is_below=True)


def towards_left(evidence: Evidence) -> Matrix:
    """Return for every voxel of the model input how far it lies to the patient's left, in mm or source pixels.

    From the affine; for an image without one from Patient Orientation, whose two values name where the columns and
    the rows lead.

    Raises
    ------
    Unanswered
        Neither says where left is.
    """
    shape = evidence.prepared.inside.shape
    slope, affine = np.zeros(len(shape)), evidence.prepared.affine
    if affine is not None:
        slope = affine[0, : len(shape)].astype(np.float64)
    elif len(shape) == 2:
        stated = str(evidence.image.metadata.get("PatientOrientation") or "").split("\\")
        signs = [1.0 if part[:1] == "L" else -1.0 if part[:1] == "R" else 0.0 for part in stated]
        if len(signs) == 2:
            slope = np.asarray([signs[1], signs[0]]) @ evidence.prepared.to_source[:2, :2]
    if not np.abs(slope).any():
        raise Unanswered("The image does not say which side of it is the patient's left.")
    return np.asarray(np.tensordot(slope, np.indices(shape, dtype=np.float64), axes=1))
