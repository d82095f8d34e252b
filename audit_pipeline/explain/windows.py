r"""Volumes larger than the model's input: raw signed maps of overlapping windows, averaged with importance weights.

At each place x the result is :math:`\sum_w \omega_w(x) m_w(x) / \sum_w \omega_w(x)`: one normalisation, by the weights
and by nothing else, so a window without evidence stays dark beside one that has some. Values keep the unit of a
window's logit: what a place adds to the logit of a window that holds it.

Memory is bounded by one slab of window depth: windows run in order along the first axis, and rows that no later window
reaches leave at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, product
from math import gcd
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.cam import upsample
from audit_pipeline.geometry import Matrix, half_pixel_map
from audit_pipeline.records import Floats

ExplainImages = Callable[[Tensor], tuple[Tensor, Tensor]]
r"""Images (N, C, \*S) -> logits (N, K), raw signed maps (N, T, \*grid)."""

Importance = Literal["constant", "gaussian"]
Rule = Literal["mean", "max"]

GAUSSIAN_SHARE = 0.125
"""Standard deviation of the Gaussian importance as a share of the window, as is common in sliding-window inference."""

LEAST_WEIGHT = 1e-3
"""Smallest Gaussian weight relative to the centre, so that every place keeps a weight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """How a volume is cut.

    Attributes
    ----------
    size : of a window in voxels, the model's input
    overlap : share of a window that the next one repeats, 0 <= overlap < 1
    importance : weight of a place by its position in the window
    margin : cells at each side of a window that are left out because padding reaches them; the outer border of the
        volume keeps its cells, for there the padding is the same as for the whole volume
    rule : how the logits of the windows become the logit of the volume
    batch : windows in one pass
    step : voxels per axis of which every start is a multiple, as far as the last window allows; None takes the cells of
        the map, so that they line up
    """

    size: tuple[int, ...]
    overlap: float = 0.5
    importance: Importance = "gaussian"
    margin: tuple[int, ...] | int = 0
    rule: Rule = "mean"
    batch: int = 1
    step: tuple[int, ...] | None = None

    @property
    def noun(self) -> str:
        """What a part is called."""
        return "window"

    def starts(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the first voxel of every window over a volume of this shape, the first axis slowest."""
        steps = self.step or (1,) * len(self.size)
        sides = zip(shape, self.size, steps, strict=True)
        return list(product(*(window_starts(int(length), size, self.overlap, step) for length, size, step in sides)))

    def count(self, shape: Sequence[int]) -> int:
        """Return the number of windows over a volume of this shape."""
        return len(self.starts(shape))

    def take(self, volume: Tensor, first: int, last: int) -> Tensor:
        r"""Return the windows `first` to `last` (exclusive) of a volume (C, \*S) as images (n, C, \*size)."""
        _require(tuple(volume.shape[1:]), self)
        return torch.stack([_cut(volume, starts, self.size) for starts in self.starts(volume.shape[1:])[first:last]])

    def centres(self, shape: Sequence[int]) -> Matrix:
        """Return the index of the centre of every window in the volume, (windows, axes)."""
        return np.asarray(self.starts(shape), dtype=np.float64) + (np.asarray(self.size) - 1) / 2

    def spacing(self, spacing_mm: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return the spacing within a window."""
        return tuple(spacing_mm)

    def assemble(self, maps: Tensor, _weights: Tensor, shape: Sequence[int]) -> Floats:
        r"""Return the stitched map (T, \*grid) of the raw signed maps of all windows, (W, T, \*grid), in order.

        The grid of the result tiles the volume evenly.

        Raises
        ------
        ExplainError
            Windows less their margins leave gaps.
        """
        plan = _plan(shape, self, tuple(int(cells) for cells in maps.shape[2:]))
        answers = zip(self.starts(shape), _on_plan(maps, plan), strict=True)
        return np.concatenate([slab.values for slab in _stitched(answers, plan, self)], axis=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slab:
    r"""Finished rows of the map.

    values : (T, rows, \*rest) float32, signed; start : index of the first row along axis 0 of the result's grid
    """

    start: int
    values: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Stitched:
    r"""The map of a volume made of windows.

    Attributes
    ----------
    values : (T, \*grid) float32, signed, in units of a window's logit
    to_volume : index map from the grid to the volume
    logits : (K,) of the volume by `rule`; window_logits : (W, K); starts : (W, n) first voxel of each window
    rule : "mean" or "max"
    """

    values: Floats
    to_volume: Matrix
    logits: tuple[float, ...]
    window_logits: Floats
    starts: tuple[tuple[int, ...], ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class _Plan:
    """Window starts per axis and the grid of the result: `step` voxels per cell, `window` cells per window."""

    starts: tuple[tuple[int, ...], ...]
    step: tuple[int, ...]
    window: tuple[int, ...]
    shape: tuple[int, ...]
    margin: tuple[int, ...]


@dataclass(slots=True)
class _Log:
    """What the windows answered, in the order in which they ran."""

    logits: list[Floats] = field(default_factory=list)
    starts: list[tuple[int, ...]] = field(default_factory=list)
    plan: _Plan | None = None


def stitch(explain: ExplainImages, volume: Tensor, windows: Windows) -> Stitched:
    r"""Return the map of a whole volume.

    Parameters
    ----------
    explain : images (N, C, \*size) -> logits (N, K), raw signed maps (N, T, \*grid)
    volume : (C, \*S), at least as large as a window along every axis

    Raises
    ------
    ExplainError
        The volume is smaller than a window, a setting is out of range, windows minus margins leave gaps, or an answer
        is not finite.
    """
    log = _Log()
    values = np.concatenate([slab.values for slab in _slabs(explain, volume, windows, log)], axis=1)
    assert log.plan is not None
    window_logits = np.concatenate(log.logits)
    combine = np.max if windows.rule == "max" else np.mean
    return Stitched(
        values=values,
        to_volume=half_pixel_map(log.plan.shape, tuple(volume.shape[1:])),
        logits=tuple(float(value) for value in combine(window_logits.astype(np.float64), axis=0)),
        window_logits=window_logits,
        starts=tuple(log.starts),
        rule=windows.rule,
    )


def stitched_slabs(explain: ExplainImages, volume: Tensor, windows: Windows) -> Iterator[Slab]:
    """Yield the map from the first row to the last while only one slab is in memory; arguments as for `stitch`."""
    yield from _slabs(explain, volume, windows, _Log())


def window_starts(length: int, size: int, overlap: float, step: int = 1) -> tuple[int, ...]:
    """Return the first voxels of windows that cover an axis; the last window ends with it.

    Starts are multiples of `step` as far as the last one allows.

    >>> window_starts(20, 8, 0.5, 4)
    (0, 4, 8, 12)
    """
    stride = max(step, int(size * (1 - overlap)) // step * step)
    return tuple(sorted({*range(0, length - size, stride), length - size}))


def _slabs(explain: ExplainImages, volume: Tensor, windows: Windows, log: _Log) -> Iterator[Slab]:
    _require(tuple(volume.shape[1:]), windows)
    answers = _answers(explain, volume, windows, log)
    first = next(answers)
    assert log.plan is not None
    yield from _stitched(chain([first], answers), log.plan, windows)


def _stitched(answers: Iterable[tuple[tuple[int, ...], Matrix]], plan: _Plan, windows: Windows) -> Iterator[Slab]:
    """Yield finished rows, from the start and the map of every window on the grid of the result."""
    evidence = weight = None
    row = 0
    for starts, maps in answers:
        if evidence is None or weight is None:
            evidence = np.zeros((maps.shape[0], plan.window[0], *plan.shape[1:]))
            weight = np.zeros(evidence.shape[1:])
        first = starts[0] // plan.step[0]
        if first > row:
            yield Slab(start=row, values=_normalised(evidence, weight, first - row))
            evidence, weight = _moved(evidence, first - row), _moved(weight[None], first - row)[0]
            row = first
        places = tuple(
            slice(start // step, start // step + cells)
            for start, step, cells in zip(starts[1:], plan.step[1:], plan.window[1:], strict=True)
        )
        importance = _importance(starts, plan, windows)
        evidence[(slice(None), slice(None), *places)] += importance * maps
        weight[(slice(None), *places)] += importance
    assert evidence is not None
    assert weight is not None
    yield Slab(start=row, values=_normalised(evidence, weight, evidence.shape[1]))


def _answers(
    explain: ExplainImages, volume: Tensor, windows: Windows, log: _Log
) -> Iterator[tuple[tuple[int, ...], Matrix]]:
    """Yield start and map of every window, in order along axis 0, on the grid of the result."""
    waiting: list[tuple[int, ...]] = [(0,) * len(windows.size)]
    while waiting:
        now, waiting = waiting[: windows.batch], waiting[windows.batch :]
        logits, maps = explain(torch.stack([_cut(volume, starts, windows.size) for starts in now]))
        if not bool(torch.isfinite(logits).all()) or not bool(torch.isfinite(maps).all()):
            raise ExplainError(f"a window between voxels {now[0]} and {now[-1]} has an answer that is not finite")
        if log.plan is None:
            log.plan = _plan(volume.shape[1:], windows, tuple(int(cells) for cells in maps.shape[2:]))
            waiting = list(product(*log.plan.starts))[1:]
        log.logits.append(np.asarray(logits.float().cpu().numpy(), dtype=np.float32))
        log.starts += now
        yield from zip(now, _on_plan(maps, log.plan), strict=True)


def _on_plan(maps: Tensor, plan: _Plan) -> Iterator[Matrix]:
    """Yield the map of every window, (T, *window), on the grid of the result."""
    for values in maps.float().unsqueeze(1):
        fine = values if values.shape[2:] == plan.window else upsample(values, plan.window)
        yield fine[0].double().cpu().numpy()


def _cut(volume: Tensor, starts: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    return volume[(slice(None), *(slice(start, start + side) for start, side in zip(starts, size, strict=True)))]


def _plan(shape: Sequence[int], windows: Windows, grid: tuple[int, ...]) -> _Plan:
    """Return the plan for the grid a window answers with: its own cells where every window starts on a border.

    Where windows start within cells, cells are divided so that they start on a border; in the end cells are voxels.
    """
    steps, starts = [], []
    fixed = windows.step or (None,) * len(grid)
    for length, size, cells, own in zip(shape, windows.size, grid, fixed, strict=True):
        step = size // cells
        line = window_starts(int(length), size, windows.overlap, own or step)
        shared = gcd(step, *line) if step * cells == size else 1
        steps.append(shared)
        starts.append(line if shared > 1 or own else window_starts(int(length), size, windows.overlap))
    sides = list(zip(shape, windows.size, steps, strict=True))
    margins = (windows.margin,) * len(grid) if isinstance(windows.margin, int) else windows.margin
    plan = _Plan(
        starts=tuple(starts),
        step=tuple(steps),
        window=tuple(size // step for _, size, step in sides),
        shape=tuple(int(length) // step for length, _, step in sides),
        margin=tuple(
            -(-margin * size // (cells * step))
            for margin, cells, (_, size, step) in zip(margins, grid, sides, strict=True)
        ),
    )
    _require_cover(plan)
    return plan


def _importance(starts: tuple[int, ...], plan: _Plan, windows: Windows) -> Matrix:
    """Return the weight of every place of a window on the grid of the result; 0 in margins inside the volume."""
    weights = np.ones(())
    for axis, cells in enumerate(plan.window):
        places = np.arange(cells) - (cells - 1) / 2
        profile = np.ones(cells)
        if windows.importance == "gaussian":
            profile = np.maximum(np.exp(-0.5 * (places / (GAUSSIAN_SHARE * cells)) ** 2), LEAST_WEIGHT)
        margin = plan.margin[axis]
        if margin and starts[axis] > plan.starts[axis][0]:
            profile[:margin] = 0.0
        if margin and starts[axis] < plan.starts[axis][-1]:
            profile[-margin:] = 0.0
        weights = weights[..., None] * profile
    return weights


def _normalised(evidence: Matrix, weight: Matrix, rows: int) -> Floats:
    return np.asarray(evidence[:, :rows] / weight[:rows], dtype=np.float32)


def _moved(buffer: Matrix, rows: int) -> Matrix:
    """Return the buffer `rows` further along axis 1, what enters being 0."""
    moved = np.zeros_like(buffer)
    moved[:, : buffer.shape[1] - rows] = buffer[:, rows:]
    return moved


def _require(sides: tuple[int, ...], windows: Windows) -> None:
    if len(sides) != len(windows.size) or any(side < size for side, size in zip(sides, windows.size, strict=True)):
        raise ExplainError(
            f"the volume must be at least as large as a window of {windows.size}, found {sides}; pad it in the "
            "preparation or choose smaller windows"
        )
    if not 0 <= windows.overlap < 1 or windows.batch < 1:
        raise ExplainError(f"windows need 0 <= overlap < 1 and batch >= 1, found {windows.overlap} and {windows.batch}")
    if windows.importance not in {"constant", "gaussian"} or windows.rule not in {"mean", "max"}:
        raise ExplainError(
            "importance must be constant or gaussian and the rule mean or max, "
            f"found {windows.importance!r} and {windows.rule!r}"
        )


def _require_cover(plan: _Plan) -> None:
    for axis, (starts, step, cells, margin) in enumerate(
        zip(plan.starts, plan.step, plan.window, plan.margin, strict=True)
    ):
        widest = max((after - before for before, after in pairwise(starts)), default=0) // step
        if widest > cells - 2 * margin:
            raise ExplainError(
                f"windows along axis {axis} leave gaps: {cells} cells with margins of {margin} advance by {widest}; "
                "raise the overlap or lower the margin"
            )
