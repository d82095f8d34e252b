"""Configuration: every problem is found before any work and said in a sentence that helps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit_pipeline.config import AuditConfig, json_schema, read_config
from audit_pipeline.errors import ConfigError

MINIMAL = {"model": {"card": "model.yaml"}}
CONFIGS = Path(__file__).parents[1] / "configs"


def test_defaults_complete_a_configuration_that_names_only_the_card():
    config = read_config(MINIMAL)
    assert config.explain.methods == ["gradcam", "hirescam"]
    assert config.explain.targets == "top2"
    assert config.run.device == "auto"
    assert config.report.profile == "deidentified"


def test_the_example_of_the_contract_is_accepted():
    text = """
audit:  {name: x, intended_use: y, level: standard}
input:
  paths: [studies/]
  labels: labels.csv
  select: {modality: [CT], min_slices: 20}
model:
  card: model.yaml
explain: {methods: [gradcam, hirescam], layer: auto, targets: top2, pooling: global}
checks:  {reference: reference.parquet, disable: [], near_threshold: {margin: 0.05}}
report:  {pdf: all, profile: deidentified}
run:     {device: auto, precision: fp32, batch_bytes: auto, workers: auto, seed: 0, output: reports/my-audit}
"""
    import yaml

    config = read_config(yaml.safe_load(text))
    assert config.checks.overrides == {"near_threshold": {"margin": 0.05}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"explian": {}}, "explian: unknown key 'explian'; did you mean 'explain'"),
        ({"run": {"devcie": "cpu"}}, "run.devcie: unknown key 'devcie'; did you mean 'device'"),
        ({"run": {"device": "tpu"}}, "run.device: input should be 'auto', 'cpu' or 'cuda'; found 'tpu'"),
        ({"report": {"opacity": 2}}, "report.opacity: input should be less than or equal to 1; found 2"),
        ({"report": {"profile": "clinical"}}, "report.profile: input should be 'deidentified'; found 'clinical'"),
        ({"input": {"select": {"min_slices": -1}}}, "input.select.min_slices: input should be greater"),
        ({"input": {"select": {"modalities": []}}}, "unknown key 'modalities'; did you mean 'modality'"),
        ({"model": {}}, "model.card: field required"),
        ({"report": {"pdf": "some"}}, "report.pdf: string should match pattern"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path(change, expected):
    with pytest.raises(ConfigError) as caught:
        read_config(MINIMAL | change)
    assert expected in str(caught.value)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        read_config(MINIMAL | {"run": {"device": "tpu", "seed": -1}})
    assert len(str(caught.value).splitlines()) == 2


def test_set_overrides_nested_keys_with_yaml_values():
    config = read_config(MINIMAL, ["run.device=cpu", "explain.methods=[hirescam]", "checks.near_threshold.margin=0.1"])
    assert config.run.device == "cpu"
    assert config.explain.methods == ["hirescam"]
    assert config.checks.overrides["near_threshold"] == {"margin": 0.1}


def test_set_without_an_equals_sign_is_an_error():
    with pytest.raises(ConfigError, match=r"--set needs key\.path=value"):
        read_config(MINIMAL, ["run.device"])


def test_paths_in_a_file_start_at_its_folder_and_the_output_at_the_working_directory(tmp_path):
    place = tmp_path / "audit.yaml"
    place.write_text("input: {paths: [studies], labels: l.csv}\nmodel: {card: m.yaml}\nrun: {output: out}\n")
    config = read_config(place)
    assert config.input.paths == [tmp_path / "studies"]
    assert config.input.labels == tmp_path / "l.csv"
    assert config.model.card == tmp_path / "m.yaml"
    assert config.run.output == Path("out")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"a: [", "not valid YAML"), (b"- 1\n", "must be a mapping"), (b"\xff\xfe\x00", "not UTF-8 text")],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content, expected):
    place = tmp_path / "audit.yaml"
    place.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        read_config(place)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(Path("nowhere.yaml"))


def test_yaml_tags_that_would_run_code_are_refused(tmp_path):
    place = tmp_path / "audit.yaml"
    place.write_text("model: !!python/object/apply:os.system ['touch touched']\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_config(place)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["ct_3d", "cxr_2d", "demo"])
def test_the_shipped_configurations_are_valid(name):
    assert isinstance(read_config(CONFIGS / f"{name}.yaml"), AuditConfig)


def test_the_shipped_schema_is_the_generated_one():
    assert json.loads((CONFIGS / "schema.json").read_text()) == json_schema()
