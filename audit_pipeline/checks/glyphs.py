"""Finding letters in a slice: thin strokes of one value and of text-like size, with sharp edges, that stand in lines.

Anatomy, wires and clips can be as bright, but the detector blurs them over some pixels, and they rarely stand in a line
with equal height. Letters burned in by a workstation are drawn, not measured: one value, abrupt edges. That value is
mostly the end of the grey range; text drawn at another value is found by how often that value is repeated exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, label

from audit_pipeline.records import Floats, Mask

LEVELS = 0.05
"""Within this share of the range from its end a pixel counts as saturated; small smoothed letters stay just below."""

SIZE_PIXELS, SIZE_SHARE = 5, 0.12
"""Letters are at least this many pixels and at most this share of the frame high."""

MOST_SATURATED, MOST_COMPONENTS = 0.25, 3000
"""Beyond these a slice holds a saturated region or noise, and letters cannot be told from it."""

MOST_VALUES, LEAST_REPEATED, REPEATED = 3, 24, 8
"""Of ink inside the range: so many values are tried, each so often the equal of its neighbour, and so many times more
often than the middle one of such values."""

OBLIQUE_LETTERS, OBLIQUE_RESIDUAL = 4, 0.30
"""Letters that make a line in any direction, and their distance from it in letter sizes (root mean square)."""

PAD = 7
Labels = NDArray[np.int32]
EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Glyph:
    """A letter-like component: its box (rows and columns, end exclusive) and whether it has a shape.

    place, strokes : a window of the slice, and the pixels of the letter in it
    """

    top: int
    bottom: int
    left: int
    right: int
    is_shaped: bool
    place: tuple[slice, slice]
    strokes: Mask

    @property
    def size(self) -> int:
        """The longer side of the box."""
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def pixels(self) -> int:
        """How many pixels the strokes cover."""
        return int(self.strokes.sum())

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the middle of the box."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    @property
    def turned(self) -> Glyph:
        """The same with the rows and columns of its box exchanged."""
        return replace(self, top=self.left, bottom=self.right, left=self.top, right=self.bottom)


@dataclass(frozen=True, slots=True)
class Lettering:
    """The letters of one slice: (H, W) bool, and how many stand in the longest line (1 for a single marker).

    texts : the lines that a reader of text read, which may name the patient; empty where none is installed
    """

    mask: Mask
    longest: int
    texts: tuple[str, ...] = ()


def lettering(plane: Floats, low: float, high: float, single_limit: float) -> Lettering | None:
    """Return the letters of a slice, or None when it has none.

    Parameters
    ----------
    plane : (H, W); low, high : ends of the grey range of the whole image
    single_limit : share of the slice from which on a single letter counts; letters in a line always count
    """
    if not high > low:
        return None
    scaled = np.nan_to_num((plane - low) / (high - low))
    found, longest = np.zeros(plane.shape, dtype=np.bool_), 0
    for ink, strokes in _inks(scaled):
        mask, count = _letters(ink, strokes, single_limit)
        found |= mask
        longest = max(longest, count)
    return Lettering(found, longest) if longest else None


def _inks(scaled: Floats) -> Iterator[tuple[Floats, Mask]]:
    """Yield the plane scaled so that the ink is 1 and what is no ink lower, with the pixels of that ink."""
    for ink in (scaled, 1 - scaled):
        yield ink, ink >= 1 - LEVELS
    for value in _repeated_values(scaled):
        strokes = scaled == value
        yield np.clip(scaled / value, 0, 1), strokes
        yield np.clip((1 - scaled) / (1 - value), 0, 1), strokes


def _repeated_values(scaled: Floats) -> Sequence[float]:
    """Return values inside the range that equal their neighbour far more often than measured values do."""
    flat = scaled[:, 1:][scaled[:, 1:] == scaled[:, :-1]]
    flat = flat[(flat > LEVELS) & (flat < 1 - LEVELS)]
    if not flat.size:
        return ()
    values, counts = np.unique(flat, return_counts=True)
    usual = float(np.median(counts))
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return [float(values[one]) for one in order if counts[one] >= max(LEAST_REPEATED, REPEATED * usual)]


def _letters(ink: Floats, strokes: Mask, single_limit: float) -> tuple[Mask, int]:
    """Return the pixels of the letters in this ink and how many stand in the longest line."""
    nothing = np.zeros(strokes.shape, dtype=np.bool_)
    count = int(strokes.sum())
    if count < 2 * SIZE_PIXELS or count > MOST_SATURATED * strokes.size:
        return nothing, 0
    components, number = label(strokes, EIGHT)
    if number > MOST_COMPONENTS:
        return nothing, 0
    glyphs = _glyphs(ink, strokes, components)
    lines = _lines(glyphs)
    chosen = {place for line in lines for place in line}
    alone = {
        place for place, glyph in enumerate(glyphs) if glyph.is_shaped and glyph.pixels > single_limit * strokes.size
    }
    if not chosen | alone:
        return nothing, 0
    for place in chosen | alone:
        nothing[glyphs[place].place] |= glyphs[place].strokes
    return nothing, max((len(line) for line in lines), default=1)


def _glyphs(ink: Floats, strokes: Mask, components: Labels) -> list[Glyph]:
    tallest = SIZE_SHARE * max(strokes.shape)
    found = []
    for number, (rows, columns) in enumerate(find_objects(components), start=1):
        size = max(rows.stop - rows.start, columns.stop - columns.start)
        if not SIZE_PIXELS <= size <= tallest:
            continue
        place = slice(max(0, rows.start - PAD), rows.stop + PAD), slice(max(0, columns.start - PAD), columns.stop + PAD)
        shape = components[place] == number
        if not _is_thin(shape, size):
            continue
        ground = _ground(ink[place], shape, strokes[place])
        if ground is not None:
            found.append(_glyph(place, _grown(ink[place], shape, ground, tallest)))
    return found


def _glyph(place: tuple[slice, slice], strokes: Mask) -> Glyph:
    rows, columns = find_objects(strokes.astype(np.int32))[0]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    is_shaped = strokes.sum() <= 0.75 * height * width and min(height, width) >= 0.3 * max(height, width)
    top, left = place[0].start, place[1].start
    return Glyph(
        top=top + rows.start, bottom=top + rows.stop, left=left + columns.start, right=left + columns.stop,
        is_shaped=bool(is_shaped), place=place, strokes=strokes,
    )  # fmt: skip


def _grown(ink: Floats, shape: Mask, ground: float, tallest: float) -> Mask:
    """Return the letter with its smoothed strokes: what is nearer to the ink than to the ground and touches it."""
    components, _ = label((ink > (1 + ground) / 2) | shape, EIGHT)
    grown = np.isin(components, np.unique(components[shape]))
    rows, columns = find_objects(grown.astype(np.int32))[0]
    fits = max(rows.stop - rows.start, columns.stop - columns.start) <= tallest and grown.sum() <= 4 * shape.sum()
    return np.asarray(grown) if fits else shape


def _is_thin(shape: Mask, size: int) -> bool:
    """Tell whether the strokes are at most a third of the letter's size wide."""
    half_width = float(distance_transform_edt(np.pad(shape, 1)).max())
    return 2 * half_width - 1 <= 0.34 * size + 1


