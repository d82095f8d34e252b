"""Planted faults of the explanation, part two: maps that are wrong after the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt

from audit_pipeline.bench.case import Case, evidence_of
from audit_pipeline.bench.plants import plant
from audit_pipeline.bench.plants_explanation import amount, lopsided, places_of
from audit_pipeline.evidence import Evidence
from audit_pipeline.explain.place import statistics
from audit_pipeline.geometry import half_pixel_map, inverse
from audit_pipeline.proofs import Proof
from audit_pipeline.records import Explanation, Floats, Matrix, sealed
from audit_pipeline.resampling import sample_map

Change = Callable[[Floats], Floats]


def _on_input(values: Floats, shape: Sequence[int]) -> Floats:
    return sample_map(values, inverse(half_pixel_map(values.shape, shape)), shape)


def _with_values(one: Explanation, values: Floats, affine: Matrix | None) -> Explanation:
    """Return a map with other values, and everything that is derived from them, as a wrong engine would leave it."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    on_input = _on_input(values, one.on_input.shape)
    facts = statistics(values, on_input, one.to_source, affine) if np.isfinite(values).all() else one.statistics
    return replace(one, values=sealed(values), on_input=sealed(on_input), statistics=facts)


def _changed(change: Change) -> Callable[[Evidence], Evidence]:
    """Return a fault that changes the raw values of every map."""

    def spoil(evidence: Evidence) -> Evidence:
        affine = evidence.image.affine
        maps = tuple(_with_values(one, change(np.array(one.values)), affine) for one in evidence.explanations)
        return replace(evidence, explanations=maps)

    return spoil


def changed_on_input(change: Change) -> Callable[[Evidence], Evidence]:
    """Return a fault that changes what was made of every map on the grid of the input."""

    def spoil(evidence: Evidence) -> Evidence:
        maps = tuple(
            replace(one, on_input=sealed(np.ascontiguousarray(change(np.array(one.on_input)), dtype=np.float32)))
            for one in evidence.explanations
        )
        return replace(evidence, explanations=maps)

    return spoil


def _blob(grid: Sequence[int], centre: Sequence[float], width: float) -> Matrix:
    """Return a bell of the given centre and width, in shares of each axis."""
    places = places_of(grid)
    apart = sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True))
    return np.asarray(np.exp(-0.5 * apart / width**2))


@plant("D01", sentence="The map points to a place far from the patient.",
       accompanied=("D02", "D03", "D14", "D19", "D21", "D22", "D29"))  # fmt: skip
