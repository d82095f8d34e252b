"""One study through the six stages, in order: load -> prepare -> predict -> explain -> check -> report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from audit_pipeline.card import ModelCard
from audit_pipeline.checks import judge_each_map, run_checks, verdict
from audit_pipeline.config import AuditConfig
from audit_pipeline.dossier import Dossier, explanation_facts, image_facts, map_files, prediction_facts
from audit_pipeline.errors import AuditError
from audit_pipeline.evidence import Reference
from audit_pipeline.examination import examined
from audit_pipeline.explain.engine import Maps, explain_input
from audit_pipeline.explain.place import place
from audit_pipeline.explain.verification import judged
from audit_pipeline.explain.views import panels
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load import Delivery, StudySource, deliver
from audit_pipeline.load.chosen import settings_from
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import choose_targets, predict
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Disposition, Explanation, Image, Panel, Prediction, Prepared, Status
from audit_pipeline.report import ReportContext, overlay_pictures, render_study
from audit_pipeline.store.figures import figures_bytes
from audit_pipeline.study_record import Failure, ModelFacts, StudyRecord

RAISED = frozenset({Outcome.FLAG, Outcome.CRITICAL, Outcome.ERROR})
"""Outcomes that ask for a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Auditor:
    """Everything that is the same for every study of a run."""

    config: AuditConfig
    card: ModelCard
    classifier: Classifier
    model: ModelFacts
    reference: Reference | None
    context: ReportContext
    sampled: frozenset[str] = frozenset()


