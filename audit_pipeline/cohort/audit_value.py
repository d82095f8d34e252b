"""The audit judged: do its flags tell where the model is wrong (E20), and have the errors one cause (E21)."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.declare import Cell, CohortResult, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.proportions import FEWEST, proportion
from audit_pipeline.cohort.record import Cohort, Ints
from audit_pipeline.cohort.wording import estimate_of, share, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.wording import counted, shown

WEIGHTS = {"critical": 4.0, "error": 2.0, "flag": 2.0, "note": 0.5}
"""What a finding adds to the score of a study."""

EXPLANATION = "D"
"""Family of checks that judge the picture and not the prediction; they say nothing about errors."""

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)


@cohort_check(
    "E20",
    title="Flags carry no information",
    sentence="Flagged studies are not wrong more often than the others, so the flags are no help.",
    severity=(3, 3, 5),
    provenance="dom",
    reference="Area under the ROC curve of the flags for errors; risk against coverage, El-Yaniv and Wiener 2010",
    advice="Calibrate the checks on clean studies of this site.",
    direction="below",
)
def flags_uninformative(cohort: Cohort, *, limit: float = 0.5, enough: float = 0.64) -> CohortResult:
    """State the AUROC of a score of the findings for an error of the model.

    The score adds up the findings on input, distribution and prediction by seriousness. When the interval reaches down
    to `limit`, the flags are not shown to help: flagged when its upper end stays below `enough` as well, so that they
    are shown not to, noted otherwise.
    """
    rows = np.flatnonzero(cohort.is_labelled & ~cohort.is_development)
    wrong = cohort.is_wrong[rows]
    if min(wrong.sum(), (~wrong).sum()) < FEWEST:
        raise NotEvaluable(
            f"{counted(int(wrong.sum()), 'error')} among {counted(rows.size, 'labelled study', 'labelled studies')}, "
            f"{FEWEST} errors and {FEWEST} right ones are needed."
        )
    score = flag_score(cohort)[rows]
    found = discrimination(score, wrong, cohort.clusters[rows])
    assert found.auroc is not None
    assert found.low is not None
    assert found.high is not None
    raised = score >= WEIGHTS["flag"]
    rates = [proportion(int(wrong[side].sum()), int(side.sum())) for side in (raised, ~raised)]
    message = (
        f"The findings tell errors with an AUROC of {with_interval(found.auroc, found.low, found.high)} "
        f"(n = {found.n}, {found.positives} errors). Wrong: {share(rates[0])} of the flagged, "
        f"{share(rates[1])} of the others."
    )
    outcome = Outcome.PASS
    if found.low <= limit:
        outcome = Outcome.FLAG if found.high < enough else Outcome.NOTE
    return CohortResult(
        outcome, message, value=found.auroc, limit=limit, unit="AUROC", n=found.n, low=found.low, high=found.high,
        tables=(_risk(score, wrong, cohort.probabilities[rows]),),
    )  # fmt: skip


def flag_score(cohort: Cohort) -> NDArray[np.float64]:
    """Return one number per study: the sum of its findings on input, distribution and prediction by seriousness."""
    score = np.zeros(len(cohort.keys))
    for code, outcomes in cohort.outcomes.items():
        if not code.startswith(EXPLANATION):
            score += np.asarray([WEIGHTS.get(outcome, 0.0) for outcome in outcomes])
    return score


def _risk(score: NDArray[np.float64], wrong: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> Table:
    """Return the share of errors among the studies that are kept when the most flagged are referred to a reader."""
    order: Ints = np.lexsort((-probabilities.max(axis=1), score))
    rows: list[tuple[Cell, ...]] = []
    for coverage in COVERAGES:
        kept = order[: max(1, round(coverage * order.size))]
        rows.append((coverage, estimate_of(proportion(int(wrong[kept].sum()), int(kept.size)))))
    note = "Fewest findings kept first, among equals the more confident."
    return Table(title="Errors left at a coverage", head=("Share kept", "Wrong"), rows=tuple(rows), note=note)


@cohort_check(
    "E21",
    title="Errors share one cause",
    sentence="Most of the errors that a reviewer explained have the same cause.",
    severity=(4, 4, 4),
    provenance="dom",
    reference="Liu 2022 (doi:10.1016/S2589-7500(22)00003-6), the medical algorithmic audit",
    advice="Remove this cause first; it is worth more than any other change.",
    direction="above",
)
def one_cause(cohort: Cohort, *, limit: float = 0.3, least: int = 10) -> CohortResult:
    """Count the causes in the column cause of the labels file over the studies that the model got wrong.

    Noted when the lower end of the 95 % interval of the commonest cause exceeds `limit`.
    """
    rows = np.flatnonzero(cohort.is_labelled & ~cohort.is_development & cohort.is_wrong)
    causes = Counter(cohort.causes[row] for row in rows if cohort.causes and cohort.causes[row])
    total = sum(causes.values())
    if total < least:
        raise NotEvaluable(
            f"The column cause of the labels file gives the cause of {counted(total, 'error')}, {least} are needed."
        )
    name, count = max(causes.items(), key=lambda pair: (pair[1], pair[0]))
    found = proportion(count, total)
    message = f"The commonest cause of errors is {name}: {share(found)} reviewed errors (limit {shown(limit)})."
    cells: list[tuple[Cell, ...]] = [
        (cause, estimate_of(proportion(number, total))) for cause, number in causes.most_common()
    ]
    return CohortResult(
        Outcome.NOTE if found.low is not None and found.low > limit else Outcome.PASS, message, value=count / total,
        limit=limit, unit="share of errors", n=total, low=found.low, high=found.high,
        tables=(Table(title="Causes of reviewed errors", head=("Cause", "Share"), rows=tuple(cells)),),
    )  # fmt: skip
