"""Intended use and plan: what the model is for, what it may be applied to, what was promised before the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable

from audit_pipeline import terms
from audit_pipeline.report import audit_gates, chapters, numbers, story_text, tables, text
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.audit_front import MOST_GATES
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.study_record import StudyRecord

NOT_STATED = "not stated"
WIDTHS_MM = (44.0, 134.0)
LIMIT_NAMES = {
    "modality": "Modalities", "body_part": "Body parts", "view": "Views", "age": "Age, years",
    "spacing_mm": "Spacing, mm", "target_mm": "Smallest target, mm",
}  # fmt: skip
LONGEST_FACT = 900


def chapter(
    records: Sequence[StudyRecord], summary: Summary, context: ReportContext, facts: AuditFacts
) -> list[Flowable]:
    """Return the chapter."""
    plan: Mapping[str, Any] = summary.get("plan") or {}
    gates: Sequence[Mapping[str, Any]] = summary.get("gates") or ()
    said = story_text.gate_counts(gates) if gates else f"{story_text.NO_PLAN} {story_text.NO_PLAN_ADVICE}"
    items = chapters.opened("Intended use and plan", "plan", said)
    if plan.get("is_changed"):
        items.append(tables.words(story_text.PLAN_CHANGED, "head"))
    items.append(tables.pairs([*_use(context, facts), *_prepared(records), *_planned(records, plan, facts)], WIDTHS_MM))
    if len(gates) > MOST_GATES:
        items += [audit_gates.table(gates), tables.words(story_text.GATE_NOTE, "caption")]
    elif gates:
        items.append(tables.words(story_text.ON_PAGE_ONE, "caption"))
    return [*items, *_development(facts)]


def _use(context: ReportContext, facts: AuditFacts) -> Iterator[tuple[str, str]]:
    yield "Intended use", context.intended_use.strip() or NOT_STATED
    yield "May be applied to", text.listed(limits(facts)) if limits(facts) else NOT_STATED
    yield "What the model saw", story_text.BLIND


def _prepared(records: Sequence[StudyRecord]) -> Iterator[tuple[str, str]]:
    """Yield how the images became model input: the one chain, or the first of several."""
    chains = list(dict.fromkeys(one.image.steps for one in records if one.image is not None and one.image.steps))
    if not chains:
        return
    words = text.cut("; ".join(chains[0]), LONGEST_FACT)
    others = f" One of {len(chains)} chains, which differ in their numbers; each study report has its own."
    yield "Preparation of the images", text.capital(words) + "." + (others if len(chains) > 1 else "")


def limits(facts: AuditFacts) -> list[str]:
    """Return what the model card allows, a clause for each limit; empty where it sets none."""
    allowed: Mapping[str, Any] = facts.card.get("allowed") or {}
    found = [f"{name}: {_limit(allowed[key])}" for key, name in LIMIT_NAMES.items() if allowed.get(key)]
    for kind in ("header", "ranges"):
        found += [f"{keyword}: {_limit(value)}" for keyword, value in (allowed.get(kind) or {}).items()]
    return found


def _limit(value: Any) -> str:
    if isinstance(value, int | float):
        return numbers.short(value)
    if len(value) == 2 and all(isinstance(one, int | float) for one in value):
        return f"{numbers.short(value[0])} to {numbers.short(value[1])}"
    return text.listed([str(one) for one in value])


def _planned(records: Sequence[StudyRecord], plan: Mapping[str, Any], facts: AuditFacts) -> Iterator[tuple[str, str]]:
    thresholds = next((one.prediction.thresholds for one in records if one.prediction is not None), {})
    named = [f"{text.cut(name, text.LONGEST_NAME)} {numbers.short(value)}" for name, value in thresholds.items()]
    yield "Operating points", text.listed(named, 12) if named else "none in the model card"
    yield "Where they come from", str(facts.card.get("thresholds_from") or "").strip() or NOT_STATED
    groups = [terms.within(str(one)) for one in plan.get("groups") or ()]
    yield "Groups compared as planned", text.listed(groups) if groups else "none; every comparison is exploratory"
    prevalences = [
        f"{name} {numbers.short(claim['prevalence'])}"
        for name, claim in (plan.get("claims") or {}).items()
        if claim.get("prevalence") is not None
    ]
    yield "Prevalence where it will be used", text.listed(prevalences) if prevalences else NOT_STATED
    yield "Depth of the checks", str(plan.get("level") or NOT_STATED)
    if plan.get("sha256"):
        told = f"{plan['sha256']} (sections audit and cohort, and the model, as run.json holds them)"
        yield "SHA-256 of the plan", told


def _development(facts: AuditFacts) -> list[Flowable]:
    """Return what the model card tells of the making of the model; nothing where it tells nothing."""
    told: Mapping[str, Any] = facts.card.get("development") or {}
    rows = [
        (text.cut(terms.field(str(name)), text.LONGEST_NAME), text.cut(_told(value), LONGEST_FACT))
        for name, value in told.items()
    ]
    if not rows:
        return []
    return [Heading("The making of the model, as its card tells it", level=1), tables.pairs(rows, WIDTHS_MM)]


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_told(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return text.listed([_told(one) for one in value])
    return str(value)
