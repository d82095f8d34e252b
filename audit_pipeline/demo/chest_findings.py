"""Radiographs of phantoms with any of five findings at once, for a classifier with several labels.

Every finding is drawn into the volume of the patient before it is projected, so that it overlaps ribs, vessels and
other findings as it would in a chest. Whether a finding is there is drawn for each one alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from audit_pipeline.demo.phantom import Phantom, phantom
from audit_pipeline.demo.phantom_anatomy import share_inside
from audit_pipeline.demo.radiograph import Radiograph, radiograph
from audit_pipeline.geometry import spacing_of
from audit_pipeline.records import Floats, Mask, sealed

SHARES = {"nodule": 0.4, "consolidation": 0.3, "effusion": 0.3, "cardiomegaly": 0.3, "pacemaker": 0.25}
"""Finding -> how often it is there, in the order in which the classifier names them."""

FINDINGS = tuple(SHARES)
FLUID_HU, CONSOLIDATED_HU, METAL_HU = 10.0, 0.0, 9000.0
"""Of pleural fluid, of lung filled with exudate, and of the case and the lead of a pacemaker."""

LARGE_HEART = (1.3, 1.45)
EDGE_MM = 6.0
"""Over which the level of a fluid blurs with breathing."""

BODY_HU = -300.0
"""Between air and the skin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chest:
    """One radiograph and what it shows, in the order of `FINDINGS`."""

    seen: Radiograph
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Positions:
    """Millimetres of every voxel from the middle of the grid, to be broadcast: x to the Left, y back, z to the Head."""

    x: Floats
    y: Floats
    z: Floats


def chest(seed: int, findings: tuple[str, ...] | None = None) -> Chest:
    """Return the radiograph of a seed, with the findings that it draws or with those given."""
    random = np.random.default_rng([seed, 21])
    drawn = tuple(name for name, share in SHARES.items() if random.random() < share)
    present = drawn if findings is None else findings
    large = random.uniform(*LARGE_HEART)
    made = phantom(seed, nodule="nodule" in present, heart=large if "cardiomegaly" in present else 1.0)
    values, places = made.values.copy(), _positions(made)
    for name, add in _DRAWN.items():
        if name in present:
            add(values, made.lung_mask, places, np.random.default_rng([seed, 22, FINDINGS.index(name)]))
    seen = radiograph(replace(made, values=sealed(values)), seed)
    return Chest(seen=seen, findings=tuple(name for name in FINDINGS if name in present))


def _positions(made: Phantom) -> Positions:
    z, y, x = (
        ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32)
        for size, step in zip(made.values.shape, spacing_of(made.affine), strict=True)
    )
    return Positions(x=x[None, None, :], y=y[None, :, None], z=z[:, None, None])


def _add_effusion(values: Floats, lungs: Mask, places: Positions, random: np.random.Generator) -> None:
    """Fill the bottom of one pleural cavity with fluid whose level rises toward the chest wall, as in a standing."""
    side = 1 if random.random() < 0.5 else -1
    lung = lungs & (side * places.x > 0)
    heights = np.broadcast_to(places.z, lung.shape)[lung]
    lowest, highest = float(heights.min()), float(heights.max())
    level = lowest + random.uniform(0.22, 0.48) * (highest - lowest)
    meniscus = 45 * np.clip((side * places.x - 60) / 60, 0, 1.2) ** 2
    above = np.asarray(places.z - level - meniscus, dtype=np.float32)
    share = np.broadcast_to(share_inside(above, EDGE_MM), lung.shape)[lung]
    values[lung] += share * (np.float32(FLUID_HU) - values[lung])


def _add_consolidation(values: Floats, lungs: Mask, places: Positions, random: np.random.Generator) -> None:
    """Fill a part of a lung, dense in its middle and with a soft edge."""
    inside = np.argwhere(lungs)
    depth, row, column = inside[random.integers(len(inside))]
    radii = random.uniform(32, 46, 3)
    distance = np.sqrt(
        ((places.x - places.x[0, 0, column]) / radii[0]) ** 2
        + ((places.y - places.y[0, row, 0]) / radii[1]) ** 2
        + ((places.z - places.z[depth, 0, 0]) / radii[2]) ** 2
    )
    share = np.clip(1.5 - distance, 0, 1)[lungs] * np.float32(random.uniform(0.85, 1.0))
    values[lungs] += share * (np.float32(CONSOLIDATED_HU) - values[lungs])


def _add_pacemaker(values: Floats, lungs: Mask, places: Positions, random: np.random.Generator) -> None:
    """Put a case under the skin below the left collar bone, and a lead from it through the caval vein to the heart."""
    top = float(np.broadcast_to(places.z, lungs.shape)[lungs].max())
    centre_x, centre_z = random.uniform(70, 88), top - random.uniform(48, 62)
    row = int(np.argmin(np.abs(places.z.ravel() - centre_z)))
    column = int(np.argmin(np.abs(places.x.ravel() - centre_x)))
    skin = float(places.y.ravel()[np.argmax(values[row, :, column] > BODY_HU)])
    case = (((places.x - centre_x) / 24) ** 4 + ((places.z - centre_z) / 20) ** 4 < 1) & (
        np.abs(places.y - skin - 11) < 4
    )
    values[case] = METAL_HU
    bends = np.array([
        (centre_x - 20, skin + 10, centre_z + 12), (35, -20, top - 22), (-14, -12, top - 60),
        (-16, -15, top - 120), (18, -30, top - random.uniform(168, 182)),
    ])  # fmt: skip
    steps = np.linspace(0, len(bends) - 1, 600)
    course = np.stack([np.interp(steps, np.arange(len(bends)), bends[:, axis]) for axis in range(3)], axis=1)
    for axis, line in ((2, places.x), (1, places.y), (0, places.z)):
        step = float(np.diff(line.ravel()[:2])[0])
        index = np.rint((course[:, 2 - axis] - line.ravel()[0]) / step).astype(int)
        course[:, 2 - axis] = np.clip(index, 0, line.size - 1)
    columns, rows, depths = course.astype(int).T
    values[depths, rows, columns] = METAL_HU / 2


_DRAWN: dict[str, Callable[[Floats, Mask, Positions, np.random.Generator], None]] = {
    "consolidation": _add_consolidation,
    "effusion": _add_effusion,
    "pacemaker": _add_pacemaker,
}
"""Those that are drawn into a finished phantom; nodule and heart belong to the phantom itself."""
