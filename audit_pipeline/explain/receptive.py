"""Where the cells of a layer look: stride, centre offset and receptive field in input pixels, measured on the model.

Nothing is read from the architecture. Two measurements, both on the real model up to the layer:

* **Structure.** One half of the input is not a number, the other is noise. Convolution, pooling, normalisation and
  activation all hand NaN on, whatever the weights, so a cell turns NaN exactly when its receptive field reaches into
  that half. Moving the border by bisection gives the first and the last pixel each cell can see. Each axis is measured
  alone, on inputs thin along the others and as long as the field needs, so no field is cut off by the image.
* **Gradients.** The energy of the gradient of single cells on seeded noise gives the effective field, which in deep
  networks is a small part of what a cell can see. Where structure says "everything" (normalisation over the image,
  attention, squeeze-and-excitation) the centre of that energy also gives the place of the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audit_pipeline.errors import LayerError
from audit_pipeline.explain.gridded import with_layers
from audit_pipeline.explain.layers import evaluating
from audit_pipeline.explain.probe import Probe, buffers_kept
from audit_pipeline.geometry import Matrix, index_map

Reach = Callable[[int], NDArray[np.bool_]]

TOKENS_AT_ONCE = 8
"""Inputs in one forward pass of the position probe of a layer of tokens."""

PROBE_VOXELS = 2**21
"""Largest input of a structural probe; together with `PROBE_LENGTH` it bounds time and memory."""

PROBE_LENGTH = 4096
"""Longest input axis of a structural probe; fields beyond it count as the whole image."""

LENGTHENING = 64
"""Probes grow by multiples of this, so that padding that depends on the size modulo the stride stays the same."""

FREE_CELLS = 6
"""Cells that must end inside a probe; where the model takes no longer input, two must do."""

ENERGY_SHARE = 0.01
"""Share of the peak energy that counts for the centre of a cell, so that a faint global influence does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceptiveField:
    """Where the cells of a layer look, per spatial axis, in pixels of the model input.

    Attributes
    ----------
    grid, input_size : shape of the layer's grid and of the input
    stride : distance between the centres of neighbouring cells
    offset : input index of the centre of cell 0; below zero where padding pulls it out of the image
    theoretical : number of pixels a cell can see; None where every cell sees the whole input
    effective : width of the uniform window with the same second moment as the gradient energy of a central cell; None
        where noise moves no cell
    source : "structure", or "gradient" where the structure gave no bounded field and centres are those of the energy
    """

    layer: str
    grid: tuple[int, ...]
    input_size: tuple[int, ...]
    stride: tuple[float, ...]
    offset: tuple[float, ...]
    theoretical: tuple[float | None, ...]
    effective: tuple[float | None, ...]
    source: tuple[Literal["structure", "gradient"], ...]

    def to_input(self) -> Matrix:
        """Return the index map from the grid of the layer to the model input: ``offset + stride * index``."""
        return index_map(self.stride, self.offset)

    def in_mm(self, spacing_mm: Sequence[float | None], what: str = "effective") -> tuple[float | None, ...]:
        """Return ``stride``, ``offset``, ``theoretical`` or ``effective`` in mm; None where either is unknown."""
        sizes: tuple[float | None, ...] = getattr(self, what)
        pairs = zip(sizes, spacing_mm, strict=True)
        return tuple(None if size is None or spacing is None else size * spacing for size, spacing in pairs)


class _Field(NamedTuple):
    """Along one axis: stride, centre of cell 0 and width, in pixels."""

    stride: float
    offset: float
    size: float


class _Edge(NamedTuple):
    """The last pixel each cell sees: of cell 0, the step from cell to cell, and the number of cells."""

    stride: float
    last_of_first: int
    cells: int


