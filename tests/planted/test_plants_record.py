"""Every planted fault of the chain and the record is found by the check of its mode, and a clean run raises nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from test_plants_prediction import clean, judged

from audit_pipeline import run_audit
from audit_pipeline.bench.judging import RUN, Job, code_of, judge
from audit_pipeline.bench.measure import Amount, result_of
from audit_pipeline.bench.oracles_prediction import Grainy
from audit_pipeline.bench.page import bench_text
from audit_pipeline.bench.plants import PLANTS, SEVERITIES
from audit_pipeline.bench.plants_record import FILE_PLANTS, RUN_PLANTS, sharpened, with_series
from audit_pipeline.bench.run_case import clean_run
from audit_pipeline.checks import rates_of
from audit_pipeline.execute.record_checks import RECORD_CHECKS, record_findings
from audit_pipeline.execute.verification import verify_path
from audit_pipeline.findings import Outcome
from tests.audit_fixtures import configuration, write_studies

CASE_PLANTS = ("golden_exchanged", "golden_of_another_chain", "sharper_series")
RAISED = {Outcome.FLAG, Outcome.CRITICAL}
FAINT = {"golden_exchanged": 2, "golden_of_another_chain": 2, "sharper_series": 2}
"""Up to this severity a fault hides within its limit."""


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", CASE_PLANTS)
def test_a_planted_fault_of_the_chain_is_found_from_severity_3_on_and_hides_before(name, dimensions):
    one = PLANTS[name]
    for severity in SEVERITIES:
        case = one.plant(clean(severity, dimensions, one.network), severity, np.random.default_rng(severity))
        finding = judged(case, one.code)
        assert (finding.outcome in RAISED) is (severity > FAINT[name]), (severity, finding.message)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_model_that_does_not_read_noise_gives_both_series_the_same_answer(dimensions):
    case = clean(1, dimensions, "grainy")
    assert isinstance(case.network, Grainy)
    finding = judged(with_series(case, sharpened(case.image, np.random.default_rng(0))), "C15")
    assert finding.outcome is Outcome.PASS
    assert finding.value < 0.05


@pytest.mark.parametrize("name", list(RUN_PLANTS))
def test_a_planted_fault_of_a_run_is_found_at_every_severity(name):
    one = RUN_PLANTS[name]
    for severity in SEVERITIES if one.has_severity else SEVERITIES[:1]:
        random = np.random.default_rng([3, severity])
        found = {
            finding.code: finding for finding in record_findings(one.plant(clean_run(40, random), severity, random))
        }
        assert found[one.code].outcome in RAISED, found[one.code].message
        others = {code for code, finding in found.items() if finding.outcome in RAISED} - {one.code}
        assert not others, (severity, others)


@pytest.mark.parametrize("count", [1, 2, 400])
def test_a_clean_run_raises_nothing(count):
    for finding in record_findings(clean_run(count, np.random.default_rng(count))):
        assert finding.outcome is Outcome.PASS, finding.message


def test_every_check_of_the_record_has_a_plant():
    assert {one.code for one in (*RUN_PLANTS.values(), *FILE_PLANTS.values())} == set(RECORD_CHECKS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    studies = write_studies(folder / "studies", 1)
    return run_audit(configuration(folder, studies, report={"html": "none"})).folder


def test_the_files_of_a_clean_run_raise_nothing(run):
    found = verify_path(run)
    assert found.differences == ()
    assert {one.code: str(one.outcome) for one in found.findings} == {
        "F01": "pass", "F02": "pass", "F03": "pass", "F04": "pass", "F05": "pass", "F06": "not_evaluable",
    }  # fmt: skip


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", list(FILE_PLANTS))
def test_a_planted_fault_in_the_files_is_found(run, tmp_path, name, severity):
    copy = shutil.copytree(run, tmp_path / "run")
    one = FILE_PLANTS[name]
    one.plant(copy, severity, np.random.default_rng(severity))
    found = verify_path(copy)
    assert found.differences
    outcomes = {finding.code: finding.outcome for finding in found.findings}
    if outcomes:  # a run.json that cannot be read any more is named by the ledger alone
        assert outcomes[one.code] is Outcome.CRITICAL
    if name == "report_left_behind":
        assert outcomes["F05"] is Outcome.PASS  # the chain was continued, so only the report tells


def run_job(plant, severity, **changes):
    return Job(plant=plant, dimensions=RUN, severity=severity, number=0, seed=1, **changes)


@pytest.mark.parametrize("name", list(RUN_PLANTS))
def test_the_bench_hears_a_planted_fault_of_a_run(name):
    found = judge(run_job(name, 5), None)
    assert found.is_found
    assert code_of(found.job) == RUN_PLANTS[name].code


@pytest.mark.parametrize("name", list(FILE_PLANTS))
def test_the_bench_spoils_a_copy_of_the_files_and_leaves_the_run_as_it_is(run, name):
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    found = judge(run_job(name, 5, folder=str(run)), None)
    assert found.is_found
    assert code_of(found.job) == FILE_PLANTS[name].code
    assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before


def test_rates_of_runs_stand_beside_those_of_studies(run):
    jobs = [run_job("", 0), run_job("", 0, folder=str(run)), run_job("overdue", 5), run_job("fell_back", 1)]
    found = [judge(job, None) for job in jobs]
    result = result_of(found[2:], found[:2], Amount())
    rates = rates_of(result)
    assert (rates["F06"].found, rates["F02"].by_severity) == ((1, 1), {1: (1, 1)})
    quiet = {code: one.quiet for code, one in rates.items()}
    # files alone tell whether a report and the chain hold; this run promises no next audit
    assert quiet == {"F01": (2, 2), "F02": (2, 2), "F03": (2, 2), "F04": (1, 1), "F05": (1, 1), "F06": (1, 1)}
    assert result["clean_studies_with_a_flag"]["run"]["n"] == 2
    assert not result["gates"]["sensitivity"]
    text = bench_text(result)
    assert "clean studies with any flag, run: 0 of 2" in text
    assert "Audit overdue" in text
