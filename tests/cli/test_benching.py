"""The command that measures the checks: its options reach the bench, and modes that are named are measured alone."""

import json

import pytest
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.bench.judging import RUN

SMALL = ("--planted", "1", "--clean", "2", "--runs", "1", "--cohorts", "3", "--crossed", "0", "--workers", "1")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    arguments = ["bench-checks", "--output", str(folder), "--codes", "F06", "--json", *SMALL]
    return CliRunner().invoke(cli.app, arguments), folder


def test_the_options_reach_the_bench(measured):
    result, folder = measured
    assert result.exit_code == 0, result.output
    amount = json.loads((folder / "bench.json").read_text())["amount"]
    expected = {"planted": 1, "clean": 2, "runs": 1, "cohorts": 3, "crossed": 0}
    assert {name: amount[name] for name in expected} == expected


def test_a_mode_of_the_record_is_measured_on_runs_alone(measured):
    found = json.loads(measured[0].stdout)
    assert {one["dimensions"] for one in (*found["sensitivity"], *found["specificity"])} == {RUN}
    assert {one["plant"] for one in found["sensitivity"]} == {"overdue", "new_scanner", "new_model"}
    assert found["gates"]["sensitivity"] == []
    assert found["cross_talk"]["overdue"] == {"F06": 1.0}
    first = (measured[1] / "bench.txt").read_text().splitlines()[0]
    assert first.startswith("1 planted study per severity, 2 clean and 120 for the reference per dimension, 3 cohorts")
    assert "1 run on disk" in first
