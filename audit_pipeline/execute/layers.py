"""Which layer the maps of a run come from: chosen once per run by evidence on a few of its studies, and kept.

The studies are those with the smallest digests of their identity among all that were found, whatever part of them this
process audits, so that every shard, every limit and every resumed run compares on the same ones. The choice stands in
``run.json``; a run that is resumed, also with further studies, takes it from there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter

from audit_pipeline.errors import AuditError
from audit_pipeline.execute.plan import Plan, Work
from audit_pipeline.explain.ranking import LayerEvidence, combined, why
from audit_pipeline.pipeline import Auditor, layer_evidence, prepared_of
from audit_pipeline.store.files import sha256
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import LayerChoice, LayerFacts

LOG = logging.getLogger("audit_pipeline")

COMPARED = {"screen": 0, "standard": 2, "deep": 6}
"""Level of the audit -> studies on which layers are compared; each costs some hundred forward passes, once per run."""

MOST_TRIED = 12
"""Studies that are opened before a run does without a comparison, because none of them fits the model."""

LAST_STAGE = "Each study's maps come from the last convolutional stage of the network, or its last layer of tokens"

_ADAPTER: TypeAdapter[LayerChoice] = TypeAdapter(LayerChoice)


def with_layer(auditor: Auditor, planned: Plan, folder: RunFolder) -> Auditor:
    """Return the auditor that knows which layer to explain, and write the choice to ``run.json``."""
    run = folder.run()
    known: Mapping[str, Any] | None = run["model"].get("layer_choice")
    choice = choose(auditor, planned) if known is None else _ADAPTER.validate_python(known)
    if known is None:
        folder.write_json("run.json", {**run, "model": {**run["model"], "layer_choice": asdict(choice)}})
    return replace(auditor, model=replace(auditor.model, layer_choice=choice))


def choose(auditor: Auditor, planned: Plan) -> LayerChoice:
    """Return the layer that the configuration, the card or the reference studies fix, else the best by evidence.

    Evidence is also shown beside a layer that the card or the reference fixes, but not where the configuration does.
    """
    named = auditor.config.explain.layer
    if named != "auto":
        layer = named if isinstance(named, str) else named[-1]
        return LayerChoice(layer=layer, reason=f"{layer} is named in the configuration; no layers were compared.")
    fixed, by = _fixed(auditor)
    wanted = COMPARED[auditor.config.audit.level]
    if not wanted:
        return LayerChoice(layer=fixed, reason=f"{by or LAST_STAGE}. At level screen no layers are compared.")
    studies, rankings, trouble = _compared(auditor, planned, fixed, wanted)
    if not rankings:
        return LayerChoice(layer=fixed, reason=f"{by or LAST_STAGE}. No layers were compared: {trouble}.")
    ranked = combined(rankings)
    reason = why(ranked)
    if fixed:
        place = next((one.rank for one in ranked if one.layer == fixed), None)
        reason = f"{by}; by the evidence it is number {place} of {len(ranked)}. {reason}"
    return LayerChoice(
        layer=fixed or ranked[0].layer,
        reason=reason,
        studies=tuple(studies),
        ranking=tuple(_facts(one) for one in ranked),
    )


def _fixed(auditor: Auditor) -> tuple[str, str]:
    """Return the layer that is not open to choice and the reason in words, or nothing.

    The reference studies fix it, because their features are those of one layer and are compared with no other.
    """
    if auditor.card.layer:
        return auditor.card.layer, f"{auditor.card.layer} is named in the model card"
    if auditor.reference is not None and auditor.reference.layer:
        layer = auditor.reference.layer
        return layer, f"{layer} is the layer whose features the reference studies hold"
    return "", ""


def _compared(
    auditor: Auditor, planned: Plan, fixed: str, wanted: int
) -> tuple[list[str], list[tuple[LayerEvidence, ...]], str]:
    """Return the keys of the studies compared on, the evidence of each, and why there is none."""
    studies: list[str] = []
    rankings: list[tuple[LayerEvidence, ...]] = []
    trouble = "there is no study"
    for one in _in_fixed_order(planned)[:MOST_TRIED]:
        try:
            rankings.append(layer_evidence(prepared_of(one.source, auditor), auditor, fixed))
        except AuditError as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - the study itself will say what is wrong with it
            trouble = f"an unexpected {type(error).__name__}"
        else:
            studies.append(one.key)
            LOG.info("layers compared on %s", one.key)
        if len(studies) == wanted:
            break
    return studies, rankings, trouble


def _in_fixed_order(planned: Plan) -> Sequence[Work]:
    """Return every study that was found, also those of other shards, by the digest of its identity."""
    found = {one.key: one for one in [*planned.work, *(one for one, _ in planned.excluded)]}
    return sorted(found.values(), key=lambda one: sha256(one.source.identity.encode()))


def _facts(one: LayerEvidence) -> LayerFacts:
    content = asdict(one)
    del content["p_value"]
    return LayerFacts(**content)
