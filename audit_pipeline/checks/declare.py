"""What a check is: a pure function of the evidence, and the metadata that turns its result into a finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps

from audit_pipeline.declared import PROVENANCES, Judgement, Setting, finding_from, finite, keyword_defaults
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Curve, FailureMode, Finding, Outcome, Standing
from audit_pipeline.registry import Registry

LEVELS = ("screen", "standard", "deep")
"""From the cheapest to the dearest; a check runs at its own level and at every dearer one."""


@dataclass(frozen=True, slots=True)
class Result(Judgement):
    """What a check of a study concludes; its message is one sentence with the number, the limit and the unit.

    slices : indices along axis 0 of the source image
    provenance : where the limit comes from when it is not the default one, for example ``cal``
    p_value : conformal, of a detector that compares with the reference studies itself
    is_rule : whether this result follows from arithmetic, though the check is a measure: clean studies are not asked
    curves, standing : for the report, see `findings.Finding`
    """

    slices: tuple[int, ...] = ()
    provenance: str = ""
    p_value: float | None = None
    is_rule: bool = False
    curves: tuple[Curve, ...] = ()
    standing: Standing | None = None


def not_evaluable(reason: str) -> Result:
    """Return the result of a check whose prerequisite is missing; `reason` is a sentence."""
    return Result(Outcome.NOT_EVALUABLE, reason)


Detector = Callable[..., Result]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check of the catalogue.

    mode : the metadata of the failure mode it looks for
    function : called with the evidence and, by keyword, its settings; returns the finding
    defaults : keyword arguments of the function and their default values, which are its configuration schema
    """

    mode: FailureMode
    function: Callable[..., Finding]
    defaults: Mapping[str, Setting]


CHECKS: Registry[Check] = Registry("check", group="audit_pipeline.checks")
"""Every check by the name it has in the configuration; other packages add theirs by entry point."""


def check(  # noqa: PLR0913 - one argument for each fact of the catalogue
    code: str,
    *,
    title: str,
    family: str,
    sentence: str,
    severity: tuple[int, int, int],
    provenance: str,
    reference: str,
    advice: str,
    level: str = "screen",
    direction: str = "",
    variants: tuple[str, ...] = (),
    cost: int = 0,
    version: int = 1,
) -> Callable[[Detector], Callable[..., Finding]]:
    """Return a decorator that registers a detector as the check `code` under the name of the function.

    The decorated function takes the same arguments and returns a `Finding`: the detector's `Result` with the
    metadata given here; a detector that raises `evidence.Unanswered` ends as ``not_evaluable``. Numbers that are not
    finite leave the finding as None.

    A detector of provenance ``cal`` with a direction has no limit of its own: it returns ``pass`` with its value, and
    `decide` compares that with what it measured on the clean reference studies, or ends it as ``not_evaluable`` where
    there are none. A detector that compares with the reference itself returns its outcome and a p-value.

    Parameters
    ----------
    code : catalogue code, for example ``D05``; codes are never reused
    provenance : one of ``std``, ``lit``, ``sim``, ``dom``, ``cal``, see `findings.Finding`
    severity, level, direction, variants, cost, version : see `findings.FailureMode`
    """

    def decorate(detector: Detector) -> Callable[..., Finding]:
        mode = FailureMode(
            code=code,
            name=detector.__name__,
            title=title,
            family=family,
            sentence=sentence,
            severity=severity,
            provenance=provenance,
            reference=reference,
            advice=advice,
            level=level,
            direction=direction,
            variants=variants,
            cost=cost,
            version=version,
        )

        @wraps(detector)
        def function(evidence: Evidence, **settings: Setting) -> Finding:
            try:
                return finding_of(mode, detector(evidence, **settings))
            except Unanswered as missing:
                return finding_of(mode, not_evaluable(str(missing)))

        _refuse_bad_metadata(mode)
        CHECKS.add(mode.name, Check(mode=mode, function=function, defaults=keyword_defaults(detector)))
        return function

    return decorate


def finding_of(mode: FailureMode, result: Result) -> Finding:
    """Return `result` as a finding of `mode`."""
    found = finding_from(
        mode,
        result,
        provenance=result.provenance,
        slices=result.slices,
        p_value=finite(result.p_value),
        calibrated=result.p_value is not None,
        curves=result.curves,
        standing=result.standing,
    )
    return replace(found, direction="") if result.is_rule else found


def _refuse_bad_metadata(mode: FailureMode) -> None:
    taken = {entry.mode.code for entry in CHECKS.values()}
    if mode.code in taken:
        raise ValueError(f"check code {mode.code} is registered twice")
    if mode.provenance not in PROVENANCES or not all(1 <= grade <= 5 for grade in mode.severity):
        raise ValueError(f"check {mode.code} has an impossible provenance or severity")
    if mode.level not in LEVELS or mode.direction not in {"", "above", "below"}:
        raise ValueError(f"check {mode.code} has an impossible level or direction")
