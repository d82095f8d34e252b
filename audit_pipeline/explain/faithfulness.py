r"""Does the model follow the map? Deletion and insertion curves with a null from the map itself.

A curve alone says little: it depends on the image, the model and the infill. Therefore every curve comes with those of
toroidal shifts of the map itself, which keep its smoothness, mass and fragmentation and destroy its place, and with a
p-value. A map is any array over the field of view of the image, on its own grid or coarser; 2D and 3D are the same
code, and everything runs on the device of the images.

References
----------
V. Petsiuk, A. Das, K. Saenko, RISE, BMVC 2018, arXiv:1806.07421, section 4.2: deletion and insertion.
B. Phipson, G. K. Smyth, Permutation p-values should never be zero, 2010, doi:10.2202/1544-6115.1585.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import INFILL_SHARE, blurred
from audit_pipeline.explain.cam import upsample
from audit_pipeline.explain.road import road_fill
from audit_pipeline.records import Matrix

LogitsOf = Callable[[Tensor], Tensor]
Vector = NDArray[np.float64]
Score = Literal["logit", "softmax", "sigmoid"]
Infill = Literal["constant", "blurred", "road", "matched"]

TRUSTED: Infill = "matched"
"""What stands in for removed voxels by default: ROAD where they are deleted, the blurred image where they are inserted.

Area under the curve less that of shifted maps, in logits, on phantoms whose planted nodule the network finds, up to
10 % of the image; evidence is below 0 in deletion and above 0 in insertion. A Sobel edge map, which knows nothing of
the model, must not be evidence:

========  ===========  =====================  =====================
infill    network      deletion               insertion
                       HiResCAM  Sobel        HiResCAM  Sobel
========  ===========  ========  ===========  ========  ===========
blurred   radiographs      -4.6  -3.6 misled       6.0  -8.5
blurred   CT               -2.7   0.1              3.0  -0.1
constant  radiographs      -3.3   4.7              4.6   0.1
constant  CT               -2.8  -1.9 misled       2.1  -1.3
road      radiographs      -6.3   0.2              8.3  -18
road      CT               -1.7   0.0              1.5   0.7 misled
========  ===========  ========  ===========  ========  ===========

