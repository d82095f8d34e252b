"""Blocks of the pooled-gradient family given as a length in the patient, turned into cells of a layer's grid."""

from __future__ import annotations

import re
from collections.abc import Sequence

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import Pooling

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*mm\s*")


def pooling_length_mm(pooling: Pooling) -> float | None:
    """Return the edge of the blocks when `pooling` is a length such as "12 mm", None when it is something else.

    Raises
    ------
    ExplainError
        The length is 0.

    Examples
    --------
    >>> pooling_length_mm("12.5mm"), pooling_length_mm("global"), pooling_length_mm(3)
    (12.5, None, None)
    """
    found = _LENGTH.fullmatch(pooling) if isinstance(pooling, str) else None
    if found is None:
        return None
    if float(found[1]) == 0:
        raise ExplainError("blocks of 0 mm pool nothing; give a length above zero, or pooling 'none'")
    return float(found[1])


def blocks_of(
    length_mm: float, grid: Sequence[int], size: Sequence[int], spacing_mm: Sequence[float | None] | None
) -> tuple[int, ...]:
    """Return the edge of blocks in cells, one per axis: the whole number nearest to `length_mm`, at least 1.

    Parameters
    ----------
    grid : cells of the layer; size : pixels of the input that the grid tiles; spacing_mm : of the input

    Raises
    ------
    ExplainError
        The spacing of the input is not known.

    Examples
    --------
    >>> blocks_of(12.0, (4, 8, 8), (32, 128, 128), (2.5, 0.5, 0.5))
    (1, 2, 2)
    """
    known = [step for step in spacing_mm or () if step is not None]
    if len(known) != len(tuple(grid)):
        raise ExplainError("blocks in mm need the spacing of the input on every axis; give the blocks in cells instead")
    return tuple(
        max(1, round(length_mm * cells / (pixels * step)))
        for cells, pixels, step in zip(grid, size, known, strict=True)
    )
