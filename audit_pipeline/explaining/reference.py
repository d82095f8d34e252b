r"""The reference mask a reader drew, and how well a map agrees with it, on the grid of the mask.

The mask stays as it is drawn: the map is read at its voxels, through both affines, so neither is resampled twice. A
mask without a position, or for an image without one, must have the shape of the image and lies on its grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.localisation import TOLERANCE_MM, Case, localise
from audit_pipeline.geometry import index_map, inverse, transform_points
from audit_pipeline.load import find_studies, load_source
from audit_pipeline.records import Explanation, Image, Mask, Matrix
from audit_pipeline.resampling import placed_map

MOST_VOXELS = 32_000_000
"""Largest number of voxels at which a map and a mask are compared; of finer masks every n-th voxel along each axis."""

OUT_OF_PLANE_MM = 1.0
"""How far a 2D mask may lie from the plane of a 2D image."""

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    r"""A reference mask (\*S) bool with its place; affine (4, 4) or None when it is unknown."""

    mask: Mask
    affine: Matrix | None
    spacing_mm: tuple[float | None, ...]

    def to_image(self, image: Image) -> Matrix:
        """Return the index map from the mask to the image, (n + 1, n + 1).

        Raises
        ------
        ExplainError
            The axes, the shape or the plane do not fit.
        """
        axes = len(image.shape)
        if self.mask.ndim != axes:
            raise ExplainError(f"the mask has {self.mask.ndim} axes and the image {axes}; give the mask of this image")
        if self.affine is None or image.affine is None:
            if self.mask.shape != image.shape:
                raise ExplainError(
                    f"mask or image has no position, so the mask must have the shape of the image, {_size(image.shape)}"
                    f", found {_size(self.mask.shape)}; export it on the grid of the image"
                )
            return np.eye(axes + 1)
        between = inverse(image.affine) @ self.affine
        if axes == 3:
            return np.asarray(between)
        kept = [0, 1, 3]
        last = np.array(self.mask.shape) - 1
        corners = np.array([[0, 0], [0, last[1]], [last[0], 0], last])
        beside = np.abs(corners @ between[2, :2] + between[2, 3]) * np.linalg.norm(image.affine[:3, 2])
        if beside.max() > OUT_OF_PLANE_MM:
            raise ExplainError(
                f"the mask lies up to {beside.max():.1f} mm beside the plane of the image; give the mask of this image"
            )
        return np.asarray(between[np.ix_(kept, kept)])

    def share_inside(self, image: Image) -> float:
        """Return the share of the marked voxels that lie in the image."""
        places = transform_points(self.to_image(image), np.argwhere(self.mask))
        sides = np.array(image.shape)
        return float(((places >= -0.5) & (places <= sides - 0.5)).all(axis=1).mean())

    def require_overlap(self, image: Image) -> None:
        """Refuse a mask of another image.

        Raises
        ------
        ExplainError
            No marked voxel lies in the image, or the grids do not fit.
        """
        if not self.share_inside(image) > 0:
            raise ExplainError(
                "the mask does not overlap the image: none of its marked voxels lies in it; "
                "check that it belongs to this image and that both keep their position"
            )


def read_reference(path: Path) -> Reference:
    """Return the mask in a NIfTI file: every voxel above 0 is marked.

    Raises
    ------
    LoadError
        The file cannot be read.
    ExplainError
        It is no NIfTI file, or nothing in it is marked.
    """
    sources = find_studies([path])
    if len(sources) != 1 or sources[0].kind != "nifti":
        raise ExplainError("the mask must be one NIfTI file (.nii or .nii.gz); convert it, or name the file itself")
    image = load_source(sources[0]).images[0]
    if image.is_colour:
        raise ExplainError("the mask must hold one number per voxel, found colour")
    mask = np.asarray(image.values > 0)
    if image.invalid is not None:
        mask &= ~image.invalid
    if not mask.any():
        raise ExplainError(
            "nothing in the mask is marked: a voxel above 0 is needed; leave --mask out for a clear image"
        )
    return Reference(mask=mask, affine=image.affine, spacing_mm=image.spacing_mm)


def reference_facts(reference: Reference, image: Image) -> Facts:
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


def localisation_facts(one: Explanation, reference: Reference, image: Image) -> Facts:
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


def _spacing(reference: Reference, image: Image) -> tuple[float, ...] | None:
    """Return the spacing of the mask; where only that of the image is known, they share a grid."""
    on_grid = reference.affine is None or image.affine is None
    given = image.spacing_mm if on_grid else reference.spacing_mm
    known = tuple(side for side in given if side is not None)
    return known if len(known) == len(given) else None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
