"""What the recorded conclusions of one class are worth: rates, predictive values and likelihood ratios."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import FEWEST, Z_95, clustered_proportion, effective
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.records import Mask, Task

Counts = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The four counts of one class against the rest, and what follows from them.

    Proportions have Wilson intervals at the effective number of cases, balanced accuracy the interval of a mean of two
    independent proportions, likelihood ratios the log method.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    prevalence: Estimate
    sensitivity: Estimate
    specificity: Estimate
    positive_predictive_value: Estimate
    negative_predictive_value: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    positive_likelihood_ratio: Estimate
    negative_likelihood_ratio: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Studies by their true class (rows) and the concluded one (columns); only where each study has one of both."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def rates(question: Question, clusters: Ints) -> Rates:
    """Return the rates of one class.

    Parameters
    ----------
    clusters : (m,) number of the patient of each study of the question
    """
    truth, called = question.truth, question.called

    def share(hits: Mask, among: Mask) -> Estimate:
        return estimate_of(clustered_proportion(hits[among], clusters[among]))

    everything = np.ones(truth.size, dtype=np.bool_)
    hits, false = (effective(called[kind], clusters[kind]) for kind in (truth, ~truth))
    sensitivity, specificity = share(called, truth), share(~called, ~truth)
    return Rates(
        true_positives=int((truth & called).sum()),
        false_positives=int((~truth & called).sum()),
        false_negatives=int((truth & ~called).sum()),
        true_negatives=int((~truth & ~called).sum()),
        prevalence=share(truth, everything),
        sensitivity=sensitivity,
        specificity=specificity,
        positive_predictive_value=share(truth, called),
        negative_predictive_value=share(~truth, ~called),
        accuracy=share(called == truth, everything),
        balanced_accuracy=balanced(sensitivity, specificity),
        positive_likelihood_ratio=ratio(hits, false, truth.size),
        negative_likelihood_ratio=ratio(_others(hits), _others(false), truth.size),
    )


def _others(counts: Counts) -> Counts:
    return counts[1] - counts[0], counts[1]


def balanced(sensitivity: Estimate, specificity: Estimate) -> Estimate:
    """Return the mean of two independent proportions, its interval by squaring and adding their distances.

    References
    ----------
    G. Y. Zou, A. Donner, Construction of confidence limits about effect measures, 2008, doi:10.1002/sim.3095.
    """
    both = (sensitivity, specificity)
    n = sensitivity.n + specificity.n
    if sensitivity.value is None or specificity.value is None:
        return Estimate(value=None, low=None, high=None, n=n, reason="a kind of case is missing")
    value = (sensitivity.value + specificity.value) / 2
    below = [one.value - one.low for one in both if one.value is not None and one.low is not None]
    above = [one.high - one.value for one in both if one.value is not None and one.high is not None]
    if len(below) < 2:
        reason = next(one.reason for one in both if one.low is None)
        return Estimate(value=None, low=None, high=None, n=n, reason=reason)
    low, high = (value + sign * sqrt(sum(one**2 for one in parts)) / 2 for sign, parts in ((-1, below), (1, above)))
    return Estimate(value=value, low=low, high=high, n=n)


def ratio(first: Counts, second: Counts, n: int) -> Estimate:
    """Return the ratio of two proportions, each (k, n), with its 95 % interval on the log scale.

    References
    ----------
    D. L. Simel, G. P. Samsa, D. B. Matchar, Likelihood ratios with confidence, 1991,
    doi:10.1016/0895-4356(91)90128-V.

    Examples
    --------
    >>> found = ratio((90, 100), (20, 100), 200)
    >>> [round(one, 2) for one in (found.value, found.low, found.high)]
    [4.5, 3.02, 6.7]
    """
    (k1, n1), (k2, n2) = first, second
    if not n1 or not n2:
        return Estimate(value=None, low=None, high=None, n=n, reason="a kind of case is missing")
    if min(n1, n2) < FEWEST:
        reason = f"{min(n1, n2)} cases, an interval needs {FEWEST}"
        return Estimate(value=None, low=None, high=None, n=n, reason=reason)
    if not k2:
        reason = "the ratio divides by a rate of 0" if k1 else "both rates are 0"
        return Estimate(value=None, low=None, high=None, n=n, reason=reason)
    if not k1:
        return Estimate(value=0.0, low=None, high=None, n=n, reason="no interval: the first rate is 0")
    value = (k1 / n1) / (k2 / n2)
    reach = Z_95 * sqrt(max(0.0, 1 / k1 - 1 / n1 + 1 / k2 - 1 / n2))
    low, high = (exp(log(value) + sign * reach) for sign in (-1, 1))
    return Estimate(value=value, low=low, high=high, n=n)


def confusion(cohort: Cohort) -> Confusion | None:
    """Return the confusion matrix of exclusive classes over the evaluated studies; None for other tasks."""
    if cohort.task != Task.MULTICLASS or not cohort.questions or not cohort.questions[0].rows.size:
        return None
    rows = cohort.questions[0].rows
    truth, called = cohort.truth[rows].argmax(axis=1), cohort.called[rows].argmax(axis=1)
    table = np.zeros((len(cohort.classes),) * 2, dtype=np.int64)
    np.add.at(table, (truth, called), 1)
    return Confusion(classes=cohort.classes, counts=tuple(tuple(row) for row in table.tolist()))
