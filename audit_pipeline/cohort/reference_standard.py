"""The reference standard: wrong labels (E11) and readers who do not agree (E12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, proportion
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import estimate_of, p_shown
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.wording import counted, shown

Vector = NDArray[np.float64]
Truth = NDArray[np.bool_]
LONGEST_LIST = 30
SUSPECT_BELOW = 0.5
COEFFICIENTS = ("kappa", "AC1")
"""Probability that a prediction gives to its label: a label that is more probable than not is no suspect."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Estimated share of flipped labels with its likelihood interval, and the p-value of none."""

    rate: float
    low: float
    high: float
    p_value: float
    n: int


@cohort_check(
    "E11",
    title="Label noise",
    sentence="Some labels are wrong: the model is sure of the opposite more often than a calibrated model would be.",
    severity=(4, 4, 5),
    provenance="sim",
    reference="Logistic regression with label noise, Copas 1988; Northcutt 2021 (doi:10.1613/jair.1.12125), ranking; "
    "Self and Liang 1987 (doi:10.1080/01621459.1987.10478472), likelihood ratio at a boundary",
    advice="Read the listed studies again without showing label or prediction.",
    direction="above",
)
def label_noise(cohort: Cohort, *, limit: float = 0.05, alpha: float = 0.05) -> CohortResult:
    """Estimate the share of flipped labels, and list the labels that fit the prediction least.

    The labels follow ``r + (1 - 2 r) s(a + b z)`` with the logistic function s of recalibrated log-odds z: random flips
    keep a share r of contrary labels however sure the model is, which no miscalibration can. Tested by likelihood ratio
    against r = 0, adjusted by Holm. Flagged when significant and above `limit`, noted when significant.
    """
    found: list[tuple[Question, Noise]] = []
    for question in cohort.questions:
        single = np.isin(question.rows, cohort.one_per_patient(question.rows))
        truth = question.truth[single]
        if min(truth.sum(), (~truth).sum()) >= FEWEST:
            found.append((question, noise_of(log_odds(question.scores[single]), truth)))
    if not found:
        raise NotEvaluable(f"No class has {FEWEST} labelled positives and negatives of different patients.")
    adjusted = holm([noise.p_value for _, noise in found])
    worst = int(np.argmin(adjusted))
    question, noise = found[worst]
    is_certain = float(adjusted[worst]) < alpha
    outcome = Outcome.PASS
    if is_certain:
        outcome = Outcome.FLAG if noise.rate > limit else Outcome.NOTE
    rate = "{} % ({} to {} %)".format(*(shown(100 * one) for one in (noise.rate, noise.low, noise.high)))
    message = (
        f"Labels of {question.name} contradict sure predictions as often as if {rate} of them were flipped (n = "
        f"{noise.n}, one-sided adjusted {p_shown(float(adjusted[worst]))}); errors of a sure model look the same."
    )
    return CohortResult(
        outcome, message, value=noise.rate, limit=limit, unit="share of labels", n=noise.n,
        low=noise.low, high=noise.high, p_value=float(adjusted[worst]), tables=(_suspects(cohort),),
    )  # fmt: skip


def noise_of(odds: Vector, truth: Truth) -> Noise:
    """Return the maximum-likelihood share of flipped labels with its profile interval.

    Parameters
    ----------
    odds : (n,) log-odds; truth : (n,) bool, independent cases
    """
    from scipy.stats import chi2

    scaled = (odds - odds.mean()) / (odds.std() or 1.0)
    rates = np.concatenate([[0.0], np.geomspace(2e-3, 0.4, 20)])
    profile = _profile(scaled, truth, rates)
    best = int(np.argmax(profile))
    if best:
        finer = np.linspace(rates[best - 1], rates[min(best + 1, rates.size - 1)], 10)[1:-1]
        order = np.argsort(np.concatenate([rates, finer]))
        profile = np.concatenate([profile, _profile(scaled, truth, finer)])[order]
        rates = np.concatenate([rates, finer])[order]
        best = int(np.argmax(profile))
    gain = max(0.0, 2 * float(profile[best] - profile[0]))
    inside = rates[2 * (profile[best] - profile) <= float(chi2.ppf(0.95, 1))]
    p_value = 0.5 * float(chi2.sf(gain, 1)) if gain > 0 else 1.0
    return Noise(
        rate=float(rates[best]), low=float(inside.min()), high=float(inside.max()), p_value=p_value, n=odds.size
    )


