"""How what the checks measured is spread over the studies, and in how many they raised something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import proportion
from audit_pipeline.cohort.summary import SERIOUSNESS
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Status
from audit_pipeline.study_record import StudyRecord

RAISED = frozenset({Outcome.CRITICAL, Outcome.FLAG})
OPEN = frozenset({Outcome.NOT_EVALUABLE, Outcome.ERROR})
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FEWEST_VALUES = 5
"""Below this many values the quantiles are not stated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gauge:
    """One check over the audited studies.

    studies : in which it ran; raised : k of the n in which it gave an answer were flagged or critical
    n : studies with a value; quantiles : of the values at `QUANTILES`, empty with fewer than 5
    limit, unit : None and "" where they differ between studies
    calibrated : studies in which the limit was learned from clean studies of the site
    """

    code: str
    studies: int
    raised: Estimate
    n: int
    quantiles: tuple[float, ...]
    limit: float | None
    unit: str
    direction: str
    calibrated: int


def gauges(records: Sequence[StudyRecord]) -> list[Gauge]:
    """Return a gauge per code that stands in an audited study, in the order of the codes.

    A code that a study has several times, once a map, counts with its most serious finding.
    """
    found: dict[str, list[Finding]] = {}
    for record in records:
        if record.status is Status.AUDITED:
            for one in _worst(record.findings):
                found.setdefault(one.code, []).append(one)
    return [_gauge(code, found[code]) for code in sorted(found)]


def _worst(findings: Sequence[Finding]) -> list[Finding]:
    own: dict[str, Finding] = {}
    for one in findings:
        known = own.get(one.code)
        if known is None or SERIOUSNESS.index(one.outcome) < SERIOUSNESS.index(known.outcome):
            own[one.code] = one
    return list(own.values())


def _gauge(code: str, findings: Sequence[Finding]) -> Gauge:
    answered = [one for one in findings if one.outcome not in OPEN]
    values = np.asarray([one.value for one in findings if one.value is not None], dtype=np.float64)
    limits = {one.limit for one in findings if one.limit is not None}
    units = {one.unit for one in findings if one.value is not None}
    raised = sum(one.outcome in RAISED for one in answered)
    return Gauge(
        code=code,
        studies=len(findings),
        raised=estimate_of(proportion(raised, len(answered))),
        n=values.size,
        quantiles=tuple(np.quantile(values, QUANTILES).tolist()) if values.size >= FEWEST_VALUES else (),
        limit=limits.pop() if len(limits) == 1 else None,
        unit=units.pop() if len(units) == 1 else "",
        direction=next((one.direction for one in findings if one.direction), ""),
        calibrated=sum(one.calibrated for one in findings),
    )
