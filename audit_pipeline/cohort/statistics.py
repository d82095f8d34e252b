"""The statistics chapters of the audit in numbers: what ``cohort.json`` holds under ``statistics``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from audit_pipeline.cohort.benefit import Benefit, benefit
from audit_pipeline.cohort.curves import Curve, curve
from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.forest import Row, forest
from audit_pipeline.cohort.gauges import Gauge, gauges
from audit_pipeline.cohort.map_quality import MapQuality, map_quality
from audit_pipeline.cohort.proportions import FEWEST
from audit_pipeline.cohort.rates import Confusion, Rates, confusion, rates
from audit_pipeline.cohort.record import Cohort, Question
from audit_pipeline.cohort.reliability import Histogram, Reliability, histogram, reliability
from audit_pipeline.cohort.robustness import Ladder, ladders
from audit_pipeline.cohort.subgroups import area_estimate
from audit_pipeline.study_record import StudyRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassStatistics:
    """One class against the rest, over the labelled studies that did not help to make the model.

    patients : different ones; reason : why the parts that need both kinds are None, "" where they are there
    scores : over all studies, positives and negatives apart
    """

    name: str
    n: int
    positives: int
    patients: int
    threshold: float | None
    reason: str
    auroc: Estimate
    rates: Rates
    scores: Histogram
    curve: Curve | None
    reliability: Reliability | None
    benefit: Benefit | None


class Statistics(TypedDict):
    """The content of ``statistics`` in ``cohort.json``.

    labelled : studies behind the classes; has_repeats : whether patients have several of them
    """

    labelled: int
    has_repeats: bool
    task: str
    classes: list[ClassStatistics]
    confusion: Confusion | None
    subgroups: list[Row]
    ladders: list[Ladder]
    gauges: list[Gauge]
    maps: list[MapQuality]


def statistics(cohort: Cohort | None, records: Sequence[StudyRecord]) -> Statistics:
    """Return everything the statistics chapters print, from the cohort and the records behind it."""
    questions = () if cohort is None else cohort.questions
    labelled = [one for one in questions if one.rows.size]
    return {
        "labelled": int(labelled[0].rows.size) if labelled else 0,
        "has_repeats": cohort is not None and cohort.has_repeats,
        "task": "" if cohort is None else str(cohort.task),
        "classes": [] if cohort is None else [_of_class(cohort, one) for one in labelled],
        "confusion": None if cohort is None else confusion(cohort),
        "subgroups": [] if cohort is None or not labelled else forest(cohort),
        "ladders": [] if cohort is None else ladders(cohort, records),
        "gauges": gauges(records),
        "maps": map_quality(records),
    }


def _of_class(cohort: Cohort, question: Question) -> ClassStatistics:
    clusters = cohort.clusters[question.rows]
    threshold = cohort.thresholds.get(question.name)
    positives = int(question.truth.sum())
    negatives = question.truth.size - positives
    too_few = min(positives, negatives) < FEWEST
    reason = f"{positives} positive and {negatives} negative, {FEWEST} of each are needed" if too_few else ""
    claim = cohort.plan.claims.get(question.name)
    return ClassStatistics(
        name=question.name,
        n=int(question.rows.size),
        positives=positives,
        patients=int(np.unique(clusters).size),
        threshold=threshold,
        reason=reason,
        auroc=area_estimate(question.scores, question.truth, clusters),
        rates=rates(question, clusters),
        scores=histogram(question.scores, question.truth),
        curve=curve(question.scores, question.truth, clusters, keep=() if threshold is None else (threshold,)),
        reliability=reliability(cohort, question),
        benefit=benefit(question.scores, question.truth, clusters, None if claim is None else claim.prevalence),
    )
