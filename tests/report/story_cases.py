"""Whole audits for the tests of the story chapters: labelled records, and everything closing a run adds to them."""

from __future__ import annotations

from dataclasses import asdict, replace

from report_cases import MODES, finding, refused_record, volume_case

from audit_pipeline.cohort.summary import summarise, worst_first
from audit_pipeline.config import AuditConfig
from audit_pipeline.execute.story import told
from audit_pipeline.findings import Outcome, Verdict
from audit_pipeline.records import Status
from audit_pipeline.report import AuditFacts, reduced
from audit_pipeline.reviews import gating_codes
from audit_pipeline.study_record import Failure

CARD = {
    "thresholds_from": "the tuning set of 2024",
    "allowed": {"modality": ["CT"], "age": [18, 90], "body_part": []},
    "development": {"studies": 1200, "sites": ["one", "two"]},
}


def run_facts(cohort=None, **changes):
    """The content of run.json as far as the story reads it."""
    config = AuditConfig.model_validate({"model": {"card": {}}, "cohort": cohort or {}})
    model = {"name": "nodule-densenet", "version": "2.1", "card_sha256": "c0", "weights_sha256": "01"}
    return {"configuration": config.model_dump(mode="json"), "model": model, "card": CARD, **changes}


def studies(count, *, wrong=0, refused=0, failed=0, labels=("nodule", "no nodule"), facts=None):
    """Records worst first: `wrong` of `count` audited ones are concluded against their label."""
    record, panels = volume_case(findings=(finding("A01", Outcome.PASS, "Fine."),))
    quiet = replace(record, verdict=Verdict(prediction=Outcome.PASS, explanation=Outcome.PASS))
    made = []
    for place in range(count):
        says = labels[place % len(labels)] if labels else None
        concluded = says if says in record.prediction.probabilities else "nodule"
        if place < wrong:
            concluded = "no nodule" if says == "nodule" else "nodule"
        prediction = replace(record.prediction, predicted=(concluded,))
        own = {"sex": "FM"[place % 2], "age": "60-69", "patient": f"p{place // 2}", **(facts or {})}
        made.append(replace(quiet, study=f"{place:012x}", label=says, prediction=prediction, facts=own))
    made += [refused_record(study=f"{place:012x}") for place in range(900, 900 + refused)]
    error = Failure(code="ModelError", message="The network returned a value that is not finite.", stage="predict")
    keys = (f"{place:012x}" for place in range(950, 950 + failed))
    made += [refused_record(study=key, status=Status.FAILED, error=error) for key in keys]
    return list(worst_first(made)), panels[0]


def raised(record, *codes):
    """The record with critical findings."""
    extra = tuple(finding(code, Outcome.CRITICAL, f"{code} speaks against it.") for code in codes)
    verdict = Verdict(prediction=Outcome.CRITICAL, explanation=Outcome.PASS, prediction_code=codes[0])
    return replace(record, findings=(*record.findings, *extra), verdict=verdict)


def summary_of(records, cohort=None, excluded=None, **run):
    """The content of cohort.json but for the checks of the cohort and the statistics."""
    found = summarise(records)
    facts = run_facts(cohort, **run)
    lost = sum((excluded or {}).values())
    counts = {"found": len(records) + lost, "excluded": lost}
    counts |= {str(status): sum(one.status is status for one in records) for status in Status}
    needed = {one.study: list(codes) for one in records if (codes := gating_codes(one, MODES))}
    reviews = {"needed": needed, "open": list(needed), "verdicts": {}, "studies": 0, "pairs": 0, "equal": 0,
               "kappa": None, "lines": []}  # fmt: skip
    return {**asdict(found), "counts": counts, **told(records, found, facts, excluded or {}), "reviews": reviews}


def thumbnails_of(records, panel):
    small = reduced(panel)
    return {one.study: small for one in records if one.status is Status.AUDITED}


def facts_of(records, **changes):
    files = {"cohort.json": "ab" * 32, "run.json": "cd" * 32, "records": "ef" * 32}
    digests = {one.study: f"{place:064x}" for place, one in enumerate(records)}
    return AuditFacts(**{"card": CARD, "digests": digests, "files": files, **changes})
