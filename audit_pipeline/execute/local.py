"""The run in this process: find the studies, audit what is not finished, close the folder with tables and reports."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.checks import validate_settings
from audit_pipeline.cohort.run import validate_cohort_settings
from audit_pipeline.config import CLINICAL, AuditConfig, read_config
from audit_pipeline.errors import ConfigError
from audit_pipeline.evidence import Reference
from audit_pipeline.execute.clinical import clinical_rows, identified, require_profile
from audit_pipeline.execute.closing import RECORDED, AuditResult, OnProgress, close, report_context, sampled_keys
from audit_pipeline.execute.cohort import plan_of
from audit_pipeline.execute.golden import golden_cases, golden_facts, require_golden
from audit_pipeline.execute.layers import with_layer
from audit_pipeline.execute.plan import Work, plan
from audit_pipeline.execute.run_facts import code_facts, first_facts, identity_of, model_facts
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.load import find_studies, read_labels, validate_rules
from audit_pipeline.models.classifier import Classifier, load_classifier
from audit_pipeline.pipeline import Auditor, audit_study, ready
from audit_pipeline.store.ledger import LEDGER, require_as_written, write_ledger
from audit_pipeline.store.pseudonym import site_key
from audit_pipeline.store.reference import read_reference
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import StudyRecord

LOG = logging.getLogger("audit_pipeline")


def run_audit(  # noqa: PLR0913 - the overrides of the command line
    config: AuditConfig | Mapping[str, Any] | Path | str,
    *,
    inputs: Sequence[Path | str] = (),
    output: Path | str | None = None,
    device: str | None = None,
    level: str | None = None,
    sets: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
    limit: int | None = None,
    allow_code: bool = False,
    own_reference: bool = True,
    on_progress: OnProgress | None = None,
) -> AuditResult:
    """Audit every study that a configuration names; started again on the same output, it finishes what is missing.

    Parameters
    ----------
    config : a configuration, its mapping, or the path of its YAML file
    inputs : files or folders that replace ``input.paths``
    output, device, level : replace ``run.output``, ``run.device`` and ``audit.level``
    sets : further ``key.path=value`` settings
    shard : (i, n): audit the i-th of n parts of the studies; every part may run on another machine
    limit : audit at most this many studies
    allow_code : whether a Python factory named in the model card may run
    own_reference : whether the reference studies of the model card are used where the configuration names none
    on_progress : called after every study

    Raises
    ------
    ConfigError, ModelError, StoreError
        Before any study is touched: the settings, the model or the run folder are impossible.
    """
    settings = resolved(config, inputs=inputs, output=output, device=device, level=level, sets=sets)
    validate_settings(settings.checks)
    validate_cohort_settings(settings.cohort)
    validate_rules(settings.input.select)
    for method in settings.explain.methods:
        EXPLAINERS[method]
    card = read_card(settings.model.card)
    require_golden(card)
    labels = read_labels(settings.input.labels) if settings.input.labels else {}
    secret = site_key(settings.run.site_key)
    declared = plan_of(settings, card, secret)
    folder_of_labels = settings.input.labels.parent if settings.input.labels else None
    planned = plan(find_studies(settings.input.paths), secret, labels, shard, limit, folder=folder_of_labels)
    classifier = ready(load_classifier(card, device=settings.run.device, allow_code=allow_code))
    folder = RunFolder(settings.run.output)
    reference = _reference(settings, card, own=own_reference)
    identity = identity_of(settings, card, classifier, reference)
    require_as_written(folder.path, *RECORDED, "run.json")
    run = folder.open(identity, first_facts(settings, card, classifier, secret))
    require_profile(run, settings)
    if settings.report.profile == CLINICAL:
        folder.close_to_others()
    folder.write_linkage(clinical_rows(planned, settings))
    auditor = _auditor(settings, card, classifier, run, planned.work, reference)
    auditor = replace(auditor, context=identified(auditor.context, folder))
    auditor = with_layer(auditor, planned, folder)
    auditor = replace(auditor, golden=golden_cases(auditor))
    _note(folder, auditor)
    if (folder.path / LEDGER).exists():
        write_ledger(folder.path)  # what this start noted is no change by others, should it be cut off
    _audit_all(folder, planned.work, auditor, on_progress)
    left_out = Counter(reason for _, reason in planned.excluded)
    return close(folder, auditor.context, settings, excluded=left_out, plan=declared)


def resolved(
    config: AuditConfig | Mapping[str, Any] | Path | str,
    *,
    inputs: Sequence[Path | str] = (),
    output: Path | str | None = None,
    device: str | None = None,
    level: str | None = None,
    sets: Sequence[str] = (),
) -> AuditConfig:
    """Return the configuration with the overrides of the command line applied.

    Raises
    ------
    ConfigError
        It is impossible, or names no input.
    """
    given = [*sets]
    given += [f"run.device={device}"] if device else []
    given += [f"audit.level={level}"] if level else []
    if isinstance(config, AuditConfig):
        config = config.model_dump(mode="json")
    settings = read_config(Path(config) if isinstance(config, str) else config, given)
    if inputs:
        paths = settings.input.model_copy(update={"paths": [Path(path) for path in inputs]})
        settings = settings.model_copy(update={"input": paths})
    if output:
        place = settings.run.model_copy(update={"output": Path(output)})
        settings = settings.model_copy(update={"run": place})
    if not settings.input.paths:
        raise ConfigError("input.paths: no input is named; give files or folders here or with --input")
    return settings


def _reference(config: AuditConfig, card: ModelCard, *, own: bool) -> Reference | None:
    if config.checks.reference is not None:
        found = read_reference(config.checks.reference)
    elif own and card.reference is not None:
        found = read_reference(card.reference.path, card.reference.sha256)
    else:
        return None
    weights = "" if card.weights is None else card.weights.sha256
    if found.model and weights and found.model != weights:
        raise ConfigError(
            "checks.reference: these studies were measured with other weights than the model card names; "
            "calibrate again with this model"
        )
    return found


def _auditor(
    config: AuditConfig,
    card: ModelCard,
    classifier: Classifier,
    run: Mapping[str, Any],
    work: Sequence[Work],
    reference: Reference | None,
) -> Auditor:
    return Auditor(
        config=config,
        card=card,
        classifier=classifier,
        model=model_facts(card, classifier),
        reference=reference,
        context=report_context(config, run),
        sampled=sampled_keys([one.key for one in work], config),
    )


def _note(folder: RunFolder, auditor: Auditor) -> None:
    """Add to ``run.json`` what this start of the run found: what the golden cases say, and whether the code changed."""
    run = folder.run()
    noted = {**run, "golden": golden_facts(auditor.golden, auditor.card.classes)}
    if run.get("code", {}).get("sha256") != code_facts()["sha256"]:
        noted["other_code"] = code_facts()["sha256"]
    if noted != run:
        folder.write_json("run.json", noted)


def _audit_all(folder: RunFolder, work: Sequence[Work], auditor: Auditor, on_progress: OnProgress | None) -> None:
    for done, one in enumerate(work, 1):
        if folder.is_committed(one.key):
            sentence = f"{one.key} was finished before"
        else:
            dossier = audit_study(one.source, one.key, one.label, auditor, one.facts, one.mask)
            folder.commit(dossier.record, dossier.files)
            sentence = _sentence(dossier.record)
        LOG.info("%d of %d: %s", done, len(work), sentence)
        if on_progress:
            on_progress(done, len(work), sentence)


def _sentence(record: StudyRecord) -> str:
    if record.error is not None:
        return f"{record.study} {record.status}: {record.error.code}"
    assert record.prediction is not None
    assert record.verdict is not None
    concluded = ", ".join(record.prediction.predicted) or "none"
    return f"{record.study} {concluded}; prediction {record.verdict.prediction}, map {record.verdict.explanation}"
