"""Models that were trained on a shortcut, and their clean twins, under audit: is the shortcut named, is the twin quiet.

Each cue of `trained_phantoms` is learnt by a small network in 2D and in 3D, and balanced for its twin. Both are proved
(`trained_models.Proof`), then audited by the product's own stages at level standard: once with the default limits, once
with a reference of clean studies, in which the cue is there at random. At last the cohort is judged as a whole, with a
site that goes with the cue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import nn

from audit_pipeline.bench.case import Case, evidence_of, judged
from audit_pipeline.bench.judging import RAISED, reference_of, worst_by_code
from audit_pipeline.bench.measure import rate
from audit_pipeline.bench.trained_models import (
    CLASSES,
    EFFORTS,
    Effort,
    cues_of,
    labels_of,
    proof_of,
    train,
    trained_card,
)
from audit_pipeline.bench.trained_phantoms import CUES, HEADERS, Cue, cued_image
from audit_pipeline.checks.panel import PANEL
from audit_pipeline.cohort.record import Cohort
from audit_pipeline.cohort.run import run_cohort_checks
from audit_pipeline.config import CohortSection
from audit_pipeline.evidence import Answer, Evidence, Reference
from audit_pipeline.examination import traits_of
from audit_pipeline.execute.closing import OnProgress
from audit_pipeline.findings import Finding
from audit_pipeline.records import Mask, sealed

SCHEMA = "audit-pipeline/bench-trained/1"
AUDIT_SEED, REFERENCE_SEED = 3_000_000, 4_000_000
AGREEMENTS = {"shortcut": 0.97, "twin": 0.5}
"""Share of the training patients whose cue agrees with the label, by the kind of model."""

METHODS = ("hirescam",)
"""Behind a maximum the gradient differs from cell to cell: Grad-CAM, which averages it, explains another model."""

COHORT_CODES = ("E04", "E05", "E06", "E07")
"""Checks of the cohort that look for shortcuts."""

NAMED_SHARE, TWIN_SHARE = 0.5, 0.05
"""A shortcut is named when this share of the studies that bear it is; a twin is quiet when at most this share is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much is measured: audited studies and reference studies for each model; cues, all when empty."""

    studies: int = 40
    reference: int = 100
    seed: int = 0
    workers: int = 2
    dimensions: tuple[int, ...] = (2, 3)
    cues: tuple[str, ...] = ()
    efforts: tuple[tuple[int, Effort], ...] = tuple(EFFORTS.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class Studied:
    """One audited study: the evidence with the answers of the model, the findings, and whether it bears the cue."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    cued: bool


