"""What a run would do is told before anything is done, and nothing is left behind."""

import json

import pytest
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.checks import planned
from audit_pipeline.checks.variants import VARIANTS
from audit_pipeline.config import ChecksSection
from audit_pipeline.errors import ConfigError
from audit_pipeline.execute.preview import preview, preview_text
from tests.audit_fixtures import configuration, write_studies


@pytest.fixture
def config(tmp_path):
    write_studies(tmp_path / "studies", 3)
    return configuration(tmp_path, tmp_path / "studies")


def test_studies_and_forward_passes_are_counted(config):
    found = preview(config, limit=2)
    assert found["studies"] == 2
    assert found["left_out"] == {"beyond the limit": 1}
    assert found["forward_passes"] == 2 * found["forward_passes_per_study"]
    assert preview_text(found).startswith("2 studies in 2 files; 1 left out: beyond the limit.")


def test_nothing_is_written(config, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    preview(config)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_screening_costs_the_forward_pass_of_the_prediction_alone():
    assert planned(ChecksSection(), "screen").cost == 1


def test_the_standard_level_costs_at_most_forty_forward_passes_beside_the_prediction():
    assert planned(ChecksSection(), "standard").cost <= 41


def test_no_variant_is_declared_and_never_asked_for():
    assert set(VARIANTS) == set(planned(ChecksSection(), "deep").variants)


def test_disabled_checks_ask_for_nothing():
    everything = planned(ChecksSection(), "deep")
    nothing = planned(ChecksSection(disable=[one.mode.code for one in everything.checks]), "deep")
    assert (nothing.cost, dict(nothing.variants)) == (1, {})


def test_an_impossible_check_stops_the_preview(config):
    with pytest.raises(ConfigError, match="nonsense"):
        preview(config, sets=["checks.nonsense={}"])


def test_the_command_shows_the_plan_and_runs_no_model(config, tmp_path):
    place = tmp_path / "config.yaml"
    place.write_text(json.dumps(config, default=str))
    told = CliRunner().invoke(cli.app, ["run", str(place), "--dry-run", "--json", "--level", "screen"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert (found["level"], found["studies"], found["forward_passes_per_study"]) == ("screen", 3, 1)
