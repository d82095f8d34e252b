"""Gates: what the configuration promised before the run, beside what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from audit_pipeline.cohort.proportions import Proportion, proportion
from audit_pipeline.cohort.summary import ClassPerformance, CohortSummary
from audit_pipeline.config import Claim, CohortSection

MEASURES = ("auroc", "sensitivity", "specificity")


class GateState(StrEnum):
    """What came of a promise; ``open`` is neither kept nor broken: the interval holds the limit."""

    MET = "met"
    NOT_MET = "not_met"
    OPEN = "open"
    NOT_EVALUABLE = "not_evaluable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One promise; a part of ``cohort.json``.

    measure : auroc, sensitivity, specificity, the half width of one of them as ``half_width of auroc``, or a share of
    the run: refused, critical, rejected_maps; class_name : "" where the promise is about the run
    claimed : as configured, None where the limit itself was; limit : the claim less its margin, or the largest value
    side : "least" or "most", the side of the limit on which the promise holds
    value, k, n, low, high : what was found, with its 95 % interval; reason : why there is no value or no interval
    """

    measure: str
    class_name: str = ""
    claimed: float | None = None
    limit: float
    side: str
    value: float | None = None
    k: int | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    state: GateState
    reason: str = ""


class Found(TypedDict):
    """The part of a gate that was found."""

    value: float | None
    k: int | None
    n: int
    low: float | None
    high: float | None
    reason: str


def gates_of(summary: CohortSummary, promised: CohortSection, counts: Mapping[str, int]) -> tuple[Gate, ...]:
    """Return every promise with its answer: by class in the order of the configuration, then those about the run.

    A claim is met when the whole 95 % interval lies on its side of the limit, not met when none of it does. A half
    width and a share of the run are statements about these studies, decided by the number itself.

    Parameters
    ----------
    counts : found, refused and failed studies
    """
    rows = {row["class"]: row for row in summary.performance}
    gates = [gate for name, claim in promised.claims.items() for gate in _of_class(name, claim, rows.get(name))]
    return (*gates, *_of_run(summary, promised, counts))


def _of_class(name: str, claim: Claim, row: ClassPerformance | None) -> Iterator[Gate]:
    claimed = {measure: getattr(claim, measure) for measure in MEASURES if getattr(claim, measure) is not None}
    for measure, value in claimed.items():
        found, limit = _found(measure, row), round(max(value - claim.margin, 0.0), 12)
        state = by_interval(found["low"], found["high"], limit)
        yield Gate(measure=measure, class_name=name, claimed=value, limit=limit, side="least", state=state, **found)
    if claim.half_width is not None:
        for measure in claimed or MEASURES:
            yield _half_width(name, measure, claim.half_width, _found(measure, row))


def by_interval(low: float | None, high: float | None, least: float) -> GateState:
    """Return what an interval says about a promise to be at least `least`.

    >>> [str(by_interval(*ends, 0.8)) for ends in ((0.8, 0.9), (0.7, 0.79), (0.7, 0.9), (None, None))]
    ['met', 'not_met', 'open', 'not_evaluable']
    """
    if low is None or high is None:
        return GateState.NOT_EVALUABLE
    return GateState.MET if low >= least else GateState.NOT_MET if high < least else GateState.OPEN


def _found(measure: str, row: ClassPerformance | None) -> Found:
    if row is None:
        return _share(None, "no study has a label that can be used")
    if measure == "auroc":
        low, high = row["auroc_low"], row["auroc_high"]
        return {"value": row["auroc"], "k": None, "n": row["n"], "low": low, "high": high, "reason": row["reason"]}
    return _share(row["sensitivity"] if measure == "sensitivity" else row["specificity"])


def _share(found: Proportion | None, reason: str = "") -> Found:
    if found is None or not found.n:
        return {"value": None, "k": None, "n": 0, "low": None, "high": None, "reason": reason or "no cases"}
    value, reason = found.k / found.n, found.reason
    return {"value": value, "k": found.k, "n": found.n, "low": found.low, "high": found.high, "reason": reason}


def _half_width(name: str, measure: str, widest: float, found: Found) -> Gate:
    low, high = found["low"], found["high"]
    half = None if low is None or high is None else (high - low) / 2
    state = GateState.NOT_EVALUABLE if half is None else GateState.MET if half <= widest else GateState.NOT_MET
    return Gate(
        measure=f"half_width of {measure}", class_name=name, limit=widest, side="most", value=half, n=found["n"],
        state=state, reason=found["reason"],
    )  # fmt: skip


def _of_run(summary: CohortSummary, promised: CohortSection, counts: Mapping[str, int]) -> Iterator[Gate]:
    given, audited = counts.get("found", 0) - counts.get("excluded", 0), summary.counts.get("audited", 0)
    asked: Sequence[tuple[str, float | None, int, int]] = (
        ("refused", promised.gates.refused, counts.get("refused", 0) + counts.get("failed", 0), given),
        ("critical", promised.gates.critical, _critical(summary, "prediction"), audited),
        ("rejected_maps", promised.gates.rejected_maps, _critical(summary, "explanation"), audited),
    )
    for measure, most, k, n in asked:
        if most is not None:
            found = _share(proportion(k, n) if n else None, "no study")
            state = GateState.NOT_EVALUABLE if not n else GateState.MET if k / n <= most else GateState.NOT_MET
            yield Gate(measure=measure, limit=most, side="most", state=state, **found)


def _critical(summary: CohortSummary, verdict: str) -> int:
    return int(summary.verdicts.get(verdict, {}).get("critical", 0))
