"""Branching tubes of a chest phantom: pulmonary vessels, windpipe and bronchi, as tapered line segments.

Segments live in the anatomy's frame (mm); `tube_share` draws them on a grid that is tilted against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit_pipeline.demo.phantom_anatomy import Anatomy, lung_distance
from audit_pipeline.records import Floats, Matrix

GENERATIONS = 7
"""Branchings of a vessel between the hilum and the smallest drawn twigs."""

THINNING = 0.76
"""Radius of a branch over that of its parent; 2 * 0.79**3 = 1 would be Murray's law (Murray 1926)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tubes:
    """Tapered segments: `starts`, `ends` (N, 3) mm, `start_radii`, `end_radii` (N,) mm."""

    starts: Matrix
    ends: Matrix
    start_radii: Matrix
    end_radii: Matrix

    def moved(self, rotation: Matrix, shift_mm: Matrix) -> Tubes:
        """Return the same tubes after a rotation about the origin and a shift."""
        return Tubes(
            starts=self.starts @ rotation.T + shift_mm,
            ends=self.ends @ rotation.T + shift_mm,
            start_radii=self.start_radii,
            end_radii=self.end_radii,
        )

    def widened(self, by_mm: float) -> Tubes:
        """Return tubes with a larger radius, for walls."""
        return Tubes(
            starts=self.starts,
            ends=self.ends,
            start_radii=self.start_radii + by_mm,
            end_radii=self.end_radii + by_mm,
        )


def join(parts: list[Tubes]) -> Tubes:
    """Return all tubes in one record."""
    return Tubes(
        starts=np.concatenate([part.starts for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
        start_radii=np.concatenate([part.start_radii for part in parts]),
        end_radii=np.concatenate([part.end_radii for part in parts]),
    )


def hilum_mm(anatomy: Anatomy, side: int) -> Matrix:
    """Return where the vessels of one lung begin; side is -1 for the right and +1 for the left lung."""
    return np.array([side * 33.0 + 2, 6.0, anatomy.hilum_z_mm])


def lung_vessels(anatomy: Anatomy, random: np.random.Generator) -> Tubes:
    """Grow one tree per lung, generation by generation; twigs that leave the lung end there."""
    return join([_tree(anatomy, random, side) for side in (-1, 1)])


def _tree(anatomy: Anatomy, random: np.random.Generator, side: int) -> Tubes:
    trunks = 5
    points = np.repeat(hilum_mm(anatomy, side)[None], trunks, axis=0)
    headings = _unit(np.stack([np.full(trunks, side * 1.0), np.zeros(trunks), np.linspace(-1.5, 1.3, trunks)], axis=1))
    headings = _unit(headings + random.normal(0, 0.35, headings.shape))
    radii = random.uniform(3.4, 4.8, trunks)
    grown: list[Tubes] = []
    for _ in range(GENERATIONS):
        lengths = random.uniform(4.0, 7.5, len(radii)) * np.sqrt(radii) * 1.7
        ends = points + headings * lengths[:, None]
        thinner = radii * THINNING
        grown.append(Tubes(starts=points, ends=ends, start_radii=radii, end_radii=thinner))
        x, y, z = ends.T.astype(np.float32)
        kept = (lung_distance(anatomy, x, y, z) < -2) | (len(grown) == 1)
        points, radii = np.repeat(ends[kept], 2, axis=0), np.repeat(thinner[kept], 2)
        turned = np.repeat(headings[kept], 2, axis=0)
        sideways = np.cross(turned, random.normal(0, 1, turned.shape))
        sideways[1::2] = -sideways[::2]
        headings = _unit(turned + random.uniform(0.35, 0.75, (len(turned), 1)) * _unit(sideways))
        radii = radii * random.uniform(0.85, 1.1, len(radii))
        if len(radii) == 0:
            break
    return join(grown)


def airways(anatomy: Anatomy, random: np.random.Generator) -> Tubes:
    """Return the windpipe and the main and lobar bronchi (lumen)."""
    carina = np.array([2.0, 4.0, anatomy.hilum_z_mm + 26])
    top = np.array([0.0, -6.0, anatomy.apex_mm + 60])
    segments = [(top, carina, random.uniform(7.5, 9.0), 7.5)]
    for side in (-1, 1):
        hilum = hilum_mm(anatomy, side) + np.array([0, 4.0, 2.0 if side > 0 else 8.0])
        segments.append((carina, hilum, 6.0, 5.0))
        for rise in (22.0, -26.0):
            lobe = hilum + np.array([side * random.uniform(16, 24), random.uniform(-8, 8), rise])
            segments.append((hilum, lobe, 3.6, 2.4))
    return Tubes(
        starts=np.array([segment[0] for segment in segments]),
        ends=np.array([segment[1] for segment in segments]),
        start_radii=np.array([segment[2] for segment in segments]),
        end_radii=np.array([segment[3] for segment in segments]),
    )


def tube_share(
    tubes: Tubes, shape: tuple[int, ...], origin_mm: Matrix, spacing_mm: tuple[float, float, float]
) -> Floats:
    """Return how much of each voxel the tubes fill.

    Parameters
    ----------
    tubes : Tubes in the grid's frame, coordinates (x, y, z)
    shape : (D, H, W) with axes along z, y, x
    origin_mm : (3,) position (x, y, z) of voxel 0
    spacing_mm : distance between voxels along axis 0, 1, 2

    Returns
    -------
    (D, H, W) float32, 0 to 1; tubes thinner than a voxel fill only their part of it
    """
    share = np.zeros(shape, dtype=np.float32)
    steps = np.asarray(spacing_mm)
    edge = float(steps[1])
    starts = tubes.starts[:, ::-1] - origin_mm[::-1]
    along = tubes.ends[:, ::-1] - origin_mm[::-1] - starts
    reach = np.maximum(tubes.start_radii, tubes.end_radii)[:, None] + edge
    low = np.floor((np.minimum(starts, starts + along) - reach) / steps).astype(int).clip(0)
    high = np.ceil((np.maximum(starts, starts + along) + reach) / steps).astype(int) + 1
    high = np.minimum(high, shape)
    axes = [np.arange(size, dtype=np.float32) * np.float32(step) for size, step in zip(shape, steps, strict=True)]
    for number in np.flatnonzero((high > low).all(axis=1)):
        box = tuple(slice(int(a), int(b)) for a, b in zip(low[number], high[number], strict=True))
        z, y, x = (axis[part] - np.float32(start) for axis, part, start in zip(axes, box, starts[number], strict=True))
        dz, dy, dx = along[number].astype(np.float32)
        z, y = z[:, None, None], y[:, None]
        part = np.clip((z * dz + y * dy + x * dx) / (dz * dz + dy * dy + dx * dx), 0, 1)
        distance = np.sqrt((z - part * dz) ** 2 + (y - part * dy) ** 2 + (x - part * dx) ** 2)
        radius = tubes.start_radii[number] + part * (tubes.end_radii[number] - tubes.start_radii[number])
        filled = np.clip((radius - distance) / edge + 0.5, 0, 1) * np.minimum(1, 2 * radius / edge)
        np.maximum(share[box], filled, out=share[box])
    return share


def _unit(vectors: Matrix) -> Matrix:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))