def receptive_fields(model: nn.Module, layer: str, images: Tensor, *, draws: int = 4, seed: int = 0) -> ReceptiveField:
    r"""Return where the cells of `layer` look. Weights, buffers, gradients, modes and hooks stay as they are.

    Parameters
    ----------
    model : torch.nn.Module
    layer : module name; its output must be (N, C', \*grid), or tokens whose places are verified
    images : (N, C, \*S) floating point; only shape, type and device are used
    draws : noise inputs for the gradients; each costs one pass with a graph from the input to the layer
    seed : of the noise

    Raises
    ------
    LayerError
        The layer does not exist, does not run, or has no spatial output.
    ExplainError
        The model answers noise with values that are not finite.

    References
    ----------
    Luo et al., Understanding the effective receptive field in deep convolutional neural networks, NeurIPS 2016.
    Araujo et al., Computing receptive fields of convolutional neural networks, Distill 2019,
    doi:10.23915/distill.00021.
    """
    with torch.inference_mode(mode=False), evaluating(model), buffers_kept(model):
        shown, modules = with_layers(model, [layer], images, TOKENS_AT_ONCE)
        probe = Probe(shown, layer, modules[layer], images, seed)
        found: list[_Field | None] = []
        for axis in range(len(probe.size)):
            found.append(_structure(probe, axis, found[-1] if found else None))
        energies = _energies(probe, draws, [axis for axis, field in enumerate(found) if field is None])
        fields = [field or _centres(probe, energies, axis) for axis, field in enumerate(found)]
    middle = energies[_middle(probe.grid)]
    return ReceptiveField(
        layer=layer,
        grid=probe.grid,
        input_size=probe.size,
        stride=tuple(field.stride for field in fields),
        offset=tuple(field.offset for field in fields),
        theoretical=tuple(None if field is None else field.size for field in found),
        effective=tuple(_width(middle, axis) for axis in range(len(probe.size))),
        source=tuple("gradient" if field is None else "structure" for field in found),
    )


def _structure(probe: Probe, axis: int, known: _Field | None) -> _Field | None:
    """Return stride, offset and size of the field along one axis; None when it is not bounded.

    known : the answer of another axis, tried first, because most networks treat all axes alike
    """
    for growth in _growths(probe.growth):
        length = probe.size[axis] + growth * LENGTHENING
        fits, field = length <= max(PROBE_LENGTH, probe.size[axis]), None
        if fits:
            fits, field = _structure_at(probe, axis, length, known, FREE_CELLS)
        if field is not None:
            probe.growth = growth
            return field
        if not fits and growth > probe.growth:
            break
    return _structure_at(probe, axis, probe.size[axis], known, 2)[1]


