"""Where the map lies after it left its grid: steps and plateaus (D12), misplacement (D13)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.agreement import pearson
from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.map_measures import resampled
from audit_pipeline.checks.per_map import judge_maps
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import follow, half_pixel_map, inverse, transform_points
from audit_pipeline.records import Explanation, Matrix, Prepared
from audit_pipeline.resampling import sample_placed
from audit_pipeline.wording import counted, shown

FLAT = 1e-5
"""Share of the range of a map below which two neighbouring slices of it count as the same."""

LEAST_LIKENESS = 0.98
"""Correlation with the resampled native map below which a map on the input is not that map."""


@check(
    "D12",
    title="Steps in the resampled map",
    family="D",
    sentence="The map on the input has repeated slices that its grid does not have, as a wrong resize leaves them.",
    severity=(2, 3, 5),
    provenance="std",
    reference="Half-pixel linear interpolation: half a cell of constant value at each end, none between",
    advice="Repair the resampling of the map.",
)
def repeated_map_slices(evidence: Evidence, *, tolerance: int = 0) -> Result:
    """Count, along every axis, neighbouring slices of the map on the input that are equal although they must differ.

    What must be equal is what linear interpolation of the native map leaves equal: the outer half of the end cells.
    """

    def judge(explanation: Explanation) -> Result:
        expected = expected_on_input(explanation)
        excess = [
            int((equal_steps(explanation.on_input, axis) & ~equal_steps(expected, axis)).sum())
            for axis in range(expected.ndim)
        ]
        axis = int(np.argmax(excess))
        found = excess[axis]
        text = (
            f"{counted(found, 'pair')} of neighbouring slices along axis {axis} are equal on the input "
            "where the native map makes them differ."
            if found
            else "the map on the input has no slices that repeat without reason."
        )
        outcome = Outcome.FLAG if found > tolerance else Outcome.PASS
        return Result(outcome, text, value=float(found), limit=float(tolerance), unit="pairs of slices")

    return judge_maps(evidence, judge)


@check(
    "D13",
    title="Misplaced map",
    family="D",
    sentence="The map does not lie where its cells are, so it points to the wrong place.",
    severity=(5, 3, 5),
    provenance="std",
    reference="Half-pixel rule of grids that tile the same field of view; DICOM PS3.3, C.7.6.2.1.1",
    advice="Do not use the map; repair the geometry of the explanation.",
)
def misplaced_map(evidence: Evidence, *, limit: float = 0.03) -> Result:
    """Compare the place of the map on the input, in the source and in the patient with that of its cells.

    The value is the largest displacement in cells of the map's grid, of: the map on the input against its native
    cells, resampled here; its centre of mass; the recorded places of the cells in the source and in the patient
    against those that follow from the geometry of the input; and the recorded peak.
    """

    def judge(explanation: Explanation) -> Result:
        found = displacements(explanation, evidence.prepared, evidence.image.affine)
        likeness = pearson(explanation.on_input, expected_on_input(explanation))
        worst = max(found, key=lambda name: found[name])
        value = found[worst]
        if likeness is not None and likeness < LEAST_LIKENESS:
            text = f"the map on the input correlates with its own cells with r = {shown(likeness)} only"
            text += f" (at least {LEAST_LIKENESS}), so it is not that map or not in that place."
            return Result(Outcome.CRITICAL, text, value=value, limit=limit, unit="cells")
        if not np.isfinite(value):
            text = f"{worst} is not recorded, although the image says where it lies."
            return Result(Outcome.CRITICAL, text, limit=limit, unit="cells")
        outcome = Outcome.CRITICAL if value > limit else Outcome.PASS
        text = f"{worst} is {shown(value)} cells from where it must be (limit {shown(limit)})."
        return Result(outcome, text, value=value, limit=limit, unit="cells")

    return judge_maps(evidence, judge)


def expected_on_input(explanation: Explanation) -> Matrix:
    """Return the native map resampled to the input here, (*S)."""
    shape = explanation.on_input.shape
    values = explanation.values.astype(np.float64)
    if explanation.to_input is None:
        return resampled(values, shape)
    same = np.eye(len(shape) + 1)
    return sample_placed(explanation.values, explanation.to_input, shape, same, shape).astype(np.float64)


def equal_steps(values: np.ndarray, axis: int) -> np.ndarray:
    """Return for every pair of neighbouring slices along an axis whether they are equal, (n - 1,) bool."""
    steps = np.abs(np.diff(values.astype(np.float64), axis=axis))
    largest = steps.max(axis=tuple(other for other in range(values.ndim) if other != axis), initial=0.0)
    return np.asarray(largest <= FLAT * float(np.ptp(values)))


def displacements(explanation: Explanation, prepared: Prepared, affine: Matrix | None) -> dict[str, float]:
    """Return what lies how far from its place, in cells."""
    shape = explanation.on_input.shape
    to_input = half_pixel_map(explanation.grid, shape) if explanation.to_input is None else explanation.to_input
    cell = np.abs(np.diag(to_input)[:-1])
    expected = expected_on_input(explanation)
    seen = explanation.on_input.astype(np.float64)
    corners = np.asarray(explanation.grid) - 1
    ends = np.stack([np.zeros_like(corners), corners]).astype(np.float64)
    ends = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, len(shape))
    to_source = prepared.to_source @ to_input
    back = inverse(to_source)
    recorded = transform_points(back, transform_points(explanation.to_source, ends))
    found = {
        "the map on the input": float(np.abs(shift_between(expected, seen) / cell).max()),
        "the centre of the map on the input": float(np.abs((_centre(seen) - _centre(expected)) / cell).max()),
        "a corner of the map in the source": float(np.abs(recorded - ends).max()),
        "the recorded peak": _peak_error(explanation, to_source),
    }
    if affine is not None:
        found["a corner of the map in the patient"] = _patient_error(explanation, follow(affine, to_source), ends)
        found["a corner of the input in the patient"] = _input_error(prepared, affine, cell)
    return found


def shift_between(expected: Matrix, seen: Matrix) -> Matrix:
    """Return the shift, in voxels per axis, that brings `expected` closest to `seen` by least squares.

    To first order ``seen = expected - shift . gradient``; an axis along which the map is constant shows no shift.
    """
    slopes = [
        np.gradient(expected, axis=axis).ravel() if size > 1 else np.zeros(expected.size)
        for axis, size in enumerate(expected.shape)
    ]
    design = np.stack(slopes, axis=1)
    gram = design.T @ design
    scale = float(np.trace(gram))
    if not scale > 0:
        return np.zeros(expected.ndim)
    right = design.T @ (expected - seen).ravel()
    return np.asarray(np.linalg.lstsq(gram, right, rcond=1e-9)[0], dtype=np.float64)


def _centre(values: Matrix) -> Matrix:
    """Return the centre of mass of what lies above the lowest value, in voxels; the middle of an even map."""
    weights = values - values.min()
    total = float(weights.sum())
    middle = (np.asarray(values.shape) - 1) / 2
    if not total > 0:
        return np.asarray(middle)
    places = np.indices(values.shape).reshape(values.ndim, -1)
    return np.asarray(places @ weights.ravel() / total)


def _peak_error(explanation: Explanation, to_source: Matrix) -> float:
    """Return how far the recorded peak lies from the nearest strongest cell, beyond its rounding to source voxels."""
    recorded = explanation.statistics.peak_index
    values = explanation.values
    if len(recorded) != values.ndim:
        return 0.0
    cells = np.argwhere(values >= values.max() - 1e-6 * np.ptp(values))
    places = transform_points(to_source, cells.astype(np.float64))
    beyond = np.maximum(np.abs(places - np.asarray(recorded)) - 0.5 - 1e-6, 0)
    steps = np.linalg.norm(to_source[:-1, :-1], axis=0)
    return float((beyond.max(axis=1) / steps.min()).min())


def _patient_error(explanation: Explanation, expected: Matrix | None, ends: Matrix) -> float:
    if expected is None or explanation.affine is None:
        return float("inf")
    lifted = np.pad(ends, ((0, 0), (0, 3 - ends.shape[1])))
    apart = transform_points(explanation.affine, lifted) - transform_points(expected, lifted)
    step = np.linalg.norm(expected[:3, : ends.shape[1]], axis=0).min()
    return float(np.linalg.norm(apart, axis=1).max() / step)


def _input_error(prepared: Prepared, affine: Matrix, cell: Matrix) -> float:
    expected = follow(affine, prepared.to_source)
    if expected is None or prepared.affine is None:
        return float("inf")
    far = np.zeros(3)
    far[: len(cell)] = np.asarray(prepared.inside.shape) - 1
    points = np.stack([np.zeros(3), far])
    apart = transform_points(prepared.affine, points) - transform_points(expected, points)
    steps = np.linalg.norm(expected[:3, : len(cell)], axis=0) * cell
    return float(np.linalg.norm(apart, axis=1).max() / steps.min())
