"""The column ``mask`` of the labels file reaches the check of the maps (D23) by the command line, in 2D and 3D."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.load.encode_nifti import nifti_bytes
from tests.audit_fixtures import AFFINE, configuration, tiny_card, tiny_volume, write_studies

SPACING = (3.0, 2.5, 2.0)


def ball(shape, centre, radius):
    places = np.indices(shape)
    return sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True)) <= radius**2


def write_mask(folder, name, mask, affine=AFFINE, spacing=SPACING):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.nii.gz").write_bytes(nifti_bytes(mask.astype(np.float32), affine, spacing[-mask.ndim :]))


def audited(tmp_path, config):
    """Run the audit by the command and return the finding D23 of every study by its label."""
    place = tmp_path / "audit.yaml"
    place.write_text(yaml.safe_dump(config))
    quiet = ["--set", "report.pdf=none", "--set", "report.html=none", "--json"]
    ended = CliRunner().invoke(cli.app, ["run", str(place), "--level", "screen", *quiet])
    assert ended.exit_code == 0, ended.output
    records = [json.loads(path.read_bytes()) for path in (tmp_path / "run").glob("studies/*/record.json")]
    return {
        record["label"]: next(one for one in record["findings"] if one["code"] == "D23") for record in records
    }  # fmt: skip


def labelled(tmp_path, studies, masks):
    """A configuration over volumes whose labels a, b, ... have these masks, which lie among the studies."""
    rows = [f"study-{place},{name},studies/masks/{name}.nii.gz" for place, name in enumerate(masks)]
    for name, (mask, affine, spacing) in masks.items():
        write_mask(studies / "masks", name, mask, affine, spacing)
    (tmp_path / "labels.csv").write_text("\n".join(["study,label,mask", *rows, ""]))
    config = configuration(tmp_path, studies)
    config["input"]["labels"] = str(tmp_path / "labels.csv")
    return config


def test_a_mask_decides_whether_the_map_points_to_the_finding(tmp_path):
    away = AFFINE.copy()
    away[2, 3] += 900
    whole, corner = np.ones((26, 30, 32), dtype=bool), ball((26, 30, 32), (1, 1, 1), 2)
    masks = {"a": (whole, AFFINE, SPACING), "b": (corner, AFFINE, SPACING), "c": (whole, away, SPACING)}
    found = audited(tmp_path, labelled(tmp_path, write_studies(tmp_path / "studies", 4), masks))
    assert set(found) == {"a", "b", "c", None}  # the masks themselves are no studies
    assert found["a"]["outcome"] in {"pass", "note"}
    assert found["a"]["value"] == pytest.approx(1.0, abs=0.02)  # everything is marked: an even map has as much there
    assert found["b"]["outcome"] == "flag"
    assert found["b"]["value"] < 1
    assert found["c"]["outcome"] == found[None]["outcome"] == "not_evaluable"
    assert "The reference mask cannot be used: the mask does not overlap the image" in found["c"]["message"]
    assert "No reader marked" in found[None]["message"]


def test_a_mask_on_a_finer_grid_gives_the_same_answer_as_on_the_grid_of_the_image(tmp_path):
    coarse = ball((26, 30, 32), (13, 12, 15), 5)
    fine = np.repeat(np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1), 2, axis=2)
    halved = AFFINE.copy()
    halved[:3, :3] /= 2
    halved[:3, 3] -= AFFINE[:3, :3] @ np.full(3, 0.25)  # the centre of voxel 0 moves towards the corner
    studies = write_studies(tmp_path / "studies", 1)
    nudged = tiny_volume(0).copy()
    nudged[0, 0, 0] += 1e-3  # another study with the same map
    (studies / "study-1.nii.gz").write_bytes(nifti_bytes(nudged, AFFINE, SPACING))
    masks = {"a": (coarse, AFFINE, SPACING), "b": (fine, halved, (1.5, 1.25, 1.0))}
    found = audited(tmp_path, labelled(tmp_path, studies, masks))
    numbers = [re.findall(r"[\d.]+ times", found[name]["message"]) for name in ("a", "b")]
    assert numbers[0] == numbers[1]
    assert found["a"]["value"] == pytest.approx(found["b"]["value"], rel=1e-3)


def test_a_picture_without_a_position_takes_the_mask_of_its_own_shape(tmp_path):
    studies, shape = tmp_path / "studies", (40, 48)
    studies.mkdir()
    for number in range(2):
        values = np.random.default_rng(number).normal(100, 5, shape) + 200 * ball(shape, (20, 24), 9)
        (studies / f"picture-{number}.nii.gz").write_bytes(nifti_bytes(values.astype(np.float32), None, (1.0, 1.0)))
    write_mask(tmp_path / "masks", "right", np.ones(shape, dtype=bool), None)
    write_mask(tmp_path / "masks", "small", np.ones((10, 10), dtype=bool), None)
    (tmp_path / "labels.csv").write_text(
        "study,label,mask\npicture-0,a,masks/right.nii.gz\npicture-1,b,masks/small.nii.gz\n"
    )
    card = tiny_card(
        tmp_path, spatial_dims=2, input={"size": [40, 48], "intensity": {"percentile": {"low": 0, "high": 100}}}
    )
    config = configuration(tmp_path, studies, model={"card": card})
    config["input"]["labels"] = str(tmp_path / "labels.csv")
    found = audited(tmp_path, config)
    assert found["a"]["value"] == pytest.approx(1.0, abs=0.02)
    assert "must have the shape of the image, 40 x 48" in found["b"]["message"]
