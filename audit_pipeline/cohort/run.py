"""Running the checks of the cohort: every check ends in a finding, and many tests do not add up to false alarms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.declare import CohortCheck, CohortFinding, CohortResult, finding_of
from audit_pipeline.cohort.record import Cohort
from audit_pipeline.config import CohortSection
from audit_pipeline.declared import JSON_TYPES, fits
from audit_pipeline.errors import ConfigError
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import holm
from audit_pipeline.registry import unknown_name

ALPHA = 0.05
RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL})


def run_cohort_checks(cohort: Cohort | None, settings: CohortSection) -> tuple[CohortFinding, ...]:
    """Return one finding for every cohort check that is not disabled, in the order of the codes.

    A check that crashes ends as ``error`` and the others still run. At the end the exploratory tests are weighed
    together, see `weighed`.

    Raises
    ------
    ConfigError
        The settings name an unknown check or keyword, or a value has the wrong type.
    """
    validate_cohort_settings(settings)
    chosen = [
        entry
        for entry in cohort_catalogue().values()
        if entry.mode.name not in settings.disable and entry.mode.code not in settings.disable
    ]
    if cohort is None:
        return tuple(_run_one(entry, None, {}) for entry in chosen)
    with threadpool_limits(1):  # sums in the same order everywhere, and no threads for matrices this small
        return weighed([_run_one(entry, cohort, settings.settings.get(entry.mode.name, {})) for entry in chosen])


def _run_one(entry: CohortCheck, cohort: Cohort | None, own: Mapping[str, Any]) -> CohortFinding:
    if cohort is None:
        nothing = CohortResult(Outcome.NOT_EVALUABLE, "No study was audited.")
        return finding_of(entry.mode, nothing, is_confirmatory=entry.is_confirmatory)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return entry.function(cohort, **own)
    except Exception as error:  # noqa: BLE001 - a crashed check is a finding, never the end of the audit
        text = f"The check itself failed with {type(error).__name__}; nothing is known about this failure mode."
        crashed = CohortResult(Outcome.ERROR, text, n=len(cohort.keys))
        return finding_of(entry.mode, crashed, is_confirmatory=entry.is_confirmatory)


def weighed(findings: Sequence[CohortFinding]) -> tuple[CohortFinding, ...]:
    """Return the findings with the exploratory tests judged together.

    The p-values of all exploratory checks are adjusted by Holm; a flag that does not keep its p-value below 5 % is
    lowered to a note that says so. Checks without a p-value follow a rule and are not adjusted, confirmatory ones
    test a limit that was declared beforehand.
    """
    tested = [
        place
        for place, one in enumerate(findings)
        if one.finding.p_value is not None and not one.is_confirmatory and one.finding.outcome is not Outcome.ERROR
    ]
    adjusted = holm([findings[place].finding.p_value or 0.0 for place in tested])
    judged = list(findings)
    for place, p_value in zip(tested, adjusted, strict=True):
        one = judged[place]
        if one.finding.outcome in RAISED and p_value >= ALPHA:
            message = (
                f"{one.finding.message} Alone this would be flagged, but among {len(tested)} tests of the cohort "
                f"chance explains it (adjusted p = {p_value:.2g})."
            )
            judged[place] = replace(one, finding=replace(one.finding, outcome=Outcome.NOTE, message=message))
    return tuple(judged)


def validate_cohort_settings(settings: CohortSection) -> None:
    """Refuse settings of unknown cohort checks, unknown keywords, and values of the wrong type.

    Raises
    ------
    ConfigError
        One sentence per problem, with the path of the key, what was found, what is allowed and the nearest name.
    """
    checks = cohort_catalogue()
    known = [*checks, *(entry.mode.code for entry in checks.values())]
    problems = [
        f"cohort.disable: {unknown_name('cohort check', name, known)}" for name in settings.disable if name not in known
    ]
    for name, values in settings.settings.items():
        if name not in checks:
            problems.append(f"cohort.settings.{name}: {unknown_name('cohort check', name, list(checks))}")
            continue
        defaults = checks[name].defaults
        for keyword, value in values.items():
            path = f"cohort.settings.{name}.{keyword}"
            if keyword not in defaults:
                problems.append(f"{path}: {unknown_name('setting', keyword, list(defaults))}")
            elif not fits(value, defaults[keyword]):
                problems.append(
                    f"{path}: needs a finite number not below 0 like {defaults[keyword]!r}, found {value!r}"
                )
    if problems:
        raise ConfigError("\n".join(problems))


def cohort_settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the settings of the cohort checks: one object per check, one property per keyword."""
    return {
        name: {
            "type": "object",
            "title": f"{entry.mode.code} {entry.mode.title}",
            "description": entry.mode.sentence,
            "additionalProperties": False,
            "properties": {
                keyword: {"type": JSON_TYPES[type(default)], "default": default}
                for keyword, default in entry.defaults.items()
            },
        }
        for name, entry in cohort_catalogue().items()
    }
