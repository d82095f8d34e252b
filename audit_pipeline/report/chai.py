"""The audit as an Applied Model Card of the Coalition for Health AI, schema v0.2, inside the PDF.

Their tools take any PDF whose document information holds ``chaiMcXml`` for a card. Only what the records of the audit
know is filled in; what they do not know says so, because a card must name every element.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from audit_pipeline.report import archive, vocabulary
from audit_pipeline.report.audit_facts import AuditFacts
from audit_pipeline.report.audit_plan import limits
from audit_pipeline.report.context import ReportContext
from audit_pipeline.study_record import ModelFacts, StudyRecord

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
UNKNOWN = "Not stated in the records of this audit."
TRANSPARENCY = (
    "The report of every study shows the probability of every class, where the evidence for it lies with tests of that "
    "map, and what the checks found."
)
SUBGROUP_CHECKS = frozenset({"E01", "E02"})
BIAS_CHECKS = frozenset({"E01", "E03", "E04", "E05", "E06"})

Content = str | list[tuple[str, "Content"]]
"""Text of an element, or its children in the order of the schema."""


def keys(
    records: Sequence[StudyRecord], summary: Mapping[str, Any], context: ReportContext, facts: AuditFacts
) -> Mapping[str, str]:
    """Return ``chaiMcXml`` and ``chaiMcSoftwareId``; empty unless the audit is of exactly one model."""
    models = {(one.model.name, one.model.version, one.model.weights_sha256): one.model for one in records}
    if len(models) != 1:
        return {}
    (model,) = models.values()
    return {"chaiMcXml": _xml(_card(model, summary, context, facts)), "chaiMcSoftwareId": context.software}


def _xml(content: Content) -> str:
    root = Element("AppliedModelCard", {"xmlns": NAMESPACE})
    _fill(root, content)
    return '<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, encoding="unicode")


def _fill(element: Element, content: Content) -> None:
    if isinstance(content, str):
        element.text = archive.plain(content)
        return
    for name, inner in content:
        _fill(SubElement(element, name), inner)


def _card(model: ModelFacts, summary: Mapping[str, Any], context: ReportContext, facts: AuditFacts) -> Content:
    return [
        ("BasicInfo", [("ModelName", model.name), ("ModelDeveloper", UNKNOWN), ("DeveloperContact", UNKNOWN)]),
        (
            "ReleaseInfo",
            [
                ("ReleaseStage", UNKNOWN),
                ("ReleaseDate", UNKNOWN),
                ("ReleaseVersion", model.version),
                ("GlobalAvailability", UNKNOWN),
            ],
        ),
        ("ModelSummary", [("Summary", _summary(model, context)), ("Keywords", _keywords(model))]),
        ("UsesAndDirections", _uses(model, context, facts)),
        (
            "Warnings",
            [
                ("KnownRisksAndLimitations", _risks(summary, context)),
                ("KnownBiasesOrEthicalConsiderations", _said(summary, BIAS_CHECKS) or UNKNOWN),
                ("ClinicalRiskLevel", UNKNOWN),
            ],
        ),
        ("TrustIngredients", [("AISystemFacts", _facts(model, facts)), ("TransparencyInformation", _transparency())]),
        ("KeyMetrics", _metrics(summary, context)),
        ("Resources", [("PeerReviewedPublications", UNKNOWN), ("PatientConsentOrDisclosure", UNKNOWN)]),
        ("Bibliography", ""),
    ]


def _summary(model: ModelFacts, context: ReportContext) -> str:
    weights = model.weights_sha256 or "not recorded"
    return f"{model.network}, {model.task}; weights SHA-256 {weights}. Audited as: {context.audit_name}."


def _keywords(model: ModelFacts) -> Content:
    return [("Keyword", name) for name in model.classes]


def _uses(model: ModelFacts, context: ReportContext, facts: AuditFacts) -> Content:
    allowed = "; ".join(limits(facts))
    return [
        ("IntendedUseAndWorkflow", model.intended_use or context.intended_use or UNKNOWN),
        ("PrimaryIntendedUsers", UNKNOWN),
        ("HowToUse", UNKNOWN),
        ("TargetedPatientPopulation", allowed or UNKNOWN),
        ("CautionedOutOfScopeSettings", f"Everything but: {allowed}." if allowed else UNKNOWN),
    ]


def _facts(model: ModelFacts, facts: AuditFacts) -> Content:
    development = facts.card.get("development") or {}
    return [
        ("OutcomesAndOutputs", f"A probability of each class: {', '.join(model.classes)}."),
        ("ModelType", f"{model.network}, {model.task}"),
        ("InputDataSource", UNKNOWN),
        ("OutputAndInputDataTypes", "Medical images in; one probability for every class out."),
        ("DevelopmentDataCharacterization", json.dumps(development, sort_keys=True) if development else UNKNOWN),
        ("BiasMitigationApproaches", UNKNOWN),
        ("OngoingMaintenance", UNKNOWN),
        ("Transparency", TRANSPARENCY),
    ]


def _transparency() -> Content:
    return [("FundingSource", UNKNOWN), ("StakeholdersConsulted", UNKNOWN)]


def _risks(summary: Mapping[str, Any], context: ReportContext) -> str:
    """Return the failure modes that were raised in the audit, with the number of studies."""
    words = []
    for code, outcomes in sorted((summary.get("outcomes") or {}).items()):
        raised = sum(int(outcomes.get(outcome.value, 0)) for outcome in vocabulary.MATTERING)
        mode = context.failure_modes.get(code)
        if raised:
            words.append(f"{code} {mode.title if mode else ''} ({raised})".replace("  ", " "))
    return f"Failure modes raised, with the number of studies: {'; '.join(words)}." if words else "None was raised."


def _metrics(summary: Mapping[str, Any], context: ReportContext) -> Content:
    audited = int((summary.get("counts") or {}).get("audited", 0))
    verdicts = summary.get("verdicts") or {}
    return [
        (
            "UsefulnessUsabilityEfficacy",
            _metric("How well each class is told from the rest", _discrimination(summary), audited, context),
        ),
        ("FairnessEquity", _metric("Performance in subgroups", _subgroups(summary), audited, context)),
        (
            "SafetyReliability",
            _metric("How many studies passed every check", sorted(verdicts.items()), audited, context),
        ),
    ]


def _discrimination(summary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for row in summary.get("performance") or []:
        yield str(row.get("class", "")), {name: value for name, value in row.items() if name != "class"}


def _subgroups(summary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the check of subgroups found, where it came to an answer."""
    for one in summary.get("cohort_checks") or ():
        if one["code"] in SUBGROUP_CHECKS and one["value"] is not None:
            kept = {name: one[name] for name in ("message", "value", "limit", "n", "interval", "outcome")}
            yield f"{one['code']} {one['title']}", kept


def _said(summary: Mapping[str, Any], codes: frozenset[str]) -> str:
    """Return the messages of the checks of the cohort that raised something; "" for none."""
    raised = {outcome.value for outcome in vocabulary.MATTERING}
    return " ".join(
        f"{one['code']} {one['title']}: {one['message']}"
        for one in summary.get("cohort_checks") or ()
        if one["code"] in codes and one["outcome"] in raised
    )


def _metric(
    goal: str, results: Iterator[tuple[str, Any]] | Sequence[tuple[str, Any]], audited: int, context: ReportContext
) -> Content:
    found: list[tuple[str, Content]] = [
        ("MetricResult", [("Label", label), ("ValueJson", json.dumps(value, sort_keys=True))])
        for label, value in results
    ]
    missing: list[tuple[str, Content]] = [("MetricResult", [("Label", UNKNOWN), ("ValueJson", "null")])]
    return [
        ("MetricGoal", goal),
        ("Results", found or missing),
        ("Interpretation", f"See the audit report of run {context.run}; {vocabulary.CAUTION}."),
        ("TestType", UNKNOWN),
        ("TestingDataDescription", f"{audited} audited studies, described in the attached cohort.json."),
        ("ValidationProcessAndJustification", UNKNOWN),
    ]