(4 to 10 phantoms, 9 shifts, 5 steps; ROAD on CT 3 and 1; constant: the lowest value of the image.) Blurring takes from
a radiograph the edges that its network listens to, wherever they are. ROAD leaves the fewest traces where little is
removed, but carries what an insertion shows on over the rest of the image.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveSettings:
    """How curves are made.

    steps : points after the first; reach : share of the image at the last one, above 0 and at most 1; where findings
        are small, the rest of a full curve is the model's answer to a mutilated image
    unit : what is removed, voxels in the order of the interpolated map, or whole cells
    infill : what stands in for what was removed, see `TRUSTED`; level : the value of the constant infill
    score : what of the model's answer is followed; nulls : shifts of the map; batch : images in a forward pass
    """

    steps: int = 10
    reach: float = 1.0
    unit: Literal["voxels", "cells"] = "voxels"
    infill: Infill = TRUSTED
    level: float = 0.0
    score: Score = "logit"
    nulls: int = 39
    batch: int = 16
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One kind of curve with its null.

    Attributes
    ----------
    curve : (P,) score at every share; area : under it by trapezoids, over the reach, so it is a mean score
    null_curves : (R, P) of the shifted maps; null_areas : (R,)
    p_value : (1 + number of nulls at least as good) / (1 + R); None without a null
    """

    curve: Vector
    area: float
    null_curves: Matrix
    null_areas: Vector
    p_value: float | None

    @property
    def excess(self) -> float | None:
        """The area minus the mean of the null; None without a null."""
        return self.area - float(self.null_areas.mean()) if self.null_areas.size else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Faithfulness:
    """Deletion, insertion and what lies between.

    shares : (P,) of the image removed or inserted, from 0 to the reach; deletion : lower is better
    insertion, between : higher is better, between is insertion minus deletion
    forwards : images the model saw; reason : why there are fewer nulls than asked for
    """

    shares: tuple[float, ...]
    deletion: Trial
    insertion: Trial
    between: Trial
    forwards: int
    settings: CurveSettings
    reason: str = ""


def deletion_insertion(
    image: Tensor, values: Tensor, target: int, logits_of: LogitsOf, settings: CurveSettings | None = None
) -> Faithfulness:
    r"""Return the deletion and insertion curves of one map, with those of its shifts from the same batches.

    Deletion removes the strongest first, insertion starts from the infill and restores the strongest first. Ties are
    ordered at random by the seed, for the map and its shifts alike, so that a flat part of a map has no order of its
    own. The order is that of the signed map: evidence against the target goes last.

    Parameters
    ----------
    image : (C, \*S) as the model sees it, on its device
    values : (\*grid) raw signed map over the same field of view
    logits_of : (M, C, \*S) -> (M, K)

    Raises
    ------
    ExplainError
        The map or an answer is not finite, shapes or settings do not fit.
    """
    chosen = settings or CurveSettings()
    _require_curves(image, values, chosen)
    grid = on_grid(values, tuple(image.shape[1:])) if chosen.unit == "voxels" else values.float()
    maps = [grid, *(torch.roll(grid, shift, tuple(range(grid.ndim))) for shift in shifts(grid, chosen))]
    ranks = torch.stack([_ranks(one, chosen.seed) for one in maps])
    counts = sorted({round(grid.numel() * chosen.reach * step / chosen.steps) for step in range(chosen.steps + 1)})
    curves = _curves(
        image, ranks, counts, lambda images: score_of_target(logits_of(images), target, chosen.score), chosen
    )
    shares = np.array(counts) / grid.numel()
    deletion, insertion = _trial(curves[0], shares, -1), _trial(curves[1], shares, 1)
    return Faithfulness(
        shares=tuple(float(share) for share in shares),
        deletion=deletion,
        insertion=insertion,
        between=_trial(curves[1] - curves[0], shares, 1),
        forwards=2 + (chosen.infill == "matched") + len(_jobs(len(maps), counts, grid.numel())),
        settings=chosen,
        reason=_reason(grid, len(maps) - 1, chosen.nulls),
    )


def _require_curves(image: Tensor, values: Tensor, settings: CurveSettings) -> None:
    require_finite(values)
    if values.ndim != image.ndim - 1:
        raise ExplainError(
            f"a map of an image {tuple(image.shape)} needs {image.ndim - 1} axes, found shape {tuple(values.shape)}"
        )
    if min(settings.steps, settings.batch, settings.nulls + 1) < 1 or not 0 < settings.reach <= 1:
        raise ExplainError(
            "curves need steps and batch of 1 or more, nulls of 0 or more and a reach above 0 and at most 1, found "
            f"{settings.steps}, {settings.batch}, {settings.nulls} and {settings.reach}"
        )


def require_finite(values: Tensor, what: str = "the map") -> None:
    """Refuse values that are not finite.

    Raises
    ------
    ExplainError
        There is no value, or one is not finite.
    """
    bad = values.numel() - int(torch.isfinite(values).sum())
    if bad or not values.numel():
        raise ExplainError(
            f"{what} must have finite values only, found {bad} of {values.numel()} that are not; "
            "look for an overflow in the model or another method"
        )


def on_grid(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return a map on the grid of the image, half-pixel (tri)linear; a map of this size is returned as it is."""
    return values.float() if tuple(values.shape) == size else upsample(values.float()[None, None], size)[0, 0]


def shifts(values: Tensor, settings: CurveSettings) -> Iterator[tuple[int, ...]]:
    """Yield different random offsets along all axes, none of which gives the map itself back; fewer if there are."""
    if float(values.min()) == float(values.max()):
        return
    generator = torch.Generator().manual_seed(settings.seed)
    order = 1 + torch.randperm(values.numel() - 1, generator=generator)
    axes = tuple(range(values.ndim))
    offsets = (tuple(int(part) for part in np.unravel_index(one, tuple(values.shape))) for one in order.numpy())
    moved = (offset for offset in offsets if not torch.equal(torch.roll(values, offset, axes), values))
    yield from islice(moved, settings.nulls)


def _reason(grid: Tensor, nulls: int, wanted: int) -> str:
    if nulls == wanted:
        return ""
    kind = "constant" if float(grid.min()) == float(grid.max()) else f"of {grid.numel()} places"
    return f"the map is {kind}: {nulls} of {wanted} shifts differ from it"


