"""The anatomy of a chest phantom as implicit functions of position, so that any grid or point can be asked.

Positions are millimetres in the anatomy's own frame: x to the patient's Left, y to the Posterior, z to the Head, origin
at the centre of the thorax. A distance is negative inside and positive outside a structure; a share is the part of a
voxel that a structure fills. Tissue densities are typical textbook values in HU; nothing is taken from a patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit_pipeline.records import Floats

SKIN_MM = 2.5
SKIN_HU = 15.0
AIR_HU = -1000.0
SQUARENESS = 0.35
"""Between an ellipse (0) and a rectangle (1): the outline of a chest is a little fuller than an ellipse."""

VERTEBRA_PITCH_MM = 26.0
RIB_HALF_HEIGHT_MM = 5.5
RIB_HALF_THICKNESS_MM = 4.0
RIB_DEPTH_MM = 6.5
"""Distance of the centre line of a rib from the pleura."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """One patient: sizes in mm, densities in HU.

    half_width_mm, half_depth_mm : semi-axes of the body outline
    apex_mm, dome_mm : z of the lung apex and of the top of the right diaphragm
    heart_mm : centre of the heart, x positive because the heart lies on the patient's left
    heart_radii_mm : semi-axes of the heart
    spine_y_mm : y of the centres of the vertebral bodies
    rib_pitch_mm, rib_drop_mm, rib_phase_mm : distance between ribs, descent from spine to sternum, offset along z
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    wall_mm: float
    apex_mm: float
    dome_mm: float
    heart_mm: tuple[float, float, float]
    heart_radii_mm: tuple[float, float, float]
    spine_y_mm: float
    rib_pitch_mm: float
    rib_drop_mm: float
    rib_phase_mm: float
    bubble_mm: float
    lung_hu: float
    lung_gradient_hu: float
    fat_hu: float
    muscle_hu: float
    blood_hu: float
    liver_hu: float
    bone_hu: float

    @property
    def wall_total_mm(self) -> float:
        """Distance from the skin surface to the pleura."""
        return SKIN_MM + self.fat_mm + self.wall_mm

    @property
    def hilum_z_mm(self) -> float:
        """Height at which vessels and bronchi enter the lungs."""
        return self.dome_mm + 0.52 * (self.apex_mm - self.dome_mm)


def draw_anatomy(random: np.random.Generator, coverage_mm: float) -> Anatomy:
    """Return a random patient whose lungs fit into `coverage_mm` along z."""
    uniform = random.uniform
    half_width, half_depth = uniform(132, 152), uniform(92, 110)
    top = coverage_mm / 2
    return Anatomy(
        half_width_mm=half_width,
        half_depth_mm=half_depth,
        fat_mm=uniform(7, 17),
        wall_mm=uniform(15, 19),
        apex_mm=top - uniform(14, 30),
        dome_mm=-top + uniform(62, 84),
        heart_mm=(uniform(20, 30), uniform(-30, -18), -top + uniform(98, 112)),
        heart_radii_mm=(uniform(46, 58), uniform(36, 46), uniform(44, 56)),
        spine_y_mm=half_depth * uniform(0.50, 0.58),
        rib_pitch_mm=uniform(23, 28),
        rib_drop_mm=uniform(60, 95),
        rib_phase_mm=uniform(0, 28),
        bubble_mm=uniform(14, 26),
        lung_hu=uniform(-880, -820),
        lung_gradient_hu=uniform(10, 60),
        fat_hu=uniform(-112, -90),
        muscle_hu=uniform(42, 62),
        blood_hu=uniform(34, 48),
        liver_hu=uniform(48, 66),
        bone_hu=uniform(180, 320),
    )


def share_inside(distance_mm: Floats, edge_mm: float) -> Floats:
    """Return how much of a voxel lies inside: 1 well inside, 0 outside, linear over an edge as wide as a voxel."""
    return np.asarray(np.clip(0.5 - distance_mm / np.float32(edge_mm), 0, 1), dtype=np.float32)


def ellipsoid_distance(
    x: Floats, y: Floats, z: Floats, center_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]
) -> Floats:
    """Return the approximate distance to an ellipsoid: exact along each axis, first order elsewhere."""
    radius = np.sqrt(
        ((x - center_mm[0]) / radii_mm[0]) ** 2
        + ((y - center_mm[1]) / radii_mm[1]) ** 2
        + ((z - center_mm[2]) / radii_mm[2]) ** 2
    )
    return np.asarray((radius - 1) * min(radii_mm), dtype=np.float32)


