"""The whole cohort of a run: its checks and its FMEA table, from the records and what is stored beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from audit_pipeline.card import ModelCard
from audit_pipeline.checks import error_rates
from audit_pipeline.cohort.declare import CohortFinding
from audit_pipeline.cohort.fmea import FmeaRow, fmea
from audit_pipeline.cohort.gather import cohort_of
from audit_pipeline.cohort.proportions import proportion
from audit_pipeline.cohort.record import Cohort, Plan
from audit_pipeline.cohort.run import run_cohort_checks
from audit_pipeline.cohort.statistics import statistics
from audit_pipeline.cohort.wording import estimate_of
from audit_pipeline.config import AuditConfig
from audit_pipeline.errors import ConfigError, StoreError
from audit_pipeline.findings import FailureMode
from audit_pipeline.load import site_name
from audit_pipeline.records import Status
from audit_pipeline.store.maps import read_first_map
from audit_pipeline.store.pseudonym import study_key
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.store.traits import read_traits
from audit_pipeline.study_record import StudyRecord

LOG = logging.getLogger("audit_pipeline")
KEPT = ("cohort_checks", "fmea", "statistics", "detectors")
"""Keys of ``cohort.json`` that were found when the run was closed; a report that is rendered again only reads them."""


def plan_of(config: AuditConfig, card: ModelCard, secret: bytes) -> Plan:
    """Return what was declared beforehand; sites by the pseudonyms that the records have.

    Raises
    ------
    ConfigError
        A claim is made for a class that the model does not have.
    """
    unknown = [name for name in config.cohort.claims if name not in card.classes]
    if unknown:
        raise ConfigError(f"cohort.claims: {unknown[0]!r} is no class of the model; known: {', '.join(card.classes)}")
    return Plan(
        groups=tuple(config.cohort.groups),
        claims=config.cohort.claims,
        thresholds_from=card.thresholds_from,
        development_sites=tuple(site_pseudonyms(config.cohort.development_sites, secret)),
    )


def site_pseudonyms(sites: Sequence[str], secret: bytes) -> list[str]:
    """Return the sites as the records name them."""
    return [site_name(site, lambda text: study_key(text, secret)) for site in sites]


def gathered(folder: RunFolder, records: Sequence[StudyRecord], plan: Plan, config: AuditConfig) -> Cohort | None:
    """Return the cohort of a run with its baseline.

    Raises
    ------
    StoreError
        The baseline is no finished run.
    """
    baseline = None
    if config.cohort.baseline is not None:
        other = RunFolder(config.cohort.baseline)
        other.run()
        earlier = other.records()
        baseline = cohort_of(earlier, _stored(other, earlier, "traits.npz", read_traits), seed=config.run.seed)
    return cohort_of(
        records,
        _stored(folder, records, "traits.npz", read_traits),
        plan=plan,
        maps=_stored(folder, records, "figures.npz", read_first_map),
        baseline=baseline,
        seed=config.run.seed,
    )


def _stored(folder: RunFolder, records: Sequence[StudyRecord], name: str, read: Any) -> dict[str, Any]:
    """Return what the audited studies have in their file `name`; a missing one is left out, a damaged one is said."""
    found: dict[str, Any] = {}
    for record in records:
        place: Path = folder.study(record.study) / name
        if record.status is not Status.AUDITED or not place.exists():
            continue
        try:
            content = read(place)
        except StoreError as error:
            LOG.warning("%s", error)
            continue
        if content is not None:
            found[record.study] = content
    return found


def concluded(
    cohort: Cohort | None,
    config: AuditConfig,
    modes: Mapping[str, FailureMode],
    outcomes: Mapping[str, Mapping[str, int]],
    planted: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Return the keys that the checks of the cohort add to ``cohort.json``: ``cohort_checks`` and ``fmea``.

    planted : code -> (k, n): faults that the check found of those that the test bench planted
    """
    findings = run_cohort_checks(cohort, config.cohort)
    rows: list[FmeaRow] = fmea(modes, outcomes, findings, planted)
    return {
        "cohort_checks": [
            {
                **_plain(asdict(one.finding)),
                "n": one.n,
                "interval": None if one.low is None or one.high is None else [one.low, one.high],
                "kind": _kind(one),
                "tables": [_plain(asdict(table)) for table in one.tables],
            }
            for one in findings
        ],
        "fmea": rows,
    }


def described(cohort: Cohort | None, records: Sequence[StudyRecord]) -> dict[str, Any]:
    """Return the keys that the chapters of the report are drawn from: ``statistics`` and ``detectors``.

    ``detectors`` has a row per check that the test bench measured: ``found``, the planted faults of severity 3 to 5 on
    which it did not pass, ``by_severity`` the same for each, and ``quiet``, the clean studies without a flag.
    """
    with threadpool_limits(1):  # sums in the same order everywhere
        found = statistics(cohort, records)
    detectors = [
        {
            "code": code,
            "found": estimate_of(proportion(*rates.found)),
            "by_severity": {str(grade): estimate_of(proportion(*pair)) for grade, pair in rates.by_severity.items()},
            "quiet": estimate_of(proportion(*rates.quiet)),
        }
        for code, rates in error_rates().items()
    ]
    return {"statistics": _plain(found), "detectors": _plain(detectors)}


def _kind(one: CohortFinding) -> str:
    """Return whether a finding tests what was declared beforehand, follows a rule, or was found by looking."""
    if one.is_confirmatory:
        return "declared"
    if one.is_planned:
        return "planned"
    return "rule" if one.finding.p_value is None else "exploratory"


def _plain(content: Any) -> Any:
    if is_dataclass(content) and not isinstance(content, type):
        return _plain(asdict(content))
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return str(content) if isinstance(content, StrEnum) else content.item() if hasattr(content, "item") else content
