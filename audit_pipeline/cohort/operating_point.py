"""The operating point: does it hold what was declared (E09), was it chosen here (E10), what it means there (E19)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, clustered_proportion, effective
from audit_pipeline.cohort.rates import Rates, rates
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.wording import estimate_of, p_shown, share, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.wording import listed, shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """One declared rate and what was found; p_value of the hypothesis that the truth is at least `least`."""

    question: str
    metric: str
    declared: float
    least: float
    found: Estimate
    words: str
    p_value: float


@cohort_check(
    "E09",
    title="Operating point does not transfer",
    sentence="At the declared threshold the model does not reach the declared sensitivity or specificity here.",
    severity=(5, 4, 4),
    provenance="std",
    reference="Exact binomial test, Clopper and Pearson 1934 (doi:10.1093/biomet/26.4.404); Holm 1979",
    advice="Fix the threshold again, with those who answer for it, on data that are not these.",
    direction="below",
    is_confirmatory=True,
)
def operating_point_fails(cohort: Cohort, *, alpha: float = 0.05) -> CohortResult:
    """Test sensitivity and specificity against the claim less its margin, one-sided and exact, adjusted by Holm.

    Where patients repeat, the counts are reduced to their effective number.
    """
    promises = [one for question in cohort.questions for one in _promises(cohort, question)]
    if not promises:
        raise NotEvaluable(
            f"No sensitivity or specificity is claimed for a class with {FEWEST} labelled cases; see cohort.claims."
        )
    adjusted = holm([one.p_value for one in promises])
    broken = [one for one, p in zip(promises, adjusted, strict=True) if p < alpha]
    worst = promises[int(np.argmin(adjusted))]
    told = [f"{one.metric} of {one.question} {one.words}, declared {shown(one.declared)}" for one in broken or [worst]]
    message = f"{'Not reached' if broken else 'Not contradicted'}: {listed(told)} "
    message += f"(adjusted {p_shown(float(adjusted.min()))} against the claim less its margin)."
    rows: list[tuple[Cell, ...]] = [
        (one.question, one.metric, one.declared, one.least, one.found, float(p))
        for one, p in zip(promises, adjusted, strict=True)
    ]
    head = ("Class", "Metric", "Declared", "Least", "Found", "Adjusted p")
    return CohortResult(
        Outcome.FLAG if broken else Outcome.PASS, message, value=worst.found.value, limit=worst.least,
        unit=worst.metric, n=worst.found.n, low=worst.found.low, high=worst.found.high, p_value=float(adjusted.min()),
        tables=(Table(title="Declared and found", head=head, rows=tuple(rows)),),
    )  # fmt: skip


def _promises(cohort: Cohort, question: Question) -> Iterator[Promise]:
    from scipy.stats import binomtest

    claim = cohort.plan.claims.get(question.name)
    if claim is None:
        return
    clusters = cohort.clusters[question.rows]
    for metric, declared, kind, hits in (
        ("sensitivity", claim.sensitivity, question.truth, question.called),
        ("specificity", claim.specificity, ~question.truth, ~question.called),
    ):
        if declared is None:
            continue
        k, n = effective(hits[kind], clusters[kind])
        if n < FEWEST:
            continue
        found, least = clustered_proportion(hits[kind], clusters[kind]), max(declared - claim.margin, 0.0)
        yield Promise(
            question=question.name, metric=metric, declared=declared, least=least, found=estimate_of(found),
            words=share(found), p_value=float(binomtest(k, n, least, alternative="less").pvalue),
        )  # fmt: skip


@cohort_check(
    "E10",
    title="Threshold chosen on the test set",
    sentence="The threshold fits these studies as only one chosen on them would, or nobody says where it is from.",
    severity=(4, 4, 5),
    provenance="std",
    reference="CLAIM 2024; STARD-AI 2025: thresholds are stated before the data are seen",
    advice="Take the threshold from a tuning set, write down which, and run the audit again.",
    direction="below",
)
def threshold_from_test_set(cohort: Cohort, *, tolerance: float = 1e-6) -> CohortResult:
    """Compare each threshold with those that maximise Youden's index and F1 on the evaluated studies.

    A threshold within `tolerance` of an optimum, at the score itself or half-way to the next one, is flagged; so is one
    whose origin the model card does not state.
    """
    if not cohort.thresholds:
        raise NotEvaluable("The model card has no thresholds.")
    hits, rows = [], []
    for question in cohort.questions:
        threshold = cohort.thresholds.get(question.name)
        if threshold is None or min(question.truth.sum(), (~question.truth).sum()) < FEWEST:
            continue
        for metric, places in optima(question.scores, question.truth).items():
            distance = float(np.abs(places - threshold).min())
            rows.append(
                (question.name, metric, threshold, float(places[np.abs(places - threshold).argmin()]), distance)
            )
            if distance <= tolerance:
                hits.append(f"the threshold {shown(threshold)} of {question.name} maximises {metric}")
    has_origin = bool(cohort.plan.thresholds_from.strip())
    if not rows and has_origin:
        raise NotEvaluable(f"No class with a threshold has {FEWEST} labelled cases of each kind.")
    parts = [] if has_origin else ["the model card does not say where the thresholds come from"]
    said = [*hits, *parts]
    nearest = min((row[4] for row in rows), default=None)
    nothing = "No threshold is an optimum of the evaluated studies."
    message = f"Of the evaluated studies: {listed(said)}." if said else nothing
    head = ("Class", "Optimum of", "Threshold", "Nearest optimum", "Distance")
    return CohortResult(
        Outcome.FLAG if said else Outcome.PASS, message, value=nearest, limit=tolerance,
        unit="probability", n=len(cohort.keys),
        tables=(Table(title="Thresholds and optima", head=head, rows=tuple(rows)),) if rows else (),
    )  # fmt: skip


def optima(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Return the thresholds that maximise Youden's index and F1: the scores, and the middles towards the next lower."""
    cuts = np.unique(scores)
    found = {}
    above = truth.sum() - np.searchsorted(np.sort(scores[truth]), cuts, side="left")
    false = (~truth).sum() - np.searchsorted(np.sort(scores[~truth]), cuts, side="left")
    youden = above / truth.sum() - false / (~truth).sum()
    balance = 2 * above / (above + false + truth.sum())
    for metric, value in (("Youden's index", youden), ("F1", balance)):
        best = np.flatnonzero(value >= value.max() - 1e-12)
        lower = cuts[np.maximum(best - 1, 0)]
        found[metric] = np.concatenate([cuts[best], (cuts[best] + lower) / 2])
    return found


