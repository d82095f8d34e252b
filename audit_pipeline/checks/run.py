"""Running the checks on the evidence of one study: every check ends in a finding, also the ones that crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit_pipeline.checks.declare import Check, Result, finding_of, not_evaluable
from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.settings import is_disabled, validate_settings
from audit_pipeline.config import ChecksSection, Level
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Finding, Outcome

FORWARD_PASSES: Mapping[Level, int | None] = {"screen": 0, "standard": 64, "deep": None}
"""How many more forward passes a check may ask for at each level; None means any number."""


def run_checks(evidence: Evidence, settings: ChecksSection, *, level: Level = "standard") -> tuple[Finding, ...]:
    """Return one finding for every check that is not disabled, in the order of the codes.

    A check that crashes ends as ``error`` and the others still run; one that needs more forward passes than `level`
    allows ends as ``not_evaluable``. Disabled checks have no finding.

    Raises
    ------
    ConfigError
        The settings name an unknown check or keyword, or a value has the wrong type.
    """
    validate_settings(settings)
    chosen = [entry for entry in catalogue().values() if not is_disabled(entry, settings)]
    return run_each(chosen, evidence, settings, level)


def judge_each_map(
    evidence: Evidence, settings: ChecksSection, findings: Sequence[Finding], *, level: Level = "standard"
) -> Mapping[tuple[str, int], Mapping[str, Outcome]]:
    """Return, per method and target, the outcome of every map check on that map alone.

    A check that compares maps cannot judge one alone; the maps of the first target then take its outcome from
    `findings`, those of the study as a whole.
    """
    chosen = [one for one in catalogue().values() if one.mode.family == "D" and not is_disabled(one, settings)]
    whole = {finding.code: finding.outcome for finding in findings}
    first = evidence.explanations[0].target if evidence.explanations else None
    judged: dict[tuple[str, int], dict[str, Outcome]] = {}
    for one in evidence.explanations:
        alone = run_each(chosen, replace(evidence, explanations=(one,)), settings, level)
        outcomes = {finding.code: finding.outcome for finding in alone}
        if one.target == first:
            open_codes = [code for code, found in outcomes.items() if found is Outcome.NOT_EVALUABLE]
            outcomes |= {code: whole[code] for code in open_codes if code in whole}
        judged[one.method, one.target] = outcomes
    return judged


def run_each(
    checks: Iterable[Check], evidence: Evidence, settings: ChecksSection, level: Level = "standard"
) -> tuple[Finding, ...]:
    """Return one finding for each of `checks`, in the given order."""
    allowance = FORWARD_PASSES[level]
    return tuple(
        _run_one(entry, evidence, settings)
        if allowance is None or entry.mode.cost <= allowance
        else finding_of(
            entry.mode, not_evaluable(f"Not run at level {level}: it needs {entry.mode.cost} forward passes.")
        )
        for entry in checks
    )


def _run_one(entry: Check, evidence: Evidence, settings: ChecksSection) -> Finding:
    try:
        with np.errstate(all="ignore"):
            return entry.function(evidence, **settings.overrides.get(entry.mode.name, {}))
    except Exception as error:  # noqa: BLE001 - a crashed check is a finding, never the end of the audit
        text = f"The check itself failed with {type(error).__name__}; nothing is known about this failure mode."
        return finding_of(entry.mode, Result(Outcome.ERROR, text))
