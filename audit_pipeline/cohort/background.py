"""Background: whether the signal is still there without the patient, and what lies around the patient adds (E06)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.comparison import paired
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.proportions import FEWEST
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.shortcuts import area, exceeds
from audit_pipeline.cohort.wording import p_shown, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.records import Matrix
from audit_pipeline.wording import listed, shown

WITHOUT_PATIENT = ("body_removed", "border_only", "text_only", "constant", "noise")
"""Variants of the input that hold nothing of the patient: a model that still tells the classes reads something else."""

WITHOUT_SURROUNDINGS = ("border_removed", "text_removed", "padding_changed", "padding_widened", "grained")
"""Variants that hold the patient: a model that gets worse read what was taken out."""

NAMES = {"constant": "even grey", "noise": "noise alone", "grained": "noise softened"}
"""What sentences call a variant whose name is not its words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One class on one variant of the input: the area, how it differs from the plain one, and a one-sided p-value."""

    question: str
    variant: str
    area: Estimate
    loss: Estimate | None
    size: float
    p_value: float
    words: str

    @property
    def measured(self) -> Estimate:
        """What `size` is, with its interval."""
        return self.area if self.loss is None else self.loss


@cohort_check(
    "E06",
    title="Background carries the signal",
    sentence="The classes can be told apart without the patient, or worse once border, text, padding or noise is gone.",
    severity=(5, 3, 5),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7); "
    "Maguolo and Nanni 2021 (doi:10.1016/j.inffus.2021.04.008)",
    advice="Stop the release and look for what is in the background.",
    direction="above",
)
def background_signal(cohort: Cohort, *, limit: float = 0.55, loss: float = 0.05, alpha: float = 0.05) -> CohortResult:
    """Compare the predictions on changed inputs with the labels.

    Without the patient, an AUROC above `limit` by a one-sided test is flagged. Without border, text, padding or noise,
    a loss of at least `loss` by the paired DeLong test is. All p-values are adjusted by Holm.
    """
    looks = [
        look
        for question in cohort.questions
        for variant in (*WITHOUT_PATIENT, *WITHOUT_SURROUNDINGS)
        if variant in cohort.panel and (look := _look(cohort, question, variant, limit)) is not None
    ]
    if not looks:
        raise NotEvaluable(
            f"No class has {FEWEST} labelled positives and negatives that were also predicted without the patient."
        )
    adjusted = holm([one.p_value for one in looks])
    least = {**dict.fromkeys(WITHOUT_PATIENT, limit), **dict.fromkeys(WITHOUT_SURROUNDINGS, loss)}
    raised = [one for one, p in zip(looks, adjusted, strict=True) if p < alpha and one.size > least[one.variant]]
    worst = looks[int(np.argmin(adjusted))]
    message = f"{listed([one.words for one in raised or [worst]])}, adjusted {p_shown(float(adjusted.min()))}."
    rows: list[tuple[Cell, ...]] = [
        (one.question, _named(one.variant), one.area, one.loss, float(p))
        for one, p in zip(looks, adjusted, strict=True)
    ]
    table = Table(
        title="Predictions on changed inputs", rows=tuple(rows),
        head=("Class", "Input", "AUROC", "AUROC lost", "Adjusted p"),
        note=f"Without the patient the AUROC should be one half (limit {shown(limit)}).",
    )  # fmt: skip
    return CohortResult(
        Outcome.FLAG if raised else Outcome.PASS, message, value=worst.size, limit=least[worst.variant],
        unit="AUROC" if worst.variant in WITHOUT_PATIENT else "AUROC lost", n=worst.area.n,
        low=worst.measured.low, high=worst.measured.high, p_value=float(adjusted.min()), tables=(table,),
    )  # fmt: skip


def _look(cohort: Cohort, question: Question, variant: str, limit: float) -> Look | None:
    scores: Matrix = cohort.panel[variant][question.rows, question.place]
    known = np.isfinite(scores)
    truth, clusters = question.truth[known], cohort.clusters[question.rows][known]
    if min(np.unique(clusters[truth]).size, np.unique(clusters[~truth]).size) < FEWEST:
        return None
    found = discrimination(scores[known], truth, clusters)
    if found.auroc is None or found.low is None or found.high is None:
        return None
    numbers = with_interval(found.auroc, found.low, found.high)
    words = f"AUROC of {question.name} with {_named(variant)}: {numbers} (n = {found.n})"
    if variant in WITHOUT_PATIENT:
        p_value = exceeds(scores[known], truth, clusters, limit)
        return Look(question=question.name, variant=variant, area=area(found), loss=None, size=found.auroc,
                    p_value=p_value, words=words)  # fmt: skip
    gap = paired(question.scores[known], scores[known], truth, clusters)
    lost = Estimate(value=gap.value, low=gap.low, high=gap.high, n=found.n)
    words = f"{words}, lost {with_interval(gap.value, gap.low, gap.high)}"
    return Look(question=question.name, variant=variant, area=area(found), loss=lost, size=gap.value,
                p_value=gap.p_value if gap.value > 0 else 1.0, words=words)  # fmt: skip


def _named(variant: str) -> str:
    return NAMES.get(variant, variant.replace("_", " "))
