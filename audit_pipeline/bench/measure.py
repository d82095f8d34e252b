"""Error rates of the checks: sensitivity per severity, specificity on clean studies, and which check fires for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from audit_pipeline.bench.catalogue import PLANTS, failure_modes
from audit_pipeline.bench.judging import COHORT, RAISED, REFUSED, RUN, Job, Verdicts, code_of, judge, reference_of
from audit_pipeline.bench.plants import SEVERITIES, Plant
from audit_pipeline.bench.plants_cohort import COHORT_PLANTS
from audit_pipeline.bench.plants_record import FILE_PLANTS, RUN_PLANTS
from audit_pipeline.bench.run_case import write_runs
from audit_pipeline.checks.decide import GATING_SEVERITY
from audit_pipeline.cohort.proportions import wilson
from audit_pipeline.evidence import Reference
from audit_pipeline.execute.closing import OnProgress
from audit_pipeline.findings import Outcome

SCHEMA = "audit-pipeline/bench/1"

FOUND_FROM, SENSITIVITY, SPECIFICITY, CLEAN_RAISED = 3, 0.95, 0.97, 0.05
"""The gates: from this severity on, this share is found; per check this share of clean studies is quiet; at most this
share of clean studies has any flag."""

CLEAN_SEED, REFERENCE_SEED = 50_000, 90_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """k of n with Wilson's 95 % interval."""

    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """How much is measured.

    planted : studies per plant, dimension and severity from `FOUND_FROM` on; of milder faults a quarter
    crossed : of these, studies on which every check runs, for the cross-talk; on the others those of the mode alone
    clean, reference : clean studies, and further ones for the reference, per dimension
    cohorts : planted cohorts per plant and severity, and clean ones in all
    runs : finished runs on disk whose files are verified, as they are and once per plant and severity; the records of
    runs in memory are as many as studies
    codes : only these failure modes; () takes all
    """

    planted: int = 20
    crossed: int = 2
    clean: int = 300
    reference: int = 120
    cohorts: int = 20
    runs: int = 4
    seed: int = 0
    workers: int = 2
    codes: tuple[str, ...] = ()