def _profile(odds: Vector, truth: Truth, rates: Vector) -> Vector:
    """Return the largest log-likelihood at every share of flips, each search started where the last one ended."""
    profile, start = np.empty(rates.size), np.asarray([np.log(truth.mean() / (1 - truth.mean())), 1.0])
    for place, rate in enumerate(rates):
        profile[place], start = _fit(odds, truth, float(rate), start)
    return profile


def _fit(odds: Vector, truth: Truth, rate: float, start: Vector) -> tuple[float, Vector]:
    """Return the largest log-likelihood at a share of flips, and where it is; the slope is held below 50."""
    from scipy.optimize import minimize

    sign = np.where(truth, 1.0, -1.0)

    def loss(parameters: Vector) -> tuple[float, Vector]:
        line = sign * (parameters[0] + parameters[1] * odds)
        inside = 1 / (1 + np.exp(-np.clip(line, -700, 700)))
        chance = np.clip(rate + (1 - 2 * rate) * inside, 1e-300, None)
        slope = (1 - 2 * rate) * inside * (1 - inside) / chance * sign
        return -float(np.log(chance).sum()), -np.asarray([slope.sum(), (slope * odds).sum()])

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-50, 50), (-50, 50)])
    return -float(found.fun), np.asarray(found.x)


def _suspects(cohort: Cohort) -> Table:
    """Return the studies whose labels fit the prediction least, by the probability of what the label says."""
    rows: list[tuple[Cell, ...]] = []
    for question in cohort.questions:
        given = np.where(question.truth, question.scores, 1 - question.scores)
        for place in np.argsort(given, kind="stable")[:LONGEST_LIST]:
            if given[place] >= SUSPECT_BELOW:
                break
            said = question.name if question.truth[place] else f"not {question.name}"
            rows.append((cohort.keys[question.rows[place]], said, float(given[place])))
    rows.sort(key=lambda row: (row[2], row[0]))
    return Table(
        title="Labels that fit the prediction least", head=("Study", "Label", "Probability of the label"),
        rows=tuple(rows[:LONGEST_LIST]), note="Most suspicious first; being listed is no proof.",
    )  # fmt: skip


