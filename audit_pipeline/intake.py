"""What went in, as pictures: the slice as stored, the model's input at the same place, nine slices of that input.

A reviewer sees on them what the loader and the preparation did: an image upside down, a window that cuts the lungs
away, a field of view that ends inside the patient, a table or a collimator that only a bright background shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audit_pipeline.geometry import direction_letters, inverse, opposite_letters, plane_name, transform_points
from audit_pipeline.records import Floats, Image, Matrix, Panel, Prepared, sealed
from audit_pipeline.report.evidence import FED, MOSAIC, STORED

MOSAIC_SLICES = 9
LONGEST_SIDE, LONGEST_MOSAIC = 160, 96
"""In pixels; larger slices are averaged over whole blocks."""

IN_MODEL_UNITS = (FED, MOSAIC)
COLOUR_LEVELS = np.float32(255)


def with_intake(shown: Sequence[Panel], image: Image, prepared: Prepared) -> tuple[Panel, ...]:
    """Return the panels of the report and behind them those of `intake_panels`."""
    return (*shown, *intake_panels(image, prepared, shown))


def intake_panels(image: Image, prepared: Prepared, shown: Sequence[Panel]) -> tuple[Panel, ...]:
    """Return the slice as stored, the model input there, and nine slices of the model input of a volume.

    Nothing is turned: rows and columns are those of the stored array and of the network's input.

    Parameters
    ----------
    shown : the panels of the report; the place is that of the first one across axis 0 of the source
    """
    if len(image.shape) == 2:
        letters = shown[0].letters if shown else ("", "", "", "")
        return (_stored(image, None, letters), _fed(image, prepared, FED, None, letters))
    index = next((one.index for one in shown if one.axis == 0 and one.index is not None), image.shape[0] // 2)
    middle = [(size - 1) / 2 for size in image.shape]
    along = int(np.argmax(np.abs(prepared.to_source[0, :-1])))
    there = transform_points(inverse(prepared.to_source), [index, *middle[1:]])[along]
    size = prepared.inside.shape[along]
    fed = (along, int(np.clip(round(float(there)), 0, size - 1)))
    return (_stored(image, index), _fed(image, prepared, FED, fed), *_mosaic(image, prepared))


def in_own_grey(panel: Panel) -> Panel:
    """Return a panel whose blanked blocks, where it shows model input, have the middle of that input's greys."""
    if panel.role not in IN_MODEL_UNITS or not panel.blanked:
        return panel
    hidden = np.zeros(panel.anatomy.shape[:2], dtype=np.bool_)
    for top, bottom, left, right in panel.blanked:
        hidden[top:bottom, left:right] = True
    rest = panel.anatomy[~hidden]
    values = np.array(panel.anatomy)
    values[hidden] = (rest.min() + rest.max()) / 2 if rest.size else 0.0
    return replace(panel, anatomy=sealed(values))


def _mosaic(image: Image, prepared: Prepared) -> list[Panel]:
    """Return slices across the first axis of the input, evenly spread over those that hold image data."""
    filled = np.flatnonzero(prepared.inside.any(axis=(1, 2)))
    if not filled.size:
        return []
    places = np.unique(np.linspace(filled[0], filled[-1], MOSAIC_SLICES).round().astype(int))
    return [_fed(image, prepared, MOSAIC, (0, int(place))) for place in places]


def _stored(image: Image, index: int | None, letters: tuple[str, str, str, str] | None = None) -> Panel:
    values = image.values if index is None else image.values[index]
    rows, columns = (0, 1) if index is None else (1, 2)
    offset = np.zeros(len(image.shape))
    if index is not None:
        offset[0] = index
    return _panel(
        values, LONGEST_SIDE, role=STORED, axes=(rows, columns), offset=offset, to_source=np.eye(len(image.shape) + 1),
        affine=image.affine, spacing_mm=image.spacing_mm, source=(None, None) if index is None else (0, index),
        letters=letters,
    )  # fmt: skip


def _fed(
    image: Image, prepared: Prepared, role: str, place: tuple[int, int] | None, letters: tuple[str, ...] | None = None
) -> Panel:
    channels = prepared.values
    values = COLOUR_LEVELS * np.moveaxis(channels, 0, -1).clip(0, 1) if image.is_colour else channels[0]
    offset, axes = np.zeros(prepared.inside.ndim), [0, 1]
    source: tuple[int | None, int | None] = (None, None)
    if place is not None:
        along, index = place
        values, offset[along] = np.take(values, index, axis=along), index
        axes = [axis for axis in range(3) if axis != along]
        across = int(np.argmax(np.abs(prepared.to_source[:-1, along])))
        found = transform_points(prepared.to_source, offset)[across]
        source = (across, int(np.clip(round(float(found)), 0, image.shape[across] - 1)))
    return _panel(
        values, LONGEST_MOSAIC if role == MOSAIC else LONGEST_SIDE, role=role, axes=(axes[0], axes[1]), offset=offset,
        to_source=prepared.to_source, affine=prepared.affine, spacing_mm=prepared.spacing_mm, source=source,
        letters=letters,
    )  # fmt: skip


def _panel(  # noqa: PLR0913 - one place where a panel of either grid is put together
    values: Floats,
    longest: int,
    *,
    role: str,
    axes: tuple[int, int],
    offset: Matrix,
    to_source: Matrix,
    affine: Matrix | None,
    spacing_mm: Sequence[float | None],
    source: tuple[int | None, int | None],
    letters: Sequence[str] | None,
) -> Panel:
    """Return a slice of a grid with rows and columns along `axes`; `to_source` leads from the grid to the source."""
    block = -(-max(values.shape[:2]) // longest)
    rows, columns = (side // block for side in values.shape[:2])
    blocks = values[: rows * block, : columns * block].reshape(rows, block, columns, block, *values.shape[2:])
    on_grid = np.zeros((len(offset) + 1, 3))
    on_grid[:-1, 2], on_grid[-1, 2] = offset, 1.0
    for place, axis in enumerate(axes):
        on_grid[axis, place], on_grid[axis, 2] = block, (block - 1) / 2
    steps = [spacing_mm[axis] for axis in axes]
    known = [float(step) * block for step in steps if step is not None]
    right, down = ("", "") if affine is None else (direction_letters(affine[:3, axis]) for axis in axes[::-1])
    edges = (opposite_letters(right), right, opposite_letters(down), down) if letters is None else tuple(letters)
    return Panel(
        role=role,
        plane="image" if source[0] is None else _plane(affine, axes),
        axis=source[0],
        index=source[1],
        position_mm=None,
        anatomy=sealed(np.ascontiguousarray(blocks.mean(axis=(1, 3)), dtype=np.float32)),
        maps={},
        target=-1,
        pixel_mm=(known[0], known[1]) if len(known) == len(axes) else None,
        cell_mm=None,
        letters=(edges[0], edges[1], edges[2], edges[3]),
        peaks={},
        to_source=sealed(to_source @ on_grid),
    )


def _plane(affine: Matrix | None, axes: tuple[int, int]) -> str:
    return "slice" if affine is None else plane_name(np.cross(affine[:3, axes[0]], affine[:3, axes[1]]))
