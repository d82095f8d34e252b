r"""Where the tokens of a transformer lie in the image: seen by changing the image, never assumed.

A layer holds tokens as a sequence (N, L, C), perhaps with class tokens among them, or as a grid (N, C, \*S) or
(N, \*S, C). Single voxels and patches of the image are changed one at a time; the token that changes most at the probed
layer must be the one that the layout says, for every probe, or the layout is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from audit_pipeline.errors import LayerError

Layout = Literal["sequence", "channels first", "channels last"]

MOST_PROBES = 128
"""Patches of a sequence that are probed; larger grids are probed at corners, their neighbours and at random."""

MOST_GRID_PROBES = 32
"""The same for layers that keep a grid, where most of the network runs for every probe."""

PROBE_STRENGTH = 4.0
"""Change of a probed voxel, in units of the value range of the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenGrid:
    """How the tokens of a layer tile the image.

    grid : tokens along each axis of the image; length : tokens of a sequence, class tokens included; first : place of
    the token of the first patch in it, the others follow with the last axis fastest
    """

    layout: Layout
    grid: tuple[int, ...]
    first: int = 0
    length: int = 0

    @property
    def patches(self) -> slice:
        """Where the tokens of patches stand in a sequence."""
        return slice(self.first, self.first + _product(self.grid))

    @property
    def others(self) -> tuple[int, ...]:
        """Where class tokens and other tokens without a place stand in a sequence."""
        return tuple(index for index in range(self.length) if not self.patches.start <= index < self.patches.stop)

    def to_grid(self, tokens: Tensor) -> Tensor:
        r"""Return tokens (N, ...) of this layout as (N, C, \*grid)."""
        if self.layout == "channels first":
            return tokens
        if self.layout == "channels last":
            return tokens.movedim(-1, 1)
        return tokens[:, self.patches].transpose(1, 2).reshape(len(tokens), -1, *self.grid)

    def from_grid(self, grid: Tensor, tokens: Tensor) -> Tensor:
        r"""Return the layer's output with (N, C, \*grid) in the place of its patches; class tokens are those given.

        tokens : (N, ...) the output of the layer, of this layout
        """
        if self.layout == "channels first":
            return grid
        if self.layout == "channels last":
            return grid.movedim(1, -1)
        patches = grid.flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, : self.patches.start], patches, tokens[:, self.patches.stop :]], dim=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """One module that ran once: its name and the shape of its output for two images."""

    name: str
    shape: tuple[int, ...]


