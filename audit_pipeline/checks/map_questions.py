"""What the model is asked about its own map: the unchanged input again, mirrored inputs, inputs with parts removed."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.inpaint import filled
from audit_pipeline.checks.per_map import first_map
from audit_pipeline.checks.variants import variant
from audit_pipeline.evidence import Evidence
from audit_pipeline.records import Floats, Mask, Matrix

REMOVED_SHARE = 0.10
"""Share of the input that is removed at once."""

NULL_SHIFTS = 5
"""Cyclic shifts of the map whose strongest tenth is removed for comparison."""

LEAST_SHIFT = 0.15
"""A shift moves the map by at least this share of the length along one axis, else it is no other place."""


@variant(count=1, sentence="The same input, explained a second time.", is_explained=True)
def again(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the input as it was."""
    return evidence.prepared.values[None]


@variant(count=3, sentence="Mirrored along each axis in turn.", is_explained=True)
def flipped(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the input mirrored along every spatial axis, in the order of the axes."""
    values = evidence.prepared.values
    return np.stack([np.flip(values, axis) for axis in range(1, values.ndim)])


@variant(
    count=2 + NULL_SHIFTS,
    sentence="The strongest and the weakest tenth of the map are filled from around, at shifted places likewise.",
)
def deleted(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Return the input without its strongest tenth, without its weakest, and without that of each shifted map.

    The strongest tenth ends where the evidence does. What is removed is filled from around with matched noise: a grey
    or blurred patch is a sight of its own, to which networks answer more strongly than to what was there.
    """
    masses = first_map(evidence).on_input.astype(np.float64)
    named, axes = strongest(masses) & (masses > 0), tuple(range(masses.ndim))
    shifted = [np.roll(named, offset, axes) for offset in far_shifts(masses, random)]
    regions = [named, strongest(-masses), *shifted]
    return np.stack([filled(evidence.prepared.values, region, random) for region in regions])


def strongest(values: Matrix, share: float = REMOVED_SHARE) -> Mask:
    """Return the `share` of the places with the highest values; of equal ones the first in array order."""
    chosen = np.zeros(values.size, dtype=np.bool_)
    chosen[np.argsort(-values.ravel(), kind="stable")[: max(1, round(share * values.size))]] = True
    return chosen.reshape(values.shape)


def far_shifts(masses: Matrix, random: np.random.Generator, count: int = NULL_SHIFTS) -> list[tuple[int, ...]]:
    """Return cyclic shifts that move a map by at least `LEAST_SHIFT` of the length along one axis."""
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        offset = tuple(int(part) for part in random.integers(0, masses.shape))
        moved = [min(part, size - part) / size for part, size in zip(offset, masses.shape, strict=True)]
        if max(moved) >= LEAST_SHIFT:
            found.append(offset)
    return found
