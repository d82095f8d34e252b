"""Running the checks on the evidence of one study: every check ends in a finding, also the ones that crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from audit_pipeline.checks.decide import decide
from audit_pipeline.checks.declare import LEVELS, Check, Result, finding_of, not_evaluable
from audit_pipeline.checks.families import catalogue
from audit_pipeline.checks.reading import Digests, Reading
from audit_pipeline.checks.settings import is_disabled, validate_settings
from audit_pipeline.checks.variants import VARIANTS, asked
from audit_pipeline.config import ChecksSection, Level
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Finding, Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a study will be asked at a level, before any study is read.

    checks : those that run; variants : name -> changed inputs at most; cost : forward passes in all, at most, the one
    of the prediction included
    """

    checks: tuple[Check, ...]
    variants: Mapping[str, int]
    cost: int


def planned(settings: ChecksSection, level: Level) -> Plan:
    """Return what runs at `level` and what it costs.

    Raises
    ------
    ConfigError
        The settings name an unknown check or keyword, or a value has the wrong type.
    """
    validate_settings(settings)
    chosen = tuple(one for one in _chosen(settings) if _is_within(one, level))
    names = sorted({name for one in chosen for name in one.mode.variants})
    counts = {name: VARIANTS[name].count for name in names}
    return Plan(checks=chosen, variants=counts, cost=1 + sum(counts.values()) + sum(one.mode.cost for one in chosen))


def ask(evidence: Evidence, settings: ChecksSection, *, level: Level = "standard") -> Evidence:
    """Return the evidence with the answers to every variant that the checks of the level need, asked in common batches.

    Raises
    ------
    ConfigError
        The settings name an unknown check or keyword, or a value has the wrong type.
    """
    return asked(evidence, planned(settings, level).variants)


def run_checks(evidence: Evidence, settings: ChecksSection, *, level: Level = "standard") -> tuple[Finding, ...]:
    """Return one finding for every check that is not disabled, in the order of the codes.

    What `ask` did not ask before is asked first. A check that crashes ends as
    ``error`` and the others still run; one of a dearer level ends as ``not_evaluable``. Disabled checks have no
    finding. At the end `decide` weighs the measures against the clean reference studies.

    Raises
    ------
    ConfigError
        The settings name an unknown check or keyword, or a value has the wrong type.
    """
    evidence = ask(evidence, settings, level=level)
    found = run_each(_chosen(settings), evidence, settings, level)
    return decide(found, _severities(), evidence.reference)


def judge_each_map(
    evidence: Evidence, settings: ChecksSection, findings: Sequence[Finding], *, level: Level = "standard"
) -> Mapping[tuple[str, int], Mapping[str, Outcome]]:
    """Return, per method and target, the outcome of every map check on that map alone.

    A check that compares maps or asks the model again cannot judge one map alone; the maps of the first target then
    take its outcome from `findings`, those of the study as a whole. Measures are weighed against the clean reference
    studies as those of the study are, among its other findings.
    """
    chosen = [one for one in _chosen(settings) if one.mode.family == "D"]
    whole = {finding.code: finding.outcome for finding in findings}
    first = evidence.explanations[0].target if evidence.explanations else None
    alone = [one for one in chosen if not (one.mode.variants or one.mode.cost)]
    codes = {entry.mode.code for entry in alone}
    others = [finding for finding in findings if finding.code not in codes]
    judged: dict[tuple[str, int], dict[str, Outcome]] = {}
    for one in evidence.explanations:
        own = run_each(alone, replace(evidence, explanations=(one,)), settings, level)
        found = decide([*own, *others], _severities(), evidence.reference)[: len(own)]
        outcomes = dict.fromkeys((entry.mode.code for entry in chosen), Outcome.NOT_EVALUABLE)
        outcomes |= {finding.code: finding.outcome for finding in found}
        if one.target == first:
            open_codes = [code for code, outcome in outcomes.items() if outcome is Outcome.NOT_EVALUABLE]
            outcomes |= {code: whole[code] for code in open_codes if code in whole}
        judged[one.method, one.target] = outcomes
    return judged


def run_each(
    checks: Iterable[Check], evidence: Evidence, settings: ChecksSection, level: Level = "standard"
) -> tuple[Finding, ...]:
    """Return one finding for each of `checks`, in the given order, by their default limits alone."""
    digests = Digests(evidence)
    return tuple(
        _run_one(entry, evidence, settings, digests)
        if _is_within(entry, level)
        else finding_of(entry.mode, not_evaluable(f"Runs at level {entry.mode.level}, and this audit is {level}."))
        for entry in checks
    )


def _run_one(entry: Check, evidence: Evidence, settings: ChecksSection, digests: Digests) -> Finding:
    own = settings.overrides.get(entry.mode.name, {})
    reading = Reading(evidence)
    try:
        with np.errstate(all="ignore"):
            finding = entry.function(cast("Evidence", reading), **own)
    except Exception as error:  # noqa: BLE001 - a crashed check is a finding, never the end of the audit
        text = f"The check itself failed with {type(error).__name__}; nothing is known about this failure mode."
        finding = finding_of(entry.mode, Result(Outcome.ERROR, text))
    return replace(finding, inputs=digests.of(reading.parts, sorted(own.items()), entry.mode.version))


def _severities() -> Mapping[str, int]:
    return {name: entry.mode.severity[0] for name, entry in catalogue().items()}


def _chosen(settings: ChecksSection) -> list[Check]:
    return [entry for entry in catalogue().values() if not is_disabled(entry, settings)]


def _is_within(entry: Check, level: Level) -> bool:
    return LEVELS.index(entry.mode.level) <= LEVELS.index(level)
