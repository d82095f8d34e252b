"""The model card: contradictions are found when it is read."""

from __future__ import annotations

import pytest

from audit_pipeline.card import read_card
from audit_pipeline.errors import ConfigError

CARD = {
    "name": "net",
    "version": "1",
    "task": "multiclass",
    "classes": ["clear", "nodule"],
    "spatial_dims": 3,
    "input": {
        "orientation": "HPL",
        "spacing_mm": [4, 3, 3],
        "size": [8, 8, 8],
        "intensity": {"range": {"low": 0, "high": 1}},
    },
    "weights": {"path": "w.safetensors", "sha256": "0" * 64},
    "network": {"name": "densenet"},
}


SLICED = {
    "spatial_dims": 2,
    "aggregate": "max",
    "input": CARD["input"] | {"spacing_mm": [3, 3], "size": [8, 8], "slices": "each"},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"classes": ["a", "a"]}, "classes must differ"),
        ({"task": "binary"}, "names exactly its positive class"),
        ({"classes": ["one"]}, "at least two classes"),
        ({"thresholds": {"nodle": 0.5}}, "did you mean 'nodule'"),
        ({"thresholds": {"nodule": 1.5}}, "must lie between 0 and 1"),
        ({"network": None}, "exactly one of network and factory"),
        ({"weights": None}, "needs weights"),
        ({"allowed": {"ranges": {"KVP": [140, 100]}}}, "the range of KVP runs from 140 to 100"),
        ({"allowed": {"age": [90, 18]}}, "the range of age runs from 90 to 18"),
        ({"allowed": {"sides": {"nodle": "left"}}}, "did you mean 'nodule'"),
        ({"allowed": {"sides": {"nodule": "up"}}}, "allowed.sides"),
        ({"allowed": {"target_mm": 0}}, "allowed.target_mm"),
        ({"spatial_dims": 2}, "input.size needs 2 entries"),
        ({"input": CARD["input"] | {"spacing_mm": [1, 1]}}, "input.spacing_mm needs 3 entries"),
        ({"input": CARD["input"] | {"intensity": {}}}, "exactly one of window, range, percentile, zscore"),
        ({"input": CARD["input"] | {"intensity": {"range": {"low": 2, "high": 1}}}}, "low (2.0) must be below high"),
        ({"input": CARD["input"] | {"intensity": {"percentile": {"low": 50, "high": 40}}}}, "must be below high"),
        ({"input": CARD["input"] | {"orientation": "XYZ"}}, "input.orientation"),
        ({"weights": {"path": "w", "sha256": "abc"}}, "weights.sha256"),
        ({"verison": "1"}, "did you mean 'version'"),
        ({"aggregate": "max"}, "aggregate: max belongs to input.slices"),
        ({"input": CARD["input"] | {"slices": "each"}}, "is for a network with spatial_dims: 2"),
        (SLICED | {"aggregate": None}, "input.slices needs aggregate (max, mean or topk) and input.orientation"),
        (SLICED | {"input": SLICED["input"] | {"orientation": None}}, "and input.orientation"),
        (SLICED | {"input": SLICED["input"] | {"windows": {"size": [8, 8]}}}, "without input.windows"),
        (SLICED | {"input": SLICED["input"] | {"slices": "stack"}, "channels": 4}, "odd number of channels from 3 on"),
        (SLICED | {"topk": 0}, "topk: input should be greater than or equal to 1"),
        ({"input": CARD["input"] | {"size": None}}, "input.size is needed"),
        ({"input": CARD["input"] | {"windows": {"size": [8, 8]}}}, "input.windows.size needs 3 entries, found 2"),
        ({"input": CARD["input"] | {"windows": {"size": [9, 8, 8]}}}, "must not be smaller than input.windows.size"),
        (
            {"input": CARD["input"] | {"windows": {"size": [8, 8, 8], "overlap": 1}}},
            "overlap: input should be less than 1",
        ),
        ({"input": CARD["input"] | {"windows": {"sise": [8, 8, 8]}}}, "did you mean 'size'"),
    ],
)
def test_a_contradiction_is_said_in_a_sentence(change, expected):
    with pytest.raises(ConfigError) as caught:
        read_card(CARD | change)
    assert expected in str(caught.value)


def test_a_card_knows_what_images_and_what_inputs_its_network_takes():
    sliced = read_card(CARD | SLICED)
    assert (sliced.image_dims, sliced.network_size) == (3, [8, 8])
    windows = CARD["input"] | {"size": None, "windows": {"size": [64, 96, 40], "overlap": 0.5}}
    windowed = read_card(CARD | {"input": windows})
    assert (windowed.image_dims, windowed.network_size) == (3, [64, 96, 40])
    assert windowed.input.windows.step == (32, 16, 4)


def test_paths_in_a_card_file_start_at_its_folder(tmp_path):
    place = tmp_path / "model.yaml"
    import json

    place.write_text(json.dumps(CARD))
    assert read_card(place).weights.path == tmp_path / "w.safetensors"


def test_the_digest_depends_on_content_and_not_on_where_files_lie(tmp_path):
    moved = CARD | {"weights": {"path": "elsewhere/w.safetensors", "sha256": "0" * 64}}
    assert read_card(CARD).digest() == read_card(moved).digest()
    assert read_card(CARD).digest() != read_card(CARD | {"version": "2"}).digest()


def test_the_intended_use_is_a_record_of_the_allow_lists():
    intended = read_card(CARD | {"allowed": {"modality": ["CT"], "age": [18, 90]}}).intended
    assert intended.modality == ("CT",)
    assert intended.age == (18.0, 90.0)
    assert intended.view == ()


def test_what_the_card_allows_becomes_the_intended_use():
    allowed = {
        "header": {"ContrastBolusAgent": ["yes"]},
        "ranges": {"KVP": [100, 140]},
        "target_mm": 6,
        "sides": {"nodule": "left"},
    }
    intended = read_card(CARD | {"allowed": allowed}).intended
    assert intended.header == {"ContrastBolusAgent": ("yes",)}
    assert intended.ranges == {"KVP": (100, 140)}
    assert (intended.target_mm, intended.sides) == (6, {"nodule": "left"})
