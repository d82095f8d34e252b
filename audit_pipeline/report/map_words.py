"""Where the evidence of a map lies, in words."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.report import numbers, text
from audit_pipeline.study_record import ExplanationFacts


def map_sentence(facts: ExplanationFacts, affine: Sequence[Sequence[float]] | None = None) -> str:
    """Return where the evidence of one map lies; of a rejected map no place is given.

    affine : (4, 4) of the source, voxel index to patient position
    """
    name = text.cut(facts.target_name, text.LONGEST_NAME)
    rejected = text.rejection(facts)
    if rejected:
        return f"The {text.method(facts.method)} map for {name} is {rejected}."
    if facts.statistics.max <= 0:
        return f"{text.method(facts.method)} for {name} holds no positive evidence."
    return (
        f"The model's strongest evidence for {name} ({text.method(facts.method)}) lies around "
        f"{centre_place(facts, affine)}; it is highest, {numbers.number(facts.statistics.peak_value)} "
        f"{text.map_unit(facts.unit)}, in the cell at {peak_place(facts)}."
    )


def centre_place(facts: ExplanationFacts, affine: Sequence[Sequence[float]] | None) -> str:
    """Return where the middle of the strongest evidence lies, in the patient where an affine is known."""
    centre = facts.statistics.centre_index
    if centre is None:
        return "no place"
    if affine is None:
        return numbers.element([round(one) for one in centre])
    index = [*centre, *[0.0] * (3 - len(centre)), 1.0]
    return numbers.position([sum(one * at for one, at in zip(row, index, strict=True)) for row in affine[:3]])


def peak_place(facts: ExplanationFacts) -> str:
    """Return where the cell with the highest value lies."""
    place = facts.statistics.peak_position_mm
    return numbers.position(place) if place else numbers.element(facts.statistics.peak_index)
