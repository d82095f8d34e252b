r"""Controls of a map: that of another target, the edges of the image, the same map from other seeds.

Maps are (N, \*grid), raw and signed, of one target per image. 2D and 3D are the same code.

References
----------
L. Sixt et al., When explanations lie, ICML 2020, arXiv:1912.09818: random logit test.
J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, arXiv:1810.03292: edge detector.
N. Arun et al., Assessing the trustworthiness of saliency maps, Radiol AI 2021, doi:10.1148/ryai.2021200267:
repeatability.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from audit_pipeline.agreement import STRONGEST, top_overlap
from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import require_finite
from audit_pipeline.explain.intervals import Estimate, mean_estimate, no_estimate
from audit_pipeline.explain.randomisation import Similarity, similarity
from audit_pipeline.records import Matrix


def random_logit(maps: Tensor, *, own: int = 0, seed: int = 0) -> Similarity:
    r"""Return how alike the map of one target is to that of another one, drawn at random for every image.

    Parameters
    ----------
    maps : (N, T, \*grid), one map for each target; own : the column that is explained

    Notes
    -----
    Of two classes whose logits mirror each other the maps do too: signed correlation -1, absolute 1.
    """
    require_finite(maps)
    others = [column for column in range(maps.shape[1]) if column != own]
    if not others:
        none = no_estimate(0, len(maps), "the model has one target, there is no other to compare with")
        return Similarity(spearman=none, spearman_absolute=none, ssim=none)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(others), (len(maps),), generator=generator).tolist()
    values = maps.detach().double().cpu().numpy()
    other = np.stack([values[row, others[column]] for row, column in enumerate(drawn)])
    return similarity(values[:, own], other, seed=seed)


def sobel(images: Tensor) -> Tensor:
    r"""Return the edge magnitude of images (N, C, \*S), (N, \*S): the control that no explanation may lose against.

    Along every axis the central difference, smoothed by (1, 2, 1) / 4 along the others, edges repeated; the Euclidean
    norm over axes and channels. On a ramp of slope 1 it is 1.
    """
    total = torch.zeros_like(images)
    axes = range(2, images.ndim)
    for along in axes:
        part = images
        for axis in axes:
            before, after = (_neighbour(part, axis, step) for step in (-1, 1))
            part = (after - before) / 2 if axis == along else (before + 2 * part + after) / 4
        total = total + part.square()
    return total.sum(dim=1).sqrt()


def _neighbour(values: Tensor, axis: int, step: int) -> Tensor:
    length = values.shape[axis]
    places = (torch.arange(length, device=values.device) + step).clamp(0, length - 1)
    return values.index_select(axis, places)


def edge_similarity(maps: Tensor, images: Tensor, *, seed: int = 0) -> Similarity:
    r"""Return how alike maps (N, \*grid) are to the edges of their images (N, C, \*S), averaged over the cells."""
    require_finite(maps)
    edges = functional.interpolate(sobel(images.float())[:, None], size=tuple(maps.shape[1:]), mode="area")[:, 0]
    return similarity(*(one.detach().double().cpu().numpy() for one in (maps, edges)), seed=seed)


def repeatability(runs: Sequence[Tensor], *, share: float = STRONGEST, seed: int = 0) -> Estimate:
    r"""Return the overlap of the strongest parts of the same images' maps from several seeds or models.

    For every image the mean over pairs of runs of the intersection over union of the strongest `share` of places, or of
    fewer where a map has fewer that stand out from equal ones, as where most slices of a stack hold no evidence; equal
    areas, constant maps left out. About share / (2 - share) is chance; on radiographs 0.55 was found between networks
    and 0.61 between readers (Venkatesh et al. 2024, doi:10.1007/s10278-024-01136-4).

    Parameters
    ----------
    runs : maps (N, \*grid) of each run
    """
    if len(runs) < 2:
        raise ExplainError(f"repeatability compares runs: at least 2 are needed, found {len(runs)}")
    for one in runs:
        require_finite(one)
    values = np.stack([one.detach().double().cpu().numpy() for one in runs])
    found: list[float | None] = []
    for row in range(values.shape[1]):
        pairs = combinations([one for one in values[:, row] if np.ptp(one) > 0], 2)
        known = [_repeated(one, other, share) for one, other in pairs]
        found.append(float(np.mean(known)) if known else None)
    return mean_estimate(found, seed=seed, over="images")


def _repeated(one: Matrix, other: Matrix, share: float) -> float:
    """Return the overlap of two runs; equal maps repeat each other whatever ties they have."""
    if np.array_equal(one, other):
        return 1.0
    return top_overlap(one, other, min(_standing_out(values, share) for values in (one, other)))


def _standing_out(values: Matrix, share: float) -> float:
    """Return the share of places that are stronger than all others, at most `share`; `share` where none are."""
    count = max(1, round(share * values.size))
    limit = np.partition(values, values.size - count, axis=None)[values.size - count]
    above, tied = int((values > limit).sum()), int((values == limit).sum())
    return (count if above + tied == count else above or count) / values.size
