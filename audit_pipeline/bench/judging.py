"""One job of the bench: make a study, a cohort or a run, planted or clean, and hear what the checks say to it."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from audit_pipeline.bench.case import Case, evidence_of, judged
from audit_pipeline.bench.catalogue import PLANTS
from audit_pipeline.bench.clean import clean_case
from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.bench.plants import Plant
from audit_pipeline.bench.plants_cohort import COHORT_PLANTS
from audit_pipeline.bench.plants_record import FILE_PLANTS, RUN_PLANTS
from audit_pipeline.bench.run_case import clean_run
from audit_pipeline.checks import catalogue
from audit_pipeline.checks.decide import ERROR_RATE, GATING_SEVERITY, chance
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.declare import CohortFinding
from audit_pipeline.cohort.run import run_cohort_checks
from audit_pipeline.config import ChecksSection, CohortSection, Level
from audit_pipeline.errors import AuditError
from audit_pipeline.evidence import Reference, Traits
from audit_pipeline.examination import traits_of
from audit_pipeline.execute.record_checks import record_findings
from audit_pipeline.execute.verification import verify_path
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.store.reference import ARRAYS

RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL})
DETECTED = RAISED | {Outcome.NOTE}
"""What counts as found; a note only where the check itself says no more, see `is_found`."""

REFUSED = "refused"
"""Stands for a check where a stage refused the planted study: it was stopped, which is right too."""

COHORT = 0
"""Stands for the number of axes of a job that judges a whole cohort."""

RUN = 1
"""Stands for the number of axes of a job that judges the record of a whole run."""

CLEAN_COHORT_STUDIES = 600
RUN_STUDIES = 40

ORDER = (
    Outcome.NOT_EVALUABLE, Outcome.PASS, Outcome.NOTE, Outcome.ERROR, Outcome.FLAG, Outcome.CRITICAL,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One study, cohort or run to judge: a plant at a severity, or a clean one when `plant` is "".

    dimensions : 2 or 3, or `COHORT` or `RUN`; folder : of the finished run whose files are verified, "" judges a run in
    memory; is_whole : whether every check runs, else those of the planted mode alone
    """

    plant: str
    dimensions: int
    severity: int
    number: int
    seed: int
    level: Level = "standard"
    is_whole: bool = True
    folder: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What the checks said to one job: worst outcome by code; traits only for clean studies.

    is_found : whether the planted mode was found
    """

    job: Job
    outcomes: Mapping[str, str]
    is_found: bool = False
    traits: Traits | None = None


def judge(job: Job, reference: Reference | None) -> Verdicts:
    """Make the study, cohort or run of a job, take it through the stages and checks, and return what they said."""
    if job.dimensions == COHORT:
        return _judge_cohort(job)
    if job.dimensions == RUN:
        return _judge_files(job) if job.folder else _judge_run(job)
    return _judge_study(job, reference)


def code_of(job: Job) -> str:
    """Return the code of the failure mode that is planted."""
    if job.dimensions == COHORT:
        return COHORT_PLANTS[job.plant].code
    if job.dimensions == RUN:
        return FILE_PLANTS[job.plant].code if job.folder else RUN_PLANTS[job.plant].code
    return PLANTS[job.plant].code


def _judge_study(job: Job, reference: Reference | None) -> Verdicts:
    plant = PLANTS[job.plant] if job.plant else None
    network = plant.network if plant else ""
    case = clean_case(job.seed, job.dimensions, network)
    case = replace(case, reference=None if network else reference)
    try:
        if plant:
            case = plant.plant(case, job.severity, _random(job))
        evidence, findings = judged(evidence_of(case), level=job.level, checks=_section(job, plant))
    except AuditError:
        return Verdicts(job=job, outcomes={plant.code if plant else REFUSED: REFUSED}, is_found=plant is not None)
    findings = (*findings, *case.image.findings)
    own = [one for one in findings if plant and one.code == plant.code]
    return Verdicts(
        job=job,
        outcomes=worst_by_code(findings),
        is_found=any(is_found(one, case) for one in own),
        traits=None if plant else traits_of(evidence, findings),
    )


def _judge_cohort(job: Job) -> Verdicts:
    random = _random(job)
    if not job.plant:
        found = run_cohort_checks(clean_cohort(CLEAN_COHORT_STUDIES, random), CohortSection())
        return Verdicts(job=job, outcomes=worst_by_code(one.finding for one in found))
    plant = COHORT_PLANTS[job.plant]
    cohort = plant.plant(plant.count, job.severity, random)
    entries = {entry.mode.code: entry for entry in cohort_catalogue().values()}
    own: CohortFinding
    if job.is_whole:
        found = run_cohort_checks(cohort, CohortSection())
        own = next(one for one in found if one.finding.code == plant.code)
    else:
        own = entries[plant.code].function(cohort)
        found = (own,)
    tests = sum(not entry.is_confirmatory for entry in entries.values())
    is_convincing = own.is_confirmatory or own.finding.p_value is None or own.finding.p_value < ERROR_RATE / tests
    says_so = str(own.finding.outcome) in plant.outcomes and (is_convincing or "note" in plant.outcomes)
    return Verdicts(job=job, outcomes=worst_by_code(one.finding for one in found), is_found=says_so)


def _judge_run(job: Job) -> Verdicts:
    """Judge a run in memory by the checks that read records and facts; its files are not there to be verified."""
    random = _random(job)
    run = clean_run(RUN_STUDIES, random)
    if job.plant:
        run = RUN_PLANTS[job.plant].plant(run, job.severity, random)
    codes = {one.code for one in RUN_PLANTS.values()}
    outcomes = worst_by_code(one for one in record_findings(run) if one.code in codes)
    return Verdicts(job=job, outcomes=outcomes, is_found=bool(job.plant) and outcomes[code_of(job)] in RAISED)


def _judge_files(job: Job) -> Verdicts:
    """Verify the files of a finished run, of a spoilt copy where a fault is planted.

    A ``run.json`` that cannot be read any more leaves nothing to judge by codes; then the difference that `verify`
    names is the answer.
    """
    with TemporaryDirectory() as place:
        folder = Path(job.folder)
        if job.plant:
            folder = Path(shutil.copytree(folder, Path(place) / "run"))
            FILE_PLANTS[job.plant].plant(folder, job.severity, _random(job))
        try:
            found = verify_path(folder)
        except AuditError:
            code = code_of(job) if job.plant else REFUSED
            return Verdicts(job=job, outcomes={code: REFUSED}, is_found=bool(job.plant))
    outcomes = worst_by_code(found.findings)
    says_so = outcomes[code_of(job)] in RAISED if job.plant and outcomes else bool(found.differences)
    return Verdicts(job=job, outcomes=outcomes, is_found=bool(job.plant) and says_so)


def _random(job: Job) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(job.plant.encode()), job.severity, job.seed])


def _section(job: Job, plant: Plant | None) -> ChecksSection:
    """Return which checks run: all of them, or those of the planted mode."""
    if job.is_whole or plant is None:
        return ChecksSection()
    return ChecksSection(disable=[name for name, entry in catalogue().items() if entry.mode.code != plant.code])


def is_found(finding: Finding, case: Case) -> bool:
    """Tell whether a finding names the fault: a flag, or a note of a check that says no more.

    A measure that the reference lowered to a note did not find the fault. It stands beside all other measures of the
    study also where these were not run: its p-value must pass the first step of Holm's procedure among them.
    """
    if finding.outcome not in DETECTED:
        return False
    if not finding.calibrated or finding.p_value is None or case.reference is None:
        return True
    if finding.name not in case.reference.values:
        return True
    return chance(finding, case.reference) <= ERROR_RATE / _measures_beside(finding, case.reference)


def _measures_beside(finding: Finding, reference: Reference) -> int:
    """Return how many measures of the reference are judged together with this one, itself included."""
    severities = {name: entry.mode.severity[0] for name, entry in catalogue().items()}
    gates = severities[finding.name] >= GATING_SEVERITY
    return sum((severities[name] >= GATING_SEVERITY) == gates for name in reference.values if name in severities)


def worst_by_code(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the worst outcome of every code."""
    worst: dict[str, Outcome] = {}
    for one in findings:
        worst[one.code] = max(worst.get(one.code, ORDER[0]), one.outcome, key=ORDER.index)
    return {code: str(outcome) for code, outcome in worst.items()}


def reference_of(traits: Sequence[Traits]) -> Reference:
    """Return clean studies as the reference that `calibrate` would have written."""
    arrays = {name: np.stack([getattr(one, own) for one in traits]) for name, own in ARRAYS.items()}
    names = sorted({name for one in traits for name in one.values})
    keywords = sorted({keyword for one in traits for keyword in one.header})
    return Reference(
        features=arrays["features"],
        intensities=arrays["intensities"],
        quantiles=arrays["quantiles"],
        thumbnails=arrays["thumbnails"],
        logits=arrays["logits"],
        digest="bench",
        header={keyword: tuple(one.header.get(keyword) for one in traits) for keyword in keywords},
        values={name: np.asarray([one.values[name] for one in traits if name in one.values]) for name in names},
        labels=tuple(one.label for one in traits),
    )
