"""Changed inputs that checks ask the model about: each made once, asked once, in batches shared by all checks.

A variant is a pure function of the evidence that returns inputs (n, C, *S). A check names the variants it needs in its
metadata, the union over all chosen checks is asked, and the detectors read ``evidence.answer(name)``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit_pipeline.evidence import Answer, Evidence, Unanswered
from audit_pipeline.records import Floats
from audit_pipeline.registry import Registry

BATCH_BYTES = 256 * 2**20
"""Changed inputs held at once; a single variant may exceed it."""

Maker = Callable[[Evidence, np.random.Generator], Floats]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One kind of changed input.

    make : called with the evidence and a generator of its own; returns (n, C, *S), n at most `count`; raises
    `evidence.Unanswered` with a sentence where the study has no such variant
    is_explained : whether the answers hold maps beside the logits
    group : of the answers in the record, see `study_record.AnswerFacts`; "" for what is no question to the prediction
    """

    name: str
    sentence: str
    count: int
    make: Maker
    is_explained: bool = False
    group: str = ""


VARIANTS: Registry[Variant] = Registry("variant", group="audit_pipeline.variants")
"""Every variant by its name."""


def variant(*, count: int, sentence: str, is_explained: bool = False, group: str = "") -> Callable[[Maker], Maker]:
    """Return a decorator that registers a function under its own name as a kind of changed input."""

    def decorate(make: Maker) -> Maker:
        name = make.__name__
        made = Variant(name=name, sentence=sentence, count=count, make=make, is_explained=is_explained, group=group)
        VARIANTS.add(name, made)
        return make

    return decorate


def asked(evidence: Evidence, names: Iterable[str]) -> Evidence:
    """Return the evidence with the answers to the variants `names`; what it holds already is not asked again."""
    wanted = [VARIANTS[name] for name in sorted(set(names) - set(evidence.answers))]
    answers: dict[str, Answer | str] = dict(evidence.answers)
    for is_explained in (False, True):
        chosen = [one for one in wanted if one.is_explained is is_explained]
        for group in _groups(evidence, chosen, answers):
            answers |= _answered(evidence, group, is_explained=is_explained)
    return replace(evidence, answers=answers)


def _groups(
    evidence: Evidence, chosen: Sequence[Variant], answers: dict[str, Answer | str]
) -> Iterator[Mapping[str, Floats]]:
    """Yield the made inputs in groups of bounded size; what cannot be made goes to `answers` with the reason."""
    group: dict[str, Floats] = {}
    for one in chosen:
        generator = np.random.default_rng([evidence.seed, zlib.crc32(one.name.encode())])
        try:
            with np.errstate(all="ignore"):
                inputs = one.make(evidence, generator)
        except Unanswered as missing:
            answers[one.name] = str(missing)
            continue
        if group and sum(held.nbytes for held in group.values()) + inputs.nbytes > BATCH_BYTES:
            yield group
            group = {}
        group[one.name] = np.ascontiguousarray(inputs, dtype=np.float32)
    if group:
        yield group


def _answered(evidence: Evidence, group: Mapping[str, Floats], *, is_explained: bool) -> Mapping[str, Answer | str]:
    if evidence.model is None:
        return dict.fromkeys(group, "The model is not at hand to be asked again.")
    inputs = np.concatenate(list(group.values()))
    whole = evidence.model.explain(inputs) if is_explained else evidence.model.predict(inputs)
    parts: dict[str, Answer | str] = {}
    start = 0
    for name, own in group.items():
        part = slice(start, start + len(own))
        maps = None if whole.maps is None else whole.maps[part]
        parts[name] = Answer(logits=whole.logits[part], probabilities=whole.probabilities[part], maps=maps)
        start += len(own)
    return parts
