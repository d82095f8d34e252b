"""What the evidence looks like: empty (D05), diffuse (D09), fragmented (D10), in one slice (D11)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.map_measures import (
    effective_count,
    half_peak_area,
    half_peak_parts,
    mass,
    neighbour_correlation,
    normalised_entropy,
    profile,
)
from audit_pipeline.checks.null_limits import limits_for
from audit_pipeline.checks.per_map import BADNESS, judge_maps, label, peak, top_explanations
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Explanation, Matrix
from audit_pipeline.wording import counted, percent, shown

MANY = 2.0
ALTERNATING = 3.0
"""Standard deviations below 0 of the correlation of neighbouring cells, in maps whose cells have nothing in common."""

_STILL_SHOWN = frozenset(("all negative", "saturated"))
"""Blank maps whose signed form still says something."""


@check(
    "D05",
    title="Empty map",
    family="D",
    sentence="The map holds no positive evidence, so there is nothing to show and nothing to judge.",
    severity=(4, 3, 4),
    provenance="dom",
    reference="Selvaraju 2017 (doi:10.1109/ICCV.2017.74), equation 2: the ReLU can leave nothing",
    advice="Show the signed map, or explain another class or layer; do not show this one as evidence.",
)
def empty_map(evidence: Evidence, *, floor: float = 0.0) -> Result:
    """Find maps whose positive part does not rise above the numerical floor of their layer, or `floor` if higher.

    A map that is not finite, zero everywhere or below the floor is critical: nothing of it can be shown. A map with
    negative evidence only is flagged: its signed form can still be shown.
    """
    results = [_emptiness(one, max(one.signal_floor, floor)) for one in top_explanations(evidence)]
    if not results:
        return not_evaluable("There is no map to judge.")
    return max(results, key=lambda result: BADNESS.index(result.outcome))


def _emptiness(explanation: Explanation, floor: float) -> Result:
    values, name = explanation.values, label(explanation)
    finite = np.isfinite(values)
    if not finite.all():
        bad = percent(1 - float(finite.mean()))
        return Result(Outcome.CRITICAL, f"{name}: {bad} of the map is not finite.", limit=floor, unit="logit")
    highest, strongest = peak(explanation), float(np.abs(values).max())
    limit = f"(numerical floor {shown(floor)} logit)"
    if explanation.blank:
        outcome = Outcome.FLAG if explanation.blank in _STILL_SHOWN else Outcome.CRITICAL
        return Result(outcome, f"{name}: {explanation.blank_sentence}", value=highest, limit=floor, unit="logit")
    if highest > floor:
        outcome, text = Outcome.PASS, f"the strongest evidence is {shown(highest)} logit {limit}."
    elif strongest == 0:
        outcome, text = Outcome.CRITICAL, f"the map is zero everywhere {limit}."
    elif strongest <= floor:
        outcome, text = Outcome.CRITICAL, f"the map stays within {shown(strongest)} logit of zero {limit}."
    else:
        text = f"the map holds only evidence against the class, down to {shown(float(values.min()))} logit {limit}."
        outcome = Outcome.FLAG
    return Result(outcome, f"{name}: {text}", value=highest, limit=floor, unit="logit")


@check(
    "D09",
    title="Diffuse map",
    family="D",
    sentence="The evidence is spread so evenly that the map points nowhere.",
    severity=(3, 4, 2),
    provenance="sim",
    reference="Simulated null of smooth random maps, see null_limits",
    advice="Do not localise from this map.",
    direction="above",
    version=2,
)
def diffuse_map(evidence: Evidence, *, slack: float = 1.0) -> Result:
    """Flag a map more even than 99 % of random maps of its grid, by entropy or by the area above half of the peak.

    The entropy of the mass is divided by that of an even map and is the value in any case; above the 95 % quantile it
    is a note. `slack` multiplies the limits of the area. A constant map is diffuse too.
    """

    def judge(explanation: Explanation) -> Result:
        masses, limits = mass(explanation), limits_for(explanation.grid)
        entropy, area = normalised_entropy(masses), half_peak_area(masses)
        outcome, limit = Outcome.PASS, limits.entropy_99
        text = f"the entropy of the map is {entropy:.4f} of that of an even map"
        if entropy > limits.entropy_99 or area > slack * limits.half_peak_area_99:
            outcome = Outcome.FLAG
        elif entropy > limits.entropy_95:
            outcome, limit = Outcome.NOTE, limits.entropy_95
        text += f" (limit {limit:.4f}), and {percent(area)} of the input lies above half of the peak"
        text += f" (limit {percent(slack * limits.half_peak_area_99)})."
        return Result(outcome, text, value=entropy, limit=limit, unit="share of maximal entropy")

    return judge_maps(evidence, judge, despite=frozenset({"constant"}))


@check(
    "D10",
    title="Fragmented map",
    family="D",
    sentence="The evidence falls into many small pieces, none of which stands out.",
    severity=(3, 4, 3),
    provenance="sim",
    reference="Simulated null of smooth random maps, see null_limits",
    advice="Smooth the map or explain a deeper layer before reading places from it.",
    direction="above",
    version=2,
)
def fragmented_map(evidence: Evidence, *, slack: float = 1.0) -> Result:
    """Flag a map with more pieces than 95 % of random maps of its grid, whose largest is smaller than in 95 % of them.

    A piece is a connected part of what lies at or above half of the peak; its size is its share of that area. More
    than `MANY` times the limit is flagged whatever the largest one holds. `slack` multiplies the limit of the number.
    Linear interpolation joins cells that touch at a corner at just half of their height; so where neighbouring cells
    alternate the pieces are those of the cells.
    """

    def judge(explanation: Explanation) -> Result:
        masses, limits = mass(explanation), limits_for(explanation.grid)
        sizes = half_peak_parts(_cells(explanation) if _alternates(explanation) else masses)
        largest, most = float(sizes.max() / sizes.sum()), slack * limits.parts_95
        is_broken = sizes.size > MANY * most or (sizes.size > most and largest < limits.largest_part_5)
        text = (
            f"what reaches half of the peak falls into {counted(sizes.size, 'piece')} (limit {shown(most)}), the "
            f"largest with {percent(largest)} of the area (at least {percent(limits.largest_part_5)})."
        )
        outcome = Outcome.FLAG if is_broken else Outcome.PASS
        return Result(outcome, text, value=float(sizes.size), limit=most, unit="pieces")

    return judge_maps(evidence, judge)


def _cells(explanation: Explanation) -> Matrix:
    return np.maximum(explanation.values.astype(np.float64), 0)


def _alternates(explanation: Explanation) -> bool:
    """Tell whether neighbouring cells are less alike than in nearly all maps of cells drawn one by one."""
    correlation, pairs = neighbour_correlation(_cells(explanation))
    return correlation is not None and correlation < -ALTERNATING / np.sqrt(pairs)


@check(
    "D11",
    title="Evidence in one slice",
    family="D",
    sentence="Nearly all evidence of a volume lies in one slice, as after a corrupted slice.",
    severity=(3, 3, 3),
    provenance="sim",
    reference="Simulated null of smooth random maps, see null_limits",
    advice="Look at that slice for an artefact.",
    direction="below",
    version=2,
)
def one_slice(evidence: Evidence, *, slack: float = 1.0, thin_cells: float = 2.5) -> Result:
    """Flag a volume's map that is concentrated in few slices along axis 0 but not within those slices.

    Concentrated means: the heaviest slice holds more, relative to the mean slice, than in 99 % of random maps of the
    grid (`slack` multiplies this limit), and the effective number of slices is below `thin_cells` cells of the grid,
    which are two that share one slice, widened by interpolation. The value is that extent. A map that extends within
    the slice at most twice as many cells as across slices is focal, and only a note. A model that counts few of its
    slices has its evidence in these by design, and C12 judges them.
    """
    if evidence.prepared.inside.ndim == 2:
        return not_evaluable("An image has one slice.")

    def judge(explanation: Explanation) -> Result:
        cells = explanation.grid
        if cells[0] <= thin_cells:
            return not_evaluable(f"the grid has only {cells[0]} cells across the slices.")
        parts = evidence.prediction.parts
        if parts is not None and parts.kind == "slice" and len(parts.counted[explanation.target_name]) <= thin_cells:
            few = counted(len(parts.counted[explanation.target_name]), "slice")
            return not_evaluable(f"the model counts {few}, so its evidence lies in no more; see C12.")
        masses = mass(explanation)
        extents = [effective_count(profile(masses, axis)) * cells[axis] / masses.shape[axis] for axis in range(3)]
        slices = profile(masses, 0)
        ratio, limit = float(slices.max() * slices.size), slack * limits_for(cells).slice_ratio_99
        is_thin = extents[0] < thin_cells and ratio > limit
        is_focal = max(extents[1:]) <= 2 * extents[0]
        outcome = (Outcome.NOTE if is_focal else Outcome.FLAG) if is_thin else Outcome.PASS
        text = (
            f"the heaviest slice of the input holds {shown(ratio)} times the evidence of the mean slice "
            f"(limit {shown(limit)}), and the evidence extends over {shown(extents[0])} cells of the map across slices "
            f"(at least {shown(thin_cells)})"
        )
        text += "; it is focal within the slice too." if outcome is Outcome.NOTE else "."
        return Result(outcome, text, value=extents[0], limit=thin_cells, unit="cells across slices")

    return judge_maps(evidence, judge, is_below=True)
