"""One image through load, prepare, predict and explain, measured and written to a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from audit_pipeline.card import read_card
from audit_pipeline.config import AuditConfig, read_config
from audit_pipeline.dossier import image_facts, map_files, prediction_facts
from audit_pipeline.errors import AuditError, LoadError, NotAStudyError, SeveralStudiesError
from audit_pipeline.execute.run_facts import model_facts
from audit_pipeline.explain.faithfulness import CurveSettings
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.ranking import LayerEvidence, why
from audit_pipeline.explaining.files import described, pictures, save
from audit_pipeline.explaining.layers import field_facts
from audit_pipeline.explaining.measures import BATCH, Subject, faithfulness_facts, once, peak_facts, region_facts
from audit_pipeline.explaining.reference import localisation_facts, reference_facts
from audit_pipeline.explaining.sanity import STEPS, sanity_facts
from audit_pipeline.load import ReferenceMask, StudySource, deliver, find_studies, read_reference_mask
from audit_pipeline.load.chosen import settings_from
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.pipeline import (
    Auditor,
    cells_of,
    explanations_of,
    layer_evidence,
    layer_of,
    one_pass,
    prediction_of,
    ready,
)
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Explanation, Image, Prepared
from audit_pipeline.report import ReportContext
from audit_pipeline.study_record import LayerChoice, StudyRecord

SCHEMA = "audit-pipeline/explanation/1"

Facts = dict[str, Any]
OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked about one image.

    Attributes
    ----------
    card : the model card, YAML; methods : names from ``list explainers``; target : as ``explain.targets``
    layer : a name, several separated by commas, or None for that of the card, else the best of `rank_layers`, else the
        last convolutional stage
    mask : NIfTI file of a reference mask, or None; output : the folder that is written
    device, seed, sets : as ``run.device``, ``run.seed`` and ``--set`` of a run
    steps, nulls, reach : of the deletion and insertion curves, see `CurveSettings`; 0 steps leave them out
    sanity : forward passes that each test of `sanity_facts` may cost a method; 0 leaves the tests out
    rank_layers : whether the stages of the network are compared and the receptive field is measured
    allow_code : whether a Python factory named in the card may run
    """

    card: Path
    methods: tuple[str, ...]
    output: Path
    target: str = "predicted"
    layer: str | None = None
    mask: Path | None = None
    device: str = "auto"
    seed: int = 0
    sets: tuple[str, ...] = ()
    steps: int = 5
    nulls: int = 19
    reach: float = 0.2
    sanity: int = 2000
    rank_layers: bool = False
    allow_code: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """The image, the model input made of it, and the mask that a reader drew."""

    image: Image
    prepared: Prepared
    reference: ReferenceMask | None


@dataclass(slots=True)
class _Steps:
    """Says after each step how many of all are done."""

    total: int
    on_progress: OnProgress | None
    numbers: Any = field(default_factory=lambda: count(1))

    def __call__(self, sentence: str) -> None:
        number = next(self.numbers)
        if self.on_progress:
            self.on_progress(number, self.total, sentence)


def explain_image(path: Path, wanted: Wanted, on_progress: OnProgress | None = None) -> Facts:
    """Explain one image, write maps, pictures and ``explanation.json`` to a folder, and return the same facts.

    Returns
    -------
    dict
        Plain data without NaN. When the image is refused, by the loader or because it does not fit the model,
        ``error`` says why and everything that would follow is missing; nothing is written then.

    Raises
    ------
    ConfigError, ModelError, LoadError
        The settings, the model or the path are impossible.
    LayerError, ExplainError
        The layer does not exist; the candidates are listed. Or the mask does not belong to the image.
    """
    config = _config(wanted)
    source = _source(path)
    auditor = _auditor(config, wanted)
    reference = None if wanted.mask is None else read_reference_mask(wanted.mask)
    tests = len(STEPS) if wanted.sanity else 0
    steps = _Steps(4 + len(config.explain.methods) + wanted.rank_layers + tests, on_progress)
    steps("model loaded")
    try:
        image = _image(source, config)
        prepared = prepare(image, auditor.card)
    except AuditError as error:
        stage = "load" if isinstance(error, LoadError) else "prepare"
        return {"schema": SCHEMA, "error": {"code": error.code, "message": str(error), "stage": stage}}
    steps("image prepared")
    if reference is not None:
        reference.require_overlap(image)
    return _explained(_Case(image=image, prepared=prepared, reference=reference), auditor, wanted, steps)


