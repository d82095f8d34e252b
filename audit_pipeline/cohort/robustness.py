"""Robustness over the cohort: what becomes of decisions and of the AUROC when the input is changed by more and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.comparison import paired
from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import FEWEST, clustered_proportion
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.subgroups import area_estimate
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.conclusion import conclude
from audit_pipeline.records import Mask, Task
from audit_pipeline.study_record import AnswerFacts, StudyRecord

Answers = Mapping[str, AnswerFacts]
"""Study -> what the model said to one change of its input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOfClass:
    """One class on changed inputs: its AUROC, that of the same studies unchanged, and the paired difference.

    difference : changed less unchanged, by DeLong's test for the same cases, clusters as in `comparison.paired`
    """

    name: str
    auroc: Estimate
    unchanged: float | None
    difference: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One change of the input.

    amount : least and largest amount over the studies, None where it is no number
    stays : k of n studies, with or without label, whose conclusion is that of the unchanged input
    classes : over the labelled studies; empty without labels
    """

    sentence: str
    amount: tuple[float, float] | None
    stays: Estimate
    classes: tuple[StepOfClass, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """Changes of one kind in the order of their amount; group, unit and `unchanged` as in `AnswerFacts`."""

    group: str
    name: str
    unit: str
    unchanged: float | None
    steps: tuple[Step, ...]


def ladders(cohort: Cohort, records: Sequence[StudyRecord]) -> list[Ladder]:
    """Return a ladder per kind of change, in the order in which the records name them.

    A study whose number of answered changes of a kind differs from that of most studies is left out of this kind.
    """
    asked: dict[tuple[str, str], dict[str, list[AnswerFacts]]] = {}
    known = set(cohort.keys)
    for record in sorted(records, key=lambda one: one.study):
        for one in record.answers:
            studies = asked.setdefault((one.group, one.name), {})
            if one.probabilities and record.study in known:
                studies.setdefault(record.study, []).append(one)
    return [_ladder(cohort, group, name, studies) for (group, name), studies in asked.items() if studies]


def _ladder(cohort: Cohort, group: str, name: str, studies: Mapping[str, list[AnswerFacts]]) -> Ladder:
    usual = Counter(len(answers) for answers in studies.values()).most_common(1)[0][0]
    ordered = {
        study: sorted(answers, key=lambda one: (one.amount is None, one.amount or 0.0))
        for study, answers in studies.items()
        if len(answers) == usual
    }
    first = next(iter(ordered.values()))[0]
    return Ladder(
        group=group,
        name=name,
        unit=first.unit,
        unchanged=first.unchanged,
        steps=tuple(_step(cohort, {study: one[place] for study, one in ordered.items()}) for place in range(usual)),
    )


def _step(cohort: Cohort, answers: Answers) -> Step:
    amounts = [one.amount for one in answers.values() if one.amount is not None]
    places = {key: place for place, key in enumerate(cohort.keys)}
    rows = np.asarray([places[study] for study in answers], dtype=np.int64)
    task = Task(cohort.task)
    said = [
        conclude(cohort.classes, [one.probabilities[name] for name in cohort.classes], cohort.thresholds, task)
        for one in answers.values()
    ]
    called = np.asarray([[name in one for name in cohort.classes] for one in said], dtype=np.bool_)
    stays = np.asarray((called == cohort.called[rows]).all(axis=1), dtype=np.bool_)
    clusters = cohort.clusters
    return Step(
        sentence=Counter(one.sentence for one in answers.values()).most_common(1)[0][0],
        amount=(min(amounts), max(amounts)) if amounts else None,
        stays=estimate_of(clustered_proportion(stays, clusters[rows])),
        classes=tuple(
            _of_class(
                one, np.isin(one.rows, rows), clusters[one.rows], [answers.get(cohort.keys[row]) for row in one.rows]
            )
            for one in cohort.questions
            if one.rows.size
        ),
    )


def _of_class(question: Question, both: Mask, members: Ints, answers: Sequence[AnswerFacts | None]) -> StepOfClass:
    """Compare the AUROC on changed inputs with that of the same labelled studies unchanged.

    Parameters
    ----------
    both : (m,) bool, which studies of the question were asked; members : (m,) their patients; answers : m of them
    """
    truth, plain, clusters = question.truth[both], question.scores[both], members[both]
    changed = np.asarray([one.probabilities[question.name] for one in answers if one is not None], dtype=np.float64)
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        reason = f"{int(truth.sum())} positive and {int((~truth).sum())} negative, {FEWEST} of each are needed"
        nothing = Estimate(value=None, low=None, high=None, n=truth.size, reason=reason)
        return StepOfClass(name=question.name, auroc=nothing, unchanged=None, difference=nothing)
    change = paired(changed, plain, truth, clusters)
    return StepOfClass(
        name=question.name,
        auroc=area_estimate(changed, truth, clusters),
        unchanged=area_estimate(plain, truth, clusters).value,
        difference=Estimate(value=change.value, low=change.low, high=change.high, n=truth.size),
    )
