"""Calibration: whether a probability means what it says (E08)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, Z_95
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.wording import p_shown, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.wording import counted, listed, shown

Vector = NDArray[np.float64]
Truth = NDArray[np.bool_]
TINY = 1e-6
"""Probabilities are taken between this and one minus it before their log-odds are formed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Slope and intercept of the labels on the log-odds, and the expected calibration error with its null.

    slope, intercept : logistic regression; perfect at 1 and 0; p_joint : likelihood-ratio test of both, 2 degrees
    error : debiased, equal-mass bins; null_95 : its 95 % quantile for a perfect model; p_error : share of the null
    above
    """

    n: int
    positives: int
    slope: Estimate
    intercept: Estimate
    p_joint: float
    error: float
    null_95: float
    p_error: float
    brier: float


@cohort_check(
    "E08",
    title="Miscalibrated",
    sentence="A probability does not mean the share of positives that it says.",
    severity=(4, 4, 5),
    provenance="sim",
    reference="Van Calster 2019 (doi:10.1186/s12916-019-1466-7); Roelofs 2022 (arXiv:2012.08668), equal-mass bins; "
    "Kumar 2019 (arXiv:1909.10155), debiasing",
    advice="Recalibrate on data of this site, or do not show the probability.",
    direction="above",
)
def miscalibrated(cohort: Cohort, *, alpha: float = 0.05, bins: int = 10, draws: int = 1000) -> CohortResult:
    """Test calibration slope and intercept together, and the calibration error against a perfect model.

    The likelihood-ratio test compares the labels' logistic regression on the log-odds with slope 1 and intercept 0. The
    calibration error is compared with `draws` sets of labels drawn from the probabilities themselves. All p-values are
    adjusted by Holm. Where patients repeat, both tests read the first study of every patient.
    """
    measured = {one.name: of_question(cohort, one, bins, draws) for one in cohort.questions}
    usable = {name: one for name, one in measured.items() if one is not None}
    if not usable:
        raise NotEvaluable(f"No class has {FEWEST} labelled positives and {FEWEST} negatives of different patients.")
    adjusted = holm([p for one in usable.values() for p in (one.p_joint, one.p_error)]).reshape(-1, 2)
    lowest = {name: float(pair.min()) for name, pair in zip(usable, adjusted, strict=True)}
    worst = min(usable, key=lambda name: lowest[name])
    wrong = [name for name in usable if lowest[name] < alpha]
    one = usable[worst]
    message = (
        f"{worst}: slope {_numbers(one.slope)}, intercept {_numbers(one.intercept)}, calibration error "
        f"{shown(one.error)} where a perfect model stays below {shown(one.null_95)} in 95 % "
        f"({counted(one.n, 'study', 'studies')}, {one.positives} positive; adjusted {p_shown(lowest[worst])})."
    )
    if len(wrong) > 1:
        message += f" Miscalibrated: {listed(wrong)}."
    return CohortResult(
        Outcome.FLAG if wrong else Outcome.PASS, message, value=one.error, limit=one.null_95,
        unit="calibration error", n=one.n, p_value=lowest[worst], tables=(_table(usable, lowest),),
    )  # fmt: skip


def _numbers(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"not estimated ({estimate.reason})"
    return with_interval(estimate.value, estimate.low, estimate.high)


def _table(usable: dict[str, Calibration], lowest: dict[str, float]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, one.n, one.positives, one.slope, one.intercept, one.error, one.null_95, one.brier, lowest[name])
        for name, one in usable.items()
    ]
    head = ("Class", "Studies", "Positive", "Slope", "Intercept", "Error", "Null 95 %", "Brier", "Adjusted p")
    note = "Perfect: slope 1, intercept 0. Error: debiased, equal-mass bins. Null: labels drawn from the probabilities."
    return Table(title="Calibration", head=head, rows=tuple(rows), note=note)


def of_question(cohort: Cohort, question: Question, bins: int, draws: int) -> Calibration | None:
    """Return the calibration of one class, None with fewer than 10 independent cases of a kind."""
    single = np.isin(question.rows, cohort.one_per_patient(question.rows))
    scores, truth = question.scores[single], question.truth[single]
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        return None
    return calibration(scores, truth, bins=bins, draws=draws, seed=cohort.seed)


def calibration(scores: Vector, truth: Truth, *, bins: int = 10, draws: int = 1000, seed: int = 0) -> Calibration:
    """Return slope, intercept and calibration error of probabilities for independent cases."""
    odds = log_odds(scores)
    fitted = recalibration(odds, truth)
    error = calibration_error(scores, truth, bins)
    labels = np.random.default_rng(seed).random((draws, scores.size)) < scores
    null = calibration_errors(scores, labels, bins)
    return Calibration(
        n=scores.size,
        positives=int(truth.sum()),
        slope=fitted.slope,
        intercept=fitted.intercept,
        p_joint=fitted.p_value,
        error=error,
        null_95=float(np.quantile(null, 0.95)),
        p_error=float((1 + (null >= error - 1e-12).sum()) / (draws + 1)),
        brier=float(((scores - truth) ** 2).mean()),
    )


def log_odds(scores: Vector) -> Vector:
    """Return the log-odds of probabilities, kept finite."""
    inside = np.clip(scores, TINY, 1 - TINY)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """Logistic regression of the labels on the log-odds; p_value of slope 1 and intercept 0 by likelihood ratio."""

    slope: Estimate
    intercept: Estimate
    p_value: float


def recalibration(odds: Vector, truth: Truth) -> Recalibration:
    """Return slope and intercept with Wald intervals; without them where the labels are separated completely.

    The likelihood of separated labels has its supremum at an infinite slope, where it is 1; the likelihood-ratio
    test needs only that.
    """
    from scipy.stats import chi2

    perfect = log_likelihood(odds, truth)
    if odds[truth].min() >= odds[~truth].max() or odds[truth].max() <= odds[~truth].min() or np.ptp(odds) == 0:
        share = truth.mean()
        best = truth.size * (share * np.log(share) + (1 - share) * np.log1p(-share)) if np.ptp(odds) == 0 else 0.0
        reason = "all probabilities are equal" if np.ptp(odds) == 0 else "the labels are separated completely"
        nothing = Estimate(value=None, low=None, high=None, n=truth.size, reason=reason)
        degrees = 1 if np.ptp(odds) == 0 else 2
        return Recalibration(slope=nothing, intercept=nothing, p_value=float(chi2.sf(2 * (best - perfect), degrees)))
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(odds[:, None], truth)
    parameters = np.array([fitted.intercept_[0], fitted.coef_[0, 0]])
    design = np.column_stack([np.ones_like(odds), odds])
    explained = design @ parameters
    rates = expit(explained)
    information = design.T @ (design * (rates * (1 - rates))[:, None])
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    intercept, slope = (
        wald(float(value), float(error), truth.size) for value, error in zip(parameters, errors, strict=True)
    )
    ratio = max(0.0, 2 * (log_likelihood(explained, truth) - perfect))
    return Recalibration(slope=slope, intercept=intercept, p_value=float(chi2.sf(ratio, 2)))


def wald(value: float, error: float, n: int) -> Estimate:
    """Return an estimate with the 95 % interval of its standard error."""
    return Estimate(value=value, low=value - Z_95 * error, high=value + Z_95 * error, n=n)


def log_likelihood(odds: Vector, truth: Truth) -> float:
    """Return the logarithm of the probability of the labels under the log-odds."""
    return float(-np.logaddexp(0.0, np.where(truth, -odds, odds)).sum())


def calibration_error(scores: Vector, truth: Truth, bins: int) -> float:
    """Return the debiased expected calibration error over bins of equal size; never below 0.

    The squared gap of a bin is reduced by the variance of its share of positives, ``y (1 - y) / (n - 1)``, because
    without that a perfect model has an error that grows as cases get fewer; the mean over bins, weighted by their
    size, is taken before the root.

    Examples
    --------
    >>> import numpy as np
    >>> round(calibration_error(np.full(400, 0.9), np.arange(400) < 200, 10), 2)
    0.4
    """
    return float(calibration_errors(scores, truth[None], bins)[0])


def calibration_errors(scores: Vector, labels: Truth, bins: int) -> Vector:
    """Return the calibration error of `scores` (n,) for every row of `labels` (m, n), see `calibration_error`."""
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(np.arange(scores.size), min(bins, max(1, scores.size // 2)))
    # equal scores stay in one bin, else the error would depend on the order in which studies were found
    firsts = np.unique(np.searchsorted(scores[order], scores[order][[int(part[0]) for part in parts]]))
    starts, sizes = firsts, np.diff(np.append(firsts, scores.size))
    means = np.add.reduceat(scores[order], starts) / sizes
    rates = np.add.reduceat(labels[:, order].astype(np.float64), starts, axis=1) / sizes
    noise = rates * (1 - rates) / np.maximum(sizes - 1, 1)
    total = (sizes * ((means - rates) ** 2 - noise)).sum(axis=1) / scores.size
    return np.asarray(np.sqrt(np.maximum(0.0, total)), dtype=np.float64)
