"""The command line as a user types it: exit codes, messages, JSON, and imports that wait."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.cli.terminal import progress
from tests.audit_fixtures import BARE, configuration, write_studies


@pytest.fixture
def place(tmp_path):
    studies = write_studies(tmp_path / "studies", 2)
    path = tmp_path / "audit.yaml"
    path.write_text(yaml.safe_dump(configuration(tmp_path, studies, report=BARE)))
    return path


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["audit-pipeline", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom audit_pipeline.cli import app\nfrom typer.testing import CliRunner\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0 and 'inspect' in result.output\n"
        "heavy = {'torch', 'monai', 'numpy', 'pydicom', 'nibabel', 'reportlab', 'pyarrow', 'pydantic'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["run", "demo", "inspect", "list", "report", "sign", "verify"])
def test_every_command_explains_itself(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert invoke("--version").output.strip() == f"audit-pipeline {version('audit-pipeline')}"


def test_run_prints_counts_and_where_the_report_is(place, tmp_path):
    result = invoke("run", place)
    assert result.exit_code == 0, result.output
    assert "2 audited" in result.output
    assert f"Audit report: {tmp_path / 'run' / 'report.pdf'}" in result.output
    assert "[2/2]" in result.output


def test_run_with_json_prints_one_document_and_nothing_else(place):
    result = invoke("run", place, "--json")
    assert json.loads(result.output)["counts"]["audited"] == 2


def test_a_refused_study_is_listed_with_its_reason_and_the_exit_code_is_1(place, tmp_path):
    (tmp_path / "studies" / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    result = invoke("run", place)
    assert result.exit_code == 1
    assert "refused: the compressed file" in result.output


def test_a_wrong_configuration_is_one_sentence_and_exit_code_2(place, monkeypatch, capsys):
    assert main(monkeypatch, "run", place, "--set", "run.devise=cpu") == 2
    assert "ConfigError: run.devise: unknown key 'devise'; did you mean 'device'" in capsys.readouterr().err


def test_wrong_usage_is_exit_code_2(place):
    assert invoke("run").exit_code == 2
    assert invoke("run", place, "--shard", "half").exit_code == 2
    assert invoke("list", "nothing").exit_code == 2


def test_a_missing_path_is_exit_code_2_with_what_to_do(monkeypatch, capsys, tmp_path):
    assert main(monkeypatch, "inspect", tmp_path / "nowhere") == 2
    assert "NotAStudyError" in capsys.readouterr().err


def test_inspect_shows_geometry_and_dispositions(tmp_path):
    studies = write_studies(tmp_path / "studies", 1)
    (studies / "notes.txt").write_text("not an image")
    result = invoke("inspect", studies)
    assert "26 x 30 x 32" in result.output
    assert "3 x 2.5 x 2 mm" in result.output
    assert "axes HPL" in result.output
    found = json.loads(invoke("inspect", studies, "--json").output)
    files = [file for study in found["studies"] for file in study["files"]]
    assert len(files) == 1
    assert [path.rsplit("/", 1)[1] for path in found["other_files"]] == ["notes.txt"]
    image = next(study["images"][0] for study in found["studies"] if study["images"])
    assert image["affine"][0] == [0.0, 0.0, 2.0, -30.0]


def test_inspect_names_refusals_and_returns_1(tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    result = invoke("inspect", tmp_path)
    assert result.exit_code == 1
    assert "refused  CorruptFileError" in result.output


def test_inspect_explains_which_image_the_rules_choose(tmp_path):
    studies = write_studies(tmp_path / "studies", 1)
    chosen = invoke("inspect", studies, "--explain-selection", "--set", "input.select.min_slices=20")
    assert chosen.exit_code == 0
    assert "chosen  image 1" in chosen.output
    refused = invoke("inspect", studies, "--explain-selection", "--set", "input.select.modality=CT")
    assert refused.exit_code == 1
    assert "modality unknown is not CT" in refused.output


def test_a_file_name_in_an_error_is_printed_without_its_control_characters(monkeypatch, capsys):
    from pathlib import Path

    from audit_pipeline.errors import NotAStudyError

    def refuse(*_, **__):
        raise NotAStudyError("there is no image", [Path("a\x1b[31mb")])

    monkeypatch.setattr("audit_pipeline.cli.application.app", refuse)
    with pytest.raises(SystemExit):
        cli.main()
    assert "  a\\x1b[31mb\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "name"), [("explainers", "hirescam"), ("checks", "near_threshold"), ("networks", "densenet121")]
)
def test_lists_are_for_people_and_machines(what, name):
    assert name in invoke("list", what).output
    entries = json.loads(invoke("list", what, "--json").output)
    entry = next(one for one in entries if one["name"] == name)
    assert entry["sentence"]
    assert isinstance(entry["keywords"], dict)


def test_the_schema_can_be_printed():
    assert json.loads(invoke("list", "schema").output)["title"] == "AuditConfig"


def test_report_renders_again_and_verify_finds_a_change(place, tmp_path):
    invoke("run", place, "--set", "report.pdf=sample:1")
    run = tmp_path / "run"
    assert invoke("verify", run).exit_code == 0
    assert invoke("report", run).exit_code == 0
    assert invoke("verify", run, "--json").exit_code == 0
    (run / "cohort.json").write_bytes(b"{}")
    result = invoke("verify", run)
    assert result.exit_code == 3
    assert "cohort.json has changed since the run" in result.output


def test_a_progress_bar_is_drawn_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(quiet=False) as on_progress:
        on_progress(1, 2, "half of [/bold]")
    with progress(quiet=True) as silent:
        assert silent is None


def test_the_module_runs_like_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "audit_pipeline", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("audit-pipeline ")
