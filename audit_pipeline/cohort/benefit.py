"""Decision curve: the net benefit of acting on the model, against acting on every study or on none."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from audit_pipeline.cohort.proportions import FEWEST, Z_95
from audit_pipeline.cohort.record import Ints
from audit_pipeline.records import Mask, Matrix

STEPS = 99
"""Threshold probabilities 0.01, 0.02 ... 0.99."""

DECIMALS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Benefit:
    """Net benefit per study at every threshold probability, with pointwise 95 % intervals.

    model, low, high : of acting where the probability reaches the threshold; treat_all : of acting on every study
    above_all, above_all_low, above_all_high : model less treating all, of the same studies
    is_better : whether the intervals of the model less treating all and of the model less treating none lie above 0,
        and at least 10 studies are decided unlike each of the two
    is_better_declared : the same by the estimates alone, at the declared prevalence with the sensitivity and the
        specificity found here; empty where none is declared
    """

    n: int
    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    treat_all: tuple[float, ...]
    above_all: tuple[float, ...]
    above_all_low: tuple[float, ...]
    above_all_high: tuple[float, ...]
    is_better: tuple[bool, ...]
    is_better_declared: tuple[bool, ...] = ()


def benefit(scores: Matrix, truth: Mask, clusters: Ints, prevalence: float | None = None) -> Benefit | None:
    """Return the decision curve of one class; None with fewer than 10 cases of a kind, or fewer than 10 patients.

    The net benefit is the mean over studies of ``acted (y - w (1 - y))`` with ``w = t / (1 - t)``; its variance is that
    of a mean, over patients where they repeat; the upper bound is at most that of the prevalence, which no net benefit
    exceeds. The differences to the defaults are means over the same studies.

    Parameters
    ----------
    prevalence : declared for the place of use

    References
    ----------
    A. J. Vickers, E. B. Elkin, Decision curve analysis, 2006, doi:10.1177/0272989X06295361, equation 1.
    """
    if min(truth.sum(), (~truth).sum(), np.unique(clusters).size) < FEWEST:
        return None
    member = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    most = mean_of(truth.astype(np.float64), member)[2]
    thresholds = np.arange(1, STEPS + 1) / (STEPS + 1)
    rows: list[tuple[float, ...]] = []
    is_better: list[bool] = []
    is_better_declared: list[bool] = []
    for threshold in thresholds:
        gain = np.where(truth, 1.0, -threshold / (1 - threshold))
        acted = (scores >= threshold) * gain
        model, low, reach = mean_of(acted, member)
        high = min(reach, most)
        above_all = mean_of(acted - gain, member)
        decided = int((scores >= threshold).sum())
        enough = min(decided, truth.size - decided) >= FEWEST
        rows.append((model, low, high, float(gain.mean()), *above_all))
        is_better.append(enough and low > 0 and above_all[1] > 0)
        if prevalence is not None:
            is_better_declared.append(enough and _is_better_at(prevalence, threshold, scores, truth))
    columns = [tuple(round(value, DECIMALS) for value in column) for column in zip(*rows, strict=True)]
    means, lows, highs, defaults, above, above_low, above_high = columns
    return Benefit(
        n=truth.size, thresholds=tuple(thresholds.tolist()), model=means, low=lows, high=highs, treat_all=defaults,
        above_all=above, above_all_low=above_low, above_all_high=above_high, is_better=tuple(is_better),
        is_better_declared=tuple(is_better_declared),
    )  # fmt: skip


def _is_better_at(prevalence: float, threshold: float, scores: Matrix, truth: Mask) -> bool:
    """Return whether the net benefit at a prevalence exceeds those of acting on all and on none."""
    called = scores >= threshold
    lost = (1 - prevalence) * threshold / (1 - threshold)
    model = prevalence * float(called[truth].mean()) - lost * float(called[~truth].mean())
    return model > max(0.0, prevalence - lost)


def mean_of(values: Matrix, member: Ints) -> tuple[float, float, float]:
    """Return the mean of `values` with its 95 % interval by the ratio estimate over clusters.

    Parameters
    ----------
    member : (n,) number of the cluster of each value, 0 to G - 1, at least two clusters
    """
    mean = float(values.mean())
    sums = np.bincount(member, weights=values - mean)
    groups = sums.size
    reach = Z_95 * sqrt(groups / (groups - 1) * float((sums**2).sum())) / values.size
    return mean, mean - reach, mean + reach