def map_beside_the_body(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - not drawn
    """Blend every map with a bell at the place farthest from the body, from a fifth of its mass to all of it."""
    share = amount(severity, (0.2, 0.35, 0.7, 0.85, 1.0))

    def spoil(evidence: Evidence) -> Evidence:
        assert evidence.body is not None
        apart = distance_transform_edt(~evidence.body)
        farthest = np.unravel_index(int(apart.argmax()), apart.shape)
        centre = [(place + 0.5) / size for place, size in zip(farthest, apart.shape, strict=True)]

        def change(values: Floats) -> Floats:
            bell = _blob(values.shape, centre, 0.04)
            mass = max(float(np.maximum(values, 0).sum()), 1.0)
            return np.asarray((1 - share) * values + share * mass * bell / bell.sum(), dtype=np.float32)

        return _changed(change)(evidence)

    return replace(case, spoil=spoil)


@plant("D05", sentence="The map is zero.", has_severity=False, accompanied=("D28", "D29"))
def zero_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Set every map to zero."""
    return replace(case, spoil=_changed(np.zeros_like))


@plant("D07", sentence="Some cells of the map are not a number.", accompanied=("D05",))
def cells_not_finite(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Set a share of the cells, from one cell to half of them, to NaN or infinity."""
    share = amount(severity, (0.0, 0.01, 0.05, 0.2, 0.5))

    def change(values: Floats) -> Floats:
        count = max(1, round(share * values.size))
        values.flat[random.permutation(values.size)[:count]] = np.nan if count % 2 else np.inf
        return values

    def spoil(evidence: Evidence) -> Evidence:
        with np.errstate(invalid="ignore"):
            return _changed(change)(evidence)

    return replace(case, spoil=spoil)


@plant("D08", sentence="The map was stretched to 0 to 1.", has_severity=False, accompanied=("D19", "D28", "D29"))
def stretched_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Stretch every map to its own range."""
    return replace(case, spoil=_changed(lambda values: (values - values.min()) / np.ptp(values)))


@plant("D08", sentence="The map on the input was stretched to 0 to 1.", has_severity=False, accompanied=("D13",))
def stretched_on_input(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Stretch every map on the input to its own range, times 255."""
    return replace(case, spoil=changed_on_input(lambda values: 255 * (values - values.min()) / np.ptp(values)))


@plant("D09", sentence="The map is nearly even.", accompanied=("D19", "D21", "D22", "D29"))
def even_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - nothing is drawn
    """Add an even amount of evidence, from once to thirty times the peak."""
    extra = amount(severity, (1.0, 3.0, 8.0, 16.0, 30.0))
    return replace(case, spoil=_changed(lambda values: values + np.float32(extra * float(np.abs(values).max()))))


@plant("D10", sentence="The map is a checkerboard, as strides leave it.",
       accompanied=("D14", "D19", "D21", "D22", "D29"))  # fmt: skip
def checkerboard(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - nothing is drawn
    """Blend the map with a checkerboard of its peak, from 30 % to all of it."""
    share = amount(severity, (0.3, 0.5, 0.7, 0.9, 1.0))

    def change(values: Floats) -> Floats:
        peak = float(np.abs(values).max())
        board = 1.5 * (np.indices(values.shape).sum(axis=0) % 2) - 0.5
        return np.asarray((1 - share) * values + share * peak * board, dtype=np.float32)

    return replace(case, spoil=_changed(change))


@plant("D14", sentence="An axis of the map is reversed.", network="sees_brightest", has_severity=False,
       accompanied=("D01", "D15", "D21", "D22", "D29"))  # fmt: skip
def mirrored_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Reverse one axis of every map."""
    axis = int(random.integers(0, len(case.image.shape)))
    return replace(lopsided(case, random), spoil=_changed(lambda values: np.flip(values, axis)))


@plant("D14", sentence="Two axes of the map are exchanged.", network="sees_brightest", has_severity=False,
       accompanied=("D01", "D15", "D21", "D22", "D29"))  # fmt: skip
def transposed_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Exchange the last two axes of every map."""
    return replace(lopsided(case, random), spoil=_changed(lambda values: np.swapaxes(values, -1, -2)))


@plant("D15", sentence="The map shows the opposite of the evidence.", network="sees_brightest", has_severity=False,
       accompanied=("D01", "D02", "D06", "D09", "D14", "D21", "D22", "D29"))  # fmt: skip
def opposite_map(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Turn every map round: what was strongest becomes weakest."""
    return replace(lopsided(case, random), spoil=_changed(lambda values: values.max() - values))


@plant("D16", sentence="The maps of two classes are exchanged.", dimensions=(2, 3), network="brightness",
       has_severity=False, accompanied=("D15", "D21", "D22", "D29"))  # fmt: skip
def exchanged_classes(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Give every class the map of the next one."""

    def spoil(evidence: Evidence) -> Evidence:
        values = {(one.method, one.target): one.values for one in evidence.explanations}
        count = len(evidence.prediction.classes)
        maps = tuple(
            _with_values(one, values[one.method, (one.target + 1) % count], evidence.image.affine)
            for one in evidence.explanations
        )
        return replace(evidence, explanations=maps)

    return replace(case, spoil=spoil)


@plant("D16", sentence="The recorded class is not the explained one.", network="brightness", has_severity=False)
def misnamed_class(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Record every map under the index of the next class."""

    def spoil(evidence: Evidence) -> Evidence:
        count = len(evidence.prediction.classes)
        maps = tuple(replace(one, target=(one.target + 1) % count) for one in evidence.explanations)
        return replace(evidence, explanations=maps)

    return replace(case, spoil=spoil)


@plant("D19", sentence="One of two methods that must agree was computed wrongly.",
       accompanied=("D28", "D29", "D14", "D15", "D21", "D22"))  # fmt: skip
def one_method_wrong(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Disturb the second method by normal noise of 1 % to 80 % of its spread."""
    share = amount(severity, (0.01, 0.03, 0.15, 0.4, 0.8))

    def spoil(evidence: Evidence) -> Evidence:
        maps = []
        for one in evidence.explanations:
            noise = share * float(one.values.std()) * random.standard_normal(one.grid)
            is_other = one.method == "hirescam"
            maps.append(
                _with_values(one, (one.values + noise).astype(np.float32), evidence.image.affine) if is_other else one
            )
        return replace(evidence, explanations=tuple(maps))

    return replace(case, spoil=spoil)


@plant("D21", sentence="The map names another place.", network="sees_brightest", has_severity=False,
       accompanied=("D01", "D02", "D14", "D15", "D22", "D29"))  # fmt: skip
def another_place(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Move every map cyclically by half of each axis."""

    def change(values: Floats) -> Floats:
        return np.roll(values, [size // 2 for size in values.shape], tuple(range(values.ndim)))

    return replace(lopsided(case, random), spoil=_changed(change))


@plant("D21", sentence="The cells of the map are shuffled.", network="sees_brightest",
       accompanied=("D01", "D02", "D10", "D14", "D15", "D22", "D29"))  # fmt: skip
def shuffled_map(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Shuffle 20 % to all of the cells, the strongest first."""
    share = amount(severity, (0.2, 0.4, 0.8, 0.9, 1.0))

    def change(values: Floats) -> Floats:
        flat = values.ravel()
        chosen = np.argsort(-flat, kind="stable")[: max(2, round(share * flat.size))]
        flat[chosen] = flat[random.permutation(chosen)]
        return flat.reshape(values.shape)

    return replace(lopsided(case, random), spoil=_changed(change))


@plant("D24", sentence="The card names targets far smaller than a cell of the map.", dimensions=(3,))
def tiny_target(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Set the smallest target to 60 % down to 5 % of a cell."""
    share = amount(severity, (0.6, 0.45, 0.30, 0.15, 0.05)) * float(random.uniform(0.9, 1.0))

    def spoil(evidence: Evidence) -> Evidence:
        longest = max(edge for edge in evidence.explanations[0].cell_mm if edge is not None)
        return replace(evidence, intended=replace(evidence.intended, target_mm=share * longest))

    return replace(case, spoil=spoil)


@plant("D25", sentence="The map was mirrored after the inference, and the class names the side.", network="sees_left",
       accompanied=("D01", "D14", "D15", "D21", "D22", "D29"))  # fmt: skip
def other_side(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - nothing is drawn
    """Mirror the map left to right, blended with itself by half at severity 1 and not at all at 5."""
    share = amount(severity, (0.5, 0.6, 0.8, 0.9, 1.0))
    header = dict(case.image.metadata) | {"PatientOrientation": "L\\F"}

    def spoil(evidence: Evidence) -> Evidence:
        top = evidence.explanations[0].target_name
        intended = replace(evidence.intended, sides={top: "left"})
        mirrored = _changed(lambda values: (1 - share) * values + share * np.flip(values, -1))
        return mirrored(replace(evidence, intended=intended))

    return replace(case, image=replace(case.image, metadata=header), spoil=spoil)


@plant("D28", sentence="The map does not sum to what the model gave.", has_severity=False)
def broken_sum(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Record a proof of completeness that does not hold."""
    proof = Proof(
        kind="completeness", residual=0.5, relative=0.1, tolerance=1e-4, holds=False,
        sentence="The map sums to 0.5 logit less than the model gave.",
    )  # fmt: skip

    def spoil(evidence: Evidence) -> Evidence:
        maps = tuple(replace(one, proofs=(*one.proofs, proof)) for one in evidence.explanations)
        return replace(evidence, explanations=maps)

    return replace(case, spoil=spoil)


@plant("D29", sentence="The map is that of another study.", has_severity=False,
       accompanied=("D01", "D02", "D14", "D15", "D21", "D22"))  # fmt: skip
def map_of_another_study(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Take the maps of the same image mirrored and turned upside down, which is another study for the network."""
    values = np.flip(case.image.values, axis=tuple(range(len(case.image.shape)))).copy()
    other = evidence_of(replace(case, image=replace(case.image, values=sealed(values))))
    strangers = {(one.method, one.target): one.values for one in other.explanations}

    def spoil(evidence: Evidence) -> Evidence:
        maps = tuple(
            _with_values(one, strangers.get((one.method, one.target), one.values[::-1]), evidence.image.affine)
            for one in evidence.explanations
        )
        return replace(evidence, explanations=maps)

    return replace(case, spoil=spoil)
