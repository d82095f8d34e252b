"""Letters and markers burned into an image: found on the source, slice by slice, and brought to the model input."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.glyphs import Lettering, lettering
from audit_pipeline.checks.grids import touched
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.records import Floats, Image, Mask, Prepared

SINGLE_SHARE = 0.0005
"""Share of a slice that a single letter covers at least to count as a marker (catalogue, A19)."""

_LAST: list[tuple[weakref.ref[Floats], Mapping[int, Lettering]]] = []
"""The letters of the image that was read last: the mask and two checks ask for the same."""


def letters_of(image: Image) -> Mapping[int, Lettering]:
    """Return the letters of every slice that has any, by its index along axis 0; 0 for a 2D image."""
    for known, found in _LAST:
        if known() is image.values:
            return found
    found = _letters(image)
    _LAST[:] = [(weakref.ref(image.values), found)]
    return found


def _letters(image: Image) -> Mapping[int, Lettering]:
    grey = grey_of(image)
    slices = grey if grey.ndim == 3 else grey[None]
    finite = slices if np.isfinite(slices).all() else slices[np.isfinite(slices)]
    if not finite.size:
        return {}
    low, high = float(finite.min()), float(finite.max())
    found = ((index, lettering(plane, low, high, SINGLE_SHARE)) for index, plane in enumerate(slices))
    return {index: one for index, one in found if one is not None}


def text_mask(image: Image, prepared: Prepared) -> Mask:
    """Return where letters and markers lie on the model input, (*S), one voxel wider than their strokes in-plane."""
    letters = letters_of(image)
    if not letters:
        return np.zeros(prepared.inside.shape, dtype=np.bool_)
    marked = np.zeros(image.shape, dtype=np.bool_)
    for index, one in letters.items():
        if marked.ndim == 3:
            marked[index] = one.mask
        else:
            marked |= one.mask
    found = touched(marked, prepared)
    across = np.ones((3,) * found.ndim, dtype=np.bool_)
    if found.ndim == 3:
        beyond = np.arange(3) != 1
        across = np.moveaxis(across, int(np.abs(prepared.to_source[0, :3]).argmax()), 0)
        across[beyond] = False
        across = np.moveaxis(across, 0, int(np.abs(prepared.to_source[0, :3]).argmax()))
    return np.asarray(binary_dilation(found, across) & prepared.inside)
