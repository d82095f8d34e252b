"""The falsification panel: what the model says when something it should need, or should not need, is taken away."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from audit_pipeline.checks.inpaint import filled
from audit_pipeline.checks.map_measures import BORDER_WIDTH
from audit_pipeline.checks.variants import variant
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.records import Floats, Mask

PANEL = ("body_removed", "text_removed", "border_removed", "padding_changed", "constant", "noise")
"""The variants of the panel, in the order of the report."""

MARGIN = 2
"""Voxels around the body or a letter that are taken away with it, as both fade out over a voxel or two."""

LEAST_PADDING = 0.001
"""Share of the input below which there is no padding to speak of."""


@variant(
    count=1,
    sentence="The body is replaced by its surroundings; letters, padding and the outer tenth stay.",
    group="falsification",
)
def body_removed(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Fill the body from around it, less what lies on it and is not the patient: letters, padding, edges of the field.

    The outer tenth of what is not padding stays on the sides of every slice: a model that reads markers, collimation
    or borders goes on reading them there, also in a radiograph that the body fills.
    """
    if evidence.body is None:
        raise Unanswered("The body could not be found, so it cannot be taken away.")
    inside = evidence.prepared.inside if evidence.padding is None else evidence.prepared.inside & ~evidence.padding
    hole = binary_dilation(evidence.body, iterations=MARGIN) & inside & ~_sides(inside)
    letters = _letters(evidence)
    gone = hole if letters is None else hole & ~letters
    if not gone.any():
        raise Unanswered("The body lies at the edge of the image alone, so it cannot be taken away.")
    # padding is no surroundings: its value would make a dark body of the bright edge that stays
    without = filled(evidence.prepared.values, hole | ~inside, random)
    return np.where(gone, without, evidence.prepared.values)[None]


def _sides(inside: Mask) -> Mask:
    """Return the outer tenth, on the four sides of every slice, of the smallest box that holds what is not padding."""
    band = np.zeros_like(inside)
    for axis in (-2, -1):
        others = tuple(other for other in range(inside.ndim) if other != axis % inside.ndim)
        covered = np.flatnonzero(inside.any(axis=others))
        margin = max(1, round(BORDER_WIDTH * covered.size)) if covered.size else 0
        ends = np.isin(np.arange(inside.shape[axis]), (*covered[:margin], *covered[covered.size - margin :]))
        band |= ends[:, None] if axis == -2 else ends
    return band


@variant(count=1, sentence="Letters and markers are replaced by their surroundings.", group="falsification")
def text_removed(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Fill the letters and markers from around them."""
    letters = _letters(evidence)
    if letters is None:
        raise Unanswered("There are no letters or markers to take away.")
    return filled(evidence.prepared.values, letters, random)[None]


def _letters(evidence: Evidence) -> Mask | None:
    if evidence.text is None or not evidence.text.any():
        return None
    return np.asarray(binary_dilation(evidence.text, iterations=MARGIN), dtype=np.bool_)


@variant(count=1, sentence="The outer tenth of every side is replaced by what lies inside it.", group="falsification")
def border_removed(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Fill the border band from inside it."""
    if evidence.border is None or evidence.border.all():
        raise Unanswered("There is nothing inside the border to fill it from.")
    return filled(evidence.prepared.values, evidence.border, random)[None]


@variant(count=1, sentence="The padding continues the image instead of ending it at one value.", group="falsification")
def padding_changed(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Fill the padding from the image beside it, with its noise, so that neither its value nor its width is left."""
    padding = evidence.padding
    if padding is None or float(padding.mean()) < LEAST_PADDING:
        raise Unanswered("There is no padding to change.")
    if padding.all():
        raise Unanswered("There is nothing but padding.")
    return filled(evidence.prepared.values, padding, random)[None]


@variant(count=1, sentence="One even grey: the mean of the image.", group="falsification")
def constant(evidence: Evidence, _random: np.random.Generator) -> Floats:
    """Return the mean of every channel, everywhere."""
    values = evidence.prepared.values
    means = values.mean(axis=tuple(range(1, values.ndim)), dtype=np.float64, keepdims=True)
    return np.ascontiguousarray(np.broadcast_to(means, values.shape), dtype=np.float32)[None]


@variant(count=1, sentence="Noise with the mean and the spread of the image.", group="falsification")
def noise(evidence: Evidence, random: np.random.Generator) -> Floats:
    """Return normal noise in the range of the image, independent from voxel to voxel."""
    values = evidence.prepared.values
    axes = tuple(range(1, values.ndim))
    mean = values.mean(axis=axes, dtype=np.float64, keepdims=True)
    spread = values.std(axis=axes, dtype=np.float64, keepdims=True)
    drawn = mean + spread * random.standard_normal(values.shape)
    return np.asarray(np.clip(drawn, values.min(), values.max())[None], dtype=np.float32)
