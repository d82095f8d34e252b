"""The maps of the cohort by method: how many passed their own tests, how large their evidence is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import clustered_proportion
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.study_record import ExplanationFacts, StudyRecord

RAISED = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG)
ANSWERS = frozenset({Outcome.PASS, Outcome.NOTE})
QUANTILES = (0.05, 0.5, 0.95)
FEWEST_VALUES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class MapQuality:
    """The maps of one method over the audited studies.

    maps, studies : how many; unit : of their values, "" where it differs
    passed : k of n maps on which no check raised anything and at least one gave an answer; the maps of a patient count
    as one cluster
    with_open : passed maps on which a check could not be evaluated
    worst : most serious outcome that raised something -> number of maps
    not_judged : maps no check gave an answer on; blank : maps that show nothing
    raised : code -> number of maps, most first
    positive_share, peak : 5, 50 and 95 % quantiles over the maps, empty with fewer than 5; the share of the cells with
    evidence for the class, and the highest value of a map that shows something
    """

    method: str
    maps: int
    studies: int
    unit: str
    passed: Estimate
    with_open: int
    worst: dict[str, int]
    not_judged: int
    blank: int
    raised: dict[str, int]
    positive_share: tuple[float, ...]
    peak: tuple[float, ...]


def map_quality(records: Sequence[StudyRecord]) -> list[MapQuality]:
    """Return a row per explanation method, in the order of the first study that has it."""
    found: dict[str, list[tuple[StudyRecord, ExplanationFacts]]] = {}
    for record in records:
        if record.status is Status.AUDITED:
            for one in record.explanations:
                found.setdefault(one.method, []).append((record, one))
    return [_of_method(method, found[method]) for method in found]


def _of_method(method: str, own: Sequence[tuple[StudyRecord, ExplanationFacts]]) -> MapQuality:
    maps = [facts for _, facts in own]
    judged = [(record, one) for record, one in own if set(one.checks.values()) & {*ANSWERS, *RAISED}]
    worst = [next((outcome for outcome in RAISED if outcome in one.checks.values()), None) for _, one in judged]
    passed = [one for (_, one), outcome in zip(judged, worst, strict=True) if outcome is None]
    patients = np.unique([record.facts.get("patient") or record.study for record, _ in judged], return_inverse=True)[1]
    hits = np.asarray([outcome is None for outcome in worst], dtype=np.bool_)
    codes = Counter(code for one in maps for code, outcome in one.checks.items() if outcome in RAISED)
    tally = Counter(str(outcome) for outcome in worst if outcome is not None)
    units = {one.unit for one in maps}
    return MapQuality(
        method=method,
        maps=len(maps),
        studies=len({record.study for record, _ in own}),
        unit=units.pop() if len(units) == 1 else "",
        passed=estimate_of(clustered_proportion(hits, patients.astype(np.int64))),
        with_open=sum(Outcome.NOT_EVALUABLE in one.checks.values() for one in passed),
        worst={str(outcome): tally[str(outcome)] for outcome in RAISED if tally[str(outcome)]},
        not_judged=len(maps) - len(judged),
        blank=sum(bool(one.blank) for one in maps),
        raised=dict(sorted(codes.items(), key=lambda pair: (-pair[1], pair[0]))),
        positive_share=_quantiles([one.statistics.positive_share for one in maps]),
        peak=_quantiles([one.statistics.peak_value for one in maps if not one.blank]),
    )


def _quantiles(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).tolist()) if len(values) >= FEWEST_VALUES else ()
