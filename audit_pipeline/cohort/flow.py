"""The way of the studies from received to analysed, as counts that add up (STARD 2015, item 19)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from audit_pipeline.cohort.summary import DEVELOPMENT_SPLITS
from audit_pipeline.conclusion import true_classes
from audit_pipeline.records import Status, Task
from audit_pipeline.study_record import PredictionFacts, StudyRecord

NO_LABEL = "no label"
OF_DEVELOPMENT = "helped to make the model"
UNKNOWN_LABEL = "label names no class"


class Flow(TypedDict):
    """Studies at every step; a part of ``cohort.json``.

    received = excluded + refused + failed + audited, and audited = not_analysed + analysed, each sum over its reasons.
    """

    received: int
    excluded: dict[str, int]
    refused: dict[str, int]
    failed: dict[str, int]
    audited: int
    not_analysed: dict[str, int]
    analysed: int


def flow_of(records: Sequence[StudyRecord], excluded: Mapping[str, int]) -> Flow:
    """Return how many studies went which way.

    Parameters
    ----------
    records : every study with a record, in any order; excluded : reason -> studies that got none
    """
    audited = [one for one in records if one.status is Status.AUDITED]
    lost = Counter(reason for one in audited if (reason := why_not_analysed(one)))
    return {
        "received": len(records) + sum(excluded.values()),
        "excluded": dict(sorted(excluded.items())),
        "refused": _reasons(records, Status.REFUSED),
        "failed": _reasons(records, Status.FAILED),
        "audited": len(audited),
        "not_analysed": dict(sorted(lost.items())),
        "analysed": len(audited) - sum(lost.values()),
    }


def why_not_analysed(record: StudyRecord) -> str:
    """Return why an audited study is not counted as performance; "" where it is."""
    if record.prediction is None or not (record.label or "").strip():
        return NO_LABEL
    if record.facts.get("split", "").casefold() in DEVELOPMENT_SPLITS:
        return OF_DEVELOPMENT
    return "" if _truth(str(record.label), record.prediction) is not None else UNKNOWN_LABEL


def is_wrong(record: StudyRecord) -> bool | None:
    """Return whether the conclusion differs from the label; None where the study is not analysed."""
    if record.prediction is None or why_not_analysed(record):
        return None
    return _truth(str(record.label), record.prediction) != frozenset(record.prediction.predicted)


def _truth(label: str, prediction: PredictionFacts) -> frozenset[str] | None:
    return true_classes(label, prediction.probabilities, Task(prediction.task))


def _reasons(records: Sequence[StudyRecord], status: Status) -> dict[str, int]:
    codes = (one.error.code if one.error else "no reason recorded" for one in records if one.status is status)
    return dict(sorted(Counter(codes).items()))