def _growths(first: int) -> Iterator[int]:
    """Yield what worked for another axis, then every growth from none by halves."""
    if first:
        yield first
    growth = 0
    while True:
        yield growth
        growth = max(growth + 1, growth * 3 // 2)


def _structure_at(probe: Probe, axis: int, length: int, known: _Field | None, least: int) -> tuple[bool, _Field | None]:
    """Return whether the model takes inputs of this length, and the field if at least `least` cells end inside."""
    for size in _widths(probe, axis, length):
        try:
            edge = _edge(partial(probe.reach, size, axis, is_mirrored=False), length, known, least)
            backwards = None if known is None or edge is None else _mirrored(known, length, edge.cells)
            mirrored = edge and _edge(partial(probe.reach, size, axis, is_mirrored=True), length, backwards, least)
        except LayerError:
            raise
        except Exception:  # noqa: BLE001, S112 - a model may answer a size it cannot take in any way
            continue
        return True, None if edge is None or mirrored is None else _field(length, edge, mirrored)
    return False, None


def _mirrored(field: _Field, length: int, cells: int) -> _Field:
    return field._replace(offset=length - 1 - field.offset - field.stride * (cells - 1))


def _field(length: int, edge: _Edge, mirrored: _Edge) -> _Field:
    last = edge.last_of_first
    first = length - 1 - mirrored.last_of_first - mirrored.stride * (mirrored.cells - 1)
    return _Field((edge.stride + mirrored.stride) / 2, (first + last) / 2, last - first + 1)


def _widths(probe: Probe, axis: int, length: int) -> list[tuple[int, ...]]:
    """Return input sizes to try for one length: thin along the other axes first, then the whole image."""
    steps = [-(-side // cells) for side, cells in zip(probe.size, probe.grid, strict=True)]
    sizes = []
    for cells in (1, 2, 4, max(probe.grid)):
        size = [min(side, cells * step) for side, step in zip(probe.size, steps, strict=True)]
        size[axis] = length
        if prod(size) <= max(PROBE_VOXELS, prod(probe.size)) and tuple(size) not in sizes:
            sizes.append(tuple(size))
    return sizes


def _edge(reach_of: Reach, length: int, known: _Field | None, least: int) -> _Edge | None:
    """Return the line of the last pixel each cell sees; None when fewer than `least` cells end inside the probe.

    The line goes through cell 0 and one halfway to the border, where no padding, in the image or deeper in the
    network, cuts a field short; a cell between them must lie on it.
    """
    reach = cache(reach_of)
    seen = reach(length - 1)
    free = int(seen.argmax()) if seen.any() else len(seen)
    if free < least or not reach(0)[:free].all():
        return None
    step = length / len(seen)
    far = free // 2 if least > 2 else free - 1
    at_first = None if known is None else round(known.offset + (known.size - 1) / 2)
    at_far = None if known is None or at_first is None else round(at_first + known.stride * far)
    last = _last_pixel(reach, far, length - 1, at_far, round(step))
    first = _last_pixel(reach, 0, last + 1, round(last - step * far) if at_first is None else at_first, round(step))
    stride = (last - first) / far
    if (first, last) == (at_first, at_far):
        return _Edge(stride, first, len(seen))
    between = first + stride * (far // 2)
    is_line = abs(_last_pixel(reach, far // 2, last + 1, round(between), round(step)) - between) < 1
    return _Edge(stride, first, len(seen)) if is_line else None


def _last_pixel(reach: Reach, cell: int, beyond: int, guess: int | None, step: int) -> int:
    """Return the last pixel a cell sees, given one beyond: the guess if it is right, else steps back and bisection."""
    if guess is not None and 0 <= guess < beyond and reach(guess)[cell] and not reach(guess + 1)[cell]:
        return guess
    while beyond - step > 0 and not reach(beyond - step)[cell]:
        beyond, step = beyond - step, 2 * step
    low, high = max(0, beyond - step), beyond
    while high - low > 1:
        between = (low + high) // 2
        low, high = (between, high) if reach(between)[cell] else (low, between)
    return low


def _middle(grid: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(cells // 2 for cells in grid)


def _energies(probe: Probe, draws: int, unbounded: Sequence[int]) -> dict[tuple[int, ...], Matrix]:
    r"""Return cell -> mean squared gradient of its activation over noise inputs, (\*S).

    Of the middle cell and, along axes whose field structure leaves unbounded, of two cells to either side.

    Random signs over the channels make one backward pass enough: the expected square is the sum over the channels.
    """
    middle = _middle(probe.grid)
    cells = {middle}
    for axis in unbounded:
        count = probe.grid[axis]
        cells |= {tuple(place if other == axis else middle[other] for other in range(len(middle)))
                  for place in {count // 4, (3 * count) // 4}}  # fmt: skip
    energies = {cell: np.zeros(probe.size) for cell in sorted(cells)}
    for draw in range(draws):
        with torch.enable_grad():
            images = probe.noise(probe.size, draw).requires_grad_()
            output = probe.activations(images)
        generator = torch.Generator().manual_seed(probe.seed + draws + draw)
        signs = (torch.randint(0, 2, (output.shape[1],), generator=generator) * 2 - 1).to(output)
        for cell in energies:
            answer = (output[0].flatten(1)[:, int(np.ravel_multi_index(cell, probe.grid))] * signs).sum()
            (gradient,) = torch.autograd.grad(answer, images, retain_graph=True, allow_unused=True)
            if gradient is not None:
                energies[cell] += gradient.double().square().sum(dim=(0, 1)).cpu().numpy()
    return energies


def _marginal(energy: Matrix, axis: int) -> Matrix:
    return np.asarray(energy.sum(axis=tuple(other for other in range(energy.ndim) if other != axis)))


def _width(energy: Matrix, axis: int) -> float | None:
    """Return the width of the uniform window with the same variance: a window of n pixels has (n^2 - 1) / 12.

    None where the cell does not answer noise, as behind a rectifier that noise does not pass.
    """
    weights = _marginal(energy, axis)
    if not weights.sum() > 0:
        return None
    pixels = np.arange(len(weights))
    mean = np.average(pixels, weights=weights)
    return float(np.sqrt(12 * np.average((pixels - mean) ** 2, weights=weights) + 1))


def _centres(probe: Probe, energies: dict[tuple[int, ...], Matrix], axis: int) -> _Field:
    """Return stride and offset from the centres of the gradient energy."""
    stride = _stride_by_growth(probe, axis) or probe.size[axis] / probe.grid[axis]
    offsets = []
    for cell, energy in energies.items():
        strong = np.where(energy >= ENERGY_SHARE * energy.max(), energy, 0.0)
        weights = _marginal(strong, axis)
        if weights.sum() > 0:
            offsets.append(np.average(np.arange(len(weights)), weights=weights) - stride * cell[axis])
    return _Field(stride, float(np.mean(offsets)) if offsets else (stride - 1) / 2, 0.0)


def _stride_by_growth(probe: Probe, axis: int) -> float | None:
    """Return by how many pixels an input must grow for one more cell; None when the model refuses or does not grow."""
    for size in _widths(probe, axis, probe.size[axis] + LENGTHENING):
        try:
            with torch.no_grad():
                cells = probe.activations(probe.noise(size, 0)).shape[axis + 2]
        except Exception:  # noqa: BLE001, S112 - as above
            continue
        return LENGTHENING / (cells - probe.grid[axis]) if cells > probe.grid[axis] else None
    return None