def _ground(ink: Floats, shape: Mask, strokes: Mask) -> float | None:
    """Return the level around drawn strokes; None for what is measured.

    Around drawn strokes the ground is clearly darker, varies less than that, and is reached two pixels off the stroke.
    """
    near = binary_dilation(shape, EIGHT, iterations=2)
    edge = near & ~binary_dilation(shape, EIGHT)
    others = binary_dilation(strokes & ~shape, EIGHT, iterations=2)
    ground = binary_dilation(near, EIGHT, iterations=3) & ~binary_dilation(near, EIGHT) & ~others
    edge &= ~others
    if ground.sum() < 8 or edge.sum() < 8:
        return None
    low, high = (float(level) for level in np.percentile(ink[ground], (10, 90)))
    contrast = 1 - high
    rise = float(np.mean(ink[edge]) - np.mean(ink[ground]))
    return high if contrast > 0.25 and high - low < contrast and rise < 0.10 * contrast else None


def _lines(glyphs: Sequence[Glyph]) -> list[list[int]]:
    """Return groups of glyphs that stand side by side like letters of a word: level, upright or oblique."""
    level = _groups(glyphs, _is_level)
    upright = _groups([one.turned for one in glyphs], _is_level)
    oblique = [group for group in _groups(glyphs, _is_beside) if _is_straight([glyphs[one] for one in group])]
    return [group for group in (*level, *upright, *oblique) if any(glyphs[one].is_shaped for one in group)]


def _groups(glyphs: Sequence[Glyph], are_neighbours: Callable[[Glyph, Glyph], bool]) -> list[list[int]]:
    """Return the connected groups of at least two glyphs."""
    group_of = list(range(len(glyphs)))
    for one in range(len(glyphs)):
        for other in range(one + 1, len(glyphs)):
            if are_neighbours(glyphs[one], glyphs[other]):
                old, new = group_of[other], group_of[one]
                group_of = [new if group == old else group for group in group_of]
    groups = [[place for place, group in enumerate(group_of) if group == name] for name in sorted(set(group_of))]
    return [group for group in groups if len(group) > 1]


def _is_level(one: Glyph, other: Glyph) -> bool:
    """Tell whether two glyphs stand on one row, or hang from one, at a letter's distance."""
    left, right = sorted((one, other), key=lambda glyph: glyph.left)
    heights = left.bottom - left.top, right.bottom - right.top
    tall, short = max(heights), min(heights)
    gap = right.left - left.right
    is_level = abs(left.bottom - right.bottom) <= 0.2 * tall or abs(left.top - right.top) <= 0.2 * tall
    return is_level and short >= 0.6 * tall and 0 <= gap <= 1.2 * tall


def _is_beside(one: Glyph, other: Glyph) -> bool:
    """Tell whether two glyphs of like size are apart by less than that size, in whatever direction."""
    tall, short = max(one.size, other.size), min(one.size, other.size)
    gap = max(
        max(one.left, other.left) - min(one.right, other.right),
        max(one.top, other.top) - min(one.bottom, other.bottom),
    )
    return short >= 0.5 * tall and gap <= 0.8 * tall


def _is_straight(glyphs: Sequence[Glyph]) -> bool:
    """Tell whether enough letters stand in one line."""
    if len(glyphs) < OBLIQUE_LETTERS:
        return False
    centres = np.asarray([one.centre for one in glyphs])
    spread = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
    size = float(np.median([one.size for one in glyphs]))
    return bool(spread[1] <= OBLIQUE_RESIDUAL * size * np.sqrt(len(glyphs)))
