"""Text in the pixels is blanked before anything is shown or stored: a flat block stands where letters were found.

What `checks.text_mask` finds in the source, slice by slice, is covered line by line, with what goes on in the same ink
and line: letters that touch each other are no letters to it. A line of which it finds nothing stays. The model has read
the image as it came: neither its input nor any map is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, label

from audit_pipeline.checks import grey_of, letters_of, touched
from audit_pipeline.records import Floats, Image, Mask, Panel, Prepared, sealed

Box = tuple[int, int, int, int]
EDGE_PIXELS = 2
"""Around the strokes of a line, since letters are smoothed at their edges."""

REACH = 1.2
"""Letters that stand apart by this share of the height of the tallest belong to one line, as do those between."""

SAME_INK = 0.05
"""Of the range of a slice: as far may the ink of a line vary."""


def text_boxes(image: Image) -> Mapping[int, tuple[Box, ...]]:
    """Return, by slice along axis 0 (0 for a 2D image), a (top, bottom, left, right) box around every line of text."""
    letters = letters_of(image)
    grey = grey_of(image) if letters else np.empty(0)
    slices = grey if grey.ndim == 3 else grey[None]
    return {index: _boxes(_whole_lines(slices[index], one.mask)) for index, one in letters.items()}


def blanked(panels: Sequence[Panel], image: Image, level: float) -> tuple[Panel, ...]:
    """Return the panels with a flat block over every line of text, and where the blocks lie.

    Parameters
    ----------
    level : value of the blocks, in the unit of the image
    """
    found = text_boxes(image)
    return tuple(_covered(panel, found, image.shape, level) for panel in panels) if found else tuple(panels)


def blank_input(prepared: Prepared, image: Image) -> Prepared:
    """Return the model input with the mean of the rest where the source holds text, for what is stored of it.

    Parameters
    ----------
    prepared : its values stay as they are; those of the result are a copy
    """
    marked = _marked(text_boxes(image), image.shape)
    if marked is None:
        return prepared
    hidden = binary_dilation(touched(marked, prepared), np.ones((3,) * prepared.inside.ndim, dtype=np.bool_))
    values = np.array(prepared.values)
    for channel in values:
        channel[hidden] = channel[~hidden].mean() if not hidden.all() else 0.0
    return replace(prepared, values=sealed(values))


def _marked(found: Mapping[int, Sequence[Box]], shape: tuple[int, ...]) -> Mask | None:
    """Return the boxes as a mask of the source; None without any."""
    if not found:
        return None
    marked = np.zeros(shape if len(shape) == 3 else (1, *shape), dtype=np.bool_)
    for index, boxes in found.items():
        for top, bottom, left, right in boxes:
            marked[index, top:bottom, left:right] = True
    return marked.reshape(shape)


def _boxes(strokes: Mask) -> tuple[Box, ...]:
    """Return the boxes of the lines of text in a slice: letters near each other share a box, and boxes never meet."""
    found = [
        (
            max(0, top - EDGE_PIXELS),
            min(strokes.shape[0], bottom + EDGE_PIXELS),
            max(0, left - EDGE_PIXELS),
            min(strokes.shape[1], right + EDGE_PIXELS),
        )
        for top, bottom, left, right in _lines(strokes)
    ]
    return _apart(found, strokes.shape)


def _lines(strokes: Mask) -> list[Box]:
    """Return a tight box around every group of letters that stand near each other."""
    letters, _ = label(strokes, np.ones((3, 3)))
    # the longer side of joined letters says nothing of their height
    heights = [min(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in find_objects(letters)]
    if not heights:
        return []
    reach = EDGE_PIXELS + int(np.ceil(REACH * max(heights) / 2))
    joined, _ = label(binary_dilation(strokes, np.ones((3, 3), dtype=np.bool_), iterations=reach))
    found = []
    for number, place in enumerate(find_objects(joined), start=1):
        rows, columns = np.nonzero((joined[place] == number) & strokes[place])
        top, left = place[0].start, place[1].start
        ends = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
        found.append((top + ends[0], top + ends[1], left + ends[2], left + ends[3]))
    return found


def _whole_lines(plane: Floats, strokes: Mask) -> Mask:
    """Return the strokes with everything in the same ink that goes on in their lines."""
    whole = strokes.copy()
    finite = plane[np.isfinite(plane)]
    tolerance = SAME_INK * float(finite.max() - finite.min())
    for top, bottom, left, right in _lines(strokes):
        inside = strokes[top:bottom, left:right]
        alike = np.abs(plane - np.median(plane[top:bottom, left:right][inside])) <= tolerance
        if right - left >= bottom - top:
            _go_on(whole, alike, (top, bottom, left, right))
        else:
            _go_on(whole.T, alike.T, (left, right, top, bottom))
    return whole


def _go_on(whole: Mask, alike: Mask, line: Box) -> None:
    """Add to `whole` what stands on the rows of a line beside it, piece after piece, and is no taller than the line."""
    top, bottom, left, right = line
    height = bottom - top
    first, last = max(0, top - height // 2 - 1), min(alike.shape[0], bottom + height // 2 + 1)
    pieces, _ = label(alike[first:last], np.ones((3, 3)))
    places = [
        (number, columns.start, columns.stop)
        for number, (rows, columns) in enumerate(find_objects(pieces), start=1)
        if (rows.start > 0 or first == 0) and (rows.stop < last - first or last == alike.shape[0])
    ]
    reach, taken = REACH * height, set()
    while beside := [one for one in places if one not in taken and one[1] <= right + reach and one[2] >= left - reach]:
        taken.update(beside)
        left, right = min(left, *(one[1] for one in beside)), max(right, *(one[2] for one in beside))
    whole[first:last] |= np.isin(pieces, [number for number, _, _ in taken])


def _apart(boxes: Sequence[Box], shape: tuple[int, ...]) -> tuple[Box, ...]:
    """Return the boxes around those that touch or overlap."""
    filled = np.zeros(shape[:2], dtype=np.bool_)
    for top, bottom, left, right in boxes:
        filled[top:bottom, left:right] = True
    places, count = find_objects(label(filled, np.ones((3, 3)))[0]), len(boxes)
    merged = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in places]
    return tuple(merged) if len(merged) == count else _apart(merged, shape)


def _covered(panel: Panel, found: Mapping[int, Sequence[Box]], shape: tuple[int, ...], level: float) -> Panel:
    seen = [
        box
        for index, boxes in found.items()
        for one in boxes
        if (box := _on_panel(panel, ((index, index + 1),) if len(shape) == 3 else (), one)) is not None
    ]
    if not seen:
        return panel
    boxes = _apart(seen, panel.anatomy.shape)
    return replace(panel, anatomy=_flat(panel.anatomy, boxes, level), blanked=boxes)


def _flat(anatomy: Floats, boxes: Sequence[Box], level: float) -> Floats:
    covered = np.array(anatomy)
    for top, bottom, left, right in boxes:
        covered[top:bottom, left:right] = level
    return sealed(covered)


def _on_panel(panel: Panel, slices: tuple[tuple[int, int], ...], box: Box) -> Box | None:
    """Return a box of the source as pixels of a panel, every pixel that it touches; None where it lies elsewhere."""
    extents = [*slices, (box[0], box[1]), (box[2], box[3])]
    if panel.axis is not None and not extents[panel.axis][0] <= (panel.index or 0) < extents[panel.axis][1]:
        return None
    sides: list[int] = []
    for place in (0, 1):
        along = int(np.abs(panel.to_source[:-1, place]).argmax())
        step, start = float(panel.to_source[along, place]), float(panel.to_source[along, 2])
        ends = sorted((end - 0.5 - start) / step for end in extents[along])
        size = panel.anatomy.shape[place]
        # pixel k covers k - 1/2 to k + 1/2
        first, last = int(np.floor(ends[0] + 0.5 + 1e-6)), int(np.ceil(ends[1] + 0.5 - 1e-6))
        if last <= 0 or first >= size:
            return None
        sides += [max(0, first), min(size, last)]
    return (sides[0], sides[1], sides[2], sides[3])