def bench(amount: Amount, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Run the bench and return its result, schema ``audit-pipeline/bench/1``.

    Where `amount` names failure modes, studies, cohorts or runs are left out that hold no plant of theirs.
    """
    clean: list[Verdicts] = []
    planted: list[Verdicts] = []
    shift = 10_000 * amount.seed
    for dimensions in (2, 3):
        jobs = list(_planted_jobs(dimensions, amount))
        if not jobs:
            continue
        told = _reporting(on_progress, f"{dimensions}D reference")
        made = _run(_clean_jobs(dimensions, amount.reference, REFERENCE_SEED + shift), None, amount.workers, told)
        reference = reference_of([one.traits for one in made if one.traits is not None])
        told = _reporting(on_progress, f"{dimensions}D clean")
        clean += _run(_clean_jobs(dimensions, amount.clean, CLEAN_SEED + shift), reference, amount.workers, told)
        told = _reporting(on_progress, f"{dimensions}D planted")
        planted += _run(jobs, reference, amount.workers, told)
    jobs = list(_cohort_jobs(amount))
    told = _reporting(on_progress, "cohorts")
    if jobs:
        clean += _run(_clean_jobs(COHORT, amount.cohorts, CLEAN_SEED + shift), None, amount.workers, told)
        planted += _run(jobs, None, amount.workers, told)
    of_runs = {one.code for one in RUN_PLANTS.values()} | {one.code for one in FILE_PLANTS.values()}
    if any(_is_chosen(code, amount) for code in of_runs):
        found = _of_runs(amount, _reporting(on_progress, "runs"))
        clean += [one for one in found if not one.job.plant]
        planted += [one for one in found if one.job.plant]
    return result_of(planted, clean, amount)


def _of_runs(amount: Amount, told: OnProgress | None) -> list[Verdicts]:
    with TemporaryDirectory() as place:
        folders = write_runs(Path(place), amount.runs, CLEAN_SEED + 10_000 * amount.seed)
        return _run(list(_run_jobs(amount, folders)), None, amount.workers, told)


def _clean_jobs(dimensions: int, count: int, seed: int) -> list[Job]:
    return [Job(plant="", dimensions=dimensions, severity=0, number=one, seed=seed + one) for one in range(count)]


def _planted_jobs(dimensions: int, amount: Amount) -> Iterator[Job]:
    for name, one in sorted(PLANTS.items()):
        if dimensions not in one.dimensions or not _is_chosen(one.code, amount):
            continue
        for severity in SEVERITIES if one.has_severity else SEVERITIES[-1:]:
            for number in range(_count(amount.planted, severity)):
                yield Job(
                    plant=name, dimensions=dimensions, severity=severity, number=number,
                    seed=10_000 * amount.seed + number, level=one.level, is_whole=number < amount.crossed,
                )  # fmt: skip


def _cohort_jobs(amount: Amount) -> Iterator[Job]:
    for name, one in sorted(COHORT_PLANTS.items()):
        if not _is_chosen(one.code, amount):
            continue
        for severity in SEVERITIES if one.has_severity else SEVERITIES[-1:]:
            for number in range(_count(amount.cohorts, severity)):
                yield Job(
                    plant=name, dimensions=COHORT, severity=severity, number=number,
                    seed=10_000 * amount.seed + number, is_whole=number < min(amount.crossed, 1),
                )  # fmt: skip


def _run_jobs(amount: Amount, folders: Sequence[Path]) -> Iterator[Job]:
    """Yield clean and planted jobs on the record of a run: in memory, and on the files of the finished runs."""
    yield from _clean_jobs(RUN, amount.clean, CLEAN_SEED + 10_000 * amount.seed)
    for number, folder in enumerate(folders):
        yield Job(plant="", dimensions=RUN, severity=0, number=number, seed=number, folder=str(folder))
    for name, one in sorted(RUN_PLANTS.items()):
        for severity in SEVERITIES if one.has_severity else SEVERITIES[-1:]:
            for number in range(_count(amount.planted, severity) if _is_chosen(one.code, amount) else 0):
                seed = 10_000 * amount.seed + number
                yield Job(plant=name, dimensions=RUN, severity=severity, number=number, seed=seed)
    for name, spoilt in sorted(FILE_PLANTS.items()):
        for severity in SEVERITIES if _is_chosen(spoilt.code, amount) else ():
            for number, folder in enumerate(folders[: _count(amount.runs, severity)]):
                seed = 10_000 * amount.seed + number
                yield Job(
                    plant=name, dimensions=RUN, severity=severity, number=number, seed=seed, folder=str(folder)
                )  # fmt: skip


def _is_chosen(code: str, amount: Amount) -> bool:
    return not amount.codes or code in amount.codes


def _count(planted: int, severity: int) -> int:
    return planted if severity >= FOUND_FROM else max(1, planted // 4)


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


def result_of(planted: Sequence[Verdicts], clean: Sequence[Verdicts], amount: Amount) -> dict[str, Any]:
    """Return sensitivities, specificities, the cross-talk and the gates as plain data."""
    sensitivity = list(_sensitivities(planted))
    specificity = list(_specificities(clean))
    raised = Counter(one.job.dimensions for one in clean if any(found in RAISED for found in one.outcomes.values()))
    counts = Counter(one.job.dimensions for one in clean)
    whole = {place_of(axes): asdict(rate(raised[axes], counts[axes])) for axes in sorted(counts)}
    return {
        "schema": SCHEMA,
        "amount": {
            "planted": amount.planted,
            "crossed": amount.crossed,
            "clean": amount.clean,
            "reference": amount.reference,
            "cohorts": amount.cohorts,
            "runs": amount.runs,
            "seed": amount.seed,
        },
        "sensitivity": sensitivity,
        "specificity": specificity,
        "clean_studies_with_a_flag": whole,
        "cross_talk": _cross_talk(planted),
        "gates": _gates(sensitivity, specificity, whole),
    }


def place_of(dimensions: int) -> str:
    """Return how a page names where something was planted."""
    return {COHORT: "cohort", RUN: "run"}.get(dimensions, f"{dimensions}D")


def rate(k: int, n: int) -> Rate:
    """Return k of n with its interval; of none the interval is everything."""
    low, high = wilson(k, n) if n else (0.0, 1.0)
    return Rate(k=k, n=n, low=round(low, 4), high=round(high, 4))


def _sensitivities(planted: Sequence[Verdicts]) -> Iterator[dict[str, Any]]:
    by_cell: dict[tuple[str, int, int], list[Verdicts]] = {}
    for one in planted:
        by_cell.setdefault((one.job.plant, one.job.dimensions, one.job.severity), []).append(one)
    for (name, dimensions, severity), found in sorted(by_cell.items()):
        hits = sum(one.is_found for one in found)
        cell = {"plant": name, "code": code_of(found[0].job), "dimensions": dimensions, "severity": severity}
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
    """Return, per plant, the share of fully judged studies of severity 3 and more that each check flagged."""
    table: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    for one in planted:
        if one.job.severity < FOUND_FROM or not one.job.is_whole:
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
        f"{one['code']} {one['plant']} {place_of(one['dimensions'])} severity {one['severity']}: "
        f"{one['k']} of {one['n']}"
        for one in sensitivity
        if one["severity"] >= FOUND_FROM and one["k"] < SENSITIVITY * one["n"]
    ]
    loud = [
        f"{one['code']} {place_of(one['dimensions'])}: quiet on {one['k']} of {one['n']}"
        for one in specificity
        if one["k"] < SPECIFICITY * one["n"]
    ]
    flagged = [f"{name}: {one['k']} of {one['n']}" for name, one in whole.items() if one["k"] > CLEAN_RAISED * one["n"]]
    modes = failure_modes()
    severe = {mode.code for mode in modes if mode.severity[0] >= GATING_SEVERITY}
    planted = {one["code"] for one in sensitivity}
    found = {one["code"] for one in sensitivity if one["k"]}
    return {
        "sensitivity": missed,
        "specificity": loud,
        "clean studies": flagged,
        "silent": sorted((severe & planted) - found),
        "without a plant": sorted({mode.code for mode in modes} - planted),
    }


def _reporting(on_progress: OnProgress | None, what: str) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total, sentence: on_progress(done, total, f"{what}: {sentence}")


def plants_of(code: str) -> tuple[Plant, ...]:
    """Return the plants of a failure mode."""
    return tuple(one for one in PLANTS.values() if one.code == code)
