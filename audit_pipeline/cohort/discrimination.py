"""Area under the ROC curve with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from audit_pipeline.cohort.comparison import clustered_variance, influence, score_interval
from audit_pipeline.cohort.proportions import FEWEST, Z_95

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrimination:
    """The AUROC with its 95 % interval and how that was found; None with a reason when there are too few cases."""

    n: int
    positives: int
    auroc: float | None
    low: float | None
    high: float | None
    method: str = ""
    reason: str = ""


def discrimination(
    scores: Sequence[float] | Vector,
    is_positive: Sequence[bool] | NDArray[np.bool_],
    clusters: NDArray[np.int64] | None = None,
) -> Discrimination:
    """Return the AUROC of `scores` (higher means positive) with its 95 % interval.

    The interval is DeLong's on the logit scale, ``logit(A) +- z SE / (A (1 - A))``, which stays inside 0 to 1. When
    DeLong's variance is zero, as for complete separation, it would have no width; then the bounds are the score
    interval of `comparison.score_interval`. With fewer than `proportions.FEWEST` positives or negatives nothing is
    estimated.

    Parameters
    ----------
    clusters : number of the patient of each case; where patients repeat, the variance is Obuchowski's if it is larger
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(is_positive, dtype=np.bool_)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < FEWEST:
        reason = f"{positives} positives and {negatives} negatives, {FEWEST} of each are needed"
        return _none(values.size, positives, reason)
    if not np.isfinite(values).all():
        return _none(values.size, positives, "a score is not finite")
    area, variance = delong(values[truth], values[~truth])
    repeats = clusters is not None and np.unique(clusters).size < values.size
    if repeats:
        variance = max(variance, clustered_variance(influence(values, truth)[1], truth, clusters))
    if 0 < area < 1 and variance > 0:
        reach = Z_95 * sqrt(variance) / (area * (1 - area))
        centre = log(area / (1 - area))
        low, high = (1 / (1 + exp(-max(-700.0, min(700.0, centre + sign * reach)))) for sign in (-1, 1))
        method = "DeLong with Obuchowski's clusters, logit scale" if repeats else "DeLong, logit scale"
    else:
        low, high = score_interval(area, (positives, negatives))
        method = "Newcombe score interval, as DeLong's variance is zero"
    return Discrimination(n=values.size, positives=positives, auroc=area, low=low, high=high, method=method)


def _none(n: int, positives: int, reason: str) -> Discrimination:
    return Discrimination(n=n, positives=positives, auroc=None, low=None, high=None, reason=reason)


def delong(positive: Vector, negative: Vector) -> tuple[float, float]:
    """Return the AUROC and its variance.

    With ``psi(x, y) = 1, 1/2, 0`` for ``x >, =, < y``, the area A is the mean of psi over all pairs. The placement of
    a positive is its mean psi over the negatives, that of a negative its mean psi over the positives; the variance of
    A is the sample variance of each kind of placement over its number, summed. Mid-ranks give the placements in
    O(n log n).

    Parameters
    ----------
    positive, negative : (m,) and (n,), at least two each

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, 1988, doi:10.2307/2531595, equations 3 to 5; mid-ranks after
    X. Sun, W. Xu, 2014, doi:10.1109/LSP.2014.2337313.
    """
    m, n = positive.size, negative.size
    together = rankdata(np.concatenate([positive, negative]))
    of_positives = (together[:m] - rankdata(positive)) / n
    of_negatives = 1 - (together[m:] - rankdata(negative)) / m
    area = float(of_positives.mean())
    variance = float(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n)
    return area, variance
