"""The first map of a study, read back from ``figures.npz`` for comparisons between studies."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from audit_pipeline.errors import StoreError
from audit_pipeline.records import Floats

MOST_CELLS = 4096
"""Larger maps are averaged over blocks of cells, so that thousands of them fit into memory."""


def read_first_map(path: Path) -> tuple[int, Floats] | None:
    """Return the class that the first map of a study explains, and the map on its grid; None when there is no map.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            grids = json.loads(archive["description"].tobytes())["grids"]
            return (int(grids[0]["target"]), coarse(archive["grid_0"])) if grids else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path.parent.name}/{path.name} is missing or damaged") from error


def coarse(values: Floats) -> Floats:
    """Return a map averaged over cubes of cells until it has at most `MOST_CELLS`; what no cube covers is left out."""
    factor = math.ceil((values.size / MOST_CELLS) ** (1 / values.ndim)) if values.size > MOST_CELLS else 1
    if factor == 1:
        return values
    kept = tuple(size // factor for size in values.shape)
    cut = values[tuple(slice(0, size * factor) for size in kept)]
    blocks = cut.reshape([part for size in kept for part in (size, factor)])
    return np.asarray(blocks.mean(axis=tuple(range(1, 2 * len(kept), 2))), dtype=np.float32)
