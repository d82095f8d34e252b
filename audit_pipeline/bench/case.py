"""One study of the bench: an image, a card, a network with known behaviour, and what is planted between stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from audit_pipeline.card import ModelCard
from audit_pipeline.checks import ask, run_checks
from audit_pipeline.config import AuditConfig, ChecksSection, ExplainSection, Level, ModelSection, ReportSection
from audit_pipeline.evidence import Evidence, Reference
from audit_pipeline.examination import examined
from audit_pipeline.findings import Finding
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.pipeline import Auditor, explanations_of, one_pass, prediction_of
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Image
from audit_pipeline.report import ReportContext
from audit_pipeline.study_record import ModelFacts


def untouched(evidence: Evidence) -> Evidence:
    """Return the evidence as it is: nothing is planted between the stages."""
    return evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One study as the stages after loading see it.

    spoil : applied to the evidence before the checks see it; here faults of a map, of a mask or of a prediction are
    planted, as a defect of the pipeline would make them
    """

    image: Image
    card: ModelCard
    network: nn.Module
    reference: Reference | None = None
    methods: tuple[str, ...] = ("gradcam", "hirescam")
    label: str = ""
    seed: int = 0
    spoil: Callable[[Evidence], Evidence] = untouched


def evidence_of(case: Case) -> Evidence:
    """Take a case through the product's own stages up to the checks.

    Raises
    ------
    AuditError
        A stage refuses the study, which is an answer too.
    """
    auditor = _auditor(case)
    prepared = prepare(case.image, case.card)
    maps = one_pass(prepared, auditor)
    prediction = prediction_of(maps, prepared, auditor)
    explanations = explanations_of(maps, prepared, case.image, case.card)
    evidence = examined(
        case.image, prepared, prediction, explanations, maps,
        classifier=auditor.classifier, settings=auditor.config.explain, reference=case.reference, label=case.label,
        seed=case.seed,
    )  # fmt: skip
    return case.spoil(evidence)


def judged(
    evidence: Evidence, *, level: Level = "standard", checks: ChecksSection | None = None
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Ask the model what the checks of the level need, and return the evidence with the answers and the findings."""
    settings = checks or ChecksSection()
    evidence = ask(evidence, settings, level=level)
    return evidence, run_checks(evidence, settings, level=level)


def findings_of(case: Case, *, level: Level = "standard", checks: ChecksSection | None = None) -> tuple[Finding, ...]:
    """Return every finding on a case, those the loader made included."""
    return (*judged(evidence_of(case), level=level, checks=checks)[1], *case.image.findings)


def _auditor(case: Case) -> Auditor:
    section = ModelSection(card=case.card.model_dump(mode="json"))
    config = AuditConfig(model=section, explain=ExplainSection(methods=list(case.methods), targets="top2"))
    device = torch.device("cpu")
    classifier = Classifier(
        network=case.network.eval(), card=case.card, device=device, device_name="cpu", weights_sha256=""
    )
    return Auditor(
        config=config, card=case.card, classifier=classifier, model=_facts(case.card.name), reference=case.reference,
        context=_context(),
    )  # fmt: skip


@lru_cache
def _facts(name: str) -> ModelFacts:
    return ModelFacts(
        name=name, version="", task="", classes=(), card_sha256="", weights_sha256="", network="hand-written"
    )


@lru_cache
def _context() -> ReportContext:
    return ReportContext(
        run="", audit_name="", intended_use="", profile="deidentified", versions={}, settings=ReportSection(),
        failure_modes={}, disabled_checks=(),
    )  # fmt: skip
