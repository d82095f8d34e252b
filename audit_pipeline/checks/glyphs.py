"""Finding letters in a slice: saturated thin strokes of text-like size, with sharp edges, on darker ground.

Anatomy, wires and clips can be as bright, but the detector blurs them over some pixels, and they rarely stand in a line
with equal height. Letters burned in by a workstation are drawn, not measured: one value, abrupt edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, label

from audit_pipeline.records import Floats, Mask

LEVELS = 0.05
"""Within this share of the range from its end a pixel counts as saturated; small smoothed letters stay just below."""

HEIGHT_PIXELS, HEIGHT_SHARE = 5, 0.12
"""Letters are at least this many pixels and at most this share of the frame high."""

MOST_SATURATED, MOST_COMPONENTS = 0.25, 3000
"""Beyond these a slice holds a saturated region or noise, and letters cannot be told from it."""

PAD = 7
EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Glyph:
    """A letter-like component: its box (rows and columns, end exclusive), its pixels, and whether it has a shape."""

    top: int
    bottom: int
    left: int
    right: int
    pixels: int
    is_shaped: bool

    @property
    def height(self) -> int:
        """Rows of the box."""
        return self.bottom - self.top


def text_share(slices: Floats, single_limit: float) -> dict[int, float]:
    """Return the share of each slice that letters cover, for the slices that have any.

    Parameters
    ----------
    slices : (D, H, W)
    single_limit : share of the slice from which on a single letter counts; letters in a line always count
    """
    finite = slices[np.isfinite(slices)] if not np.isfinite(slices).all() else slices
    if not finite.size or finite.min() == finite.max():
        return {}
    low, high = float(finite.min()), float(finite.max())
    found: dict[int, float] = {}
    for index, plane in enumerate(slices):
        scaled = np.nan_to_num((plane - low) / (high - low))
        shares = [_plane_share(one, single_limit) for one in (scaled, 1 - scaled)]
        if max(shares) > 0:
            found[index] = max(shares)
    return found


def _plane_share(scaled: Floats, single_limit: float) -> float:
    """Return the share of the plane covered by letters at its bright end."""
    saturated = scaled >= 1 - LEVELS
    count = int(saturated.sum())
    if count < 2 * HEIGHT_PIXELS or count > MOST_SATURATED * saturated.size:
        return 0.0
    glyphs = _glyphs(scaled, saturated)
    in_line = {place for pair in _pairs(glyphs) for place in pair}
    alone = {
        place for place, glyph in enumerate(glyphs) if glyph.is_shaped and glyph.pixels > single_limit * saturated.size
    }
    return sum(glyphs[place].pixels for place in in_line | alone) / saturated.size


def _glyphs(scaled: Floats, saturated: Mask) -> list[Glyph]:
    components, count = label(saturated, EIGHT)
    if count > MOST_COMPONENTS:
        return []
    tallest = HEIGHT_SHARE * saturated.shape[0]
    found = []
    for number, (rows, columns) in enumerate(find_objects(components), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not (HEIGHT_PIXELS <= height <= tallest and width <= 1.6 * height):
            continue
        window = tuple(slice(max(0, one.start - PAD), one.stop + PAD) for one in (rows, columns))
        shape = components[window] == number
        if _is_thin(shape, height) and _is_drawn(scaled[window], shape, saturated[window]):
            pixels = int(shape.sum())
            is_shaped = pixels <= 0.75 * height * width and width >= 0.3 * height
            found.append(Glyph(rows.start, rows.stop, columns.start, columns.stop, pixels, is_shaped))
    return found


def _is_thin(shape: Mask, height: int) -> bool:
    """Tell whether the strokes are at most a third of the letter's height wide."""
    half_width = float(distance_transform_edt(np.pad(shape, 1)).max())
    return 2 * half_width - 1 <= 0.34 * height + 1


def _is_drawn(scaled: Floats, shape: Mask, saturated: Mask) -> bool:
    """Tell whether the ground is clearly darker, varies less than that, and is reached two pixels off the stroke."""
    near = binary_dilation(shape, EIGHT, iterations=2)
    edge = near & ~binary_dilation(shape, EIGHT)
    others = binary_dilation(saturated & ~shape, EIGHT, iterations=2)
    ground = binary_dilation(near, EIGHT, iterations=3) & ~binary_dilation(near, EIGHT) & ~others
    edge &= ~others
    if ground.sum() < 8 or edge.sum() < 8:
        return False
    low, high = (float(level) for level in np.percentile(scaled[ground], (10, 90)))
    contrast = 1 - high
    rise = float(np.mean(scaled[edge]) - np.mean(scaled[ground]))
    return contrast > 0.25 and high - low < contrast and rise < 0.10 * contrast


def _pairs(glyphs: list[Glyph]) -> list[tuple[int, int]]:
    """Return the pairs that stand side by side like letters of a word."""
    return [
        (one, other)
        for one in range(len(glyphs))
        for other in range(one + 1, len(glyphs))
        if _in_line(*sorted((glyphs[one], glyphs[other]), key=lambda glyph: glyph.left))
    ]


def _in_line(left: Glyph, right: Glyph) -> bool:
    tall, short = max(left.height, right.height), min(left.height, right.height)
    gap = right.left - left.right
    is_level = abs(left.bottom - right.bottom) <= 0.2 * tall or abs(left.top - right.top) <= 0.2 * tall
    return is_level and short >= 0.6 * tall and 0 <= gap <= 1.2 * tall
