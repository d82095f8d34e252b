"""Every planted reliance on what is not the patient is named by its check, and by no other of its kind."""

import zlib
from functools import lru_cache

import numpy as np
import pytest

from audit_pipeline.bench.case import evidence_of
from audit_pipeline.bench.clean import clean_case
from audit_pipeline.bench.plants import PLANTS
from audit_pipeline.bench.plants_reliance import SWINGS, rim_reader
from audit_pipeline.checks import catalogue
from audit_pipeline.checks.variants import asked
from audit_pipeline.evidence import Answer
from audit_pipeline.findings import Outcome

OWN = sorted(name for name, one in PLANTS.items() if one.plant.__module__ == rim_reader.__module__)
CHECKS = {entry.mode.code: entry for entry in catalogue().values()}
NAMING = ("C16", "C17", "C18", "C19", "C20")
CASES = [(name, dimensions) for name in OWN for dimensions in (2, 3)]


@lru_cache
def heard(name, dimensions, severity=3):
    plant = PLANTS[name]
    random = np.random.default_rng([zlib.crc32(name.encode()), severity])
    case = plant.plant(clean_case(3, dimensions, plant.network), severity, random)
    variants = {variant for code in NAMING for variant in CHECKS[code].mode.variants}
    return asked(evidence_of(case), variants)


def test_every_check_of_this_kind_has_a_plant():
    assert sorted(PLANTS[name].code for name in OWN) == sorted(NAMING)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_the_check_names_its_own_cue_and_no_other_does(name, dimensions):
    evidence = heard(name, dimensions)
    raised = [code for code in NAMING if CHECKS[code].function(evidence).outcome is Outcome.FLAG]
    assert raised == [PLANTS[name].code]


@pytest.mark.parametrize("name", [name for name in OWN if name != "mark_reader"])
def test_the_answer_swings_by_what_was_planted(name):
    variant = {"C16": "border_removed", "C17": "padding_changed", "C18": "grained", "C19": "flipped"}[PLANTS[name].code]
    evidence = heard(name, 2)
    answer = evidence.answers[variant]
    assert isinstance(answer, Answer)
    own = evidence.prediction.logits[1] - evidence.prediction.logits[0]
    other = answer.logits[-1, 1] - answer.logits[-1, 0]
    assert own == pytest.approx(SWINGS[2] / 2, abs=0.01)
    assert own - other == pytest.approx(SWINGS[2], rel=0.2)
