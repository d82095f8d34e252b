"""Whether the cohort is large, varied and independent enough for what is claimed (E15, E17, E18)."""

from __future__ import annotations

from math import inf

import numpy as np

from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.proportions import FEWEST, clustered_proportion
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix
from audit_pipeline.wording import counted, listed, shown


@cohort_check(
    "E15",
    title="Sample too small for the claim",
    sentence="The intervals are too wide to support what is claimed.",
    severity=(4, 5, 4),
    provenance="dom",
    reference="Wilson 1927; DeLong 1988; CLAIM 2024 item 21",
    advice="Collect studies until the intervals are as narrow as the claim needs.",
    direction="above",
)
def sample_too_small(cohort: Cohort, *, half_width: float = 0.1) -> CohortResult:
    """Compare the half widths of the 95 % intervals of AUROC, sensitivity and specificity with what is wanted.

    The wanted half width is the `half_width` of the claim for the class, else the setting. A class with a claim is
    flagged, one without is noted; so is a class with fewer than 10 cases of a kind, for which there is no interval.
    The value is the half width farthest beyond what is wanted, and none where an interval is missing.
    """
    if not cohort.questions or not cohort.questions[0].rows.size:
        raise NotEvaluable("No study has a label.")
    rows: list[tuple[Cell, ...]] = []
    wide: list[str] = []
    halves: list[tuple[float | None, float, int]] = []
    claimed = False
    for question in cohort.questions:
        claim = cohort.plan.claims.get(question.name)
        wanted = claim.half_width if claim and claim.half_width else half_width
        for metric, estimate in _estimates(cohort, question):
            half = None if estimate.low is None or estimate.high is None else (estimate.high - estimate.low) / 2
            rows.append((question.name, metric, estimate, half, wanted))
            halves.append((half, wanted, estimate.n))
            if half is None or half > wanted:
                wide.append(f"{metric} of {question.name} ({_why(estimate, half)})")
                claimed = claimed or claim is not None
    message = (
        f"Too wide: {listed(wide)}."
        if wide
        else f"All intervals are narrow enough (half width at most {shown(max(half or 0.0 for half, *_ in halves))})."
    )
    outcome = (Outcome.FLAG if claimed else Outcome.NOTE) if wide else Outcome.PASS
    head = ("Class", "Metric", "Estimate", "Half width", "Wanted")
    worst, limit, cases = max(halves, key=lambda one: inf if one[0] is None else one[0] / one[1])
    return CohortResult(
        outcome, message, value=worst, limit=limit, unit="half width", n=cases,
        tables=(Table(title="Precision of the headline numbers", head=head, rows=tuple(rows)),),
    )  # fmt: skip


def _why(estimate: Estimate, half: float | None) -> str:
    return estimate.reason or "no interval" if half is None else f"\u00b1 {shown(half)} with n = {estimate.n}"


def _estimates(cohort: Cohort, question: Question) -> list[tuple[str, Estimate]]:
    clusters = cohort.clusters[question.rows]
    found = discrimination(question.scores, question.truth, clusters)
    area = Estimate(value=found.auroc, low=found.low, high=found.high, n=found.n, reason=found.reason)
    truth, called = question.truth, question.called
    return [
        ("AUROC", area),
        ("sensitivity", estimate_of(clustered_proportion(called[truth], clusters[truth]))),
        ("specificity", estimate_of(clustered_proportion(~called[~truth], clusters[~truth]))),
    ]


@cohort_check(
    "E17",
    title="Single site or not independent",
    sentence="The studies come from too few sites, or from sites that helped to make the model.",
    severity=(4, 4, 3),
    provenance="std",
    reference="FDA draft guidance on AI-enabled device software functions, 2025: at least three diverse sites",
    advice="Test at sites that had no part in the development.",
    direction="below",
)
def few_sites(cohort: Cohort, *, least: int = 3) -> CohortResult:
    """Count the sites of the evaluated studies and compare them with those of the development."""
    evaluated = ~cohort.is_development
    sites = sorted({site for site, counts in zip(cohort.sites, evaluated, strict=True) if counts and site})
    if not sites:
        raise NotEvaluable("The labels file names no sites.")
    made = {site for site, counts in zip(cohort.sites, evaluated, strict=True) if not counts and site}
    shared = sorted(set(sites) & (made | set(cohort.plan.development_sites)))
    message = f"The evaluated studies come from {counted(len(sites), 'site')}, {least} are wanted."
    if shared:
        message += f" {counted(len(shared), 'site')} also had a part in the development: {listed(shared)}."
    outcome = Outcome.FLAG if shared else Outcome.NOTE if len(sites) < least else Outcome.PASS
    return CohortResult(
        outcome, message, value=float(len(sites)), limit=float(least), unit="sites", n=int(evaluated.sum())
    )


@cohort_check(
    "E18",
    title="Clustered data",
    sentence="Patients have several studies, so that the studies are not independent cases.",
    severity=(3, 4, 5),
    provenance="std",
    reference="Design effect 1 + (m - 1) ICC, Kish 1965; Obuchowski 1997 (doi:10.2307/2533957)",
    advice="Quote only intervals by patient; those of this report are.",
    direction="above",
)
def clustered_data(cohort: Cohort, *, limit: float = 1.25) -> CohortResult:
    """Estimate how much repeated patients take from the number of cases.

    The intraclass correlation is that of the log-odds less their mean over studies with the same label. A design
    effect above `limit` is flagged; repeats with a smaller one are noted.
    """
    if not any(cohort.patients):
        raise NotEvaluable("The labels file names no patients.")
    questions = [one for one in cohort.questions if one.rows.size]
    rows = questions[0].rows if questions else np.flatnonzero(~cohort.is_development)
    clusters = cohort.clusters[rows]
    groups = np.unique(clusters).size
    if groups == rows.size:
        message = f"Every one of {counted(rows.size, 'study', 'studies')} has its own patient."
        return CohortResult(Outcome.PASS, message, value=1.0, limit=limit, unit="design effect", n=int(rows.size))
    if not questions or groups < FEWEST:
        raise NotEvaluable(f"Patients repeat, and {FEWEST} labelled patients are needed to say what that costs.")
    effects = [design_effect(_residuals(one), clusters) for one in questions]
    effect = max(effects)
    message = (
        f"{counted(rows.size, 'study', 'studies')} come from {counted(groups, 'patient')}; the design effect is "
        f"{shown(effect)}, so they tell as much as {round(rows.size / effect)} independent ones. "
        "The intervals of this report are by patient."
    )
    outcome = Outcome.FLAG if effect > limit else Outcome.NOTE
    return CohortResult(outcome, message, value=effect, limit=limit, unit="design effect", n=int(rows.size))


def _residuals(question: Question) -> Matrix:
    odds = log_odds(question.scores)
    for kind in (question.truth, ~question.truth):
        if kind.any():
            odds[kind] -= odds[kind].mean()
    return odds


def design_effect(values: Matrix, clusters: Ints) -> float:
    """Return ``1 + (m - 1) ICC`` with the size-weighted mean cluster size m and the ICC of a one-way analysis."""
    _, member = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(member)
    groups, n = sizes.size, values.size
    means = np.bincount(member, weights=values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
    within = float(((values - means[member]) ** 2).sum()) / (n - groups)
    typical = (n - (sizes**2).sum() / n) / (groups - 1)
    spread = between + (typical - 1) * within
    correlation = max(0.0, (between - within) / spread) if spread > 0 else 0.0
    return float(1 + ((sizes**2).sum() / n - 1) * correlation)
