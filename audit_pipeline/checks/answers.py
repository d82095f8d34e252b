"""What the model said to every changed input, for the record: the answers the checks had, nothing is asked again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from audit_pipeline.checks.benign import benign_changes
from audit_pipeline.checks.harmless import BLUR_VOXELS, CORRUPTIONS, GAMMA, NOISE, QUANTUM
from audit_pipeline.checks.panel import PANEL
from audit_pipeline.checks.variants import VARIANTS
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.records import Matrix
from audit_pipeline.study_record import AnswerFacts

NOT_ASKED = "No check that ran asked for it."
NOT_FINITE = "The model answered with a number that is not finite."

VOXELS = "voxels"
SPOILT = {
    "noise": (NOISE, "times the noise", 0.0),
    "blur": (BLUR_VOXELS, VOXELS, 0.0),
    "gamma": (GAMMA, "exponent", 1.0),
    "block quantisation": (QUANTUM, "times the noise", 0.0),
}
"""Corruption -> amount, unit, amount of no change; those of `harmless.corrupted`."""

UNCHANGED = {"gamma": 1.0}
"""Amount of no change of a harmless change; 0 of all others."""


def answer_facts(evidence: Evidence) -> tuple[AnswerFacts, ...]:
    """Return the answers of the model to every changed input, group after group, with the reason where there is none.

    A variant of the panel that was not asked is one row, and so is a whole variant of several inputs.
    """
    falsified = [name for name in VARIANTS if VARIANTS[name].group == "falsification" and name not in PANEL]
    return (
        *_rows(evidence, "benign", _harmless(evidence)),
        *_rows(evidence, "corrupted", _corruptions(evidence.prepared.values.ndim - 1)),
        *(row for name in (*PANEL, *falsified) for row in _rows(evidence, name, _falsified(name))),
        *_rows(evidence, "repeated", _repeated()),
    )


def _harmless(evidence: Evidence) -> Iterator[AnswerFacts]:
    for one in benign_changes(evidence.prepared.values.shape[1:]):
        unchanged = UNCHANGED.get(one.kind, 0.0)
        yield AnswerFacts(
            group="harmless",
            name=one.kind,
            sentence=one.sentence,
            amount=one.amount,
            unit=one.unit,
            unchanged=unchanged,
        )


def _corruptions(axes: int) -> Iterator[AnswerFacts]:
    for name in CORRUPTIONS:
        amount, unit, unchanged = SPOILT.get(name, (None, "", None))
        unit = "pixels" if unit == VOXELS and axes == 2 else unit
        yield AnswerFacts(group="corruption", name=name, sentence=name, amount=amount, unit=unit, unchanged=unchanged)


def _falsified(name: str) -> Iterator[AnswerFacts]:
    while True:
        yield AnswerFacts(group="falsification", name=name, sentence=VARIANTS[name].sentence)


def _repeated() -> Iterator[AnswerFacts]:
    while True:
        yield AnswerFacts(group="repeat", name="repeated", sentence=VARIANTS["repeated"].sentence)


def _rows(evidence: Evidence, variant: str, described: Iterable[AnswerFacts]) -> list[AnswerFacts]:
    """Return one row for each input of a variant, in order; one row with the reason where it was not answered."""
    rows = iter(described)
    first = next(rows)
    missing = replace(first, name=variant, sentence=VARIANTS[variant].sentence, amount=None, unit="", unchanged=None)
    if variant not in evidence.answers:
        return [replace(missing, reason=NOT_ASKED)]
    try:
        chances = evidence.answer(variant).probabilities
    except Unanswered as reason:
        return [replace(missing, reason=str(reason))]
    answered: list[AnswerFacts] = []
    for row in chances:
        described_row = first if not answered else next(rows, missing)
        answered.append(_said(described_row, row, evidence.prediction.classes))
    return answered


def _said(row: AnswerFacts, chances: Matrix, classes: tuple[str, ...]) -> AnswerFacts:
    if not np.isfinite(chances).all():
        return replace(row, reason=NOT_FINITE)
    return replace(row, probabilities=dict(zip(classes, map(float, chances), strict=True)))
