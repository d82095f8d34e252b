"""Many tests at once: p-values adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted so that the chance of any false one stays at the level.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, 1979, https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted so that the expected share of false ones among those below a level stays below it.

    References
    ----------
    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> NDArray[np.float64]:
    if not len(p_values):
        return np.zeros(0)
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(np.asarray(p_values, dtype=np.float64), method=method)[1], dtype=np.float64)
