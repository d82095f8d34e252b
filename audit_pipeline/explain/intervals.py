"""Estimates over cases with bootstrap intervals, seeded; what cannot be estimated says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from audit_pipeline.records import Matrix

Vector = NDArray[np.float64]
Statistic = Callable[[Matrix], Vector]
"""Case weights (R, n) -> one value per row."""

RESAMPLES = 2000
FEWEST_CASES = 3
"""Below this many cases there is an estimate but no interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value over `n` cases with its 95 % interval; what is None has its reason.

    omitted : cases without a value, for example because the reference mask is empty; method : of the interval
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    omitted: int = 0
    method: str = "95 % BCa bootstrap over cases"
    reason: str = ""


def no_estimate(n: int, omitted: int, reason: str) -> Estimate:
    """Return what stands where nothing can be estimated."""
    return Estimate(value=None, low=None, high=None, n=n, omitted=omitted, reason=reason)


def mean_estimate(values: Sequence[float | None], *, seed: int = 0, over: str = "cases") -> Estimate:
    """Return the mean of the values that exist, with its interval over cases, or over what `over` says they are."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    omitted = len(values) - known.size
    if known.size == 0:
        return no_estimate(0, omitted, f"none of {len(values)} {over} has a value")
    if np.ptp(known) == 0:
        alike = f"all {known.size} {over} have the same value, so resampling them shows no spread"
        reason = alike if known.size > 1 else f"a single value has no interval over {over}"
        return Estimate(value=float(known[0]), low=None, high=None, n=known.size, omitted=omitted, reason=reason)

    def mean(weights: Matrix) -> Vector:
        return np.asarray(weights @ known / weights.sum(axis=1))

    return bootstrap(mean, known.size, omitted=omitted, seed=seed, over=over)


def bootstrap(statistic: Statistic, n: int, *, omitted: int = 0, seed: int = 0, over: str = "cases") -> Estimate:
    r"""Return a statistic of n cases with its bias-corrected and accelerated (BCa) bootstrap interval.

    The statistic is a function of case weights: ones for the estimate, counts for a resample, ones without one case
    for the jackknife. With :math:`z_0` the normal quantile of the share of resamples below the estimate (half of the
    ties) and :math:`a = \sum d_i^3 / (6 (\sum d_i^2)^{3/2})` over the jackknife deviations :math:`d_i`, the bounds are
    the quantiles of the resamples at :math:`\Phi(z_0 + (z_0 \pm z) / (1 - a (z_0 \pm z)))`.

    References
    ----------
    B. Efron, Better bootstrap confidence intervals, 1987, doi:10.1080/01621459.1987.10478410, equations 2.3 and 6.6.
    """
    value = float(statistic(np.ones((1, n)))[0])
    if n < FEWEST_CASES:
        reason = f"{n} {over}, an interval needs {FEWEST_CASES}"
        return Estimate(value=value, low=None, high=None, n=n, omitted=omitted, reason=reason)
    drawn = torch.randint(n, (RESAMPLES, n), generator=torch.Generator().manual_seed(seed)).numpy()
    counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
    resampled = np.sort(statistic(counts))
    deviations = statistic(np.ones((n, n)) - np.eye(n))
    deviations = deviations.mean() - deviations
    spread = float((deviations**2).sum())
    below = float((resampled < value).mean() + (resampled == value).mean() / 2)
    if not spread > 0 or not 0 < below < 1:
        reason = "the resamples lie all on one side of the estimate, or do not differ"
        return Estimate(value=value, low=None, high=None, n=n, omitted=omitted, reason=reason)
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    bias = ndtri(below)
    tails = bias + ndtri(np.array([0.025, 0.975]))
    low, high = np.quantile(resampled, ndtr(bias + tails / (1 - acceleration * tails)))
    method = f"95 % BCa bootstrap over {over}"
    return Estimate(value=value, low=float(low), high=float(high), n=n, omitted=omitted, method=method)
