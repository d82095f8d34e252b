r"""Does the map lie where a reader drew the finding? Measures against reference masks, with bootstrap intervals.

Every case is a raw signed map (\*S) and a bool mask (\*S) on one grid; 2D and 3D are the same code. Two rules keep a
method from looking better than it is:

* an empty reference mask gives None with a reason, never a hit or a miss;
* a map without any positive value points nowhere: it counts as a miss (0), it is not left out.

References
----------
J. Zhang et al., Top-down neural attention by excitation backprop, 2018, doi:10.1007/s11263-017-1059-x: pointing game.
A. Saporta et al., Benchmarking saliency methods for chest X-ray interpretation, 2022, doi:10.1038/s42256-022-00536-x:
hit rate, mIoU at Otsu's and at tuned thresholds.
L. Arras et al., CLEVR-XAI, 2022, doi:10.1016/j.inffus.2021.11.008: relevance mass and relevance rank accuracy.
M. Wisniewski et al., SE3D, 2024, arXiv:2405.14584: voxel average precision over the data set, 3D box accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.intervals import Estimate, bootstrap, mean_estimate, no_estimate
from audit_pipeline.explain.regions import Map, box_overlap, boxes, otsu_mask, peak_share_mask, require_map
from audit_pipeline.records import Mask, Matrix

Vector = NDArray[np.float64]

TOLERANCE_MM = 10.0
"""How far from the mask the peak may lie in the pointing game."""

BOX_OVERLAP = 0.5
PEAK_SHARES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Candidate thresholds of the tuned masks, as shares of the map's highest value."""

FOLDS, BINS = 5, 1000

EMPTY = "the reference mask is empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    r"""One map (\*S), raw and signed, its mask (\*S) bool, and the spacing per axis in mm or None if unknown."""

    values: Map
    mask: Mask
    spacing_mm: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseScores:
    """The measures of one case, all 0..1; all None with a `reason` where the reference mask is empty.

    Attributes
    ----------
    pointing : whether the peak lies within the tolerance of the mask, None also without a spacing; hit : whether it
        lies in the mask; of tied peaks the share that does, which is what choosing one at random gives on average
    iou_otsu : intersection over union of the mask and the Otsu mask of the positive part
    box_otsu : share of the boxes of the reference's parts that a box of the Otsu mask's parts overlaps by 0.5 or more
    mass_in_mask : share of the positive mass that lies in the mask
    auprc : average precision over the voxels, by rank of the signed values
    rank_accuracy : share of the k strongest voxels in the mask of k voxels, ties at random on average
    """

    pointing: float | None = None
    hit: float | None = None
    iou_otsu: float | None = None
    box_otsu: float | None = None
    mass_in_mask: float | None = None
    auprc: float | None = None
    rank_accuracy: float | None = None
    reason: str = ""


MEASURES = ("pointing", "hit", "iou_otsu", "box_otsu", "mass_in_mask", "auprc", "rank_accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Localisation:
    """The measures over cases.

    scores : the names of `MEASURES`, and ``iou_tuned`` and ``box_tuned`` (thresholds by cross-fitting), ``vxap``
        (average precision over the voxels of all cases together, maps on the scale of their peak)
    thresholds, box_thresholds : per fold the tuned threshold as a share of the peak
    """

    scores: Mapping[str, Estimate]
    cases: tuple[CaseScores, ...]
    thresholds: tuple[float, ...]
    box_thresholds: tuple[float, ...]


def localisation(cases: Sequence[Case], *, tolerance_mm: float = TOLERANCE_MM, seed: int = 0) -> Localisation:
    """Return every measure over the cases, with intervals.

    Raises
    ------
    ExplainError
        There is no case, shapes differ, or a map is not finite.
    """
    if not cases:
        raise ExplainError("localisation needs at least one case, found none")
    single = tuple(localise(case, tolerance_mm=tolerance_mm) for case in cases)
    usable = [case for case in cases if case.mask.any()]
    empty = len(cases) - len(usable)
    scores = {name: mean_estimate([getattr(one, name) for one in single], seed=seed) for name in MEASURES}
    overlaps = np.array([[overlap(_strong(case, share), case.mask) for share in PEAK_SHARES] for case in usable])
    found = np.array([[boxes_found(_strong(case, share), case.mask) for share in PEAK_SHARES] for case in usable])
    scores["iou_tuned"], thresholds = _tuned(overlaps, empty, seed)
    scores["box_tuned"], box_thresholds = _tuned(found, empty, seed)
    scores["vxap"] = _pooled_precision(usable, empty, seed)
    return Localisation(scores=scores, cases=single, thresholds=thresholds, box_thresholds=box_thresholds)


def _strong(case: Case, share: float) -> Mask:
    return peak_share_mask(case.values, share)


def localise(case: Case, *, tolerance_mm: float = TOLERANCE_MM) -> CaseScores:
    """Return the measures of one case.

    Raises
    ------
    ExplainError
        The shapes differ, the mask is not bool, or the map is not finite.
    """
    values, mask = case.values, case.mask
    require_map(values)
    if values.shape != mask.shape or mask.dtype != np.bool_:
        raise ExplainError(
            f"the reference mask must be bool of shape {values.shape}, found {mask.dtype} of shape {mask.shape}"
        )
    if not mask.any():
        return CaseScores(reason=EMPTY)
    drawn = otsu_mask(values)
    pointing = None if case.spacing_mm is None else _pointing(values, mask, case.spacing_mm, tolerance_mm)
    return CaseScores(
        pointing=pointing,
        hit=float(mask[values == values.max()].mean()) if values.max() > 0 else 0.0,
        iou_otsu=overlap(drawn, mask),
        box_otsu=boxes_found(drawn, mask),
        mass_in_mask=mass_in_mask(values, mask),
        auprc=average_precision(values, mask),
        rank_accuracy=rank_accuracy(values, mask),
        reason="pointing: the spacing is unknown" if pointing is None else "",
    )


def _pointing(values: Map, mask: Mask, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Return the share of tied peaks whose centre lies within the tolerance of a voxel centre of the mask."""
    if not values.max() > 0:
        return 0.0
    scale = np.asarray(spacing_mm, dtype=np.float64)
    peaks = np.argwhere(values == values.max()) * scale
    distances, _ = cKDTree(np.argwhere(mask) * scale).query(peaks)
    return float((distances <= tolerance_mm + 1e-9).mean())


