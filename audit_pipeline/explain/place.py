"""From the layer's grid to the patient: affines composed, one resampling, statistics with places in voxels and mm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import ndimage

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.receptive import ReceptiveField
from audit_pipeline.geometry import follow, half_pixel_map, index_map, lift, transform_points
from audit_pipeline.records import Explanation, Floats, MapStatistics, Matrix, Prepared, sealed
from audit_pipeline.resampling import placed_map, sample_placed

Alignment = Literal["tiling", "receptive"]

CONTOUR_SHARES = (0.5, 0.8)
"""Shares of the positive mass that the contours of a report enclose."""

MAP_VOXELS = 2_000_000
"""Largest number of voxels of a map written for viewers; finer sources are decimated by whole factors."""


def cell_map(
    grid: Sequence[int], input_shape: Sequence[int], alignment: Alignment, field: ReceptiveField | None = None
) -> Matrix:
    """Return where the centres of the cells lie: the index map from the layer's grid to the model input.

    Parameters
    ----------
    alignment : "tiling": the cells divide the input evenly (half-pixel rule); "receptive": the centre of a cell is the
        centre of what it can see, ``offset + stride * index``
    field : as measured by `receptive_fields` on this layer and input; needed for "receptive"

    Raises
    ------
    ExplainError
        The alignment is unknown, or the field is missing or that of another grid or input.
    """
    if alignment == "tiling":
        return half_pixel_map(grid, input_shape)
    if alignment != "receptive":
        raise ExplainError(f"alignment must be tiling or receptive, found {alignment!r}")
    if field is None or field.grid != tuple(grid) or field.input_size != tuple(input_shape):
        found = "none" if field is None else f"one of grid {field.grid} on input {field.input_size}"
        raise ExplainError(
            f"alignment by receptive field needs a field of grid {tuple(grid)} on input {tuple(input_shape)}, found "
            f"{found}; measure it on this layer and input size"
        )
    return field.to_input()


def place(  # noqa: PLR0913 - the facts of one map, each by keyword
    values: Floats,
    prepared: Prepared,
    source_affine: Matrix | None,
    *,
    method: str,
    target: int,
    target_name: str,
    layer: str,
    signal_floor: float,
    to_input: Matrix | None = None,
) -> Explanation:
    """Return one map with its places.

    Parameters
    ----------
    values : (*grid) float32, raw and signed
    prepared : the model input
    source_affine : (4, 4) of the source image, or None
    to_input : grid index -> index of the model input, see `cell_map`; None tiles the input evenly
    """
    input_shape = prepared.values.shape[1:]
    aligned = None if to_input is None else sealed(to_input.copy())
    if to_input is None:
        to_input = half_pixel_map(values.shape, input_shape)
    to_source = prepared.to_source @ to_input
    affine = follow(source_affine, to_source)
    factors = np.diag(to_input)[:-1]
    on_input = sample_placed(values, to_input, input_shape, np.eye(len(input_shape) + 1), input_shape)
    return Explanation(
        method=method,
        target=target,
        target_name=target_name,
        layer=layer,
        values=sealed(np.ascontiguousarray(values, dtype=np.float32)),
        on_input=sealed(on_input),
        to_source=sealed(to_source),
        affine=None if affine is None else sealed(affine),
        cell_mm=tuple(
            None if spacing is None else float(factor * spacing)
            for factor, spacing in zip(factors, prepared.spacing_mm, strict=True)
        ),
        statistics=statistics(values, on_input, to_source, source_affine),
        signal_floor=signal_floor,
        caution=EXPLAINERS[method].caution,
        to_input=aligned,
    )


def statistics(values: Floats, on_input: Floats, to_source: Matrix, source_affine: Matrix | None) -> MapStatistics:
    """Return the numbers of a raw map and the place of its peak; ties go to the first cell in array order.

    Parameters
    ----------
    values : (*grid) the raw map; on_input : (*S) the same on the model input, for the levels that enclose its mass
    """
    cell = np.unravel_index(int(np.argmax(values)), values.shape)
    peak = transform_points(to_source, np.array(cell, dtype=np.float64))
    centre = peak_centre(values)
    position = None
    if source_affine is not None:
        x, y, z = transform_points(source_affine, np.pad(peak, (0, 3 - len(peak))))
        position = (float(x), float(y), float(z))
    return MapStatistics(
        min=float(values.min()),
        max=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        std=float(values.std(dtype=np.float64)),
        peak_value=float(values[cell]),
        peak_index=tuple(int(part) for part in np.rint(peak)),
        peak_position_mm=position,
        centre_index=None if centre is None else tuple(float(part) for part in transform_points(to_source, centre)),
        mass_levels=mass_levels(on_input),
        positive_share=float((values > 0).mean()),
    )


def mass_levels(on_input: Floats) -> tuple[float, float] | None:
    """Return the levels whose super-level sets hold 50 % and 80 % of the positive mass; None when there is none."""
    positive = np.sort(on_input[on_input > 0].astype(np.float64))[::-1]
    if positive.size == 0:
        return None
    mass = np.cumsum(positive)
    half, most = (float(positive[int(np.searchsorted(mass, share * mass[-1]))]) for share in CONTOUR_SHARES)
    return half, most


def peak_centre(values: Floats) -> Matrix | None:
    """Return the mass-weighted peak in grid indices; None when nothing is positive.

    It is the centre of mass of the connected cells around the highest one that reach at least half its value, so it
    lies between cells where the evidence does, and does not jump between equal neighbours. Where these cells bend
    around a place without evidence and their centre of mass falls into it, the highest cell is taken.
    """
    highest = float(values.max())
    if not highest > 0:
        return None
    cell = np.unravel_index(int(np.argmax(values)), values.shape)
    parts, _ = ndimage.label(values >= highest / 2)
    around = parts == parts[cell]
    centre = np.asarray(ndimage.center_of_mass(np.where(around, values.astype(np.float64), 0.0)), dtype=np.float64)
    return centre if around[tuple(np.rint(centre).astype(int))] else np.asarray(cell, dtype=np.float64)


def on_source(explanation: Explanation, shape: Sequence[int], affine: Matrix | None) -> tuple[Floats, Matrix | None]:
    """Return the map on the source grid, decimated by whole factors when that is large, with its affine.

    One resampling straight from the layer's grid; outside what the model saw the map is exactly 0.

    Parameters
    ----------
    shape : spatial shape of the source; affine : (4, 4) of the source, or None

    Returns
    -------
    values : float32 with ceil(shape / factor) entries per axis
    affine : (4, 4) of the values, or None
    """
    factor = 1
    while np.prod([-(-size // factor) for size in shape]) > MAP_VOXELS:
        factor += 1
    reduced = [-(-size // factor) for size in shape]
    to_full = index_map([float(factor)] * len(reduced), [(factor - 1) / 2] * len(reduced))
    values = placed_map(explanation).on(to_full, reduced)
    return values, None if affine is None else np.asarray(affine @ lift(to_full))
