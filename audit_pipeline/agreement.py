"""How alike two maps are: correlations and the overlap of their strongest parts; pure NumPy, any number of axes."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from audit_pipeline.records import Floats, Matrix

Values = Matrix | Floats
STRONGEST = 0.10
"""Share of the places whose overlap is measured."""


def spearman(one: Values, other: Values) -> float | None:
    """Return Spearman's rank correlation with mid-ranks for ties; None when one map is constant."""
    return pearson(rankdata(one.ravel()), rankdata(other.ravel()))


def pearson(one: Values, other: Values) -> float | None:
    """Return Pearson's correlation; None when one map is constant."""
    first = one.ravel().astype(np.float64) - one.mean(dtype=np.float64)
    second = other.ravel().astype(np.float64) - other.mean(dtype=np.float64)
    scales = np.abs(first).max(), np.abs(second).max()
    if min(scales) == 0:
        return None
    first, second = first / scales[0], second / scales[1]
    return float(np.clip(first @ second / np.sqrt((first @ first) * (second @ second)), -1, 1))


def top_overlap(one: Values, other: Values, share: float = STRONGEST) -> float:
    """Return the intersection over union of the strongest `share` of the places of two maps.

    Both sets hold the same number of places k, at least one. Of places tied with the last one chosen each counts with
    the chance of being drawn, so equal values add the overlap of chance only and the order of the places none: the
    intersection is ``sum(p q)`` over the chances of both maps, the union ``2 k - sum(p q)``. Two strangers overlap by
    about ``share / (2 - share)``.
    """
    count = max(1, round(share * one.size))
    shared = float(_chances(one, count) @ _chances(other, count))
    return shared / (2 * count - shared)


def _chances(values: Values, count: int) -> Matrix:
    """Return the chance of every place to be among the `count` strongest, which is 0 or 1 except for ties."""
    flat = values.ravel()
    limit = np.partition(flat, flat.size - count)[flat.size - count]
    above, tied = flat > limit, flat == limit
    return np.asarray(above + tied * ((count - int(above.sum())) / int(tied.sum())), dtype=np.float64)
