"""Planted faults of the explanation, part three: maps that lost their place on the way to the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.plants import plant
from audit_pipeline.bench.plants_explanation import amount
from audit_pipeline.bench.plants_maps import changed_on_input
from audit_pipeline.evidence import Evidence
from audit_pipeline.records import Floats, sealed


@plant("D12", sentence="End slices of the map on the input are repeated.", accompanied=("D13",))
def repeated_end_slices(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Repeat the slice one and more voxels beyond half a cell from one end of an axis."""
    axis = int(random.integers(0, len(case.image.shape)))
    more = int(amount(severity, (1, 1, 2, 3, 5)))

    def spoil(evidence: Evidence) -> Evidence:
        first = evidence.explanations[0]
        half = first.on_input.shape[axis] // (2 * first.grid[axis])

        def change(values: Floats) -> Floats:
            moved = np.moveaxis(values, axis, 0)
            moved[: half + more] = moved[half + more]
            return values

        return changed_on_input(change)(evidence)

    return replace(case, spoil=spoil)


@plant("D13", sentence="The map on the input lies beside its place.", accompanied=("D12",))
def moved_on_input(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Move every map on the input by a tenth of a cell up to a whole one, along one axis."""
    share = amount(severity, (0.1, 0.25, 0.5, 0.75, 1.0)) * float(random.choice([-1, 1]))
    axis = int(random.integers(0, len(case.image.shape)))

    def spoil(evidence: Evidence) -> Evidence:
        grid = evidence.explanations[0].grid

        def change(values: Floats) -> Floats:
            places = np.indices(values.shape, dtype=np.float64)
            places[axis] -= share * values.shape[axis] / grid[axis]
            return np.asarray(map_coordinates(values, places, order=1, mode="nearest"))

        return changed_on_input(change)(evidence)

    return replace(case, spoil=spoil)


@plant("D13", sentence="The recorded place of the cells in the source is wrong.")
def moved_in_source(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Move the recorded cells by a tenth of a cell up to two, and forget half a cell of the half-pixel rule."""
    share = amount(severity, (0.1, 0.25, 0.5, 1.0, 2.0))
    axis = int(random.integers(0, len(case.image.shape)))

    def spoil(evidence: Evidence) -> Evidence:
        maps = []
        for one in evidence.explanations:
            to_source = np.array(one.to_source)
            to_source[:-1, -1] += share * to_source[:-1, axis]
            maps.append(replace(one, to_source=sealed(to_source)))
        return replace(evidence, explanations=tuple(maps))

    return replace(case, spoil=spoil)


@plant("D13", sentence="The map lost its place in the patient.", dimensions=(3,), has_severity=False)
def lost_affine(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Drop the affine of every map, or exchange two of its axes."""
    is_dropped = bool(random.integers(0, 2))

    def spoil(evidence: Evidence) -> Evidence:
        maps = []
        for one in evidence.explanations:
            affine = None if is_dropped or one.affine is None else sealed(one.affine[:, [1, 0, 2, 3]].copy())
            maps.append(replace(one, affine=affine))
        return replace(evidence, explanations=tuple(maps))

    return replace(case, spoil=spoil)
