"""Every planted fault of the explanation is found by its own detector, which stays silent without it."""

import numpy as np
import pytest

from audit_pipeline.bench import catalogue as registered
from audit_pipeline.bench import clean
from audit_pipeline.bench.case import evidence_of
from audit_pipeline.checks import catalogue
from audit_pipeline.checks.run import run_each
from audit_pipeline.checks.variants import asked
from audit_pipeline.config import ChecksSection
from audit_pipeline.findings import Outcome

FOUND = {Outcome.FLAG, Outcome.CRITICAL}
MODULES = ("plants_explanation", "plants_maps", "plants_map_places")
CASES = [
    (name, dimensions)
    for name, one in registered.PLANTS.items()
    if one.plant.__module__.rpartition(".")[2] in MODULES
    for dimensions in one.dimensions
]
ENTRY = {one.mode.code: one for one in catalogue().values()}


def finding(case, code, level):
    entry = ENTRY[code]
    evidence = asked(evidence_of(case), entry.mode.variants)
    return run_each([entry], evidence, ChecksSection(), level)[0]


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_planted_fault_is_found(name, dimensions):
    one = registered.PLANTS[name]
    for severity in (3, 5):
        case = clean.clean_case(severity, dimensions, one.network)
        found = finding(one.plant(case, severity, np.random.default_rng(severity)), one.code, one.level)
        expected = {Outcome.NOTE} if one.code == "D24" else FOUND
        assert found.outcome in expected, found.message


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_clean_case_has_no_finding_of_the_family(dimensions):
    chosen = [one for one in ENTRY.values() if one.mode.family == "D"]
    names = {name for one in chosen for name in one.mode.variants}
    evidence = asked(evidence_of(clean.clean_case(3, dimensions)), names)
    for found in run_each(chosen, evidence, ChecksSection(), "standard"):
        assert found.outcome not in FOUND | {Outcome.ERROR}, found.message
