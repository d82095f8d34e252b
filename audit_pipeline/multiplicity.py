"""Many tests at once: p-values adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted so that the chance of any false one stays at the level.

    The k-th smallest of m is multiplied by ``m - k + 1``; no adjusted value is smaller than one before it.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, 1979, https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    return _in_place(order, raised)


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted so that the expected share of false ones among those below a level stays below it.

    The k-th smallest of m is multiplied by ``m / k``; no adjusted value is larger than one after it.

    References
    ----------
    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = values[order] * values.size / np.arange(1, values.size + 1)
    return _in_place(order, np.minimum.accumulate(raised[::-1])[::-1])


def _in_place(order: NDArray[np.intp], raised: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the adjusted values in the order of the values they belong to, none above 1."""
    found = np.empty_like(raised)
    found[order] = np.minimum(raised, 1.0)
    return found
