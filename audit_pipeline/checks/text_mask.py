"""Letters and markers burned into an image: found on the source, slice by slice, and brought to the model input."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.glyphs import Lettering, lettering
from audit_pipeline.checks.grids import touched
from audit_pipeline.checks.marks import solid_marks
from audit_pipeline.checks.ocr import Line, read_lines
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.records import Floats, Image, Mask, Prepared

SINGLE_SHARE = 0.0005
"""Share of a slice that a single letter covers at least to count as a marker (catalogue, A19)."""

MOST_READ = 3
"""Slices of a volume that are read where a reader of text is installed, of those in which strokes were found."""

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
    letters = {index: one for index, one in found if one is not None}
    for index in [0] if grey.ndim == 2 else list(letters)[:MOST_READ]:
        read = with_lines(letters.get(index), read_lines(slices[index], low, high))
        letters |= {} if read is None else {index: read}
    return letters


def with_lines(letters: Lettering | None, lines: Sequence[Line]) -> Lettering | None:
    """Return the letters of a slice with the lines of text that were read there; None without either."""
    if not lines:
        return letters
    masks = [one.strokes for one in lines] + ([] if letters is None else [letters.mask])
    counts = [sum(letter.isalnum() for letter in one.text) for one in lines]
    longest = max([*counts, 0 if letters is None else letters.longest])
    return Lettering(np.logical_or.reduce(masks), longest, tuple(one.text for one in lines))


def text_mask(image: Image, prepared: Prepared) -> Mask:
    """Return where letters and markers lie on the model input, (*S), one voxel wider than their strokes in-plane."""
    marked = _marked(image)
    if not marked.any():
        return np.zeros(prepared.inside.shape, dtype=np.bool_)
    found = touched(marked, prepared)
    across = np.ones((3,) * found.ndim, dtype=np.bool_)
    if found.ndim == 3:
        beyond = np.arange(3) != 1
        across = np.moveaxis(across, int(np.abs(prepared.to_source[0, :3]).argmax()), 0)
        across[beyond] = False
        across = np.moveaxis(across, 0, int(np.abs(prepared.to_source[0, :3]).argmax()))
    return np.asarray(binary_dilation(found, across) & prepared.inside)


def _marked(image: Image) -> Mask:
    """Return the strokes of letters and the solid marks on the source, like its spatial shape."""
    grey = grey_of(image)
    slices = grey if grey.ndim == 3 else grey[None]
    marked = np.zeros(slices.shape, dtype=np.bool_)
    for index, one in letters_of(image).items():
        marked[index] = one.mask
    low, high = float(np.nanmin(grey)), float(np.nanmax(grey))
    if np.isfinite((low, high)).all():
        for index, plane in enumerate(slices):
            marked[index] |= solid_marks(plane, low, high)
    return marked.reshape(image.shape)
