"""How numbers are written in the sentences about a cohort: always with n and interval, fractions below 20 cases."""

from __future__ import annotations

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import Proportion
from audit_pipeline.wording import shown

FRACTION_BELOW = 20
"""Cases below which a share is printed as k of n only."""


def p_shown(value: float) -> str:
    """Return a p-value as text.

    >>> p_shown(0.03123), p_shown(1e-9)
    ('p = 0.031', 'p < 0.0001')
    """
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def share(found: Proportion) -> str:
    """Return a proportion with its interval; the fraction alone below 20 cases.

    >>> share(Proportion(k=7, n=9, low=None, high=None)), share(Proportion(k=18, n=20, low=0.699, high=0.972))
    ('7 of 9', '0.9 (0.699 to 0.972), 18 of 20')
    """
    if found.n < FRACTION_BELOW or found.low is None or found.high is None:
        return f"{found.k} of {found.n}"
    return f"{shown(found.k / found.n)} ({shown(found.low)} to {shown(found.high)}), {found.k} of {found.n}"


def estimate_of(found: Proportion) -> Estimate:
    """Return a proportion as a cell of a table."""
    value = found.k / found.n if found.n else None
    return Estimate(value=value, low=found.low, high=found.high, n=found.n, k=found.k, reason=found.reason)


def with_interval(value: float, low: float, high: float) -> str:
    """Return a number with its 95 % interval.

    >>> with_interval(0.9, 0.85, 0.934)
    '0.9 (0.85 to 0.934)'
    """
    return f"{shown(value)} ({shown(low)} to {shown(high)})"