@cohort_check(
    "E12",
    title="Weak reference standard",
    sentence="The readers whose labels the model is judged by do not agree with each other.",
    severity=(4, 4, 4),
    provenance="dom",
    reference="Cohen 1960; Fleiss 1971; Gwet 2008 (doi:10.1348/000711006X126600); CLAIM 2024 items 14 to 18",
    advice="Let a further reader decide the contradictions before the model is judged by them.",
    direction="below",
)
def weak_reference(cohort: Cohort, *, limit: float = 0.6, noted: float = 0.8, draws: int = 500) -> CohortResult:
    """State the agreement of the readers in the columns reader_1, reader_2, ... of the labels file.

    Kappa (Cohen's for two readers, Fleiss' for more) falls with rare findings although the readers agree; Gwet's AC1
    does not, so the larger of the two decides. Below `limit` is flagged, below `noted` noted; one reader alone is
    flagged.
    """
    columns = [name for name, values in cohort.readers.items() if any(values)]
    if not columns:
        raise NotEvaluable("The labels file has no columns reader_1, reader_2, ... with what single readers said.")
    if len(columns) == 1:
        read = sum(bool(value) for value in cohort.readers[columns[0]])
        return CohortResult(Outcome.FLAG, f"A single reader labelled {counted(read, 'study', 'studies')}.", n=read)
    table = np.asarray([cohort.readers[name] for name in columns]).T
    complete = table[(table != "").all(axis=1)]
    if complete.shape[0] < 2 * FEWEST:
        raise NotEvaluable(
            f"{complete.shape[0]} studies were read by all {len(columns)} readers, {2 * FEWEST} are needed."
        )
    codes = np.unique(complete, return_inverse=True)[1].reshape(complete.shape)
    taken = np.random.default_rng(cohort.seed).integers(len(codes), size=(draws, len(codes)))
    kappa, agreement = agreement_of(codes)
    value = max(kappa, agreement)
    which = int(agreement > kappa)
    low, high = _spread([agreement_of(codes[rows])[which] for rows in taken])
    message = (
        f"{len(columns)} readers agree with kappa {shown(kappa)} and AC1 {shown(agreement)} on "
        f"{counted(len(complete), 'study', 'studies')} ({COEFFICIENTS[which]}: {shown(low)} to {shown(high)})."
    )
    outcome = Outcome.FLAG if value < limit else Outcome.NOTE if value < noted else Outcome.PASS
    return CohortResult(
        outcome,
        message,
        value=value,
        limit=limit,
        unit=COEFFICIENTS[which],
        n=len(complete),
        low=low,
        high=high,
        tables=(_pairwise(codes, columns, taken),),
    )


def agreement_of(labels: NDArray[np.str_] | Ints) -> tuple[float, float]:
    """Return kappa and AC1 of (n, R) labels by R readers; both 1 where all say the same of everything.

    Kappa is Cohen's for two readers and Fleiss' for more; AC1 is Gwet's, with chance agreement
    ``sum_k p_k (1 - p_k) / (q - 1)``.
    """
    names, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape)
    n, readers = len(labels), int(labels.shape[-1])
    counts = np.stack([(codes == code).sum(axis=1) for code in range(names.size)], axis=1)
    observed = float(((counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))).mean())
    if names.size == 1:
        return 1.0, 1.0
    shares = counts.sum(axis=0) / (n * readers)
    own = [np.bincount(codes[:, reader], minlength=names.size) / n for reader in range(readers)]
    chance = float((own[0] * own[1]).sum()) if readers == 2 else float((shares**2).sum())
    gwet = float((shares * (1 - shares)).sum() / (names.size - 1))
    return (observed - chance) / (1 - chance) if chance < 1 else 1.0, (observed - gwet) / (1 - gwet)


def _pairwise(labels: Ints, columns: Sequence[str], taken: Ints) -> Table:
    """Return how any two readers agree; `taken` (draws, n) are the studies of each bootstrap sample."""
    rows: list[tuple[Cell, ...]] = []
    for first, second in combinations(range(len(columns)), 2):
        both = labels[:, [first, second]]
        same = estimate_of(proportion(int((both[:, 0] == both[:, 1]).sum()), len(both)))
        rows.append((columns[first], columns[second], same, *_coefficients(both, taken)))
    head = ("Reader", "Reader", "Same label", "Kappa", "AC1")
    return Table(title="Agreement of the readers", head=head, rows=tuple(rows))


def _coefficients(both: Ints, taken: Ints) -> tuple[Estimate, ...]:
    """Return kappa and AC1 of two readers; without an interval where the bootstrap could not show one."""
    bounds: Sequence[tuple[float | None, float | None]] = [(None, None)] * 2
    is_ever_apart = bool((both[:, 0] != both[:, 1]).any())
    if is_ever_apart:
        bounds = [_spread(one) for one in zip(*(agreement_of(both[chosen]) for chosen in taken), strict=True)]
    reason = "" if is_ever_apart else "no interval: the readers never differ"
    return tuple(
        Estimate(value=value, low=low, high=high, n=len(both), reason=reason)
        for value, (low, high) in zip(agreement_of(both), bounds, strict=True)
    )


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the middle 95 % of bootstrap values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
