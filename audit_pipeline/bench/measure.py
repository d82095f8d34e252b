"""Error rates of the checks: sensitivity per severity, specificity on clean studies, and which check fires for what."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from audit_pipeline.bench.case import evidence_of, judged
from audit_pipeline.bench.catalogue import PLANTS
from audit_pipeline.bench.clean import clean_case
from audit_pipeline.bench.plants import SEVERITIES, Plant
from audit_pipeline.checks import catalogue
from audit_pipeline.cohort.proportions import wilson
from audit_pipeline.config import Level
from audit_pipeline.errors import AuditError
from audit_pipeline.evidence import Reference, Traits
from audit_pipeline.examination import traits_of
from audit_pipeline.execute.closing import OnProgress
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.store.reference import ARRAYS

SCHEMA = "audit-pipeline/bench/1"
RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL})
DETECTED = RAISED | {Outcome.NOTE}
"""A planted fault counts as found when its check does not pass; a note is an answer for modes that are notes."""

FOUND_FROM, SENSITIVITY, SPECIFICITY, CLEAN_RAISED = 3, 0.95, 0.97, 0.05
"""The gates: from this severity on, this share is found; per check this share of clean studies is quiet; at most this
share of clean studies has any flag."""

REFUSED = "refused"
"""Stands for a check where a stage refused the planted study: it was stopped, which is right too."""

CLEAN_SEED, REFERENCE_SEED = 50_000, 90_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """k of n with Wilson's 95 % interval."""

    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One study to judge: a plant at a severity, or a clean one when `plant` is ""."""

    plant: str
    dimensions: int
    severity: int
    number: int
    seed: int
    level: Level = "standard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What the checks said to one job: outcome by code; traits only for clean ones."""

    job: Job
    outcomes: Mapping[str, str]
    traits: Traits | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """How many studies: planted per plant and severity, clean, and clean ones for the reference, per dimension."""

    planted: int = 60
    clean: int = 300
    reference: int = 120
    seed: int = 0
    workers: int = 2
    codes: tuple[str, ...] = field(default=())