def bench_trained(extent: Extent, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Train, prove and audit every model, and return the result, schema ``audit-pipeline/bench-trained/1``."""
    jobs = [
        (cue, dimensions, kind, extent)
        for dimensions in extent.dimensions
        for cue in (extent.cues or sorted(CUES))
        for kind in AGREEMENTS
    ]
    models = []
    with ProcessPoolExecutor(
        extent.workers, mp_context=get_context("forkserver"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for done, found in enumerate(pool.map(_of_job, jobs), 1):
            models.append(found)
            if on_progress:
                on_progress(done, len(jobs), f"{found['dimensions']}D {found['cue']} {found['model']}")
    amount = {"studies": extent.studies, "reference": extent.reference, "seed": extent.seed}
    return {"schema": SCHEMA, "amount": amount, "models": models, "gates": _gates(models)}


def _of_job(job: tuple[str, int, str, Extent]) -> dict[str, Any]:
    return measured(*job)


def measured(cue: str, dimensions: int, kind: str, extent: Extent) -> dict[str, Any]:
    """Train one model, prove what it reads, audit it, and return the row of the result.

    kind : ``shortcut`` or ``twin``
    """
    effort = dict(extent.efforts)[dimensions]
    network = train(cue, dimensions, AGREEMENTS[kind], effort)
    plain = audited(network, cue, dimensions, AGREEMENTS[kind], extent.studies, AUDIT_SEED + extent.seed)
    # Clean studies of the site: the cue is there at random, whatever the model was trained on.
    known = audited(network, cue, dimensions, 0.5, extent.reference, REFERENCE_SEED + extent.seed)
    reference = reference_of([traits_of(one.evidence, one.findings) for one in known]) if known else None
    return {
        "cue": cue,
        "dimensions": dimensions,
        "model": kind,
        "sentence": CUES[cue].sentence,
        "named_by": list(CUES[cue].codes),
        "accuracy": asdict(proof_of(network, cue, dimensions, effort)),
        "default": summary(plain, CUES[cue]),
        "calibrated": summary([again(one, reference) for one in plain], CUES[cue]) if reference else None,
        "cohort": cohort_outcomes(plain),
    }


def audited(network: nn.Module, cue: str, dimensions: int, agreement: float, count: int, seed: int) -> list[Studied]:
    """Return `count` new studies with the findings on them at level standard, without a reference."""
    labels = labels_of(count)
    cued = cues_of(labels, agreement, np.random.default_rng([seed, dimensions]))
    card = trained_card(dimensions)
    found = []
    for place, (label, one) in enumerate(zip(labels, cued, strict=True)):
        image = cued_image(cue, seed + 10_000 + place, dimensions, nodule=bool(label), cued=bool(one))
        case = Case(image=image, card=card, network=network, label=CLASSES[int(label)], seed=place, methods=METHODS)
        evidence, findings = judged(evidence_of(case))
        found.append(Studied(evidence=evidence, findings=findings, cued=bool(one)))
    return found


def again(study: Studied, reference: Reference) -> Studied:
    """Return the study judged with a reference; the model is not asked a second time."""
    evidence, findings = judged(replace(study.evidence, reference=reference))
    return replace(study, evidence=evidence, findings=findings)


def summary(studies: Sequence[Studied], cue: Cue) -> dict[str, Any]:
    """Return how many studies are raised by each code, by a code that names the cue, and by any.

    ``named`` counts the studies that bear the cue: all of them where its absence is a sight as well. ``misnamed``
    counts, among all, those on which a code that names another cue is raised and none that names this one.
    """
    raised = [{code for code, outcome in worst_by_code(one.findings).items() if outcome in RAISED} for one in studies]
    own = set(cue.codes)
    others = {code for one in CUES.values() for code in one.codes} - own
    bearing = [codes for codes, one in zip(raised, studies, strict=True) if one.cued or cue.is_both_ways]
    counts = Counter(code for codes in raised for code in codes)
    return {
        "raised": {code: counts[code] for code in sorted(counts)},
        "named": asdict(rate(sum(bool(codes & own) for codes in bearing), len(bearing))),
        "named_of_all": asdict(rate(sum(bool(codes & own) for codes in raised), len(raised))),
        "misnamed": asdict(rate(sum(bool(codes & others) and not codes & own for codes in raised), len(raised))),
        "any": asdict(rate(sum(bool(codes) for codes in raised), len(raised))),
    }


def cohort_outcomes(studies: Sequence[Studied]) -> dict[str, str]:
    """Return what the checks of the cohort for shortcuts say, by code."""
    findings = run_cohort_checks(cohort_from([one.evidence for one in studies], [one.cued for one in studies]),
                                 CohortSection())  # fmt: skip
    return {one.finding.code: str(one.finding.outcome) for one in findings if one.finding.code in COHORT_CODES}


def cohort_from(evidences: Sequence[Evidence], cued: Sequence[bool]) -> Cohort:
    """Return the studies side by side; those that bear the cue come from site A, the others from site B."""
    count = len(evidences)
    predictions = [one.prediction for one in evidences]
    truth = np.asarray([[name == one.label for name in CLASSES] for one in evidences], dtype=np.bool_)
    called: Mask = np.asarray([[name in one.predicted for name in CLASSES] for one in predictions], dtype=np.bool_)
    return Cohort(
        keys=tuple(f"{place:012x}" for place in range(count)),
        classes=CLASSES,
        task=str(predictions[0].task),
        thresholds=dict(predictions[0].thresholds),
        truth=truth,
        is_labelled=np.ones(count, dtype=np.bool_),
        called=called,
        logits=np.asarray([one.logits for one in predictions]),
        probabilities=np.asarray([one.probabilities for one in predictions]),
        patients=("",) * count,
        splits=("test",) * count,
        sites=tuple("A" if one else "B" for one in cued),
        periods=("",) * count,
        header={name: (value,) * count for name, value in HEADERS[evidences[0].prepared.inside.ndim].items()},
        features=sealed(np.asarray([one.features for one in predictions], dtype=np.float32)),
        panel={name: np.asarray(list(_said(evidences, name))) for name in PANEL},
    )


def _said(evidences: Sequence[Evidence], name: str) -> Iterator[tuple[float, ...]]:
    for one in evidences:
        answer = one.answers.get(name)
        yield tuple(answer.probabilities[0]) if isinstance(answer, Answer) else (float("nan"),) * len(CLASSES)


def _gates(models: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what misses a gate, in words; empty lists where everything holds."""
    unproved, unnamed, loud = [], [], []
    for one in models:
        where = f"{one['cue']} {one['dimensions']}D"
        is_shortcut, accuracy = one["model"] == "shortcut", one["accuracy"]
        if accuracy["agreeing"] < 0.85 or (accuracy["opposing"] > 0.5) == is_shortcut:
            shares = f"{accuracy['agreeing']:.2f} where the cue agrees, {accuracy['opposing']:.2f} where it opposes"
            unproved.append(f"{where}, {one['model']}: accuracy {shares}")
        for way in ("default", "calibrated"):
            found = one[way]
            if found is None:
                continue
            named, all_of = found["named"], found["named_of_all"]
            if is_shortcut and named["k"] < NAMED_SHARE * named["n"]:
                unnamed.append(f"{where}, {way}: named on {named['k']} of {named['n']}")
            if not is_shortcut and all_of["k"] > TWIN_SHARE * all_of["n"]:
                loud.append(f"{where}, {way}: named on {all_of['k']} of {all_of['n']}")
    return {"proof": unproved, "shortcut named": unnamed, "twin quiet": loud}
