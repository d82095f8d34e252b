"""Calibration to look at: observed shares by predicted probability, summary numbers, the scores themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.calibration import calibration, log_odds, wald
from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import FEWEST, Z_95, proportion
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.wording import FRACTION_BELOW, estimate_of
from audit_pipeline.records import Mask, Matrix

MOST_BINS = 10
HISTOGRAM_BINS = 20
"""Of equal width from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Numbers of positives and negatives in `HISTOGRAM_BINS` bins of equal width from 0 to 1, the last one closed."""

    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Studies of neighbouring probabilities: their range, their mean, and the share that is positive."""

    low: float
    high: float
    mean: float
    observed: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Calibration of one class over the first study of every patient.

    in_the_large : intercept of the logistic regression with slope 1; 0 is perfect
    observed_expected : positives found over the sum of the probabilities; 1 is perfect
    brier : mean squared error of the probability; brier_of_prevalence : of always saying the share of positives
    error, null_95 : debiased calibration error, and what a perfect model stays below in 95 % of such cohorts
    """

    n: int
    positives: int
    bins: tuple[Bin, ...]
    histogram: Histogram
    slope: Estimate
    intercept: Estimate
    in_the_large: Estimate
    observed_expected: Estimate
    brier: Estimate
    brier_of_prevalence: float
    error: float
    null_95: float


def reliability(cohort: Cohort, question: Question) -> Reliability | None:
    """Return the calibration of one class; None with fewer than 10 independent cases of a kind."""
    single = np.isin(question.rows, cohort.one_per_patient(question.rows))
    scores, truth = question.scores[single], question.truth[single]
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        return None
    fitted = calibration(scores, truth, seed=cohort.seed)
    share = float(truth.mean())
    return Reliability(
        n=scores.size,
        positives=int(truth.sum()),
        bins=bins_of(scores, truth),
        histogram=histogram(scores, truth),
        slope=fitted.slope,
        intercept=fitted.intercept,
        in_the_large=in_the_large(scores, truth),
        observed_expected=observed_expected(scores, truth),
        brier=brier(scores, truth),
        brier_of_prevalence=share * (1 - share),
        error=fitted.error,
        null_95=fitted.null_95,
    )


def bins_of(scores: Matrix, truth: Mask) -> tuple[Bin, ...]:
    """Return bins of equal size, at most 10 and of at least 20 studies where there are so many; equal scores stay."""
    order = np.argsort(scores, kind="stable")
    ordered, kinds = scores[order], truth[order]
    wanted = max(1, min(MOST_BINS, scores.size // FRACTION_BELOW))
    firsts = [int(part[0]) for part in np.array_split(np.arange(scores.size), wanted)]
    starts = np.unique(np.searchsorted(ordered, ordered[firsts]))
    found = []
    for start, end in zip(starts, [*starts[1:], scores.size], strict=True):
        part = slice(int(start), int(end))
        found.append(
            Bin(
                low=float(ordered[part][0]),
                high=float(ordered[part][-1]),
                mean=float(ordered[part].mean()),
                observed=estimate_of(proportion(int(kinds[part].sum()), int(kinds[part].size))),
            )
        )
    return tuple(found)


def histogram(scores: Matrix, truth: Mask) -> Histogram:
    """Return how the scores of positives and negatives are spread.

    >>> histogram(np.asarray([0.0, 0.04, 1.0]), np.asarray([False, True, True])).positives[0]
    1
    """
    places = np.clip((scores * HISTOGRAM_BINS).astype(np.int64), 0, HISTOGRAM_BINS - 1)
    positives, negatives = (np.bincount(places[kind], minlength=HISTOGRAM_BINS) for kind in (truth, ~truth))
    return Histogram(positives=tuple(positives.tolist()), negatives=tuple(negatives.tolist()))


def in_the_large(scores: Matrix, truth: Mask) -> Estimate:
    """Return the intercept of a logistic regression of the labels on the log-odds with slope 1, Wald interval.

    References
    ----------
    B. Van Calster et al., Calibration: the Achilles heel of predictive analytics, 2019, doi:10.1186/s12916-019-1466-7.
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    odds = log_odds(scores)
    # that far, fewer than half a positive is expected, or all but less than half a one
    reach = float(np.abs(odds).max()) + log(2 * truth.size)
    value = float(brentq(lambda shift: float(expit(odds + shift).sum() - truth.sum()), -reach, reach, xtol=1e-12))
    rates = expit(odds + value)
    return wald(value, 1 / sqrt(float((rates * (1 - rates)).sum())), truth.size)


def observed_expected(scores: Matrix, truth: Mask) -> Estimate:
    """Return the number of positives over the expected one, interval on the log scale by the binomial variance.

    References
    ----------
    T. P. A. Debray et al., A guide to systematic review and meta-analysis of prediction model performance, 2017,
    doi:10.1136/bmj.i6460, appendix 7.
    """
    observed, n = int(truth.sum()), truth.size
    value = observed / max(float(scores.sum()), 1e-12)
    reach = Z_95 * sqrt((1 - observed / n) / observed)
    return Estimate(value=value, low=value * exp(-reach), high=value * exp(reach), n=n)


def brier(scores: Matrix, truth: NDArray[np.bool_]) -> Estimate:
    """Return the mean squared error of the probabilities, interval from its variance over the studies."""
    errors = (scores - truth) ** 2
    value, reach = float(errors.mean()), Z_95 * float(errors.std(ddof=1)) / sqrt(errors.size)
    return Estimate(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach), n=errors.size)