def _explained(case: _Case, auditor: Auditor, wanted: Wanted, steps: _Steps) -> Facts:
    ranked = layer_evidence(case.prepared, auditor) if wanted.rank_layers else ()
    if ranked:
        auditor = _at_the_best(auditor, ranked)
        steps("layers ranked")
    maps = one_pass(case.prepared, auditor)
    prediction = prediction_of(maps, case.prepared, auditor)
    cells = cells_of(maps, case.prepared, auditor)
    explanations = explanations_of(maps, case.prepared, case.image, auditor.card, cells)
    steps("maps computed")
    seed = auditor.config.run.seed
    subject = Subject(network=auditor.classifier.network, values=case.prepared.values, like=maps.logits, seed=seed)
    follow = once(partial(faithfulness_facts, subject=subject, settings=_curves(wanted, seed)))
    measured: dict[tuple[str, int], Facts] = {}
    for method in maps.values:
        for one in (one for one in explanations if one.method == method):
            measured[method, one.target] = _measured(one, case) | {"faithfulness": follow(one)}
        steps(f"{method} measured")
    for key, facts in _tests(explanations, case, auditor, subject, maps.layer, wanted, steps).items():
        measured[key]["sanity"] = facts
    ranking: Facts = {"layers": None, "layer_reason": "", "receptive_field": None}
    if ranked:
        ranking["layers"] = [asdict(one) for one in ranked]
        ranking["layer_reason"] = why(ranked)
        ranking["receptive_field"] = field_facts(subject, maps.layer, case.prepared.spacing_mm)
    files = map_files(explanations, case.image)
    record = described(
        image_facts(case.image, case.prepared), prediction_facts(prediction), auditor.model, explanations, files
    )
    overlays, drawn = pictures(record, case.image, explanations, auditor.context)
    found = _document(record, case, measured, overlays) | ranking
    found |= {"layer": maps.layer, "gradient_is_uniform": bool(maps.gradient_is_uniform[0])}
    found |= {"seed": seed, "folder": str(auditor.config.run.output)}
    kept = save(found, dict(files.values()) | drawn, auditor.config.run.output)
    steps("files written")
    return kept


def _at_the_best(auditor: Auditor, ranked: Sequence[LayerEvidence]) -> Auditor:
    """Return the auditor that explains the best layer, unless one is named."""
    if layer_of(auditor) is not None:
        return auditor
    choice = LayerChoice(layer=ranked[0].layer, reason=why(ranked))
    return replace(auditor, model=replace(auditor.model, layer_choice=choice))


def _tests(
    explanations: Sequence[Explanation],
    case: _Case,
    auditor: Auditor,
    subject: Subject,
    layer: str,
    wanted: Wanted,
    steps: _Steps,
) -> Mapping[tuple[str, int], Facts]:
    if not wanted.sanity:
        return {(one.method, one.target): {"reason": "not asked for"} for one in explanations}
    return sanity_facts(
        explanations,
        case.prepared,
        auditor,
        subject,
        layer,
        forwards=wanted.sanity,
        curves=_curves(wanted, subject.seed),
        on_test=lambda test: steps(f"{test.replace('_', ' ')} tested"),
    )


def _curves(wanted: Wanted, seed: int) -> CurveSettings:
    return CurveSettings(steps=wanted.steps, nulls=wanted.nulls, reach=wanted.reach, batch=BATCH, seed=seed)


def _measured(one: Explanation, case: _Case) -> Facts:
    agreement = None
    if case.reference is not None:
        agreement = localisation_facts(one, case.reference, case.image)
    return {
        "place": peak_facts(one, case.image),
        "region": region_facts(one, case.image),
        "localisation": agreement,
    }


def _document(
    record: StudyRecord,
    case: _Case,
    measured: Mapping[tuple[str, int], Facts],
    overlays: Mapping[tuple[str, int], list[str]],
) -> Facts:
    """Return the facts about image, prediction and maps; `measured` and `overlays` by method and target."""
    assert record.image is not None
    assert record.prediction is not None
    return {
        "schema": SCHEMA,
        "error": None,
        "model": asdict(record.model),
        "image": asdict(record.image),
        "findings": [asdict(one) for one in case.image.findings],
        "prediction": asdict(record.prediction),
        "mask": None if case.reference is None else reference_facts(case.reference, case.image),
        "maps": [
            asdict(facts) | {"overlays": overlays[key]} | measured[key]
            for facts in record.explanations
            for key in [(facts.method, facts.target)]
        ],
    }


def _config(wanted: Wanted) -> AuditConfig:
    """Return the configuration of a run that asks the same, so that keys and values are checked in one place."""
    layers = (wanted.layer or "auto").split(",")
    config = read_config(
        {
            "model": {"card": wanted.card},
            "explain": {
                "methods": list(dict.fromkeys(wanted.methods)),
                "targets": wanted.target,
                "layer": layers[0] if len(layers) == 1 else layers,
            },
            "run": {"device": wanted.device, "seed": wanted.seed, "output": wanted.output},
        },
        wanted.sets,
    )
    for method in config.explain.methods:
        EXPLAINERS[method]
    return config


def _auditor(config: AuditConfig, wanted: Wanted) -> Auditor:
    card = read_card(config.model.card)
    classifier = ready(load_classifier(card, device=config.run.device, allow_code=wanted.allow_code))
    return Auditor(
        config=config,
        card=card,
        classifier=classifier,
        model=model_facts(card, classifier),
        reference=None,
        context=ReportContext(run="", audit_name=config.audit.name, settings=config.report),
    )


def _source(path: Path) -> StudySource:
    """Return the one study at a path; text and empty files beside it do not count."""
    sources = [source for source in find_studies([path]) if not source.is_clutter]
    if not sources:
        raise NotAStudyError("no file at the path is an image; name a DICOM or NIfTI file, a series or an archive")
    if len(sources) > 1:
        raise SeveralStudiesError(f"one image was expected, found {len(sources)} studies; name one of them")
    return sources[0]


def _image(source: StudySource, config: AuditConfig) -> Image:
    """Return the one image that ``input.select`` chooses.

    Raises
    ------
    LoadError
        The study delivers none, or several fit.
    """
    delivery = deliver(source, settings_from(config.input, config.run.workers), config.input.select)
    if delivery.study is None:
        raise delivery.error or NotAStudyError("the study holds no image")
    (image,) = delivery.study.images
    return image
