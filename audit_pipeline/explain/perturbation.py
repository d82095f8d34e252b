r"""Perturbation: what the logit becomes when parts of the image are replaced by a baseline.

Every method returns (N, T, \*S) on the grid of the image: signed, in logits, positive where the image content speaks
for the class. All forward passes run in batches without a graph; nothing asks for the inside of the network. 2D and 3D
are the same code. Random numbers come from a generator with the seed of the request, the same for every image, so the
map of an image does not depend on the batch it came in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import baseline_of
from audit_pipeline.explain.cam import upsample
from audit_pipeline.explain.coalitions import lime_coalitions, lime_values, shapley_coalitions, shapley_values
from audit_pipeline.explain.method import EXPLAINERS, Explainer, Request
from audit_pipeline.explain.supervoxels import supervoxels

Play = Callable[[Tensor], Tensor]
"""Coalitions (n, M) bool -> logits of the targets (n, T) float64 on the CPU."""


def occlusion(request: Request) -> Tensor:
    r"""Return the drop of the logit when a window is replaced by the baseline, averaged over the windows that cover.

    Windows start at every multiple of the stride until the far edge is covered; the last ones are cut at the edge. The
    windows form a product grid, so averaging is one small matrix product per axis.

    Raises
    ------
    ExplainError
        Window or stride is impossible, or the stride leaves voxels that no window covers.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, arXiv:1311.2901, section 4.2.
    """
    shape = tuple(request.images.shape[2:])
    window, stride = (_extents(request, name) for name in ("window", "stride"))
    if any(step > width for step, width in zip(stride, window, strict=True)):
        raise ExplainError(f"the stride {stride} must not exceed the window {window}, or some voxels are never hidden")
    device = request.images.device
    lines = [_windows(*sizes).to(device) for sizes in zip(shape, window, stride, strict=True)]
    places = torch.cartesian_prod(*(torch.arange(len(line), device=device) for line in lines))
    baselines = baseline_of(request.images, request.settings["baseline"])
    columns: list[list[Tensor]] = [[] for _ in request.images]
    for part in torch.split(places, request.batch):
        visible = ~_boxes(lines, part)
        for index, image in enumerate(request.images):
            columns[index].append(_logits_behind(request, visible, image, baselines[index]))
    drops = request.logits[:, None, list(request.targets)] - torch.stack([torch.cat(column) for column in columns])
    maps: Tensor = drops.movedim(1, 2).reshape(*drops.shape[::2], *(len(line) for line in lines))
    for line in lines:
        share = line.float() / line.float().sum(dim=0)
        maps = torch.tensordot(maps, share, dims=([2], [0]))  # takes the front axis and puts its voxels at the back
    return maps


def rise(request: Request) -> Tensor:
    r"""Return how much higher the logit is on average where a voxel is visible than over all masks.

    Masks are random coarse grids of ``cells`` per axis, each cell visible with probability ``visible``, enlarged
    linearly and shifted by a random part of a cell. With :math:`f_i` the logit behind mask :math:`M_i` the map is
    :math:`\sum_i f_i M_i / \sum_i M_i - \frac{1}{n} \sum_i f_i`; the second term, which the paper leaves in, is the
    same at every place and would hide the sign.

    References
    ----------
    Petsiuk, Das and Saenko, RISE, arXiv:1806.07421, equation 6 and section 3.2.
    """
    samples, cells = _whole(request, "samples"), _whole(request, "cells")
    visible = _positive(request, "visible")
    if visible >= 1:
        raise ExplainError(f"visible must be a probability between 0 and 1, found {visible}")
    generator = torch.Generator().manual_seed(request.seed)
    shape, device = tuple(request.images.shape[2:]), request.images.device
    baselines = baseline_of(request.images, request.settings["baseline"])
    weighted = torch.zeros(len(request.images), len(request.targets), *shape, device=device)
    covered, total = torch.zeros(shape, device=device), torch.zeros(weighted.shape[:2], device=device)
    for first in range(0, samples, request.batch):
        masks = _soft_masks(min(request.batch, samples - first), shape, cells, visible, generator).to(device)
        covered += masks.sum(dim=0)
        for index, image in enumerate(request.images):
            answers = _logits_behind(request, masks, image, baselines[index])
            weighted[index] += torch.tensordot(answers.T, masks, dims=1)
            total[index] += answers.sum(dim=0)
    mean = (total / samples).reshape(*total.shape, *(1 for _ in shape))
    return torch.where(covered > 0, weighted / covered.clamp(min=torch.finfo(covered.dtype).tiny) - mean, 0.0)


def kernel_shap(request: Request) -> Tensor:
    """Return the Shapley value of every supervoxel, spread evenly over its voxels.

    The map sums to logit(image) - logit(baseline). With at most log2(``samples`` + 2) segments the values are exact.

    Raises
    ------
    ExplainError
        ``samples`` do not determine the values of so many segments.

    References
    ----------
    Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874, theorem 2 and equation 8.
    """
    samples = _whole(request, "samples")

    def values_of(play: Play, players: int) -> Tensor:
        coalitions, weights = shapley_coalitions(players, samples, torch.Generator().manual_seed(request.seed))
        ends = torch.tensor([[False] * players, [True] * players])
        answers = play(torch.cat([ends, coalitions]))
        return shapley_values(coalitions, weights, answers[2:], answers[0], answers[1])

    return _spread(request, values_of)


def lime(request: Request) -> Tensor:
    """Return the slope of a local linear model for every supervoxel, spread evenly over its voxels.

    For a model that is linear in the image the map sums to logit(image) - logit(baseline) up to the ridge.

    References
    ----------
    Ribeiro, Singh and Guestrin, KDD 2016, arXiv:1602.04938, equations 1 and 2.
    """
    samples = _whole(request, "samples")
    width, ridge = _positive(request, "width"), _positive(request, "ridge")

    def values_of(play: Play, players: int) -> Tensor:
        coalitions = lime_coalitions(players, samples, torch.Generator().manual_seed(request.seed))
        return lime_values(coalitions, play(coalitions), width=width, ridge=ridge)

    return _spread(request, values_of)


def _spread(request: Request, values_of: Callable[[Play, int], Tensor]) -> Tensor:
    """Return maps in which every supervoxel spreads its value evenly over its voxels."""
    baselines = baseline_of(request.images, request.settings["baseline"])
    maps = []
    for image, baseline in zip(request.images, baselines, strict=True):
        labels = torch.from_numpy(
            supervoxels(
                image.float().cpu().numpy(),
                request.settings["n_segments"],
                compactness=request.settings["compactness"],
                spacing_mm=request.settings["spacing_mm"],
            )
        ).to(image.device)

        def play(
            coalitions: Tensor, image: Tensor = image, baseline: Tensor = baseline, labels: Tensor = labels
        ) -> Tensor:
            parts = torch.split(coalitions.to(image.device), request.batch)
            return (
                torch.cat([_logits_behind(request, part[:, labels], image, baseline) for part in parts]).double().cpu()
            )

        sizes = torch.bincount(labels.flatten())
        densities = values_of(play, len(sizes)) / sizes.cpu()[:, None]
        maps.append(densities.T.float().to(image.device)[:, labels])
    return torch.stack(maps)


def _logits_behind(request: Request, visible: Tensor, image: Tensor, baseline: Tensor) -> Tensor:
    r"""Return the logits (B, T) where the image is visible, 1 or true, and the baseline elsewhere.

    visible : (B, \*S) bool or 0..1
    """
    shown = visible.unsqueeze(1)
    mixed = torch.where(shown, image, baseline) if shown.dtype == torch.bool else torch.lerp(baseline, image, shown)
    return request.logits_of(mixed)[:, list(request.targets)]


def _windows(size: int, width: int, step: int) -> Tensor:
    """Return which voxels of one axis each window holds, (n, size) bool."""
    count = 1 + max(0, -(-(size - width) // step))
    first = torch.arange(count)[:, None] * step
    places = torch.arange(size)
    return (places >= first) & (places < first + width)


def _boxes(lines: Sequence[Tensor], places: Tensor) -> Tensor:
    r"""Return the windows at `places` (B, axes) as masks (B, \*S) bool."""
    boxes = torch.ones(len(places), *(1 for _ in lines), dtype=torch.bool, device=places.device)
    for axis, line in enumerate(lines):
        chosen = line[places[:, axis]]
        boxes = boxes & chosen.reshape(len(places), *(-1 if other == axis else 1 for other in range(len(lines))))
    return boxes


def _soft_masks(count: int, shape: tuple[int, ...], cells: int, visible: float, generator: torch.Generator) -> Tensor:
    """Return masks (count, *shape) in 0..1: coarse random grids, enlarged, each cut out at its own random shift."""
    coarse = [min(cells, size) for size in shape]
    edges = [-(-size // number) for size, number in zip(shape, coarse, strict=True)]
    grids = (torch.rand(count, 1, *(number + 1 for number in coarse), generator=generator) < visible).float()
    fine = upsample(grids, tuple((number + 1) * edge for number, edge in zip(coarse, edges, strict=True)))[:, 0]
    shifts = torch.stack([torch.randint(0, edge, (count,), generator=generator) for edge in edges], dim=1).tolist()
    cut = [
        mask[tuple(slice(first, first + size) for first, size in zip(shift, shape, strict=True))]
        for mask, shift in zip(fine, shifts, strict=True)
    ]
    return torch.stack(cut)


def _extents(request: Request, name: str) -> list[int]:
    """Return a window or stride in voxels: whole numbers are voxels, fractions are shares of each side."""
    shape = request.images.shape[2:]
    value = request.settings[name]
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * len(shape)
    if len(values) != len(shape) or not all(_is_extent(one) for one in values):
        raise ExplainError(
            f"{name} must be a number of voxels, or a share of the image between 0 and 1, one or {len(shape)} of them, "
            f"found {value!r}"
        )
    voxels = [
        one if isinstance(one, int) else max(1, round(one * side)) for one, side in zip(values, shape, strict=True)
    ]
    return [min(one, side) for one, side in zip(voxels, shape, strict=True)]


def _is_extent(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 1 if isinstance(value, int) else 0 < value <= 1


def _whole(request: Request, name: str) -> int:
    value = request.settings[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ExplainError(f"{name} must be a whole number above zero, found {value!r}")
    return value


def _positive(request: Request, name: str) -> float:
    value = request.settings[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ExplainError(f"{name} must be a number above zero, found {value!r}")
    return float(value)


SEGMENTS = {"n_segments": 64, "compactness": 0.5, "spacing_mm": None}

EXPLAINERS.add(
    "occlusion",
    Explainer(
        name="occlusion",
        kind="input",
        function=occlusion,
        sentence="The drop of the logit when a window is replaced by the baseline, averaged over the covering windows.",
        reference="Zeiler and Fergus 2013, arXiv:1311.2901, sec. 4.2",
        passes="1 forward per window and image",
        defaults={"window": 0.25, "stride": 0.125, "baseline": "lowest"},
    ),
)
EXPLAINERS.add(
    "rise",
    Explainer(
        name="rise",
        kind="input",
        function=rise,
        sentence="How much higher the logit is behind random masks that show a voxel than behind all masks.",
        reference="Petsiuk et al. 2018, arXiv:1806.07421, eq. 6",
        passes="`samples` forwards per image",
        defaults={"samples": 1000, "cells": 7, "visible": 0.5, "baseline": "lowest"},
    ),
)
EXPLAINERS.add(
    "kernel_shap",
    Explainer(
        name="kernel_shap",
        kind="input",
        function=kernel_shap,
        sentence="Shapley values of supervoxels; the map sums to logit(image) - logit(baseline).",
        reference="Lundberg and Lee 2017, arXiv:1705.07874, eq. 8",
        passes="`samples` + 2 forwards per image",
        defaults={"samples": 512, **SEGMENTS, "baseline": "lowest"},
    ),
)
EXPLAINERS.add(
    "lime",
    Explainer(
        name="lime",
        kind="input",
        function=lime,
        sentence="Slopes of a local linear model over supervoxels that are shown or hidden.",
        reference="Ribeiro et al. 2016, arXiv:1602.04938, eq. 1-2",
        passes="`samples` forwards per image",
        defaults={"samples": 512, **SEGMENTS, "width": 0.25, "ridge": 1e-4, "baseline": "lowest"},
    ),
)
