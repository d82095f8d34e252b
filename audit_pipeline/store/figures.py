"""``figures.npz``: the displayed slices and the maps on their own grid, enough to draw every figure again.

Maps are stored on the layer's grid and brought onto the slices when they are read, by the same resampling that made
them, so that the file stays small and the figure is the number.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit_pipeline.errors import StoreError
from audit_pipeline.records import Explanation, Floats, Panel, sealed
from audit_pipeline.resampling import PlacedMap, placed_map, slice_maps


@dataclass(frozen=True, slots=True)
class _Grid:
    method: str
    target: int
    placed: PlacedMap


def figures_bytes(panels: Sequence[Panel], explanations: Sequence[Explanation]) -> bytes:
    """Return the archive of the panels and of the maps they show; the same bytes for the same content."""
    arrays: dict[str, Any] = {f"anatomy_{place}": panel.anatomy for place, panel in enumerate(panels)}
    arrays |= {f"grid_{place}": one.values for place, one in enumerate(explanations)}
    description = {
        "panels": [_described(panel) for panel in panels],
        "grids": [{"method": one.method, "target": one.target, **_places(placed_map(one))} for one in explanations],
    }
    text = np.frombuffer(json.dumps(description, allow_nan=False).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, description=text, **arrays)
    return stream.getvalue()


def read_figures(path: Path, *, most: int | None = None) -> tuple[Panel, ...]:
    """Return the panels with their maps; only the first `most` of them when that is given.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            description = json.loads(archive["description"].tobytes())
            grids = [
                _Grid(one["method"], one["target"], _placed(one, archive[f"grid_{place}"]))
                for place, one in enumerate(description["grids"])
            ]
            return tuple(
                _restored(one, archive[f"anatomy_{place}"], grids)
                for place, one in enumerate(description["panels"][:most])
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path.parent.name}/{path.name} is missing or damaged") from error


def _places(one: PlacedMap) -> dict[str, Any]:
    return {
        "to_source": one.to_source.tolist(), "to_input": one.to_input.tolist(), "input_shape": list(one.input_shape)
    }  # fmt: skip


def _placed(description: dict[str, Any], values: Floats) -> PlacedMap:
    return PlacedMap(
        values=values,
        to_source=np.asarray(description["to_source"]),
        to_input=np.asarray(description["to_input"]),
        input_shape=tuple(description["input_shape"]),
    )


def _described(panel: Panel) -> dict[str, Any]:
    return {
        "role": panel.role,
        "plane": panel.plane,
        "axis": panel.axis,
        "index": panel.index,
        "position_mm": panel.position_mm,
        "methods": list(panel.maps),
        "target": panel.target,
        "pixel_mm": panel.pixel_mm,
        "cell_mm": panel.cell_mm,
        "letters": panel.letters,
        "peaks": dict(panel.peaks),
        "to_source": panel.to_source.tolist(),
        "blanked": [list(box) for box in panel.blanked],
    }


def _restored(description: dict[str, Any], anatomy: Floats, grids: Sequence[_Grid]) -> Panel:
    methods, to_source = description.pop("methods"), np.asarray(description.pop("to_source"), dtype=np.float64)
    shown = {one.method: one.placed for one in grids if one.target == description["target"] and one.method in methods}
    blanked = tuple((top, bottom, left, right) for top, bottom, left, right in description.pop("blanked", ()))
    pixel_mm, cell_mm, peaks = (description.pop(name) for name in ("pixel_mm", "cell_mm", "peaks"))
    return Panel(
        **description | {"letters": tuple(description["letters"])},
        anatomy=sealed(anatomy),
        maps=slice_maps(shown, to_source, anatomy.shape[:2]),
        pixel_mm=None if pixel_mm is None else tuple(pixel_mm),
        cell_mm=None if cell_mm is None else tuple(cell_mm),
        peaks={method: tuple(peak) for method, peak in peaks.items()},
        to_source=sealed(to_source),
        blanked=blanked,
    )