def modules_seen(model: nn.Module, images: Tensor) -> list[Seen]:
    """Return every named module that returned one tensor in one pass over two images, in the order of finishing."""
    seen: dict[str, Seen] = {}
    twice: set[str] = set()

    def noting(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if name in seen:
                twice.add(name)
            if isinstance(output, Tensor):
                seen[name] = Seen(name, tuple(output.shape))

        return note

    handles = [module.register_forward_hook(noting(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(torch.cat([images[:1], images[:1]]))
    finally:
        for handle in handles:
            handle.remove()
    return [one for one in seen.values() if one.name not in twice and one.shape[:1] == (2,)]


class _ReachedError(Exception):
    """Stops a forward pass at the layer whose output is known."""


def outputs_at(model: nn.Module, module: nn.Module, images: Tensor) -> Tensor:
    """Return what `module` gives for the images, without running what comes after it."""
    found: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        found.append(output.detach())
        raise _ReachedError

    handle = module.register_forward_hook(stop)
    try:
        with torch.no_grad():
            model(images)
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return found[0]


def graph_at(model: nn.Module, names: Sequence[str], images: Tensor) -> tuple[Mapping[str, Tensor], Tensor]:
    """Return the outputs of the modules and the logits that hang on them; nothing before the first is remembered."""
    found: dict[str, Tensor] = {}
    modules = dict(model.named_modules())

    def cutting(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
        def cut(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            torch.set_grad_enabled(mode=True)
            found[name] = output.clone() if output.requires_grad else output.detach().clone().requires_grad_()
            return found[name].clone()

        return cut

    handles = [modules[name].register_forward_hook(cutting(name)) for name in names]
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        for handle in handles:
            handle.remove()
    return found, logits


def probe_sequence(model: nn.Module, name: str, length: int, image: Tensor, batch: int) -> TokenGrid:
    r"""Return the grid of a sequence of tokens, found by changing voxels of one image (1, C, \*S).

    Along each axis every voxel of one line is changed: the token that changes most tells how many patches lie on the
    axis. Then whole patches are changed, and each must move the token that this grid and order say.

    Raises
    ------
    LayerError
        A voxel moves no token, the patches do not tile the image evenly, or the order is another.
    """
    module = dict(model.named_modules())[name]
    shape = tuple(image.shape[2:])
    grid = []
    first = 0
    for axis, size in enumerate(shape):
        boxes = [tuple((place, place + 1) if other == axis else (0, 1) for other in range(len(shape)))
                 for place in range(size)]  # fmt: skip
        moved = _moved(model, module, image, boxes, batch, lambda change: change.sum(dim=2))
        runs = [(token, len(list(run))) for token, run in itertools.groupby(moved)]
        patches = len(runs)
        if (
            None in moved
            or len({token for token, _ in runs}) != patches
            or {run for _, run in runs} != {size // patches}
        ):
            raise LayerError(
                f"the tokens of layer {name!r} do not tile axis {axis} of the image evenly: {size} voxels fall into "
                f"runs of {[run for _, run in runs][:8]}; use an input whose sides are multiples of the patch"
            )
        grid.append(patches)
        first = int(runs[0][0] or 0)
    tokens = TokenGrid(layout="sequence", grid=tuple(grid), first=first, length=length)
    if first + _product(grid) > length:
        raise LayerError(
            f"layer {name!r} has {length} tokens, and the probe found a grid of {'x'.join(map(str, grid))} from token "
            f"{first} on, which does not fit; its tokens have no places that can be shown"
        )
    cells = probed_cells(tokens.grid, MOST_PROBES)
    moved = _moved(
        model, module, image, patch_boxes(cells, tokens.grid, shape), batch, lambda change: change.sum(dim=2)
    )
    _require_places(name, tokens, cells, moved)
    return tokens


def probe_grid(model: nn.Module, seen: Seen, image: Tensor, batch: int) -> TokenGrid:
    r"""Return how a layer that keeps its tokens on a grid holds them, verified by changing patches of the image.

    Raises
    ------
    LayerError
        Neither channels first nor channels last agrees with every probe, or the grid does not tile the image evenly.
    """
    module = dict(model.named_modules())[seen.name]
    shape = tuple(image.shape[2:])
    found: list[str] = []
    for layout, grid, channels in (
        ("channels first", seen.shape[2:], 1),
        ("channels last", seen.shape[1:-1], len(seen.shape) - 1),
    ):
        if any(size % patches for size, patches in zip(shape, grid, strict=True)):
            found.append(f"{layout}: {'x'.join(map(str, grid))} tokens do not tile {'x'.join(map(str, shape))} voxels")
            continue
        tokens = TokenGrid(layout="channels first" if channels == 1 else "channels last", grid=grid)
        cells = probed_cells(grid, MOST_GRID_PROBES)

        def changes(change: Tensor, channels: int = channels) -> Tensor:
            return change.sum(dim=channels).flatten(1)

        moved = _moved(model, module, image, patch_boxes(cells, grid, shape), batch, changes)
        try:
            _require_places(seen.name, tokens, cells, moved)
        except LayerError as error:
            found.append(f"{layout}: {error}")
        else:
            return tokens
    raise LayerError(
        f"the tokens of layer {seen.name!r} could not be placed in the image ({'; '.join(found)}); "
        "name an earlier layer"
    )


def _require_places(
    name: str, tokens: TokenGrid, cells: Sequence[tuple[int, ...]], moved: Sequence[int | None]
) -> None:
    for cell, token in zip(cells, moved, strict=True):
        expected = tokens.first + _place(cell, tokens.grid)
        if token != expected:
            raise LayerError(
                f"the position probe contradicts the grid {'x'.join(map(str, tokens.grid))} of layer {name!r}: "
                f"changing patch {cell} moved token {token} most, expected {expected}; its tokens cannot be placed"
            )


def probed_cells(grid: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Return the cells to probe: all of a small grid, else corners, their neighbours and evenly drawn others."""
    total = _product(grid)
    if total <= most:
        return [_cell(place, grid) for place in range(total)]
    corners = list(itertools.product(*(sorted({0, size - 1}) for size in grid)))
    beside = [tuple(int(other == axis) for other in range(len(grid))) for axis, size in enumerate(grid) if size > 1]
    chosen = {_place(cell, grid) for cell in (*corners, *beside)}
    drawn = torch.randperm(total, generator=torch.Generator().manual_seed(0)).tolist()
    chosen.update(drawn[: max(0, most - len(chosen))])
    return [_cell(place, grid) for place in sorted(chosen)]


def patch_boxes(
    cells: Sequence[tuple[int, ...]], grid: Sequence[int], shape: Sequence[int]
) -> list[tuple[tuple[int, int], ...]]:
    """Return the voxels of each cell's patch, per axis (first, last + 1)."""
    sides = [size // patches for size, patches in zip(shape, grid, strict=True)]
    return [tuple((at * side, (at + 1) * side) for at, side in zip(cell, sides, strict=True)) for cell in cells]


def _moved(
    model: nn.Module,
    module: nn.Module,
    image: Tensor,
    boxes: Sequence[tuple[tuple[int, int], ...]],
    batch: int,
    per_token: Callable[[Tensor], Tensor],
) -> list[int | None]:
    """Return, for each box that is changed, the token that changes most; None when none does."""
    strength = PROBE_STRENGTH * float(image.max() - image.min()) or PROBE_STRENGTH
    found: list[int | None] = []
    size = max(batch, 2)
    for start in range(0, len(boxes), size - 1):
        part = boxes[start : start + size - 1]
        changed = image.repeat(len(part) + 1, *(1 for _ in image.shape[1:]))
        for row, box in enumerate(part, start=1):
            changed[row][(slice(None), *(slice(first, last) for first, last in box))] += strength
        outputs = outputs_at(model, module, changed).float()
        strengths, tokens = per_token((outputs[1:] - outputs[:1]).abs()).max(dim=1)
        found += [
            token if strongest > 0 else None
            for token, strongest in zip(tokens.tolist(), strengths.tolist(), strict=True)
        ]
    return found


def _place(cell: Sequence[int], grid: Sequence[int]) -> int:
    place = 0
    for at, size in zip(cell, grid, strict=True):
        place = place * size + at
    return place


def _cell(place: int, grid: Sequence[int]) -> tuple[int, ...]:
    found: list[int] = []
    for size in reversed(grid):
        found.append(place % size)
        place //= size
    return tuple(reversed(found))


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
