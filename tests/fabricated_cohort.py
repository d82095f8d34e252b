"""Stored records of a labelled cohort, drawn at random without a model: for tests and benchmarks of the audit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from audit_pipeline.checks import catalogue
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.gather import cohort_of
from audit_pipeline.cohort.record import Plan
from audit_pipeline.cohort.summary import summarise
from audit_pipeline.conclusion import conclude
from audit_pipeline.config import AuditConfig
from audit_pipeline.execute.cohort import concluded, described
from audit_pipeline.findings import Finding, Outcome, Verdict
from audit_pipeline.records import MapStatistics, Status, Task
from audit_pipeline.report.context import ReportContext
from audit_pipeline.study_record import (
    AnswerFacts,
    ExplanationFacts,
    Failure,
    ImageFacts,
    ModelFacts,
    PredictionFacts,
    StudyRecord,
)

BINARY = ("clear", "nodule")
METHODS = ("gradcam", "hirescam")
CHANGES = (
    ("harmless", "gamma", "exponent", 1.0, (0.95, 1.05), 0.1),
    ("corruption", "noise", "times the noise", 0.0, (0.5, 1.0, 2.0), 0.9),
    ("falsification", "body removed", "", None, (None,), 50.0),
)
"""Group, name, unit, amount of no change, amounts, and how far the log-odds move at an amount of 1."""


def modes() -> dict[str, Any]:
    """Return the metadata of every check by its code."""
    both = [*catalogue().values(), *cohort_catalogue().values()]
    return {entry.mode.code: entry.mode for entry in both}


def context() -> ReportContext:
    """Return the facts of a run that was never made."""
    return ReportContext(run="0123456789ab", audit_name="A cohort drawn at random", failure_modes=modes())


def fabricated(
    count: int, classes: tuple[str, ...] = BINARY, task: str = "multiclass", *, seed: int = 0, labels: bool = True
) -> list[StudyRecord]:
    """Return `count` records; every twentieth study was refused, and patients have two studies now and then."""
    draw = np.random.default_rng(seed)
    model = ModelFacts(name="drawn", version="1", task=task, classes=classes, card_sha256="c" * 64,
                       weights_sha256="w" * 64, network="none")  # fmt: skip
    return [_record(place, model, draw, labels=labels) for place in range(count)]


def _record(place: int, model: ModelFacts, draw: np.random.Generator, *, labels: bool) -> StudyRecord:
    truth = _truth(model, draw)
    facts = _facts(place, draw)
    names = [name for name, has in zip(model.classes, truth, strict=True) if has]
    label = ("|".join(names) or "none") if labels else None
    key = f"{place:012x}"
    if place % 20 == 19:
        failure = Failure(code="MissingSlicesError", message="Two slices are missing.", stage="load")
        return StudyRecord(study=key, status=Status.REFUSED, model=model, label=label, facts=facts, error=failure)
    odds = draw.normal(np.where(truth, 1.1, -1.1))
    maps = tuple(_map(method, model, draw) for method in METHODS)
    findings = tuple(_findings(draw))
    return StudyRecord(
        study=key,
        status=Status.AUDITED,
        model=model,
        files={"used": 1},
        image=ImageFacts(
            shape=(256, 256), spacing_mm=(1.4, 1.4), affine=None, orientation="", modality="DX", unit="stored value",
            format="dicom", source_digests=(f"{place:064x}",), input_digest=f"{place:064x}",
            metadata={"Manufacturer": facts["scanner"]},
        ),
        prediction=_prediction(model, odds),
        explanations=maps,
        answers=tuple(_answers(model, odds, draw)),
        findings=findings,
        verdict=Verdict(prediction=_worst(findings, "ABC"), explanation=_worst(findings, "D")),
        label=label,
        facts=facts,
        timings_s={"load": 0.1},
    )  # fmt: skip


def _truth(model: ModelFacts, draw: np.random.Generator) -> np.ndarray:
    if model.task != "multiclass":
        return draw.random(len(model.classes)) < 0.35
    return np.arange(len(model.classes)) == draw.integers(len(model.classes))


def _facts(place: int, draw: np.random.Generator) -> dict[str, str]:
    levels = {"site": "ABC", "sex": "FM", "scanner": ("North", "South"), "age": ("40-49", "50-59", "60-69", "70-79"),
              "period": ("2026-Q1", "2026-Q2")}  # fmt: skip
    drawn = {name: str(values[int(draw.integers(len(values)))]) for name, values in levels.items()}
    return {"patient": f"patient {place - (place % 10 == 9)}", "split": "test", **drawn}


def _prediction(model: ModelFacts, odds: np.ndarray) -> PredictionFacts:
    chances = _chances(model, odds)
    limits = (
        {}
        if model.task == "multiclass" and len(model.classes) > 2
        else dict.fromkeys(model.classes[1:] or model.classes, 0.5)
    )
    said = conclude(model.classes, list(chances.values()), limits, Task(model.task))
    return PredictionFacts(
        task=model.task, logits=dict(zip(model.classes, odds.tolist(), strict=True)), probabilities=chances,
        predicted=said, thresholds=limits, device="cpu", precision="fp32",
    )  # fmt: skip


def _chances(model: ModelFacts, odds: np.ndarray) -> dict[str, float]:
    share = np.exp(odds) / np.exp(odds).sum() if model.task == "multiclass" else 1 / (1 + np.exp(-odds))
    return dict(zip(model.classes, share.tolist(), strict=True))


def _answers(model: ModelFacts, odds: np.ndarray, draw: np.random.Generator) -> list[AnswerFacts]:
    found = []
    for group, name, unit, unchanged, amounts, reach in CHANGES:
        for amount in amounts:
            spread = reach * (1.0 if amount is None else abs(amount - (unchanged or 0.0)))
            sentence = f"{name.capitalize()} {amount}." if amount is not None else f"{name.capitalize()}."
            found.append(
                AnswerFacts(
                    group=group, name=name, sentence=sentence, unit=unit, amount=amount, unchanged=unchanged,
                    probabilities=_chances(model, odds + draw.normal(0, spread, odds.size)),
                )
            )  # fmt: skip
    return found


def _findings(draw: np.random.Generator) -> list[Finding]:
    """Return a finding per check of single studies, most of them a pass."""
    found = []
    for entry in catalogue().values():
        mode = entry.mode
        outcome = draw.choice(
            [Outcome.PASS, Outcome.NOTE, Outcome.FLAG, Outcome.CRITICAL, Outcome.NOT_EVALUABLE],
            p=[0.8, 0.06, 0.05, 0.005, 0.085],
        )
        value = None if outcome == Outcome.NOT_EVALUABLE else float(draw.gamma(4, 0.1))
        found.append(
            Finding(
                code=mode.code, name=mode.name, family=mode.family, outcome=Outcome(str(outcome)), title=mode.title,
                message=f"{mode.title}: drawn at random.", value=value, limit=1.0, unit="", provenance=mode.provenance,
                advice=mode.advice, direction=mode.direction, version=mode.version, inputs="1" * 64,
            )
        )  # fmt: skip
    return found


def _worst(findings: tuple[Finding, ...], families: str) -> Outcome:
    own = {one.outcome for one in findings if one.family in families}
    return next(one for one in (Outcome.CRITICAL, Outcome.FLAG, Outcome.NOTE, Outcome.PASS) if one in own)


def _map(method: str, model: ModelFacts, draw: np.random.Generator) -> ExplanationFacts:
    peak = float(draw.gamma(4, 0.2))
    statistics = MapStatistics(
        min=-0.1, max=peak, mean=0.1, std=0.2, peak_value=peak, peak_index=(120, 90), peak_position_mm=None,
        centre_index=(118.0, 92.0), mass_levels=(0.4, 0.1), positive_share=float(draw.beta(3, 5)),
    )  # fmt: skip
    outcome = Outcome.CRITICAL if draw.random() < 0.04 else Outcome.FLAG if draw.random() < 0.1 else Outcome.PASS
    return ExplanationFacts(
        method=method, target=len(model.classes) - 1, target_name=model.classes[-1], layer="features", grid=(8, 8),
        cell_mm=(45.0, 45.0), statistics=statistics, map=f"maps/{method}.nii.gz", map_sha256="m" * 64,
        checks={"D05": Outcome.PASS, "D21": outcome},
    )  # fmt: skip


def summary_of(records: list[StudyRecord], **cohort: Any) -> dict[str, Any]:
    """Return the statistical part of ``cohort.json`` of `records`, as it is read back from the file.

    Parameters
    ----------
    cohort : the section ``cohort`` of the configuration
    """
    from dataclasses import asdict

    config = AuditConfig.model_validate({"model": {"card": {}}, "cohort": cohort})
    plan = Plan(groups=tuple(config.cohort.groups), claims=config.cohort.claims, thresholds_from="a tuning set")
    drawn = cohort_of(records, plan=plan)
    found = asdict(summarise(records))
    checks = concluded(drawn, config, modes(), found["outcomes"], {"D05": (57, 60)})
    return json.loads(json.dumps({**found, **checks, **described(drawn, records)}, allow_nan=False))
