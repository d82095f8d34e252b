"""One study through the six stages, in order: load -> prepare -> predict -> explain -> check -> report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from audit_pipeline.beside import Company, with_company
from audit_pipeline.blanking import blank_input, blanked
from audit_pipeline.card import ModelCard
from audit_pipeline.checks import ask, judge_each_map, run_checks, thumbnail_of, verdict
from audit_pipeline.checks.answers import answer_facts
from audit_pipeline.cohort.gather import PANEL_SEPARATOR
from audit_pipeline.config import CLINICAL, AuditConfig
from audit_pipeline.disclosure import disclosed
from audit_pipeline.dossier import Dossier, image_facts, kept_explanations, map_files, prediction_facts
from audit_pipeline.errors import AuditError
from audit_pipeline.evidence import Evidence, GoldenCase, Reference, Traits
from audit_pipeline.examination import examined, traits_of
from audit_pipeline.explain.engine import Maps
from audit_pipeline.explain.methods import is_on_layer
from audit_pipeline.explain.over_parts import OverParts, cells_over_parts, over_parts
from audit_pipeline.explain.parts import WholeMaps, explain_input, rank_input
from audit_pipeline.explain.place import place
from audit_pipeline.explain.ranking import LayerEvidence
from audit_pipeline.explain.verification import judged
from audit_pipeline.explain.views import panels
from audit_pipeline.findings import Finding
from audit_pipeline.geometry import transform_points
from audit_pipeline.intake import in_own_grey, with_intake
from audit_pipeline.load import Delivery, StudySource, deliver
from audit_pipeline.load.chosen import settings_from
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import choose_targets, part_scores, predict
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Disposition, Explanation, Image, Matrix, Panel, Prediction, Prepared, Status
from audit_pipeline.rendering import render
from audit_pipeline.report import ReportContext
from audit_pipeline.store.figures import figures_bytes
from audit_pipeline.store.traits import traits_bytes
from audit_pipeline.study_record import AnswerFacts, Failure, ModelFacts, StudyRecord

WINDOW_UNIT = "Values are what a place adds to the logit of a window that holds it, averaged over those windows."
"""The caution of maps that are stitched of windows."""


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
    golden: tuple[GoldenCase, ...] = ()


@dataclass(slots=True)
class Progress:
    """How far one study has come: the stage it is in, what is known so far, seconds per finished stage."""

    company: Company
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


def audit_study(
    source: StudySource, key: str, label: str | None, auditor: Auditor, facts: Mapping[str, str] | None = None,
    mask: Path | None = None,
) -> Dossier:  # fmt: skip
    """Take one study through the six stages; whatever goes wrong becomes part of its record.

    A study is refused when it cannot be loaded or does not fit the model, and failed when something breaks later.
    """
    progress = Progress(company=Company(source=source, mask=mask, golden=auditor.golden))
    started = replace(_started(source, key, label, auditor), facts=facts or {})
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
        prediction = prediction_of(maps, prepared, auditor)
    with progress.of("explain"):
        explanations = explanations_of(maps, prepared, image, card, cells_of(maps, prepared, auditor))
        shown = with_intake(panels(image, explanations), image, prepared)
        files = map_files(explanations, image)
    with progress.of("check"):
        evidence = examined(
            image,
            prepared,
            prediction,
            explanations,
            maps,
            classifier=auditor.classifier,
            settings=config.explain,
            reference=auditor.reference,
            label=started.label or "",
            seed=config.run.seed,
        )
        evidence = with_company(evidence, progress.company, delivery.files, auditor.classifier, config)
        evidence = ask(evidence, config.checks, level=config.audit.level)
        found = run_checks(evidence, config.checks, level=config.audit.level)
        judged = judge_each_map(evidence, config.checks, found, level=config.audit.level)
        findings = _in_code_order(delivery, image, found)
    record = replace(
        started,
        status=Status.AUDITED,
        image=image_facts(image, prepared),
        prediction=prediction_facts(prediction),
        explanations=kept_explanations(explanations, files, judged, image.shape),
        answers=answer_facts(evidence),
        findings=findings,
        verdict=verdict(findings),
    )
    with progress.of("report"):
        shown = without_text(shown, image, prepared, config)
        written = dict(files.values()) | {"figures.npz": figures_bytes(shown, explanations)}
        written["traits.npz"] = traits_bytes(_kept_traits(traits_of(evidence, found), evidence, record.answers))
        written |= render(record, shown, auditor.context, auditor.sampled)
    return Dossier(record=replace(record, timings_s=dict(progress.timings_s)), files=written)


def without_text(shown: Sequence[Panel], image: Image, prepared: Prepared, config: AuditConfig) -> tuple[Panel, ...]:
    """Return the slices with text blanked in the middle grey of their window; as they are in the clinical profile."""
    low, high = prepared.display_window
    if config.report.profile == CLINICAL:
        return tuple(shown)
    return tuple(in_own_grey(panel) for panel in blanked(shown, image, (low + high) / 2))


def _kept_traits(traits: Traits, evidence: Evidence, answers: Sequence[AnswerFacts]) -> Traits:
    """Return the traits with text blanked and the age as a band, and what the falsification panel was told."""
    said = {
        f"{row.name}{PANEL_SEPARATOR}{name}": value
        for row in answers
        if row.group == "falsification"
        for name, value in row.probabilities.items()
    }
    thumbnail = thumbnail_of(blank_input(evidence.prepared, evidence.image))
    header = disclosed(evidence.image.metadata)
    return replace(traits, values={**traits.values, **said}, thumbnail=thumbnail, header=header)


def layer_of(auditor: Auditor) -> str | list[str] | None:
    """Return the layer that is explained: as configured, as chosen for the run, or the card's; None: the engine's."""
    named, choice = auditor.config.explain.layer, auditor.model.layer_choice
    if named != "auto":
        return named
    return (choice.layer if choice else "") or auditor.card.layer


def prepared_of(source: StudySource, auditor: Auditor) -> Prepared:
    """Return the model input of one study.

    Raises
    ------
    AuditError
        The study cannot be loaded or does not fit the model.
    """
    settings = auditor.config.input
    delivery = deliver(source, settings_from(settings, auditor.config.run.workers), settings.select)
    if delivery.study is None:
        assert delivery.error is not None
        raise delivery.error
    return prepare(delivery.study.images[0], auditor.card)


def layer_evidence(prepared: Prepared, auditor: Auditor, also: str = "") -> tuple[LayerEvidence, ...]:
    """Return what speaks for each stage of the network on one input, the best first.

    also : a layer that is compared as well, "" for none

    Raises
    ------
    LayerError, ExplainError
        The network has no stages to compare.
    """
    config = auditor.config
    return rank_input(
        auditor.classifier.network,
        prepared.values,
        target=lambda logits: choose_targets(config.explain.targets, logits[0].tolist(), auditor.card),
        also=(also,) if also else (),
        spacing_mm=prepared.spacing_mm,
        seed=config.run.seed,
    )


def one_pass(prepared: Prepared, auditor: Auditor) -> Maps:
    """Run the network once: the logits, and every map of the classes chosen from them."""
    settings, card = auditor.config.explain, auditor.card
    return explain_input(
        auditor.classifier.network,
        prepared.values,
        methods=settings.methods,
        layer=layer_of(auditor),
        targets=lambda logits: choose_targets(settings.targets, logits[0].tolist(), card),
        pooling=settings.pooling,
        spacing_mm=prepared.spacing_mm,
        settings=settings.settings,
        seed=auditor.config.run.seed,
        prove=True,
    )


def prediction_of(maps: Maps, prepared: Prepared, auditor: Auditor) -> Prediction:
    """Return what the model concluded in the pass that gave the maps."""
    card, network = auditor.card, auditor.classifier.network
    parts = None
    if isinstance(maps, WholeMaps) and isinstance(network, OverParts):
        centres = transform_points(prepared.to_source, network.cutting.centres(prepared.values.shape[1:]))
        rule = network.rule(len(centres))
        parts = part_scores(maps.part_logits[0].tolist(), maps.weights[0].tolist(), centres, card, rule)
    logits, features = maps.logits[0].tolist(), maps.features[0].tolist()
    return predict(logits, features, card, auditor.classifier.device_name, parts=parts)


def ready(classifier: Classifier) -> Classifier:
    """Return the classifier over whole images, also where the card lets its network read slices or windows."""
    return replace(classifier, network=over_parts(classifier.network, classifier.card))


def cells_of(maps: Maps, prepared: Prepared, auditor: Auditor) -> Matrix | None:
    """Return where the cells of the explained layer lie in the model input; None where they tile it evenly."""
    grids = {tuple(one.shape[2:]) for method, one in maps.values.items() if is_on_layer(method)}
    if len(grids) != 1:
        return None
    return cells_over_parts(auditor.classifier.network, maps.layer, grids.pop(), prepared.values.shape)


def explanations_of(
    maps: Maps, prepared: Prepared, image: Image, card: ModelCard, cells: Matrix | None = None
) -> tuple[Explanation, ...]:
    """Return every map with its place in the patient, why it is blank and what it owes.

    cells : see `cells_of`
    """
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
                to_input=cells if is_on_layer(method) else None,
            )
            if card.input.windows is not None:
                one = replace(one, caution=f"{one.caution} {WINDOW_UNIT}".strip())
            placed.append(judged(one, maps.verification, position))
    return tuple(placed)


def _in_code_order(delivery: Delivery, image: Image, found: Sequence[Finding]) -> tuple[Finding, ...]:
    assert delivery.study is not None
    return tuple(sorted((*found, *image.findings, *delivery.study.findings), key=lambda finding: finding.code))


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
