"""The FMEA table: severity, occurrence and detectability of every failure mode, before and after this audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from audit_pipeline.cohort.declare import CohortFinding
from audit_pipeline.cohort.proportions import wilson
from audit_pipeline.findings import FailureMode, Outcome

RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL})
OCCURRENCE_ABOVE = (0.0, 0.01, 0.05, 0.20)
"""Shares of studies above which occurrence is graded 2, 3, 4 and 5."""

ENOUGH = 100
"""Judged studies below which nothing seen is no reason to lower the expected occurrence."""

DETECTABILITY_FROM = ((0.95, 1), (0.90, 2), (0.75, 3), (0.50, 4), (0.0, 5))
"""Measured sensitivity from which on the fault is graded this invisible."""


class FmeaRow(TypedDict):
    """One failure mode. Grades are 1 to 5, 5 worst.

    raised, judged : studies with a flag or critical finding, of those where the check gave an answer; a cohort check
    counts as one
    upper : upper end of the 95 % Wilson interval of their share
    occurrence, expected : grade from this cohort, and the one of the catalogue before it was seen
    undetected : how invisible the fault is without this tool; undetected_after : with it, from `sensitivity` on
    `planted` faults
    before, after : severity x occurrence x invisibility, a key for sorting and nothing more
    """

    code: str
    title: str
    severity: int
    expected: int
    occurrence: int
    raised: int
    judged: int
    upper: float | None
    undetected: int
    sensitivity: float | None
    planted: int
    undetected_after: int | None
    before: int
    after: int | None


def fmea(
    modes: Mapping[str, FailureMode],
    outcomes: Mapping[str, Mapping[str, int]],
    cohort_findings: Sequence[CohortFinding] = (),
    planted: Mapping[str, tuple[int, int]] | None = None,
) -> list[FmeaRow]:
    """Return a row per failure mode, the gravest first: by severity, then by the product after or before.

    Parameters
    ----------
    modes : code -> metadata; outcomes : code -> outcome -> number of studies, see `summary.CohortSummary`
    planted : code -> (k, n): faults that the check found of those that the test bench planted
    """
    counts = {code: _counted(outcomes.get(code, {})) for code in modes}
    for one in cohort_findings:
        raised, judged = counts.get(one.finding.code, (0, 0))
        answered = one.finding.outcome not in {Outcome.NOT_EVALUABLE, Outcome.ERROR}
        counts[one.finding.code] = (raised + (one.finding.outcome in RAISED), judged + answered)
    known = planted or {}
    rows = [_row(mode, counts[code], known.get(code, (0, 0))) for code, mode in modes.items()]
    return sorted(
        rows, key=lambda row: (-row["severity"], -(row["after"] or row["before"]), -row["before"], row["code"])
    )


def _counted(outcomes: Mapping[str, int]) -> tuple[int, int]:
    raised = sum(outcomes.get(str(outcome), 0) for outcome in RAISED)
    open_ended = sum(outcomes.get(str(outcome), 0) for outcome in (Outcome.NOT_EVALUABLE, Outcome.ERROR))
    return raised, sum(outcomes.values()) - open_ended


def _row(mode: FailureMode, counts: tuple[int, int], planted: tuple[int, int]) -> FmeaRow:
    severity, expected, undetected = mode.severity
    raised, judged = counts
    sensitivity = planted[0] / planted[1] if planted[1] else None
    occurrence = occurrence_grade(raised, judged, expected)
    after = None if sensitivity is None else next(grade for least, grade in DETECTABILITY_FROM if sensitivity >= least)
    return {
        "code": mode.code,
        "title": mode.title,
        "severity": severity,
        "expected": expected,
        "occurrence": occurrence,
        "raised": raised,
        "judged": judged,
        "upper": wilson(raised, judged)[1] if judged else None,
        "undetected": undetected,
        "sensitivity": sensitivity,
        "planted": planted[1],
        "undetected_after": after,
        "before": severity * occurrence * undetected,
        "after": None if after is None else severity * occurrence * after,
    }


def occurrence_grade(raised: int, judged: int, expected: int) -> int:
    """Return the occurrence of a fault seen in `raised` of `judged` studies, 1 to 5.

    With fewer than `ENOUGH` judged studies the grade never falls below the expected one.

    Examples
    --------
    >>> occurrence_grade(0, 500, 3), occurrence_grade(0, 20, 3), occurrence_grade(30, 100, 2)
    (1, 3, 5)
    """
    seen = 1 + sum(raised / judged > limit for limit in OCCURRENCE_ABOVE) if judged else 0
    return seen if judged >= ENOUGH else max(seen, expected)
