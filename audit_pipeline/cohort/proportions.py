"""Proportions with Wilson's interval, their differences, and what repeated patients take from them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile of 0.975."""

FEWEST = 10
"""Below this many cases there is a fraction but no interval: it would span most of 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proportion:
    """`k` of `n`, with the 95 % Wilson interval; without an interval `reason` says why."""

    k: int
    n: int
    low: float | None
    high: float | None
    reason: str = ""


def proportion(k: int, n: int) -> Proportion:
    """Return `k` of `n` with its interval, or without one when `n` is below `FEWEST`."""
    if n < FEWEST:
        return Proportion(k=k, n=n, low=None, high=None, reason=f"{n} cases, an interval needs {FEWEST}")
    low, high = wilson(k, n)
    return Proportion(k=k, n=n, low=low, high=high)


def wilson(k: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    The bounds are the p that solve ``|k/n - p| = z sqrt(p (1 - p) / n)``, without continuity correction.

    Raises
    ------
    ValueError
        `n` is not positive, or `k` is not in 0 ... n.

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927,
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a proportion needs 0 <= k <= n and n >= 1, got k = {k} and n = {n}")
    share = k / n
    centre = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if k == 0 else (centre - half) / scale
    high = 1.0 if k == n else (centre + half) / scale
    return low, high


def newcombe_difference(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two independent proportions, each given as (k, n).

    References
    ----------
    R. G. Newcombe, Interval estimation for the difference between independent proportions, 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I, method 10.

    Examples
    --------
    >>> [round(bound, 4) for bound in newcombe_difference((56, 70), (48, 80))]
    [0.0524, 0.3339]
    """
    (k1, n1), (k2, n2) = first, second
    p1, p2 = k1 / n1, k2 / n2
    (low1, high1), (low2, high2) = wilson(k1, n1), wilson(k2, n2)
    below, above = sqrt((p1 - low1) ** 2 + (high2 - p2) ** 2), sqrt((high1 - p1) ** 2 + (p2 - low2) ** 2)
    return p1 - p2 - below, p1 - p2 + above


def effective(hits: NDArray[np.bool_], clusters: NDArray[np.int64]) -> tuple[int, int]:
    """Return (k, n) reduced to what independent cases would tell: both divided by the design effect, rounded.

    The design effect is the variance of the share as a ratio estimate over clusters, divided by that of independent
    cases, and at least 1. Where every case has the same answer it is the mean size of a cluster.

    Parameters
    ----------
    hits : (n,) bool; clusters : (n,) number of the patient of each case

    References
    ----------
    J. N. K. Rao, A. J. Scott, A simple method for the analysis of clustered binary data, 1992, doi:10.2307/2532311.
    """
    n, k = hits.size, int(hits.sum())
    _, member = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(member) if n else np.zeros(0, dtype=np.int64)
    groups = sizes.size
    if groups in {n, 0}:
        return k, n
    share = k / n
    if groups == 1 or share in {0.0, 1.0}:
        effect = n / groups
    else:
        residual = np.bincount(member, weights=hits) - share * sizes
        variance = groups / (groups - 1) * float((residual**2).sum()) / n**2
        effect = max(1.0, variance * n / (share * (1 - share)))
    reduced = max(1, round(n / effect))
    return min(reduced, round(share * reduced)), reduced


def clustered_proportion(hits: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Proportion:
    """Return k of n with Wilson's interval at the effective number of cases, see `effective`."""
    k, n = int(hits.sum()), int(hits.size)
    _, reduced = effective(hits, clusters)
    if reduced == n:
        return proportion(k, n)
    if reduced < FEWEST:
        reason = f"{n} cases tell as much as {reduced} independent ones, an interval needs {FEWEST}"
        return Proportion(k=k, n=n, low=None, high=None, reason=reason)
    share = k / n
    low, high = wilson_share(share, reduced)
    return Proportion(k=k, n=n, low=low, high=high)


def wilson_share(share: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's interval of a share that stands on `n` cases, also where neither is whole."""
    centre, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