def overlap(one: Mask, other: Mask) -> float:
    """Return the intersection over union of two masks, of which at least one is not empty."""
    return float((one & other).sum() / (one | other).sum())


def boxes_found(drawn: Mask, reference: Mask, limit: float = BOX_OVERLAP) -> float:
    """Return the share of the boxes of the reference's connected parts that some box of `drawn` overlaps enough."""
    offered = boxes(drawn)
    wanted = boxes(reference)
    return sum(any(box_overlap(one, box) >= limit for one in offered) for box in wanted) / len(wanted)


def mass_in_mask(values: Map, mask: Mask) -> float:
    """Return the share of the positive mass in the mask; 0 for a map without positive mass."""
    positive = np.maximum(values.astype(np.float64), 0)
    total = float(positive.sum())
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def average_precision(values: Map, mask: Mask) -> float:
    r"""Return :math:`\sum_i (R_i - R_{i-1}) P_i` over the distinct values in falling order, ties as one step."""
    order = np.argsort(-values.ravel(), kind="stable")
    ranked, hits = values.ravel()[order], mask.ravel()[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(hits)[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / found[-1])


def rank_accuracy(values: Map, mask: Mask) -> float:
    """Return the share of the mask's k voxels among the k strongest voxels, the average over orders of ties."""
    size = int(mask.sum())
    level = np.partition(values.ravel(), values.size - size)[values.size - size]
    above, tied = values > level, values == level
    expected = (size - int(above.sum())) * float(mask[tied].mean())
    return float((int((mask & above).sum()) + expected) / size)


def _tuned(curves: Matrix, empty: int, seed: int) -> tuple[Estimate, tuple[float, ...]]:
    """Return the mean of a measure at thresholds tuned on other cases, and the threshold of every fold.

    curves : (n, thresholds), the measure of every case at every candidate. The folds are drawn by the seed; in each,
    the candidate that is best on average over the cases outside is used for those inside, the lowest of equal ones.
    """
    n = len(curves)
    if n < 2:
        return no_estimate(n, empty, f"a threshold is tuned on other cases: at least 2 are needed, found {n}"), ()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    values, thresholds = np.empty(n), []
    for fold in np.array_split(order, min(FOLDS, n)):
        best = int(np.argmax(np.delete(curves, fold, axis=0).mean(axis=0)))
        values[fold] = curves[fold, best]
        thresholds.append(PEAK_SHARES[best])
    return mean_estimate([*values, *[None] * empty], seed=seed), tuple(thresholds)


def _pooled_precision(usable: Sequence[Case], empty: int, seed: int) -> Estimate:
    """Return the average precision over all voxels of all cases, each map as share of its peak in `BINS` bins."""
    if not usable:
        return no_estimate(0, empty, EMPTY + " in every case")
    counts = np.stack([_histograms(case) for case in usable])

    def precision(weights: Matrix) -> Vector:
        drawn, missed = (np.cumsum((weights @ counts[:, kind])[:, ::-1], axis=1) for kind in (0, 1))
        gained = np.diff(drawn, axis=1, prepend=0)
        return np.asarray((gained * drawn / np.maximum(drawn + missed, 1)).sum(axis=1) / drawn[:, -1])

    return bootstrap(precision, len(usable), omitted=empty, seed=seed)


def _histograms(case: Case) -> Matrix:
    highest = float(case.values.max())
    scaled = np.clip(case.values / highest, 0, 1) if highest > 0 else np.zeros(case.values.shape)
    levels = np.minimum((scaled * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(levels[part], minlength=BINS) for part in (case.mask, ~case.mask)]).astype(np.float64)