def body_distance(anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return the distance to the skin surface, measured along the ray from the body's axis."""
    across, deep = (x / anatomy.half_width_mm) ** 2, (y / anatomy.half_depth_mm) ** 2
    rho = np.sqrt(np.maximum(across + deep - SQUARENESS * np.minimum(across, 1) * np.minimum(deep, 1), 1e-4))
    return np.asarray(np.sqrt(x * x + y * y) * (1 - 1 / rho), dtype=np.float32)


def pleura_inset(anatomy: Anatomy, z: Floats) -> Floats:
    """Return the distance from the skin to the pleura: constant, then growing where the chest narrows to its apex."""
    shoulder = anatomy.apex_mm - 75
    climb = np.clip((z - shoulder) / (anatomy.apex_mm - shoulder), 0, 1.3)
    return np.asarray(anatomy.wall_total_mm + 40 * climb * climb, dtype=np.float32)


def diaphragm_height(anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return z of the diaphragm: two domes, the right one higher because the liver lies below it."""
    side = np.where(x > 0, np.float32(12), np.float32(0))
    bulge = ((np.abs(x) - 62) / 70) ** 2 + ((y + 8) / 85) ** 2
    return np.asarray(anatomy.dome_mm - side - 42 * bulge, dtype=np.float32)


def lung_distance(anatomy: Anatomy, x: Floats, y: Floats, z: Floats, body: Floats | None = None) -> Floats:
    """Return the distance to the surface of the nearer lung; both lungs are one function, the midline parts them."""
    surface = body_distance(anatomy, x, y) if body is None else body
    forward = np.clip(0.6 - y / anatomy.half_depth_mm, 0.35, 1.15) if anatomy.half_depth_mm > 0 else 1.0
    half = (15 + 13 * np.exp(-(((z - anatomy.hilum_z_mm) / 48) ** 2))) * np.minimum(1.0, 1.35 - 0.55 * forward)
    distance = np.maximum(surface + pleura_inset(anatomy, z), half - np.abs(x - 2))
    distance = np.maximum(distance, diaphragm_height(anatomy, x, y) - z)
    distance = np.maximum(distance, z - anatomy.apex_mm)
    heart = ellipsoid_distance(x, y, z, anatomy.heart_mm, anatomy.heart_radii_mm)
    distance = np.maximum(distance, 3 - heart)
    spine = 21 - np.sqrt(x * x + (y - anatomy.spine_y_mm) ** 2)
    aorta = 15 - np.sqrt((x - 19) ** 2 + (y - anatomy.spine_y_mm + 27) ** 2)
    return np.asarray(np.maximum(distance, np.maximum(spine, aorta)), dtype=np.float32)


def soft_tissue(anatomy: Anatomy, x: Floats, y: Floats, z: Floats, edge_mm: float) -> tuple[Floats, Floats, Floats]:
    """Return HU of everything but bone, vessels and airways, with the distance to the skin and the lung share."""
    body = body_distance(anatomy, x, y)
    values = np.full(body.shape, AIR_HU, dtype=np.float32)
    _blend(values, share_inside(body, edge_mm), SKIN_HU)
    _blend(values, share_inside(body + SKIN_MM, edge_mm), anatomy.fat_hu)
    fat = np.asarray(anatomy.fat_mm * (1 - 0.002 * np.abs(x)), dtype=np.float32)
    _blend(values, share_inside(body + SKIN_MM + fat, edge_mm), anatomy.muscle_hu)
    cavity = body + pleura_inset(anatomy, z)
    inside = share_inside(cavity, edge_mm)
    _blend(values, inside, anatomy.fat_hu + 10)
    below = share_inside(z - diaphragm_height(anatomy, x, y), edge_mm) * inside
    _blend(values, below, np.where(x < 24, np.float32(anatomy.liver_hu), np.float32(anatomy.liver_hu - 22)))
    bubble = (62.0, -26.0, anatomy.dome_mm - 12 - 0.8 * anatomy.bubble_mm - 10)
    radii = (1.3 * anatomy.bubble_mm, anatomy.bubble_mm, 0.8 * anatomy.bubble_mm)
    _blend(values, share_inside(ellipsoid_distance(x, y, z, bubble, radii), edge_mm), -950.0)
    heart = ellipsoid_distance(x, y, z, anatomy.heart_mm, anatomy.heart_radii_mm)
    _blend(values, share_inside(heart, edge_mm) * inside, anatomy.blood_hu)
    _blend(values, _great_vessels(anatomy, x, y, z, edge_mm) * inside, anatomy.blood_hu)
    lung = share_inside(lung_distance(anatomy, x, y, z, body), edge_mm)
    slope = anatomy.lung_gradient_hu / anatomy.half_depth_mm
    _blend(values, lung, np.asarray(anatomy.lung_hu + slope * y, dtype=np.float32))
    return values, body, lung


def _great_vessels(anatomy: Anatomy, x: Floats, y: Floats, z: Floats, edge_mm: float) -> Floats:
    """Return the share of the descending aorta (left of the spine), the arch and the upper caval vein (right)."""
    arch = anatomy.hilum_z_mm + 32
    descending = np.sqrt((x - 19) ** 2 + (y - anatomy.spine_y_mm + 27) ** 2) - 12
    descending = np.maximum(descending, z - arch)
    middle = (anatomy.spine_y_mm - 27 + anatomy.heart_mm[1]) / 2
    reach = max(anatomy.spine_y_mm - 27 - middle, 10.0)
    bow = ellipsoid_distance(x, y, z, (12.0, middle, arch), (13.0, reach + 13, 15.0))
    caval = np.sqrt((x + 15) ** 2 + (y - anatomy.heart_mm[1] - 8) ** 2) - 9
    caval = np.maximum(caval, anatomy.heart_mm[2] - z)
    nearest = np.minimum(np.minimum(descending, bow), caval)
    return share_inside(nearest.astype(np.float32), edge_mm)


def add_bones(values: Floats, anatomy: Anatomy, position_mm: tuple[Floats, Floats, Floats], body: Floats) -> None:
    """Draw spine, ribs, sternum and shoulder blades into `values`, each only where it can be."""
    x, y, z = position_mm
    spine = (np.abs(x) < 32) & (y > anatomy.spine_y_mm - 24) & (body < -6)
    values[spine] = _spine(anatomy, x[spine], y[spine], z[spine], values[spine])
    depth = body + pleura_inset(anatomy, z)
    ribs = (np.abs(depth - RIB_DEPTH_MM) < RIB_HALF_THICKNESS_MM + 3) & (z < anatomy.apex_mm + 12) & (body < -3)
    values[ribs] = _ribs(anatomy, (x[ribs], y[ribs], z[ribs]), depth[ribs], values[ribs])
    sternum = (np.abs(x) < 22) & (y < 0) & (np.abs(depth - RIB_DEPTH_MM) < 8) & (z > anatomy.heart_mm[2] - 15)
    sternum &= z < anatomy.apex_mm
    plate = np.maximum(np.abs(x[sternum]) - 15, np.abs(depth[sternum] - RIB_DEPTH_MM) - 4.5).astype(np.float32)
    values[sternum] = _bone(values[sternum], plate, anatomy.bone_hu)
    blade = (np.abs(depth - RIB_DEPTH_MM - 10) < 4) & (y > 0.25 * anatomy.half_depth_mm) & (body < -4)
    blade &= (np.abs(x) > 0.42 * anatomy.half_width_mm) & (z > anatomy.apex_mm - 120)
    thin = (np.abs(depth[blade] - RIB_DEPTH_MM - 10) - 1.6).astype(np.float32)
    values[blade] = _bone(values[blade], thin, anatomy.bone_hu)


def _spine(anatomy: Anatomy, x: Floats, y: Floats, z: Floats, values: Floats) -> Floats:
    back = y - anatomy.spine_y_mm
    along = np.abs(np.mod(z, VERTEBRA_PITCH_MM) - VERTEBRA_PITCH_MM / 2)
    round_body = np.sqrt((x / 1.15) ** 2 + back**2) - 15
    disc = share_inside(round_body, 2.5)
    values = values * (1 - disc) + 85 * disc
    values = _bone(values, np.maximum(round_body, along - 10).astype(np.float32), anatomy.bone_hu)
    process = np.maximum(np.abs(x) - 4, np.maximum(np.abs(back - 36) - 9, along - 8))
    lamina = np.maximum(np.abs(np.hypot(x, back - 23) - 11) - 2.2, along - 9)
    transverse = np.maximum(np.abs(back - 22) - 4, np.maximum(np.abs(x) - 28, along - 6))
    arch = np.minimum(np.minimum(process, lamina), np.maximum(transverse, 9 - np.abs(x)))
    return _bone(values, arch.astype(np.float32), anatomy.bone_hu + 40)


def _ribs(anatomy: Anatomy, position_mm: tuple[Floats, Floats, Floats], depth: Floats, values: Floats) -> Floats:
    """Draw all ribs at once: a shell around the pleura, cut into bands that descend from the spine to the front."""
    x, y, z = position_mm
    course = 0.5 - 0.5 * y / np.sqrt(x * x * 0.45 + y * y + 1e-3)
    height = z + anatomy.rib_drop_mm * course - anatomy.rib_phase_mm
    offset = np.mod(height + anatomy.rib_pitch_mm / 2, anatomy.rib_pitch_mm) - anatomy.rib_pitch_mm / 2
    across = np.sqrt((offset / RIB_HALF_HEIGHT_MM) ** 2 + ((depth - RIB_DEPTH_MM) / RIB_HALF_THICKNESS_MM) ** 2)
    distance = ((across - 1) * RIB_HALF_THICKNESS_MM).astype(np.float32)
    cartilage = np.clip((course - 0.86) / 0.08, 0, 1)
    cartilage = np.maximum(cartilage, np.clip((anatomy.dome_mm - 45 - z) / 12, 0, 1))
    bony = _bone(values, distance, anatomy.bone_hu + 60)
    soft = values + share_inside(distance, 2.5) * (105 - values)
    return np.asarray(bony * (1 - cartilage) + soft * cartilage, dtype=np.float32)


def _bone(values: Floats, distance: Floats, marrow_hu: float) -> Floats:
    """Return `values` with a bone of marrow inside a denser cortex of about 2 mm."""
    cortex = marrow_hu + 380 * np.clip(1 + distance / 3.0, 0, 1)
    share = share_inside(distance, 2.5)
    return np.asarray(values * (1 - share) + cortex * share, dtype=np.float32)


def _blend(values: Floats, share: Floats, density_hu: float | Floats) -> None:
    values += share * (density_hu - values)
