"""How well a map agrees with the mask a reader drew, on the grid of the mask.

The mask stays as it is drawn: the map is read at its voxels, through both affines, so neither is resampled twice.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from audit_pipeline.explain.localisation import TOLERANCE_MM, Case, localise
from audit_pipeline.geometry import index_map
from audit_pipeline.load import ReferenceMask
from audit_pipeline.records import Explanation, Image
from audit_pipeline.resampling import placed_map

MOST_VOXELS = 32_000_000
"""Largest number of voxels at which a map and a mask are compared; of finer masks every n-th voxel along each axis."""

Facts = dict[str, Any]


def reference_facts(reference: ReferenceMask, image: Image) -> Facts:
    """Return the mask in numbers."""
    marked = int(reference.mask.sum())
    sides = _spacing(reference, image)
    size = None if sides is None else marked * float(np.prod(sides))
    return {
        "shape": list(reference.mask.shape),
        "marked_voxels": marked,
        "volume_ml": size / 1000 if size is not None and reference.mask.ndim == 3 else None,
        "area_mm2": size if reference.mask.ndim == 2 else None,
        "share_in_image": reference.share_inside(image),
        "placed_by": "grid" if reference.affine is None or image.affine is None else "affine",
    }


def localisation_facts(one: Explanation, reference: ReferenceMask, image: Image) -> Facts:
    """Return how a map agrees with the mask, all 0..1; see `explain.localisation.CaseScores`."""
    step = 1
    while np.prod([-(-size // step) for size in reference.mask.shape]) > MOST_VOXELS:
        step += 1
    axes = reference.mask.ndim
    mask = np.ascontiguousarray(reference.mask[(slice(None, None, step),) * axes])
    to_image = reference.to_image(image) @ index_map([float(step)] * axes, [0.0] * axes)
    values = placed_map(one).on(to_image, mask.shape)
    sides = _spacing(reference, image)
    case = Case(values=values, mask=mask, spacing_mm=None if sides is None else tuple(side * step for side in sides))
    return asdict(localise(case)) | {"tolerance_mm": TOLERANCE_MM, "every_nth_voxel": step}


def _spacing(reference: ReferenceMask, image: Image) -> tuple[float, ...] | None:
    """Return the spacing of the mask; where only that of the image is known, they share a grid."""
    on_grid = reference.affine is None or image.affine is None
    given = image.spacing_mm if on_grid else reference.spacing_mm
    known = tuple(side for side in given if side is not None)
    return known if len(known) == len(given) else None