@dataclass(slots=True)
class Progress:
    """How far one study has come: the stage it is in, what is known so far, seconds per finished stage."""

    stage: str = "load"
    image: Image | None = None
    prepared: Prepared | None = None
    timings_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time a stage; when it raises, `stage` stays at its name."""
        self.stage, start = stage, time.perf_counter()
        try:
            yield
        finally:
            self.timings_s[stage] = round(time.perf_counter() - start, 4)


def audit_study(source: StudySource, key: str, label: str | None, auditor: Auditor) -> Dossier:
    """Take one study through the six stages; whatever goes wrong becomes part of its record.

    A study is refused when it cannot be loaded or does not fit the model, and failed when something breaks later.
    """
    progress = Progress()
    started = _started(source, key, label, auditor)
    try:
        with progress.of("load"):
            settings = settings_from(auditor.config.input, auditor.config.run.workers)
            delivery = deliver(source, settings, auditor.config.input.select)
        started = replace(started, files=_dispositions(delivery))
        return _audit(delivery, started, progress, auditor)
    except AuditError as error:
        failure = Failure(code=error.code, message=str(error), stage=progress.stage)
    except Exception as error:  # noqa: BLE001 - one broken study must not end the run
        failure = Failure(
            code=type(error).__name__,
            message=f"an unexpected {type(error).__name__} in stage {progress.stage}; report it with this record",
            stage=progress.stage,
        )
    return _ended(started, failure, progress, auditor)


def _audit(delivery: Delivery, started: StudyRecord, progress: Progress, auditor: Auditor) -> Dossier:
    config, card = auditor.config, auditor.card
    if delivery.study is None:
        assert delivery.error is not None
        raise delivery.error
    (image,) = delivery.study.images
    progress.image = image
    with progress.of("prepare"):
        prepared = progress.prepared = prepare(image, card)
    with progress.of("predict"):
        maps = one_pass(prepared, auditor)
        prediction = prediction_of(maps, auditor)
    with progress.of("explain"):
        explanations = explanations_of(maps, prepared, image, card)
        shown = panels(image, explanations)
        files = map_files(explanations, image)
    with progress.of("check"):
        evidence = examined(
            image,
            prepared,
            prediction,
            explanations,
            maps,
            classifier=auditor.classifier,
            intended=card.intended,
            reference=auditor.reference,
        )
        found = run_checks(evidence, config.checks, level=config.audit.level)
        judged = judge_each_map(evidence, config.checks, found, level=config.audit.level)
        findings = _in_code_order(delivery, image, found)
    record = replace(
        started,
        status=Status.AUDITED,
        image=image_facts(image, prepared),
        prediction=prediction_facts(prediction),
        explanations=tuple(
            explanation_facts(one, *files[one.method, one.target], judged[one.method, one.target])
            for one in explanations
        ),
        findings=findings,
        verdict=verdict(findings),
    )
    with progress.of("report"):
        written = dict(files.values()) | {"figures.npz": figures_bytes(shown, explanations)}
        written |= render(record, shown, auditor.context, auditor.sampled)
    return Dossier(record=replace(record, timings_s=dict(progress.timings_s)), files=written)


def one_pass(prepared: Prepared, auditor: Auditor) -> Maps:
    """Run the network once: the logits, and every map of the classes chosen from them."""
    settings, card = auditor.config.explain, auditor.card
    return explain_input(
        auditor.classifier.network,
        prepared.values,
        methods=settings.methods,
        layer=card.layer if settings.layer == "auto" else settings.layer,
        targets=lambda logits: choose_targets(settings.targets, logits[0].tolist(), card),
        pooling=settings.pooling,
        spacing_mm=prepared.spacing_mm,
        settings=settings.settings,
        seed=auditor.config.run.seed,
        prove=True,
    )


def prediction_of(maps: Maps, auditor: Auditor) -> Prediction:
    """Return what the model concluded in the pass that gave the maps."""
    return predict(maps.logits[0].tolist(), maps.features[0].tolist(), auditor.card, auditor.classifier.device_name)


def explanations_of(maps: Maps, prepared: Prepared, image: Image, card: ModelCard) -> tuple[Explanation, ...]:
    """Return every map with its place in the patient, why it is blank and what it owes."""
    placed = []
    for position, target in enumerate(maps.targets):
        for method, values in maps.values.items():
            one = place(
                values[0, position].cpu().numpy(),
                prepared,
                image.affine,
                method=method,
                target=target,
                target_name=card.classes[target],
                layer=maps.layer,
                signal_floor=float(maps.signal_floor[0, position]),
            )
            placed.append(judged(one, maps.verification, position))
    return tuple(placed)


def _in_code_order(delivery: Delivery, image: Image, found: Sequence[Finding]) -> tuple[Finding, ...]:
    assert delivery.study is not None
    return tuple(sorted((*found, *image.findings, *delivery.study.findings), key=lambda finding: finding.code))


def render(
    record: StudyRecord, shown: Sequence[Panel], context: ReportContext, sampled: frozenset[str]
) -> Mapping[str, bytes]:
    """Return the report of a study with its overlays, when ``report.pdf`` asks for them.

    Parameters
    ----------
    sampled : the keys that ``sample:k`` chose
    """
    wanted = context.settings.pdf
    raised = record.verdict is None or any(one.outcome in RAISED for one in record.findings)
    is_sampled = wanted.startswith("sample:") and record.study in sampled
    if wanted == "all" or (wanted == "flagged" and raised) or is_sampled:
        return {"report.pdf": render_study(record, shown, context), **overlay_pictures(record, shown, context)}
    return {}


def _started(source: StudySource, key: str, label: str | None, auditor: Auditor) -> StudyRecord:
    """Return the record before anything is known: every file counts as refused."""
    return StudyRecord(
        study=key,
        status=Status.REFUSED,
        model=auditor.model,
        files={str(Disposition.REFUSED): len(source.files)},
        label=label,
    )


def _dispositions(delivery: Delivery) -> Mapping[str, int]:
    return dict(sorted(Counter(str(file.disposition) for file in delivery.files).items()))


def _ended(started: StudyRecord, failure: Failure, progress: Progress, auditor: Auditor) -> Dossier:
    """Return the dossier of a study that did not reach the end, with the page that says why."""
    record = replace(
        started,
        status=Status.REFUSED if failure.stage in {"load", "prepare"} else Status.FAILED,
        image=None if progress.image is None else image_facts(progress.image, progress.prepared),
        findings=() if progress.image is None else progress.image.findings,
        error=failure,
        timings_s=dict(progress.timings_s),
    )
    try:
        files = render(record, (), auditor.context, auditor.sampled)
    except AuditError:
        files = {}
    return Dossier(record=record, files=files)
