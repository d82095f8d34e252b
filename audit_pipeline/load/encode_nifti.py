"""NIfTI-1 written: heatmaps for viewers and phantoms for the demo, the same bytes for the same numbers.

The writer is the mirror of the reader: array axes are reversed, so that NIfTI i is the last array axis, and LPS+
becomes RAS+. Reading the bytes back gives the same values at the same places.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import nibabel
import numpy as np

from audit_pipeline.geometry import lps_to_ras, spacing_of
from audit_pipeline.records import Floats, Matrix

SCANNER = 1
"""Code of sform and qform: scanner coordinates (NIfTI-1, nifti1.h, NIFTI_XFORM_SCANNER_ANAT)."""


COMPRESSION = 1
"""Heatmaps are smooth numbers that hardly compress; more effort costs seconds and saves a few per cent."""


def nifti_bytes(values: Floats, affine: Matrix | None, spacing_mm: Sequence[float | None]) -> bytes:
    """Return a gzip-compressed NIfTI-1 file.

    Parameters
    ----------
    values : (D, H, W) or (H, W) float32
    affine : (4, 4) array index -> mm in LPS+; None writes sform and qform code 0, which means an unknown position
    spacing_mm : one entry per axis of `values`, used when the affine is unknown; None becomes 1
    """
    ascending = values.T if values.ndim == 3 else values.T[..., None]
    if affine is None:
        image = nibabel.Nifti1Image(ascending, None)
        image.header.set_zooms([side or 1.0 for side in reversed(spacing_mm)] + [1.0] * (3 - values.ndim))
    else:
        image = nibabel.Nifti1Image(ascending, lps_to_ras(_reversed_axes(affine, values.ndim)))
        image.set_sform(image.affine, code=SCANNER)
        image.header.set_zooms(spacing_of(image.affine))
        image.set_qform(image.affine, code=SCANNER if _is_rigid(image.affine) else 0)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=COMPRESSION, mtime=0)


def _reversed_axes(affine: Matrix, dimensions: int) -> Matrix:
    """Return the affine for the index order (last axis, ..., first axis); a slice keeps its normal as third axis."""
    order = [2, 1, 0, 3] if dimensions == 3 else [1, 0, 2, 3]
    return affine[:, order]


def _is_rigid(affine: Matrix) -> bool:
    """Whether the axes are orthogonal, so that the quaternion of the qform can hold them."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(directions.T @ directions, np.eye(3), atol=1e-4))