def bench(amount: Amount, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Run the whole bench and return its result, schema ``audit-pipeline/bench/1``."""
    clean: list[Verdicts] = []
    planted: list[Verdicts] = []
    for dimensions in (2, 3):
        seeds = REFERENCE_SEED + 10_000 * amount.seed
        told = _reporting(on_progress, f"{dimensions}D reference")
        references = _run(_clean_jobs(dimensions, amount.reference, seeds), None, amount.workers, told)
        reference = reference_of([one.traits for one in references if one.traits is not None])
        told = _reporting(on_progress, f"{dimensions}D clean")
        clean += _run(
            _clean_jobs(dimensions, amount.clean, CLEAN_SEED + 10_000 * amount.seed), reference, amount.workers, told
        )
        told = _reporting(on_progress, f"{dimensions}D planted")
        planted += _run(list(_planted_jobs(dimensions, amount)), reference, amount.workers, told)
    return result_of(planted, clean, amount)


def _clean_jobs(dimensions: int, count: int, seed: int) -> list[Job]:
    return [Job(plant="", dimensions=dimensions, severity=0, number=one, seed=seed + one) for one in range(count)]


def _planted_jobs(dimensions: int, amount: Amount) -> Iterator[Job]:
    for name, one in sorted(PLANTS.items()):
        if dimensions not in one.dimensions or (amount.codes and one.code not in amount.codes):
            continue
        for severity in SEVERITIES if one.has_severity else SEVERITIES[-1:]:
            for number in range(amount.planted):
                seed = 10_000 * amount.seed + number
                yield Job(
                    plant=name, dimensions=dimensions, severity=severity, number=number, seed=seed, level=one.level
                )


def _run(jobs: Sequence[Job], reference: Reference | None, workers: int, told: OnProgress | None) -> list[Verdicts]:
    found: list[Verdicts] = []
    with ProcessPoolExecutor(
        workers, mp_context=get_context("forkserver"), initializer=_prepare_worker, initargs=(reference,)
    ) as pool:
        for done, one in enumerate(pool.map(_judge, jobs, chunksize=4), 1):
            found.append(one)
            if told:
                told(done, len(jobs), f"{one.job.plant or 'clean'} {one.job.severity or ''}".strip())
    return found


_REFERENCE: list[Reference | None] = [None]


def _prepare_worker(reference: Reference | None) -> None:
    torch.set_num_threads(1)
    _REFERENCE[0] = reference


def _judge(job: Job) -> Verdicts:
    return judge(job, _REFERENCE[0])


def judge(job: Job, reference: Reference | None) -> Verdicts:
    """Make the study of a job, take it through the stages and the checks, and return what they said."""
    plant = PLANTS[job.plant] if job.plant else None
    network = plant.network if plant else ""
    case = clean_case(job.seed, job.dimensions, network)
    case = replace(case, reference=None if network else reference)
    try:
        if plant:
            random = np.random.default_rng([zlib.crc32(job.plant.encode()), job.severity, job.seed])
            case = plant.plant(case, job.severity, random)
        evidence, findings = judged(evidence_of(case), level=job.level)
    except AuditError:
        return Verdicts(job=job, outcomes={plant.code if plant else REFUSED: REFUSED})
    findings = (*findings, *case.image.findings)
    traits = None if plant else traits_of(evidence, findings)
    return Verdicts(job=job, outcomes=worst_by_code(findings), traits=traits)


ORDER = (
    Outcome.NOT_EVALUABLE, Outcome.PASS, Outcome.NOTE, Outcome.ERROR, Outcome.FLAG, Outcome.CRITICAL,
)  # fmt: skip


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


def result_of(planted: Sequence[Verdicts], clean: Sequence[Verdicts], amount: Amount) -> dict[str, Any]:
    """Return sensitivities, specificities, the cross-talk and the gates as plain data."""
    sensitivity = list(_sensitivities(planted))
    specificity = list(_specificities(clean))
    raised = Counter(one.job.dimensions for one in clean if any(found in RAISED for found in one.outcomes.values()))
    counts = Counter(one.job.dimensions for one in clean)
    whole = {f"{axes}D": asdict(rate(raised[axes], counts[axes])) for axes in sorted(counts)}
    return {
        "schema": SCHEMA,
        "amount": {
            "planted": amount.planted,
            "clean": amount.clean,
            "reference": amount.reference,
            "seed": amount.seed,
        },
        "sensitivity": sensitivity,
        "specificity": specificity,
        "clean_studies_with_a_flag": whole,
        "cross_talk": _cross_talk(planted),
        "gates": _gates(sensitivity, specificity, whole),
    }


def rate(k: int, n: int) -> Rate:
    """Return k of n with its interval; of none the interval is everything."""
    low, high = wilson(k, n) if n else (0.0, 1.0)
    return Rate(k=k, n=n, low=round(low, 4), high=round(high, 4))


def _sensitivities(planted: Sequence[Verdicts]) -> Iterator[dict[str, Any]]:
    by_cell: dict[tuple[str, int, int], list[Verdicts]] = {}
    for one in planted:
        by_cell.setdefault((one.job.plant, one.job.dimensions, one.job.severity), []).append(one)
    for (name, dimensions, severity), found in sorted(by_cell.items()):
        code = PLANTS[name].code
        hits = sum(one.outcomes.get(code) in {*DETECTED, REFUSED} for one in found)
        cell = {"plant": name, "code": code, "dimensions": dimensions, "severity": severity}
        yield cell | asdict(rate(hits, len(found)))


def _specificities(clean: Sequence[Verdicts]) -> Iterator[dict[str, Any]]:
    for dimensions in sorted({one.job.dimensions for one in clean}):
        own = [one for one in clean if one.job.dimensions == dimensions]
        for code in sorted({code for one in own for code in one.outcomes}):
            judged_ones = [one.outcomes[code] for one in own if one.outcomes.get(code) not in {None, "not_evaluable"}]
            quiet = sum(found not in {*RAISED, Outcome.ERROR, REFUSED} for found in judged_ones)
            if judged_ones:
                yield {"code": code, "dimensions": dimensions, **asdict(rate(quiet, len(judged_ones)))}


def _cross_talk(planted: Sequence[Verdicts]) -> dict[str, dict[str, float]]:
    """Return, per plant, the share of studies of severity 3 and more on which each check raised a flag."""
    table: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    for one in planted:
        if one.job.severity < FOUND_FROM:
            continue
        counts[one.job.plant] += 1
        fired = {code for code, found in one.outcomes.items() if found in RAISED}
        table.setdefault(one.job.plant, Counter()).update(fired)
    return {
        name: {code: round(count / counts[name], 3) for code, count in sorted(fired.items())}
        for name, fired in sorted(table.items())
    }


def _gates(
    sensitivity: Sequence[Mapping[str, Any]], specificity: Sequence[Mapping[str, Any]], whole: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return what misses a gate, in words; empty lists where everything holds."""
    missed = [
        f"{one['code']} {one['plant']} {one['dimensions']}D severity {one['severity']}: {one['k']} of {one['n']}"
        for one in sensitivity
        if one["severity"] >= FOUND_FROM and one["k"] < SENSITIVITY * one["n"]
    ]
    loud = [
        f"{one['code']} {one['dimensions']}D: quiet on {one['k']} of {one['n']}"
        for one in specificity
        if one["k"] < SPECIFICITY * one["n"]
    ]
    flagged = [f"{name}: {one['k']} of {one['n']}" for name, one in whole.items() if one["k"] > CLEAN_RAISED * one["n"]]
    severe = {entry.mode.code for entry in catalogue().values() if entry.mode.severity[0] >= 4}
    planted = {one["code"] for one in sensitivity}
    found = {one["code"] for one in sensitivity if one["k"]}
    return {
        "sensitivity": missed,
        "specificity": loud,
        "clean studies": flagged,
        "silent": sorted((severe & planted) - found),
        "without a plant": sorted({entry.mode.code for entry in catalogue().values()} - planted),
    }


def _reporting(on_progress: OnProgress | None, what: str) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total, sentence: on_progress(done, total, f"{what}: {sentence}")


def plants_of(code: str) -> tuple[Plant, ...]:
    """Return the plants of a failure mode."""
    return tuple(one for one in PLANTS.values() if one.code == code)
