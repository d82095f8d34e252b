"""Areas under ROC curves compared: paired, unpaired, within strata, and with several studies of one patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from audit_pipeline.cohort.proportions import Z_95

Vector = NDArray[np.float64]
Truth = NDArray[np.bool_]
Clusters = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A difference of two areas with its 95 % interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p_value: float


def placements(scores: Vector, truth: Truth) -> Vector:
    """Return, for each case, the share of cases of the other kind on the right side of it; ties count one half.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, 1988, doi:10.2307/2531595, equations 3 and 4.
    """
    positive, negative = scores[truth], scores[~truth]
    together = rankdata(np.concatenate([positive, negative]))
    found = np.empty(scores.size, dtype=np.float64)
    found[truth] = (together[: positive.size] - rankdata(positive)) / negative.size
    found[~truth] = 1 - (together[positive.size :] - rankdata(negative)) / positive.size
    return found


def influence(scores: Vector, truth: Truth) -> tuple[float, Vector]:
    """Return the area, and what each case adds to its deviation: ``(V_i - A) / m`` of m cases of its kind."""
    placed = placements(scores, truth)
    area = float(placed[truth].mean())
    sizes = np.where(truth, truth.sum(), (~truth).sum())
    return area, (placed - area) / sizes


def clustered_variance(influences: Vector, truth: Truth, clusters: Clusters | None = None) -> float:
    """Return the variance of an area or of a difference of areas.

    With independent cases it is DeLong's: the sample variance of each kind over its number, summed. With several
    cases of one patient the influences are added up per patient first, which keeps the covariance between all cases
    of a patient, positive and negative.

    References
    ----------
    N. A. Obuchowski, Nonparametric analysis of clustered ROC curve data, 1997, doi:10.2307/2533957.
    """
    if clusters is None or np.unique(clusters).size == clusters.size:
        return float(sum(kind.sum() / (kind.sum() - 1) * (influences[kind] ** 2).sum() for kind in (truth, ~truth)))
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=influences)
    return float(sums.size / (sums.size - 1) * (sums**2).sum())


def paired(first: Vector, second: Vector, truth: Truth, clusters: Clusters | None = None) -> Difference:
    """Return how much larger the area of `first` is than that of `second`, both scores of the same cases."""
    (area, moves), (other, opposed) = influence(first, truth), influence(second, truth)
    return _difference(area - other, clustered_variance(moves - opposed, truth, clusters))


def unpaired(
    first: tuple[Vector, Truth], second: tuple[Vector, Truth], clusters: tuple[Clusters, Clusters] | None = None
) -> Difference:
    """Return how much larger the area over the first cases is than that over the second ones, which are others.

    In small groups an area of 1 is common and DeLong's variance is then 0; each variance is therefore at least the one
    that an area equal to the pooled one would have, see `score_variance`.
    """
    own, theirs = clusters or (None, None)
    area, moves = influence(*first)
    other, opposed = influence(*second)
    sizes = (first[0].size, second[0].size)
    pooled = (area * sizes[0] + other * sizes[1]) / sum(sizes)
    variance = sum(
        max(
            clustered_variance(influences, truth, members),
            score_variance(pooled, (int(truth.sum()), int((~truth).sum()))),
        )
        for influences, truth, members in ((moves, first[1], own), (opposed, second[1], theirs))
    )
    return _difference(area - other, variance)


def score_variance(area: float, *sizes: tuple[int, int]) -> float:
    """Return the variance of an estimated area when the true one is `area`.

    ``V = A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n)`` with ``N = (m + n) / 2 - 1``.

    Parameters
    ----------
    sizes : (m, n) positives and negatives; of several strata the variance is that of `stratified_area`

    References
    ----------
    R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, 2006,
    doi:10.1002/sim.2324, method 5.
    """
    total = 0.0
    for positives, negatives in sizes:
        middle = (positives + negatives) / 2 - 1
        spread = 1 + middle * (1 - area) / (2 - area) + middle * area / (1 + area)
        total += area * (1 - area) * spread * positives * negatives
    return total / sum(positives * negatives for positives, negatives in sizes) ** 2


def score_interval(area: float, *sizes: tuple[int, int], z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of an area, which has width also at 0 and 1.

    The bounds solve ``|A - theta| = z sqrt(V(theta))`` with V of `score_variance`, whose `sizes` these are.
    """

    def excess(theta: float) -> float:
        return (area - theta) ** 2 - z**2 * score_variance(theta, *sizes)

    tiny = 1e-12
    low = float(brentq(excess, tiny, area - tiny)) if area > 0 else 0.0
    high = float(brentq(excess, area + tiny, 1 - tiny)) if area < 1 else 1.0
    return low, high


def _difference(value: float, variance: float) -> Difference:
    """Return the interval of the normal approximation; with no variance at all only no difference is certain."""
    error = sqrt(max(variance, 0.0))
    p_value = float(abs(value) < 1e-12) if error < 1e-12 else float(2 * norm.sf(abs(value) / error))
    return Difference(value=value, low=value - Z_95 * error, high=value + Z_95 * error, p_value=p_value)


def strata_sizes(truth: Truth, strata: Sequence[str] | NDArray[np.str_]) -> list[tuple[int, int]]:
    """Return positives and negatives of every stratum that has both."""
    names = np.asarray(strata)
    sizes = [(int(truth[names == name].sum()), int((~truth[names == name]).sum())) for name in np.unique(names)]
    return [size for size in sizes if all(size)]


def stratified_area(scores: Vector, truth: Truth, strata: Sequence[str] | NDArray[np.str_]) -> float | None:
    """Return the area over the pairs of a positive and a negative of the same stratum; None without such a pair."""
    names, won, pairs = np.asarray(strata), 0.0, 0
    for name in np.unique(names):
        inside = names == name
        positives, negatives = int(truth[inside].sum()), int((~truth[inside]).sum())
        if positives and negatives:
            won += placements(scores[inside], truth[inside])[truth[inside]].sum() * negatives
            pairs += positives * negatives
    return won / pairs if pairs else None