def _ranks(values: Tensor, seed: int) -> Tensor:
    r"""Return the rank of every place, 0 the strongest, ties in an order drawn by the seed, (\*grid) int64."""
    flat = values.flatten()
    drawn = torch.randperm(flat.numel(), generator=torch.Generator().manual_seed(seed)).to(flat.device)
    order = drawn[torch.argsort(flat[drawn], descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(flat.numel(), device=flat.device)
    return ranks.reshape(values.shape)


def _spread(ranks: Tensor, size: tuple[int, ...]) -> Tensor:
    r"""Return at every voxel the rank of the cell that it lies in, (M, \*S); cells tile the image evenly."""
    for axis, length in enumerate(size, start=1):
        cells = ranks.shape[axis]
        if cells != length:
            within = ((2 * torch.arange(length, device=ranks.device) + 1) * cells).div(
                2 * length, rounding_mode="floor"
            )
            ranks = ranks.index_select(axis, within)
    return ranks


def _jobs(maps: int, counts: Sequence[int], places: int) -> list[tuple[int, int, int]]:
    """Return (0 deletion or 1 insertion, map, point) of what the ends, which all share, do not answer."""
    inner = [point for point, count in enumerate(counts) if 0 < count < places]
    return [(kind, row, point) for kind in (0, 1) for row in range(maps) for point in inner]


def _curves(
    image: Tensor, ranks: Tensor, counts: Sequence[int], score_of: LogitsOf, settings: CurveSettings
) -> NDArray[np.float64]:
    """Return (2, R, P) scores: deletion and insertion of every map at every count; the ends are shared by all."""
    size = tuple(image.shape[1:])
    background = _background(image, settings)
    places = ranks[0].numel()
    jobs = _jobs(len(ranks), counts, places)

    def removed_in(part: Sequence[tuple[int, int, int]], inserting: Tensor) -> Tensor:
        rows = torch.tensor([row for _, row, _ in part], device=ranks.device)
        limits = torch.tensor([counts[point] for _, _, point in part], device=ranks.device)
        limits, turned = (one.reshape(-1, *(1 for _ in size)) for one in (limits, inserting))
        return (_spread(ranks[rows], size) < limits) ^ turned

    def without(removed: Tensor, inserting: Tensor) -> Tensor:
        images = image.expand(len(removed), *image.shape)
        filled = torch.where(removed[:, None], background, images)
        imputed = {"road": torch.ones_like(inserting), "matched": ~inserting}.get(settings.infill)
        if imputed is not None and bool(imputed.any()):
            filled[imputed] = road_fill(images[imputed], removed[imputed], seed=settings.seed)
        return filled

    kinds = torch.tensor([False, True], device=image.device)
    everything = torch.ones((2, *size), dtype=torch.bool, device=image.device)
    ends = torch.cat([image[None], without(everything, kinds)])
    whole, emptied, covered = score_of(ends if settings.infill == "matched" else ends[:2])[[0, 1, -1]].tolist()
    curves = np.empty((2, len(ranks), len(counts)))
    for point, count in enumerate(counts):
        if count in {0, places}:
            curves[:, :, point] = np.array([[whole, emptied], [covered, whole]])[:, [int(count > 0)]]
    for first in range(0, len(jobs), settings.batch):
        part = jobs[first : first + settings.batch]
        inserted, rows, points = zip(*part, strict=True)
        inserting = torch.tensor(inserted, dtype=torch.bool, device=image.device)
        changed = without(removed_in(part, inserting), inserting)
        curves[inserted, rows, points] = score_of(changed).cpu().numpy()
    return curves


def _background(image: Tensor, settings: CurveSettings) -> Tensor:
    """Return what stands in for removed voxels; of no account under ROAD."""
    if settings.infill in {"blurred", "matched"}:
        return blurred(image[None], share=INFILL_SHARE)[0]
    return torch.full_like(image, settings.level)


def score_of_target(logits: Tensor, target: int, kind: Score) -> Tensor:
    """Return what is followed of the logits (M, K), (M,) float64."""
    classes = logits.shape[1]
    if not 0 <= target < classes:
        raise ExplainError(f"the target must be a class index from 0 to {classes - 1}, found {target}")
    if kind == "softmax" and classes == 1:
        raise ExplainError("the softmax of a single logit is always 1; choose score sigmoid or logit")
    require_finite(logits, "the logits of changed images")
    wide = logits.detach().double()
    if kind == "softmax":
        return wide.softmax(dim=1)[:, target]
    return wide[:, target].sigmoid() if kind == "sigmoid" else wide[:, target]


def _trial(curves: Matrix, shares: Vector, sign: int) -> Trial:
    """Return a trial of curves (1 + R, P), the first of them the map's own; sign 1 where a larger area is better."""
    areas = np.atleast_1d(np.trapezoid(curves, shares, axis=1)) / shares[-1]
    own, null = float(areas[0]), areas[1:]
    as_good = int((sign * null >= sign * own - 1e-12 * np.abs(areas).max()).sum())
    return Trial(
        curve=curves[0],
        area=own,
        null_curves=curves[1:],
        null_areas=null,
        p_value=(1 + as_good) / (1 + null.size) if null.size else None,
    )
