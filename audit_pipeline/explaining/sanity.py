"""Whether the maps of one image depend on what the model learnt: ROAD, infidelity and every test of `sanity`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from audit_pipeline.errors import AuditError, ExplainError
from audit_pipeline.explain.faithfulness import CurveSettings, deletion_insertion
from audit_pipeline.explain.infidelity import Perturbation, infidelities
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.parts import explain_whole
from audit_pipeline.explain.randomisation import MEASURES, Randomisation
from audit_pipeline.explain.sanity import TESTS, Ask, Sanity, SanitySettings, sanity
from audit_pipeline.explaining.measures import BATCH, Subject, once, trial_facts
from audit_pipeline.pipeline import Auditor, layer_of
from audit_pipeline.records import Explanation, Prepared

SLOPES = "logit per unit of intensity"
"""The unit of maps whose values are derivatives: noise is what they predict, not the loss of a part."""

Facts = dict[str, Any]
Key = tuple[str, int]
OnTest = Callable[[str], None]

STEPS = (*TESTS, "infidelity", "road")
"""What `sanity_facts` reports when it is done."""


def sanity_facts(
    explanations: Sequence[Explanation],
    prepared: Prepared,
    auditor: Auditor,
    subject: Subject,
    layer: str,
    *,
    forwards: int,
    curves: CurveSettings,
    on_test: OnTest,
) -> dict[Key, Facts]:
    """Return, per method and target, what every test found, or why it found nothing.

    Parameters
    ----------
    layer : of the maps
    forwards : passes that one test may cost one method; curves : as of the deletion and insertion curves
    on_test : called with each of `STEPS` when it is done
    """
    shown = [one for one in explanations if not one.blank]
    keys = {(one.method, one.target): one for one in shown}
    settings = SanitySettings(forwards=forwards, seed=subject.seed)
    found: Mapping[Key, Sanity] = {}
    if shown:
        found = sanity(
            subject.network,
            subject.image,
            _asking(prepared, auditor, layer),
            list(dict.fromkeys(one.method for one in shown)),
            sorted({one.target for one in shown}),
            classes=len(auditor.card.classes),
            settings=settings,
            on_test=on_test,
        )
    infidelity = _infidelities(shown, subject)
    on_test("infidelity")
    facts: dict[Key, Facts] = {}
    road = once(partial(_road, subject=subject, curves=curves))
    for one in explanations:
        key = one.method, one.target
        if key not in keys:
            facts[key] = {"reason": "the map is blank"}
            continue
        other = found[key].other
        facts[key] = {
            "reason": "",
            "settings": asdict(settings),
            "infidelity": infidelity[key],
            "road": road(one),
            **_plain(found[key]),
            "other_class": None if other is None else auditor.card.classes[other],
        }
    on_test("road")
    return facts


def _asking(prepared: Prepared, auditor: Auditor, layer: str) -> Ask:
    settings = auditor.config.explain

    def ask(model: Any, images: Any, methods: Sequence[str], targets: Sequence[int], seed: int) -> Mapping[Key, Any]:
        found = explain_whole(
            model,
            images,
            methods=tuple(methods),
            layer=layer_of(auditor) or layer,
            targets=tuple(targets),
            pooling=settings.pooling,
            spacing_mm=prepared.spacing_mm,
            settings={name: given for name, given in settings.settings.items() if name in methods},
            seed=seed,
        )
        return {
            (method, target): found.values[method][:, column]
            for method in methods
            for column, target in enumerate(targets)
        }

    return ask


def _infidelities(shown: Sequence[Explanation], subject: Subject) -> dict[Key, Facts]:
    """Return the infidelity of every map, derivatives against noise, all others against the loss of blocks."""
    kinds: dict[Perturbation, list[Explanation]] = {"blocks": [], "noise": []}
    for one in shown:
        kinds["noise" if EXPLAINERS[one.method].unit == SLOPES else "blocks"].append(one)
    facts: dict[Key, Facts] = {}
    for kind, maps in kinds.items():
        asked = {(one.method, one.target): (subject.tensor(one.values), one.target) for one in maps}
        try:
            found = infidelities(subject.image, asked, subject.logits_of, kind=kind, batch=BATCH, seed=subject.seed)
            facts |= {key: {"reason": "", "perturbation": kind, **asdict(one)} for key, one in found.items()}
        except AuditError as error:
            facts |= {key: {"reason": str(error)} for key in asked}
    return facts


def _road(one: Explanation, subject: Subject, curves: CurveSettings) -> Facts:
    if curves.steps < 1:
        return {"reason": "not asked for"}
    settings = replace(curves, nulls=0, infill="road")
    try:
        found = deletion_insertion(subject.image, subject.tensor(one.values), one.target, subject.logits_of, settings)
    except ExplainError as error:
        return {"reason": str(error)}
    return {
        "reason": "",
        "shares": list(found.shares),
        **{name: trial_facts(getattr(found, name)) for name in ("deletion", "insertion", "between")},
    }


def _plain(found: Sanity) -> Facts:
    facts: Facts = {}
    for test in TESTS:
        value = getattr(found, test)
        if value is None:
            facts[test] = {"reason": found.reasons[test]}
        elif isinstance(value, Randomisation):
            facts[test] = {"reason": ""} | asdict(value)
            facts[test]["at_chance"] = {name: value.is_at_chance(name) for name in MEASURES}
        else:
            facts[test] = {"reason": ""} | asdict(value)
    if found.redrawn is not None and found.cascading is not None:
        facts["redrawn"]["at_chance"] = {
            name: found.cascading.is_chance(getattr(found.redrawn, name), name) for name in MEASURES
        }
    return facts
