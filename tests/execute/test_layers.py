"""The layer of a run: chosen once, the same for every shard, limit and resumed run, and open to everybody's reading."""

from __future__ import annotations

import json

import pytest

from audit_pipeline import run_audit
from tests.audit_fixtures import configuration, tiny_card, write_studies


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return write_studies(tmp_path_factory.mktemp("layers") / "studies", 4)


def audited(folder, studies, output="run", **more):
    change = {name: more.pop(name) for name in ("model", "explain", "audit") if name in more}
    change.setdefault("explain", {"methods": ["hirescam"], "targets": "predicted"})
    change["report"] = {"pdf": "none", "html": "none"}
    change.setdefault("audit", {"level": "standard"})
    return run_audit(configuration(folder, studies, output, **change), **more)


def chosen(result):
    return json.loads((result.folder / "run.json").read_bytes())["model"]["layer_choice"]


def test_the_ranking_stands_in_the_run_and_in_every_record_and_its_best_layer_is_explained(tmp_path, studies):
    result = audited(tmp_path, studies, limit=2)
    choice = chosen(result)
    assert [one["rank"] for one in choice["ranking"]] == list(range(1, len(choice["ranking"]) + 1))
    assert choice["layer"] == choice["ranking"][0]["layer"]
    assert choice["layer"] in choice["reason"]
    assert len(choice["studies"]) == 2
    for record in result.records:
        assert record.model.layer_choice.layer == choice["layer"]
        assert {one.layer for one in record.explanations} == {choice["layer"]}


@pytest.mark.untraced
def test_shards_and_limits_choose_the_same_layer_on_the_same_studies(tmp_path, studies):
    whole = chosen(audited(tmp_path, studies, "whole", limit=1))
    for part in ((1, 2), (2, 2)):
        assert chosen(audited(tmp_path, studies, f"part{part[0]}", shard=part, limit=1)) == whole


def test_a_resumed_run_keeps_its_choice_also_with_further_studies(tmp_path):
    studies = write_studies(tmp_path / "studies", 1)
    first = chosen(audited(tmp_path, studies))
    write_studies(tmp_path / "studies", 3)
    result = audited(tmp_path, studies)
    assert chosen(result) == first
    assert result.counts["audited"] == 3
    assert len({record.model.layer_choice for record in result.records}) == 1


def test_a_layer_that_the_configuration_names_is_not_questioned(tmp_path, studies):
    explain = {"methods": ["hirescam"], "targets": "predicted", "layer": "features.relu0"}
    choice = chosen(audited(tmp_path, studies, explain=explain, limit=1))
    assert (choice["layer"], choice["ranking"]) == ("features.relu0", [])
    assert "named in the configuration" in choice["reason"]


def test_a_layer_that_the_card_names_is_explained_and_ranked_beside_the_others(tmp_path, studies):
    card = tiny_card(tmp_path, layer="features.conv0")
    result = audited(tmp_path, studies, model={"card": card}, limit=1)
    choice = chosen(result)
    assert choice["layer"] == "features.conv0"
    assert "features.conv0" in {one["layer"] for one in choice["ranking"]}
    assert "named in the model card; by the evidence it is number" in choice["reason"]
    assert {one.layer for one in result.records[0].explanations} == {"features.conv0"}


def test_at_level_screen_no_layers_are_compared(tmp_path, studies):
    result = audited(tmp_path, studies, audit={"level": "screen"}, limit=1)
    choice = chosen(result)
    assert (choice["layer"], choice["ranking"]) == ("", [])
    assert choice["reason"].startswith("Each study's maps come from the last convolutional stage")
    assert {one.layer for one in result.records[0].explanations} == {"class_layers.relu"}


def test_studies_that_cannot_be_loaded_are_passed_over(tmp_path):
    studies = write_studies(tmp_path / "studies", 3)
    for name in ("study-0", "study-1"):
        place = studies / f"{name}.nii.gz"
        place.write_bytes(place.read_bytes()[:4000])
    choice = chosen(audited(tmp_path, studies))
    assert len(choice["studies"]) == 1
    assert choice["ranking"]


def test_without_any_study_that_fits_the_choice_is_left_to_the_engine(tmp_path, studies):
    card = tiny_card(tmp_path, spatial_dims=2, input={"size": [32, 32], "intensity": {"zscore": {}}})
    choice = chosen(audited(tmp_path, studies, model={"card": card}, limit=1))
    assert (choice["layer"], choice["studies"]) == ("", [])
    assert "No layers were compared: the model takes 2D images" in choice["reason"]
