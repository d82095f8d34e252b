"""Which slices a reviewer sees: planes through the evidence and the most evident slices, in radiological orientation.

Axial and coronal slices show the patient's right on the left of the page, sagittal slices the anterior on the left;
the head is up. Slices are the source's own array slices, so nothing is interpolated except the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.geometry import (
    PLANES,
    closest_axes,
    direction_letters,
    opposite_letters,
    transform_points,
)
from audit_pipeline.records import Explanation, Floats, Image, Matrix, Panel, sealed
from audit_pipeline.resampling import placed_map, slice_maps

LONGEST_SIDE = 640
"""Longest side in pixels of a stored slice; larger ones are averaged over whole blocks."""

TOP_SLICES = 8
PEAK_REACH = 0.5
"""A peak is marked in a slice when it lies within half a slice of it."""

DISPLAY = {"axial": ((1, 1), (0, 1)), "coronal": ((2, -1), (0, 1)), "sagittal": ((2, -1), (1, 1))}
"""Plane -> (world axis, sign) of growing rows and of growing columns, in LPS+."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one slice lies on the page: array axes of rows and columns, which are reversed, and the letters."""

    plane: str
    rows: int
    columns: int
    reversed_rows: bool
    reversed_columns: bool
    letters: tuple[str, str, str, str]


def panels(image: Image, explanations: Sequence[Explanation]) -> tuple[Panel, ...]:
    """Return the slices to show, for every target in the order of `explanations`.

    Volumes: three planes through the mass-weighted peak of each target's first map, and for the first target up to
    eight slices along axis 0 with the most positive evidence. 2D images: the image itself, once per target.
    """
    shown: list[Panel] = []
    for rank, target in enumerate(dict.fromkeys(one.target for one in explanations)):
        group = [one for one in explanations if one.target == target]
        if len(image.shape) == 2:
            shown.append(_panel(image, group, "image", None, None))
            continue
        centre = group[0].statistics.centre_index or tuple((size - 1) / 2 for size in image.shape)
        middle = [int(np.clip(round(value), 0, size - 1)) for value, size in zip(centre, image.shape, strict=True)]
        shown += [_panel(image, group, "plane", axis, middle[axis]) for axis in _plane_order(image)]
        if rank == 0:
            shown += [_panel(image, group, "slice", 0, index) for index in evident_slices(image.shape, group[0])]
    return tuple(shown)


def evident_slices(shape: tuple[int, ...], explanation: Explanation) -> tuple[int, ...]:
    """Return up to eight slice indices along axis 0 with the most positive mass, in anatomical order.

    Chosen slices keep at least half a cell of the layer's grid between them, so that they show different evidence.
    """
    profile = slice_mass(shape, explanation)
    cell = float(np.linalg.norm(explanation.to_source[0, :-1]))
    chosen: list[int] = []
    for index in np.argsort(-profile, kind="stable"):
        if profile[index] <= 0 or len(chosen) == TOP_SLICES:
            break
        if all(abs(int(index) - other) >= cell / 2 for other in chosen):
            chosen.append(int(index))
    return tuple(sorted(chosen))


def slice_mass(shape: tuple[int, ...], explanation: Explanation) -> Floats:
    """Return the positive mass of the map in every source slice along axis 0, (D,) float32, arbitrary scale."""
    coarse = [shape[0], *(min(size, 32) for size in shape[1:])]
    steps = [full / few for full, few in zip(shape, coarse, strict=True)]
    to_full = np.diag([*steps, 1.0])
    to_full[:-1, -1] = [0.5 * step - 0.5 for step in steps]
    sampled = placed_map(explanation).on(to_full, coarse)
    return np.asarray(np.maximum(sampled, 0).sum(axis=(1, 2)), dtype=np.float32)


def _plane_order(image: Image) -> list[int]:
    """Array axes in the order axial, coronal, sagittal; stored order when the orientation is unknown."""
    if image.affine is None:
        return [0, 1, 2]
    worlds = [world for world, _ in closest_axes(image.affine)]
    return [worlds.index(world) for world in (2, 1, 0)]


def _layout(image: Image, axis: int | None) -> Layout:
    if axis is None or image.affine is None:
        rows, columns = (0, 1) if axis is None else tuple(other for other in range(3) if other != axis)
        letters = _image_letters(image) if axis is None else ("", "", "", "")
        return Layout("image" if axis is None else f"axis {axis}", rows, columns, False, False, letters)
    found = closest_axes(image.affine)
    plane = PLANES[found[axis][0]]
    (row_world, row_sign), (column_world, column_sign) = DISPLAY[plane]
    worlds = [world for world, _ in found]
    rows, columns = worlds.index(row_world), worlds.index(column_world)
    reversed_rows, reversed_columns = found[rows][1] != row_sign, found[columns][1] != column_sign
    down = image.affine[:3, rows] * (-1 if reversed_rows else 1)
    right = image.affine[:3, columns] * (-1 if reversed_columns else 1)
    return Layout(
        plane, rows, columns, reversed_rows, reversed_columns, _edges(direction_letters(right), direction_letters(down))
    )


