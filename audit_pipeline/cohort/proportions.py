"""Proportions with Wilson's interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

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
