"""Finding marks that are no letters: solid patches laid over the outer part of a slice, such as squares, dots, arrows.

A mark is drawn: it has one value at an end of the grey range, ends abruptly, and stands on even ground. Only the outer
part of a slice is searched, since a dense finding or an implant inside the patient can look the same.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, label

from audit_pipeline.records import Floats, Mask

END = 0.05
"""Within this share of the range from its end a pixel counts as saturated."""

OUTER = 1 / 6
"""Marks lie in this part of the frame, from every side."""

LEAST_PIXELS, LARGEST, MOST_SATURATED = 3, 0.15, 0.25
"""Shortest side in pixels; longest side as a share of the frame; share of the outer part beyond which it is no mark."""

LEAST_FILLED = 0.5
"""Share of its box that a solid mark covers; what is thinner is for `glyphs` to judge."""

LEAST_CONTRAST, ABRUPT = 0.25, 0.15
"""Of the grey range between mark and ground; share of that contrast that the ground may still rise two pixels off."""

EIGHT = np.ones((3, 3), dtype=np.bool_)
PAD = 6


def solid_marks(plane: Floats, low: float, high: float) -> Mask:
    """Return the pixels of solid marks in a slice, (H, W); `low` and `high` end the grey range of the whole image."""
    found = np.zeros(plane.shape, dtype=np.bool_)
    if not high > low or min(plane.shape) < 4 * PAD:
        return found
    scaled = np.nan_to_num((plane - low) / (high - low))
    outer = _outer(plane.shape)
    for ink in (scaled, 1 - scaled):
        strokes = ink >= 1 - END
        count = int((strokes & outer).sum())
        if LEAST_PIXELS**2 <= count <= MOST_SATURATED * int(outer.sum()):
            found |= _marks(ink, strokes, outer)
    return found


def _outer(shape: tuple[int, ...]) -> Mask:
    outer = np.ones(shape, dtype=np.bool_)
    rows, columns = (round(OUTER * size) for size in shape)
    outer[rows : shape[0] - rows, columns : shape[1] - columns] = False
    return outer


def _marks(ink: Floats, strokes: Mask, outer: Mask) -> Mask:
    found = np.zeros(strokes.shape, dtype=np.bool_)
    components, _ = label(strokes, EIGHT)
    longest = LARGEST * max(strokes.shape)
    for number, (rows, columns) in enumerate(find_objects(components), start=1):
        sides = rows.stop - rows.start, columns.stop - columns.start
        if min(sides) < LEAST_PIXELS or max(sides) > longest:
            continue
        place = slice(max(0, rows.start - PAD), rows.stop + PAD), slice(max(0, columns.start - PAD), columns.stop + PAD)
        shape = components[place] == number
        is_solid = shape.sum() >= LEAST_FILLED * sides[0] * sides[1]
        if is_solid and outer[place][shape].all() and _is_drawn(ink[place], shape):
            found[place] |= shape
    return found


def _is_drawn(ink: Floats, shape: Mask) -> bool:
    """Tell whether the patch ends abruptly on even ground that is clearly darker."""
    near = binary_dilation(shape, EIGHT, iterations=2)
    edge = near & ~binary_dilation(shape, EIGHT)
    ground = binary_dilation(near, EIGHT, iterations=3) & ~near
    if edge.sum() < 8 or ground.sum() < 8:
        return False
    low, high = (float(level) for level in np.percentile(ink[ground], (10, 90)))
    contrast = 1 - high
    rise = float(ink[edge].mean() - ink[ground].mean())
    return contrast > LEAST_CONTRAST and high - low < contrast and rise < ABRUPT * contrast
