"""Records and traits of a small labelled run, for the tests of the cohort."""

from __future__ import annotations

import numpy as np

from audit_pipeline.evidence import Traits
from audit_pipeline.findings import Finding, Outcome, Verdict
from audit_pipeline.records import Status
from audit_pipeline.study_record import Failure, ImageFacts, ModelFacts, PredictionFacts, StudyRecord

MODEL = ModelFacts(
    name="m",
    version="1",
    task="multiclass",
    classes=("clear", "nodule"),
    card_sha256="",
    weights_sha256="",
    network="n",
)


def finding(code, outcome, value=None):
    return Finding(code=code, name=code.lower(), family=code[0], outcome=outcome, message="", value=value)


def record(place, probability, label, facts=None, *, findings=(), header=None):
    odds = float(np.log(probability / (1 - probability)))
    return StudyRecord(
        study=f"{place:012x}",
        status=Status.AUDITED,
        model=MODEL,
        image=ImageFacts(
            shape=(8, 8), spacing_mm=(1.0, 1.0), affine=None, orientation="", modality="CT", unit="HU", format="nifti",
            source_digests=(), metadata=header or {}, input_digest=f"digest {place}",
        ),
        prediction=PredictionFacts(
            task="multiclass", logits={"clear": 0.0, "nodule": odds},
            probabilities={"clear": 1 - probability, "nodule": probability},
            predicted=("nodule",) if probability >= 0.5 else ("clear",), thresholds={"nodule": 0.5}, device="cpu",
            precision="fp32",
        ),
        findings=tuple(findings),
        verdict=Verdict(prediction=Outcome.PASS, explanation=Outcome.PASS),
        label=label,
        facts=facts or {},
    )  # fmt: skip


def refused(place, label=None, facts=None):
    return StudyRecord(
        study=f"{place:012x}", status=Status.REFUSED, model=MODEL, label=label, facts=facts or {},
        error=Failure(code="MissingSlicesError", message="", stage="load"),
    )  # fmt: skip


def traits(seed, values=None):
    draw = np.random.default_rng(seed)
    return Traits(
        features=draw.normal(size=6).astype(np.float32), moments=np.zeros(4, np.float32),
        quantiles=np.zeros(64, np.float32), thumbnail=draw.normal(size=36).astype(np.float32),
        logits=np.zeros(2, np.float32), values=values or {},
    )  # fmt: skip
