"""Configuration: every problem is found before any work and said in a sentence that helps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit_pipeline.card import read_card
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
        ({"run": {"methods": []}}, "run.methods: 'methods' stands in another section: write explain.methods."),
        ({"disable": []}, "disable: 'disable' stands in another section: write checks.disable or cohort.disable."),
        ({"run": {"devcie": "cpu"}}, "run.devcie: unknown key 'devcie'; did you mean 'device'"),
        ({"run": {"device": "tpu"}}, "run.device: input should be 'auto', 'cpu' or 'cuda'; found 'tpu'"),
        ({"report": {"opacity": 2}}, "report.opacity: input should be less than or equal to 1; found 2"),
        ({"report": {"scale": "cohort"}}, "report.scale: input should be 'map', 'study' or 'class'; found 'cohort'"),
        ({"report": {"sign": "both"}}, "report.sign: input should be 'positive' or 'signed'; found 'both'"),
        ({"report": {"profile": "full"}}, "report.profile: input should be 'deidentified' or 'clinical'; found 'full'"),
        ({"input": {"select": {"min_slices": -1}}}, "input.select.min_slices: input should be greater"),
        ({"input": {"select": {"modalities": []}}}, "unknown key 'modalities'; did you mean 'modality'"),
        ({"input": {"select": {"orientation": "diagonal"}}}, "input.select.orientation.0: input should be 'axial'"),
        ({"input": {"select": {"slice_spacing_mm": [3, 1]}}}, "slice_spacing_mm: min (3) must not be above max (1)"),
        ({"input": {"select": {"slice_spacing_mm": [3]}}}, "slice_spacing_mm: an interval needs min, max or both"),
        ({"input": {"select": {"slice_spacing_mm": {}}}}, "slice_spacing_mm: an interval needs min, max or both"),
        ({"input": {"select": {"pixel_spacing_mm": [None, None]}}}, "an interval needs min, max or both"),
        ({"input": {"select": {"min_slices": 9, "max_slices": 3}}}, "min_slices (9) must not be above max_slices (3)"),
        ({"input": {"select": {"any": [{}]}}}, "an entry of all, any or none asks nothing"),
        (
            {"input": {"select": {"any": [{"modality": "CT"}, {"modalty": "MR"}]}}},
            "any.1.modalty: unknown key 'modalty'",
        ),
        ({"input": {"select": {"tags": {"KVP": 120}}}}, "input.select.tags: input should be a valid list"),
        (
            {"input": {"select": {"tags": [{"tag": "KVP", "equls": 9}]}}},
            "tags.0.equls: unknown key 'equls'; did you mean",
        ),
        ({"input": {"select": {"tags": [{"tag": "KVP"}]}}}, "max, present is needed; found none"),
        ({"input": {"select": {"tags": [{"tag": "KVP", "equals": 1, "max": 2}]}}}, "found equals, min and max"),
        ({"input": {"select": {"tags": [{"tag": "KVP", "equals": True}]}}}, "yes, no, on and off need quotes"),
        ({"input": {"select": {"tags": [{"tag": "KVP", "equals": [1]}]}}}, "lists belong to one_of"),
        ({"input": {"select": {"tags": [{"tag": "KVP", "one_of": []}]}}}, "tags.0.one_of: list should have at least 1"),
        (
            {"input": {"select": {"tags": [{"tag": "KVP", "matches": "a[b"}]}}},
            "'a[b' is no regular expression at character 2: unterminated character set",
        ),
        (
            {"input": {"select": {"tags": [{"tag": "KVP", "matches": "[[a]"}]}}},
            "is no regular expression: Possible nested",
        ),
        ({"input": {"select": {"tags": [{"tag": "KVP", "matches": "a" * 257}]}}}, "at most 256 characters"),
        ({"input": {"uneven": "guess"}}, "input.uneven: input should be 'refuse' or 'resample'; found 'guess'"),
        ({"input": {"suv": "lean"}}, "input.suv: input should be 'body_weight'"),
        ({"run": {"workers": 0}}, "run.workers: auto or a whole number above zero is needed, found 0"),
        ({"run": {"workers": "two"}}, "run.workers: auto or a whole number above zero is needed, found 'two'"),
        ({"run": {"workers": True}}, "run.workers: auto or a whole number above zero is needed, found True"),
        ({"model": {}}, "model.card: field required"),
        ({"report": {"pdf": "some"}}, "report.pdf: string should match pattern"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path(change, expected):
    with pytest.raises(ConfigError) as caught:
        read_config(MINIMAL | change)
    assert expected in str(caught.value)


def test_rules_may_be_written_short_or_in_full():
    short = read_config(MINIMAL, ["input.select.modality=CT", "input.select.slice_spacing_mm=[null, 3]"])
    full = read_config(MINIMAL, ["input.select.modality=[CT]", "input.select.slice_spacing_mm={max: 3}"])
    assert short.input.select == full.input.select
    assert short.input.select.slice_spacing_mm.max == 3


def test_rules_survive_being_written_and_read_again():
    rules = {
        "orientation": "axial",
        "pixel_spacing_mm": [0.4, 1],
        "tags": [{"tag": "KVP", "one_of": [100, "120"]}, {"tag": "EchoTime", "max": 20}],
        "any": [{"modality": "CT"}, {"none": [{"tags": [{"tag": "ImageType", "matches": "^LOC"}]}]}],
    }
    config = read_config(MINIMAL | {"input": {"select": rules}, "run": {"workers": 3}})
    assert read_config(config.model_dump(mode="json")) == config


def test_rules_that_hold_themselves_are_refused(tmp_path):
    place = tmp_path / "audit.yaml"
    place.write_text("model: {card: m.yaml}\ninput: {select: &rules {any: [*rules]}}\n")
    with pytest.raises(ConfigError, match=r"input\.select\.any\.0"):
        read_config(place)


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


@pytest.mark.parametrize("name", ["ct_3d", "cxr_2d", "demo", "slices_2d", "windows_3d"])
def test_the_shipped_configurations_are_valid(name):
    assert isinstance(read_config(CONFIGS / f"{name}.yaml"), AuditConfig)


@pytest.mark.parametrize("name", ["slices_2d", "windows_3d"])
def test_the_cards_within_shipped_configurations_are_valid(name):
    read_card(read_config(CONFIGS / f"{name}.yaml").model.card)


def test_the_shipped_schema_is_the_generated_one():
    assert json.loads((CONFIGS / "schema.json").read_text()) == json_schema()
