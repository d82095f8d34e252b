"""What a run found in its cohort, from the records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.proportions import Proportion, clustered_proportion
from audit_pipeline.conclusion import true_classes
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status, Task
from audit_pipeline.study_record import PredictionFacts, StudyRecord

SERIOUSNESS = (
    Outcome.CRITICAL,
    Outcome.ERROR,
    Outcome.FLAG,
    Outcome.NOT_EVALUABLE,
    Outcome.NOTE,
    Outcome.PASS,
)
"""Verdicts in the order in which a reviewer should see their studies."""

DEVELOPMENT_SPLITS = frozenset(
    {"train", "training", "tune", "tuning", "val", "valid", "validation", "dev", "development"}
)
"""Values of the column split whose studies helped to make the model; they are never counted as performance."""


ClassPerformance = TypedDict(
    "ClassPerformance",
    {
        "class": str,
        "n": int,
        "positives": int,
        "auroc": float | None,
        "auroc_low": float | None,
        "auroc_high": float | None,
        "auroc_method": str,
        "reason": str,
        "threshold": float | None,
        "sensitivity": Proportion,
        "specificity": Proportion,
    },
)
"""How well one class is told from the rest, over the labelled audited studies; a row of ``cohort.json``.

auroc, auroc_low, auroc_high : with 95 % interval, all None with a `reason`; `auroc_method` names the interval
sensitivity, specificity : of the recorded conclusions, at `threshold` where the class has one
"""


OUTSIDE_USE = ("A21", "A22")
"""Checks that say of a study that the model card does not allow it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortSummary:
    """Counts and performance of a run.

    counts : found, audited, refused, failed
    outcomes : code -> outcome -> number of studies with such a finding
    verdicts : prediction or explanation -> outcome -> number of audited studies
    refusals : error code -> number of refused and failed studies
    confidence : level of all intervals
    labelled : audited studies with a usable label that did not help to make the model
    unknown_labels : those whose label names no class of the model
    outside_use : of the labelled studies those outside the intended use, by key
    inside_use : the performance without them; empty where there are none
    """

    counts: Mapping[str, int]
    outcomes: Mapping[str, Mapping[str, int]]
    verdicts: Mapping[str, Mapping[str, int]]
    performance: tuple[ClassPerformance, ...]
    refusals: Mapping[str, int]
    labelled: int
    unknown_labels: int
    outside_use: tuple[str, ...] = ()
    inside_use: tuple[ClassPerformance, ...] = ()
    confidence: float = 0.95


def summarise(records: Sequence[StudyRecord]) -> CohortSummary:
    """Return the summary of `records`; the order of the records does not matter."""
    judged = [record.verdict for record in records if record.verdict is not None]
    labelled, unknown = _labelled(records)
    outside = tuple(sorted(record.study for record in records if _is_outside_use(record) and _labelled([record])[0]))
    inside = _labelled([record for record in records if record.study not in outside])[0] if outside else []
    status = Counter(record.status for record in records)
    return CohortSummary(
        counts={"found": len(records), **{str(one): status[one] for one in Status}},
        outcomes=_outcomes(records),
        verdicts={
            "prediction": _tally([one.prediction for one in judged]),
            "explanation": _tally([one.explanation for one in judged]),
        },
        performance=_performance(labelled),
        refusals=dict(sorted(Counter(record.error.code for record in records if record.error).items())),
        labelled=len(labelled),
        unknown_labels=unknown,
        outside_use=outside,
        inside_use=_performance(inside),
    )


def _is_outside_use(record: StudyRecord) -> bool:
    raised = (Outcome.FLAG, Outcome.CRITICAL)
    return any(one.code in OUTSIDE_USE and one.outcome in raised for one in record.findings)


def _tally(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts = Counter(outcomes)
    return {str(outcome): counts[outcome] for outcome in Outcome if counts[outcome]}


def _outcomes(records: Sequence[StudyRecord]) -> dict[str, dict[str, int]]:
    """Count studies, not findings: a code that a study raises twice counts with its most serious outcome."""
    by_code: dict[str, list[Outcome]] = {}
    for record in records:
        worst: dict[str, Outcome] = {}
        for finding in record.findings:
            known = worst.get(finding.code, finding.outcome)
            worst[finding.code] = min(known, finding.outcome, key=SERIOUSNESS.index)
        for code, outcome in worst.items():
            by_code.setdefault(code, []).append(outcome)
    return {code: _tally(by_code[code]) for code in sorted(by_code)}


Labelled = tuple[PredictionFacts, frozenset[str], str]
"""Prediction, true classes, and the patient or, where nobody says who that is, the study."""


def _labelled(records: Sequence[StudyRecord]) -> tuple[list[Labelled], int]:
    """Return the predictions with their true classes, and how many labels could not be understood."""
    usable: list[Labelled] = []
    unknown = 0
    for record in sorted(records, key=lambda one: one.study):
        if record.status is not Status.AUDITED or record.prediction is None or not (record.label or "").strip():
            continue
        if record.facts.get("split", "").casefold() in DEVELOPMENT_SPLITS:
            continue
        truth = true_classes(str(record.label), record.prediction.probabilities, Task(record.prediction.task))
        if truth is None:
            unknown += 1
        else:
            usable.append((record.prediction, truth, record.facts.get("patient") or record.study))
    return usable, unknown


def _performance(labelled: Sequence[Labelled]) -> tuple[ClassPerformance, ...]:
    if not labelled:
        return ()
    names = list(labelled[0][0].probabilities)
    return tuple(_of_class(name, labelled) for name in names)


def _of_class(name: str, labelled: Sequence[Labelled]) -> ClassPerformance:
    truth = np.asarray([name in present for _, present, _ in labelled], dtype=np.bool_)
    called = np.asarray([name in prediction.predicted for prediction, _, _ in labelled], dtype=np.bool_)
    patients = np.unique([patient for _, _, patient in labelled], return_inverse=True)[1].astype(np.int64)
    found = discrimination([prediction.probabilities[name] for prediction, _, _ in labelled], truth, patients)
    return {
        "class": name,
        "n": len(labelled),
        "positives": int(truth.sum()),
        "auroc": found.auroc,
        "auroc_low": found.low,
        "auroc_high": found.high,
        "auroc_method": found.method,
        "reason": found.reason,
        "threshold": labelled[0][0].thresholds.get(name),
        "sensitivity": clustered_proportion(called[truth], patients[truth]),
        "specificity": clustered_proportion(~called[~truth], patients[~truth]),
    }


def worst_first(records: Sequence[StudyRecord]) -> tuple[StudyRecord, ...]:
    """Return the records in the order in which a reviewer should read them.

    First the failed and the refused studies, then the others by the more serious of their two verdicts (the order of
    `SERIOUSNESS`), then by the number of critical findings, of errors, of flags and of notes, most first, and last by
    key, so that the order is total and does not depend on the order given.
    """
    return tuple(sorted(records, key=_rank))


def _rank(record: StudyRecord) -> tuple[int, int, tuple[int, ...], str]:
    ended = (Status.FAILED, Status.REFUSED, Status.AUDITED).index(record.status)
    verdict = record.verdict
    seriousness = (
        min(SERIOUSNESS.index(verdict.prediction), SERIOUSNESS.index(verdict.explanation)) if verdict is not None else 0
    )
    counts = Counter(finding.outcome for finding in record.findings)
    raised = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG, Outcome.NOTE)
    return ended, seriousness, tuple(-counts[outcome] for outcome in raised), record.study
