"""Every planted fault of family A is found by the check of its mode, in 2D and in 3D."""

from functools import lru_cache

import numpy as np
import pytest

from audit_pipeline.bench import plants_frame, plants_input  # noqa: F401 - importing registers the plants
from audit_pipeline.bench.case import Case
from audit_pipeline.bench.clean import clean_case
from audit_pipeline.bench.plants import PLANTS
from audit_pipeline.checks import catalogue, masks_of
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Prediction, Task
from audit_pipeline.store.reference import read_reference

FOUND = {Outcome.FLAG, Outcome.CRITICAL, Outcome.NOTE}
CHECKS = {entry.mode.code: entry for entry in catalogue().values()}
OURS = {name: entry for name, entry in PLANTS.items() if entry.code.startswith("A")}
PREDICTION = Prediction(
    task=Task.BINARY, classes=("nodule",), logits=(0.0,), probabilities=(0.5,), thresholds={}, predicted=(),
    device="cpu", precision="fp32",
)  # fmt: skip


@lru_cache
def reference(card_name, path):
    return read_reference(path)


def evidence(case: Case) -> Evidence:
    """Return the evidence without asking the network, which no check of family A reads."""
    prepared = prepare(case.image, case.card)
    masks = masks_of(case.image, prepared)
    known = case.card.reference
    return case.spoil(
        Evidence(
            image=case.image, prepared=prepared, prediction=PREDICTION, explanations=(), intended=case.card.intended,
            body=masks.body, padding=masks.padding, border=masks.border, text=masks.text,
            reference=reference(case.card.name, known.path) if known else None,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "dimensions"), [(name, number) for name, entry in OURS.items() for number in entry.dimensions]
)
def test_a_planted_fault_is_found(name, dimensions):
    entry = OURS[name]
    for severity, seed in ((3, 1), (5, 2)):
        case = entry.plant(clean_case(9_000_000 + seed, dimensions), severity, np.random.default_rng([seed, severity]))
        finding = CHECKS[entry.code].function(evidence(case))
        assert finding.outcome in FOUND, finding.message


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_clean_case_raises_no_check_of_the_input(dimensions):
    seen = evidence(clean_case(9_000_001, dimensions))
    raised = {code for code, entry in CHECKS.items() if code.startswith("A") and entry.function(seen).outcome in FOUND}
    assert not raised


def test_planting_leaves_the_clean_case_as_it_is():
    case = clean_case(9_000_001, 2)
    before = case.image.values.copy()
    for entry in OURS.values():
        if 2 in entry.dimensions:
            entry.plant(case, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(case.image.values, before)