def _edges(right: str, bottom: str) -> tuple[str, str, str, str]:
    """Letters at the left, right, top and bottom edge."""
    return (opposite_letters(right), right, opposite_letters(bottom), bottom)


def _image_letters(image: Image) -> tuple[str, str, str, str]:
    """Letters of a 2D image: from its affine, else from Patient Orientation (PS3.3, C.7.6.1.1.1), else none."""
    if image.affine is not None:
        return _edges(direction_letters(image.affine[:3, 1]), direction_letters(image.affine[:3, 0]))
    stated = str(image.metadata.get("PatientOrientation") or "").split("\\")
    if len(stated) == 2 and all(part and set(part) <= set("LRAPHF") for part in stated):
        return _edges(stated[0], stated[1])
    return ("", "", "", "")


def _panel(image: Image, group: Sequence[Explanation], role: str, axis: int | None, index: int | None) -> Panel:
    layout = _layout(image, axis)
    anatomy, to_source = _anatomy(image, layout, axis, index)
    return Panel(
        role=role,
        plane=layout.plane,
        axis=axis,
        index=index,
        position_mm=_position(image, axis, index),
        anatomy=anatomy,
        maps=slice_maps({one.method: placed_map(one) for one in group}, to_source, anatomy.shape[:2]),
        target=group[0].target,
        pixel_mm=_pixel_mm(image, layout, to_source),
        cell_mm=_cell_mm(image, layout, group[0]),
        letters=layout.letters,
        peaks={one.method: peak for one in group if (peak := _peak(one, to_source, axis, index)) is not None},
        to_source=sealed(to_source),
    )


def _anatomy(image: Image, layout: Layout, axis: int | None, index: int | None) -> tuple[Floats, Matrix]:
    """Return the slice in display orientation and the map from display (row, column, 1) to source index."""
    flat = image.values if axis is None else np.take(image.values, index or 0, axis=axis)
    if layout.rows > layout.columns:
        flat = flat.swapaxes(0, 1)
    flat = flat[:: -1 if layout.reversed_rows else 1, :: -1 if layout.reversed_columns else 1]
    height, width = flat.shape[:2]
    block = -(-max(height, width) // LONGEST_SIDE)
    rows, columns = height // block, width // block
    blocks = flat[: rows * block, : columns * block].reshape(rows, block, columns, block, *flat.shape[2:])
    to_source = np.zeros((len(image.shape) + 1, 3))
    to_source[-1, 2] = 1.0
    for place, (along, size, is_reversed) in enumerate(
        ((layout.rows, height, layout.reversed_rows), (layout.columns, width, layout.reversed_columns))
    ):
        first = (block - 1) / 2
        to_source[along, place] = -block if is_reversed else block
        to_source[along, 2] = size - 1 - first if is_reversed else first
    if axis is not None:
        to_source[axis, 2] = float(index or 0)
    return sealed(np.ascontiguousarray(blocks.mean(axis=(1, 3)), dtype=np.float32)), to_source


def _position(image: Image, axis: int | None, index: int | None) -> float | None:
    """Distance of the slice from the world origin along its own normal, toward the positive world axis."""
    if image.affine is None:
        return None
    if axis is None or index is None:
        normal, place = image.affine[:3, 2], np.zeros(3)
    else:
        first, second = (image.affine[:3, other] for other in range(3) if other != axis)
        normal, place = np.cross(first, second), np.eye(3)[axis] * index
    unit = normal / np.linalg.norm(normal)
    unit = unit * (1 if unit[int(np.argmax(np.abs(unit)))] > 0 else -1)
    return float(unit @ transform_points(image.affine, place))


def _pixel_mm(image: Image, layout: Layout, to_source: Matrix) -> tuple[float, float] | None:
    row, column = image.spacing_mm[layout.rows], image.spacing_mm[layout.columns]
    block = float(np.abs(to_source[:-1, 0]).max())
    return None if row is None or column is None else (row * block, column * block)


def _cell_mm(image: Image, layout: Layout, explanation: Explanation) -> tuple[float, float] | None:
    row, column = image.spacing_mm[layout.rows], image.spacing_mm[layout.columns]
    if row is None or column is None:
        return None
    cells = np.abs(explanation.to_source[:-1, :-1]).max(axis=1)
    return (float(row * cells[layout.rows]), float(column * cells[layout.columns]))


def _peak(
    explanation: Explanation, to_source: Matrix, axis: int | None, index: int | None
) -> tuple[float, float] | None:
    """Return where the mass-weighted peak lies on the page, when it lies in this slice."""
    centre = explanation.statistics.centre_index
    if centre is None or (axis is not None and abs(centre[axis] - float(index or 0)) > PEAK_REACH):
        return None
    in_plane, offset = to_source[:-1, :2], to_source[:-1, 2]
    row, column = np.linalg.lstsq(in_plane, np.asarray(centre) - offset, rcond=None)[0]
    return (float(row), float(column))