@cohort_check(
    "E19",
    title="Prevalence mismatch",
    sentence="Where the model will be used the disease is rarer or commoner, so a result means something else.",
    severity=(4, 4, 4),
    provenance="std",
    reference="Bayes' theorem; Altman and Bland 1994 (doi:10.1136/bmj.309.6947.102)",
    advice="State the predictive values for the place of use, not those of the test set.",
    direction="above",
)
def prevalence_mismatch(cohort: Cohort, *, limit: float = 0.1) -> CohortResult:
    """Compare the predictive values here with those at the declared prevalence, from the likelihood ratios.

    A class whose declared prevalence lies within the 95 % interval of its prevalence here counts as matching.
    """
    rows: list[tuple[Cell, ...]] = []
    worst, told, n = 0.0, "", 0
    for question in cohort.questions:
        claim = cohort.plan.claims.get(question.name)
        if claim is None or claim.prevalence is None or min(question.truth.sum(), (~question.truth).sum()) < FEWEST:
            continue
        found = rates(question, cohort.clusters[question.rows])
        here, n = found.prevalence, n or question.truth.size
        observed = (found.positive_predictive_value, found.negative_predictive_value)
        for metric, first, second in zip(("PPV", "NPV"), observed, at_prevalence(found, claim.prevalence), strict=True):
            if first.value is None or second.value is None:
                continue
            rows.append((question.name, metric, here, first, claim.prevalence, second))
            is_other = here.low is None or here.high is None or not here.low <= claim.prevalence <= here.high
            if is_other and abs(second.value - first.value) > worst:
                worst, n = abs(second.value - first.value), question.truth.size
                told = f"{metric} of {question.name}: {_told(first)} here (n = {n}), {_told(second)} at the declared"
    if not rows:
        raise NotEvaluable(
            f"No prevalence is declared for a class with {FEWEST} labelled cases of each kind; see cohort.claims."
        )
    message = f"{told} prevalence." if told else "Predictive values are the same at the declared prevalence."
    head = ("Class", "Value", "Prevalence here", "Here", "Declared", "At the declared")
    return CohortResult(
        Outcome.FLAG if worst > limit else Outcome.PASS, message, value=worst, limit=limit, unit="probability", n=n,
        tables=(Table(title="Predictive values", head=head, rows=tuple(rows)),),
    )  # fmt: skip


def _told(value: Estimate) -> str:
    """Return a value with its interval where it has one."""
    assert value.value is not None
    if value.low is None or value.high is None:
        return shown(value.value)
    return with_interval(value.value, value.low, value.high)


def at_prevalence(found: Rates, prevalence: float) -> tuple[Estimate, Estimate]:
    """Return positive and negative predictive value at a prevalence, with the interval of the likelihood ratio.

    The odds of the finding are those of the prevalence times the likelihood ratio; the prevalence is taken as known.
    Where a rate is 0 the ratio has no interval, nor has the value; where the model never says so there is no value.

    References
    ----------
    N. D. Mercaldo, K. F. Lau, X. H. Zhou, Confidence intervals for predictive values, 2007, doi:10.1002/sim.2677.
    """
    sensitivity, specificity = found.sensitivity.value, found.specificity.value
    assert sensitivity is not None
    assert specificity is not None
    values = predictive_values(sensitivity, specificity, prevalence)
    present, absent = found.positive_likelihood_ratio, found.negative_likelihood_ratio

    def chance(ratio: float | None) -> float | None:
        return None if ratio is None else ratio * prevalence / (ratio * prevalence + 1 - prevalence)

    def others(ratio: float | None) -> float | None:
        left = chance(ratio)
        return None if left is None else 1 - left

    return (
        Estimate(
            value=values[0], low=chance(present.low), high=chance(present.high), n=present.n, reason=present.reason
        ),
        Estimate(value=values[1], low=others(absent.high), high=others(absent.low), n=absent.n, reason=absent.reason),
    )


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """Return positive and negative predictive value at a prevalence; None where the model never says so.

    Examples
    --------
    >>> [round(value, 3) for value in predictive_values(0.9, 0.9, 0.02)]
    [0.155, 0.998]
    """
    hits, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    quiet, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    positive = hits / (hits + false) if hits + false > 0 else None
    return positive, quiet / (quiet + missed) if quiet + missed > 0 else None
