r"""The reference mask that a reader drew: read from a NIfTI file, and where it lies in an image.

The mask stays as it is drawn. A mask without a position, or for an image without one, must have the shape of the image
and lies on its grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit_pipeline.errors import MaskError
from audit_pipeline.geometry import inverse, transform_points
from audit_pipeline.load.discover import find_studies
from audit_pipeline.load.study import load_source
from audit_pipeline.records import Image, Mask, Matrix

OUT_OF_PLANE_MM = 1.0
"""How far a 2D mask may lie from the plane of a 2D image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceMask:
    r"""A reference mask (\*S) bool with its place; affine (4, 4) or None when it is unknown."""

    mask: Mask
    affine: Matrix | None
    spacing_mm: tuple[float | None, ...]

    def to_image(self, image: Image) -> Matrix:
        """Return the index map from the mask to the image, (n + 1, n + 1).

        Raises
        ------
        MaskError
            The axes, the shape or the plane do not fit.
        """
        axes = len(image.shape)
        if self.mask.ndim != axes:
            raise MaskError(f"the mask has {self.mask.ndim} axes and the image {axes}; give the mask of this image")
        if self.affine is None or image.affine is None:
            if self.mask.shape != image.shape:
                raise MaskError(
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
            raise MaskError(
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
        MaskError
            No marked voxel lies in the image, or the grids do not fit.
        """
        if not self.share_inside(image) > 0:
            raise MaskError(
                "the mask does not overlap the image: none of its marked voxels lies in it; "
                "check that it belongs to this image and that both keep their position"
            )


def read_reference_mask(path: Path) -> ReferenceMask:
    """Return the mask in a NIfTI file: every voxel above 0 is marked.

    Raises
    ------
    LoadError
        The file cannot be read.
    MaskError
        It is no NIfTI file, or nothing in it is marked.
    """
    sources = find_studies([path])
    if len(sources) != 1 or sources[0].kind != "nifti":
        raise MaskError("the mask must be one NIfTI file (.nii or .nii.gz); convert it, or name the file itself")
    image = load_source(sources[0]).images[0]
    if image.is_colour:
        raise MaskError("the mask must hold one number per voxel, found colour")
    mask = np.asarray(image.values > 0)
    if image.invalid is not None:
        mask &= ~image.invalid
    if not mask.any():
        raise MaskError("nothing in the mask is marked: a voxel above 0 is needed; give no mask for a clear image")
    return ReferenceMask(mask=mask, affine=image.affine, spacing_mm=image.spacing_mm)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
