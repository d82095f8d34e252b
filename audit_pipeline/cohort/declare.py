"""What a cohort check is: a pure function of the cohort, and the metadata that turns its result into a finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps

from audit_pipeline.cohort.record import Cohort
from audit_pipeline.declared import PROVENANCES, Judgement, Setting, finding_from, finite, keyword_defaults
from audit_pipeline.findings import FailureMode, Finding, Outcome
from audit_pipeline.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the cases behind it; `k` of `n` for a proportion, None for other numbers.

    reason : why there is no value or no interval, "" where there is
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    k: int | None = None
    reason: str = ""


Cell = str | int | float | None | Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows for the report: as many cells as `head` has titles; `note` says what the columns mean."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class CohortResult(Judgement):
    """What a cohort check concludes; its message is one or two sentences with number, interval, n and limit.

    n : studies behind the value; low, high : its 95 % interval
    p_value : of the hypothesis that nothing is wrong, adjusted for everything the check tried; None for a rule
    is_planned : the comparison behind the value was declared beforehand, though no limit was
    """

    n: int = 0
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    is_planned: bool = False
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortFinding:
    """A finding on the whole cohort, with the cases behind it, its interval and the tables for the report.

    is_confirmatory : tested against a limit that was declared before the data were seen; the others are exploratory
    is_planned : see `CohortResult`
    """

    finding: Finding
    n: int = 0
    low: float | None = None
    high: float | None = None
    is_confirmatory: bool = False
    is_planned: bool = False
    tables: tuple[Table, ...] = ()


class NotEvaluable(Exception):  # noqa: N818 - no error: the cohort cannot be asked this, and the sentence says why
    """A check lacks something it needs; it ends as ``not_evaluable`` with this sentence."""


Detector = Callable[..., CohortResult]


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortCheck:
    """One check of the cohort: metadata, the function from cohort and settings to finding, its settings' defaults."""

    mode: FailureMode
    function: Callable[..., CohortFinding]
    defaults: Mapping[str, Setting]
    is_confirmatory: bool


COHORT_CHECKS: Registry[CohortCheck] = Registry("cohort check", group="audit_pipeline.cohort_checks")
"""Every cohort check by the name it has in the configuration; other packages add theirs by entry point."""


def cohort_check(  # noqa: PLR0913 - one argument for each fact of the catalogue
    code: str,
    *,
    title: str,
    sentence: str,
    severity: tuple[int, int, int],
    provenance: str,
    reference: str,
    advice: str,
    direction: str = "",
    is_confirmatory: bool = False,
) -> Callable[[Detector], Callable[..., CohortFinding]]:
    """Return a decorator that registers a detector as the cohort check `code` under the name of the function.

    The decorated function takes the same arguments and returns a `CohortFinding`; a detector that raises
    `NotEvaluable` ends as ``not_evaluable``. Numbers that are not finite leave the finding as None.

    Parameters
    ----------
    code : catalogue code, for example ``E01``; codes are never reused
    severity, provenance, reference, advice, direction : see `findings.FailureMode`
    is_confirmatory : the limit was declared beforehand, so that it needs no adjustment for the other checks
    """

    def decorate(detector: Detector) -> Callable[..., CohortFinding]:
        mode = FailureMode(
            code=code, name=detector.__name__, title=title, family=code[0], sentence=sentence, severity=severity,
            provenance=provenance, reference=reference, advice=advice, level="screen", direction=direction,
        )  # fmt: skip

        @wraps(detector)
        def function(cohort: Cohort, **settings: Setting) -> CohortFinding:
            try:
                result = detector(cohort, **settings)
            except NotEvaluable as missing:
                result = CohortResult(Outcome.NOT_EVALUABLE, str(missing), n=len(cohort.keys))
            return finding_of(mode, result, is_confirmatory=is_confirmatory)

        if provenance not in PROVENANCES or not all(1 <= grade <= 5 for grade in severity):
            raise ValueError(f"cohort check {code} has an impossible provenance or severity")
        if code in {entry.mode.code for entry in COHORT_CHECKS.values()}:
            raise ValueError(f"cohort check code {code} is registered twice")
        entry = CohortCheck(
            mode=mode, function=function, defaults=keyword_defaults(detector), is_confirmatory=is_confirmatory
        )
        COHORT_CHECKS.add(mode.name, entry)
        return function

    return decorate


def finding_of(mode: FailureMode, result: CohortResult, *, is_confirmatory: bool = False) -> CohortFinding:
    """Return `result` as a finding of `mode`."""
    return CohortFinding(
        finding=finding_from(mode, result, p_value=finite(result.p_value)),
        n=result.n,
        low=finite(result.low),
        high=finite(result.high),
        is_confirmatory=is_confirmatory,
        is_planned=result.is_planned,
        tables=result.tables,
    )
