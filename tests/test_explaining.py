"""``explain`` as a user types it: one phantom volume and one phantom radiograph with the embedded models."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from markupsafe import escape
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.demo.phantom import Phantom, phantom
from audit_pipeline.demo.radiograph import Radiograph, radiograph
from audit_pipeline.errors import MaskError
from audit_pipeline.explaining import explanation_text
from audit_pipeline.explaining.measures import region_facts
from audit_pipeline.explaining.plain import explanation_blocks
from audit_pipeline.load import read_reference_mask
from audit_pipeline.load.encode_dicom import Identity, ct_files, dx_file
from audit_pipeline.load.encode_nifti import nifti_bytes

WEIGHTS = Path(cli.__file__).parents[1] / "demo" / "weights"
SEED = 90_000_001
IDENTITY = Identity(seed="explain", patient_id="PHANTOM-9", patient_name="PHANTOM^NINE")
QUICK = ("--device", "cpu", "--steps", "2", "--nulls", "3")


@dataclass(frozen=True)
class Explained:
    """What one call printed and wrote."""

    made: Any
    inputs: Path
    image: Path
    output: Path
    code: int
    stdout: str
    stderr: str

    @property
    def found(self) -> dict[str, Any]:
        return json.loads((self.output / "explanation.json").read_bytes())


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["explain", *map(str, arguments)], catch_exceptions=False)


def refused(monkeypatch, capsys, *arguments):
    """The exit code and what stands on standard error, as in a shell."""
    monkeypatch.setattr(sys, "argv", ["audit-pipeline", "explain", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err


def explained(made, inputs, image, card, *more) -> Explained:
    output = inputs / "out"
    ended = invoke(image, "--card", WEIGHTS / card, "-o", output, *QUICK, *more)
    return Explained(made, inputs, image, output, ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Explained:
    folder, made = tmp_path_factory.mktemp("volume"), phantom(SEED, nodule=True)
    series = folder / "series"
    series.mkdir()
    for number, content in enumerate(ct_files(made.values, made.affine, IDENTITY)):
        (series / f"IM{number}").write_bytes(content)
    mask = folder / "mask.nii.gz"
    mask.write_bytes(nifti_bytes(made.nodule_mask.astype(np.float32), made.affine, (None,) * 3))
    more = ("--mask", mask, "--methods", "gradcam,hirescam", "--sanity", 0)
    return explained(made, folder, series, "ct_3d.yaml", *more)


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Explained:
    folder, made = tmp_path_factory.mktemp("picture"), radiograph(phantom(SEED, nodule=True), SEED)
    place = folder / "radiograph.dcm"
    place.write_bytes(dx_file(made.values, made.spacing_mm, IDENTITY))
    mask = folder / "mask.nii.gz"
    mask.write_bytes(nifti_bytes(made.mask.astype(np.float32), None, made.spacing_mm))
    more = ("--mask", mask, "--methods", "hirescam,layercam", "--rank-layers")
    return explained(made, folder, place, "cxr_2d.yaml", *more)


def cells_of(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head starts with `head`, cells two spaces apart."""
    block = next(block for block in text.split("\n\n") if block.startswith(head))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in block.splitlines()[1:]]


def lps(image, index):
    """The position of a NIfTI index in LPS+."""
    return nibabel.affines.apply_affine(image.affine, index) * [-1, -1, 1]


def test_a_volume_is_explained_without_an_error(volume):
    assert volume.code == 0
    assert volume.found["error"] is None
    assert volume.found["prediction"]["predicted"] == ["nodule"]


def test_the_map_of_a_volume_peaks_in_a_viewer_where_the_table_says(volume):
    for one in volume.found["maps"]:
        image = nibabel.load(volume.output / one["map"])
        values = image.get_fdata()
        strongest = lps(image, np.unravel_index(values.argmax(), values.shape))
        row = next(row for row in cells_of(volume.stdout, "map of") if row[0] == one["method"])
        printed = np.array([float(part) for part in row[8].split()])
        assert np.allclose(printed, one["statistics"]["peak_position_mm"], atol=0.05)
        one_voxel = np.abs(image.affine[:3, :3]).sum(axis=1)
        assert (np.abs(strongest - printed) < one_voxel).all()  # the centre of a cell lies between voxels


def test_the_evidence_of_a_volume_lies_within_a_cell_of_the_nodule(volume):
    made: Phantom = volume.made
    one = next(one for one in volume.found["maps"] if one["method"] == "hirescam")
    apart = np.abs(np.array(one["place"]["centre_mm"]) - made.nodule_center_mm)
    assert (apart <= np.array(one["cell_mm"])[::-1]).all()


def test_the_region_in_mm_holds_the_nodule(volume):
    one = next(one for one in volume.found["maps"] if one["method"] == "hirescam")
    largest = one["region"]["parts"][0]
    box = np.array(largest["box_mm"])
    centre = np.array(volume.made.nodule_center_mm)
    assert ((box[:, 0] < centre) & (centre < box[:, 1])).all()
    nodule_ml = volume.made.nodule_mask.sum() * abs(np.linalg.det(volume.made.affine)) / 1000
    assert largest["volume_ml"] > nodule_ml


def test_the_mask_is_measured_where_it_lies(volume):
    mask = volume.found["mask"]
    voxel_ml = abs(np.linalg.det(volume.made.affine)) / 1000
    assert mask["marked_voxels"] == volume.made.nodule_mask.sum()
    assert mask["volume_ml"] == pytest.approx(mask["marked_voxels"] * voxel_ml, rel=1e-4)
    assert mask["share_in_image"] == 1


def test_the_mass_in_the_mask_is_that_of_the_written_map(volume):
    for one in volume.found["maps"]:
        values = nibabel.load(volume.output / one["map"]).get_fdata().T
        positive = np.maximum(values, 0)
        expected = positive[volume.made.nodule_mask].sum() / positive.sum()
        assert one["localisation"]["mass_in_mask"] == pytest.approx(expected, rel=1e-3)


def test_a_mask_on_another_grid_gives_the_same_measures(volume):
    made: Phantom = volume.made
    crop = tuple(slice(max(0, low - 3), high + 4) for low, high in _bounds(made.nodule_mask))
    affine = made.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in crop]
    turned = affine @ np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    place = volume.inputs / "crop.nii.gz"
    cropped = made.nodule_mask[crop].swapaxes(1, 2).astype(np.float32)
    place.write_bytes(nifti_bytes(np.ascontiguousarray(cropped), turned, (None,) * 3))
    ended = invoke(
        volume.image, "--card", WEIGHTS / "ct_3d.yaml", "-o", volume.inputs / "crop", "--steps", 0,
        "--methods", "hirescam", "--mask", place, "--sanity", 0, "--json",
    )  # fmt: skip
    other = json.loads(ended.stdout)
    (one,) = other["maps"]
    same = next(one for one in volume.found["maps"] if one["method"] == "hirescam")
    assert other["mask"]["marked_voxels"] == made.nodule_mask.sum()
    assert one["localisation"]["hit"] == same["localisation"]["hit"]
    values = nibabel.load(volume.output / same["map"]).get_fdata().T[crop]
    positive = np.maximum(values, 0)
    expected = positive[made.nodule_mask[crop]].sum() / positive.sum()
    assert one["localisation"]["mass_in_mask"] == pytest.approx(expected, rel=1e-3)


def _bounds(mask):
    return [(int(along.min()), int(along.max())) for along in np.nonzero(mask)]


def test_every_map_comes_with_proofs_that_hold(volume):
    for one in volume.found["maps"]:
        assert {proof["kind"] for proof in one["proofs"]} == {"completeness", "closed form", "replay"}
        assert all(proof["holds"] for proof in one["proofs"])


def test_every_curve_comes_with_a_null(volume):
    for one in volume.found["maps"]:
        curves = one["faithfulness"]
        assert curves["settings"]["steps"] == 2
        assert 1 / 4 <= curves["deletion"]["p_value"] <= 1
        assert curves["between"]["area"] == pytest.approx(curves["insertion"]["area"] - curves["deletion"]["area"])


def test_the_layers_are_ranked_and_the_receptive_field_is_in_mm(picture):
    found = picture.found
    assert [one["rank"] for one in found["layers"]] == list(range(1, len(found["layers"]) + 1))
    assert found["receptive_field"]["stride"] == [16, 16]
    side_mm = 16 * found["image"]["input_spacing_mm"][0]
    assert found["receptive_field"]["stride_mm"] == pytest.approx([side_mm, side_mm])
    assert "receptive field of class_layers.relu" in picture.stdout


def test_every_map_is_tested_against_random_networks_noise_seeds_and_edges(picture):
    for one in picture.found["maps"]:
        tests = one["sanity"]
        assert len(tests["cascading"]["steps"]) == len(tests["independent"]["steps"]) == 10
        assert tests["redrawn"]["spearman"]["n"] == 5
        assert 0 <= tests["infidelity"]["unexplained"]["value"] <= 1
        assert 0 < tests["sensitivity"]["largest"] < 0.5
        assert tests["repeatability"]["value"] == 1
        assert "one target" in tests["random_logit"]["spearman"]["reason"]
        road = tests["road"]
        assert road["between"]["area"] == pytest.approx(road["insertion"]["area"] - road["deletion"]["area"])
        assert road["shares"][-1] == pytest.approx(0.2, abs=0.01)


def test_the_table_of_tests_shows_their_numbers_and_a_key(picture):
    rows = cells_of(picture.stdout, "sanity of")
    for row, one in zip(rows, picture.found["maps"], strict=False):
        tests = one["sanity"]
        assert row[:2] == [one["method"], one["target_name"]]
        assert float(row[2]) == pytest.approx(tests["road"]["between"]["area"], rel=1e-3)
        assert float(row[5]) == pytest.approx(tests["sensitivity"]["largest"], rel=1e-3)
        assert float(row[6].split()[0]) == pytest.approx(tests["redrawn"]["spearman"]["value"], rel=1e-3)
        assert row[6].split()[-1] == ("ok" if tests["redrawn"]["at_chance"]["spearman"] else "ABOVE")
    assert "seeds: overlap of the strongest tenth of the map from several seeds" in picture.stdout


def test_the_page_for_a_browser_shows_every_picture_and_number(picture):
    page = (picture.output / "explanation.html").read_text()
    assert page.count("data:image/png;base64,") == sum(len(one["overlays"]) for one in picture.found["maps"])
    for block in explanation_blocks(picture.found):
        assert all(escape(cell) in page for row in block.rows for cell in row)
        assert all(escape(note) in page for note in block.notes)
    assert page.count('<svg class="plot"') == 3 * len(picture.found["maps"])


def test_tests_that_are_not_asked_for_leave_a_sentence(volume):
    assert all(one["sanity"] == {"reason": "not asked for"} for one in volume.found["maps"])
    assert "sanity: not asked for (" in volume.stdout


def test_a_map_has_a_picture_of_each_plane(volume):
    for one in volume.found["maps"]:
        planes = {Path(name).stem.rsplit("-", 1)[1] for name in one["overlays"]}
        assert planes == {"axial", "coronal", "sagittal"}
        assert all((volume.output / name).read_bytes().startswith(b"\x89PNG") for name in one["overlays"])


def test_the_table_is_the_document(volume):
    found = volume.found
    assert volume.stdout.rstrip("\n") == explanation_text(found)
    for row, one in zip(cells_of(volume.stdout, "map of"), found["maps"], strict=False):
        assert row[:2] == [one["method"], one["target_name"]]
        assert float(row[4]) == pytest.approx(one["statistics"]["min"], rel=1e-3)
        assert float(row[5]) == pytest.approx(one["statistics"]["max"], rel=1e-3)


def test_progress_is_one_line_a_step_on_standard_error(volume):
    lines = volume.stderr.splitlines()
    assert lines[0] == "[1/6] model loaded"
    assert lines[-1] == "[6/6] files written"
    assert "model loaded" not in volume.stdout


def test_nothing_of_the_identity_is_printed_or_written(volume):
    assert "PHANTOM" not in volume.stdout
    assert "PHANTOM" not in (volume.output / "explanation.json").read_text()


def test_the_map_of_a_radiograph_peaks_in_a_viewer_where_the_table_says(picture):
    made: Radiograph = picture.made
    assert picture.code == 0
    for one in picture.found["maps"]:
        image = nibabel.load(picture.output / one["map"])
        values = image.get_fdata()[..., 0].T
        strongest = np.array(np.unravel_index(values.argmax(), values.shape)) * image.header.get_zooms()[1::-1]
        row = next(row for row in cells_of(picture.stdout, "map of") if row[0] == one["method"])
        printed = np.array([float(part) for part in row[8].split()])
        assert values.shape == made.values.shape
        assert (np.abs(strongest - printed) < made.spacing_mm).all()
        assert one["statistics"]["peak_position_mm"] is None
        assert one["place"]["frame"] == "from first pixel"


def test_the_region_of_a_radiograph_has_an_area_and_no_volume(picture):
    for one in picture.found["maps"]:
        parts = one["region"]["parts"]
        assert all(part["volume_ml"] is None and part["area_mm2"] > 0 for part in parts)
        assert one["region"]["area_mm2"] >= sum(part["area_mm2"] for part in parts) * (1 - 1e-9)


def test_json_is_one_document_and_the_same_as_the_file(picture):
    output = picture.inputs / "json"
    ended = invoke(
        picture.image, "--card", WEIGHTS / "cxr_2d.yaml", "-o", output, *QUICK, "--json", "--sanity", 0,
        "--methods", "hirescam,layercam", "--mask", picture.inputs / "mask.nii.gz", "--rank-layers",
    )  # fmt: skip
    written = json.loads((output / "explanation.json").read_bytes())
    assert ended.stderr == ""
    assert json.loads(ended.stdout, parse_constant=pytest.fail) == written
    assert {**written, "folder": "", "maps": []} == {**picture.found, "folder": "", "maps": []}


def test_a_wrong_layer_lists_the_candidates(picture, monkeypatch, capsys):
    code, said = refused(
        monkeypatch, capsys, picture.image, "--card", WEIGHTS / "cxr_2d.yaml", "--layer", "class_layers.rellu"
    )
    assert code == 2
    assert "LayerError: unknown layer 'class_layers.rellu'" in said
    assert "Candidates:" in said
    assert "features (85 channels, 16x16)" in said


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--methods", "gradcamm", "unknown explainer 'gradcamm'; did you mean 'gradcam'"),
        ("--target", "nodle", "did you mean 'nodule'"),
        ("--set", "explain.poling=none", "did you mean 'pooling'"),
    ],
)
def test_a_wrong_name_is_one_sentence_with_the_nearest(picture, monkeypatch, capsys, option, value, sentence):
    card = WEIGHTS / "cxr_2d.yaml"
    code, said = refused(monkeypatch, capsys, picture.image, "--card", card, option, value)
    assert code == 2
    assert "ConfigError: " in said
    assert sentence in said


def test_a_volume_is_refused_by_a_model_of_images_with_exit_code_1(volume, tmp_path):
    ended = invoke(volume.image, "--card", WEIGHTS / "cxr_2d.yaml", "-o", tmp_path, "--json")
    found = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert found["error"]["stage"] == "prepare"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused_with_exit_code_1(tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"\x1f\x8b broken")
    ended = invoke(broken, "--card", WEIGHTS / "ct_3d.yaml", "-o", tmp_path / "out")
    assert ended.exit_code == 1
    assert ended.stdout.startswith("refused  ")


def test_two_studies_are_one_too_many(picture, monkeypatch, capsys, tmp_path):
    for seed in range(2):
        values = np.full((4, 5, 6), seed, np.float32)
        (tmp_path / f"{seed}.nii.gz").write_bytes(nifti_bytes(values, np.eye(4), (1, 1, 1)))
    code, said = refused(monkeypatch, capsys, tmp_path, "--card", WEIGHTS / "ct_3d.yaml")
    assert code == 2
    assert "SeveralStudiesError: one image was expected, found 2 studies" in said


def test_a_mask_beside_the_image_is_refused(volume, monkeypatch, capsys):
    away = volume.made.affine.copy()
    away[0, 3] += 2000
    place = volume.inputs / "away.nii.gz"
    place.write_bytes(nifti_bytes(volume.made.nodule_mask.astype(np.float32), away, (None,) * 3))
    code, said = refused(monkeypatch, capsys, volume.image, "--card", WEIGHTS / "ct_3d.yaml", "--mask", place)
    assert code == 2
    assert "MaskError: the mask does not overlap the image" in said


def test_a_mask_of_another_shape_without_a_position_is_refused(picture, monkeypatch, capsys):
    place = picture.inputs / "small.nii.gz"
    place.write_bytes(nifti_bytes(np.ones((8, 9), np.float32), None, (1, 1)))
    code, said = refused(monkeypatch, capsys, picture.image, "--card", WEIGHTS / "cxr_2d.yaml", "--mask", place)
    assert code == 2
    assert "the mask must have the shape of the image" in said


def test_an_empty_mask_is_refused(tmp_path):
    place = tmp_path / "empty.nii.gz"
    place.write_bytes(nifti_bytes(np.zeros((4, 5, 6), np.float32), np.eye(4), (1, 1, 1)))
    with pytest.raises(MaskError, match="nothing in the mask is marked"):
        read_reference_mask(place)


def test_a_mask_of_a_slice_beside_the_plane_is_refused(tmp_path, make_image):
    affine = np.array([[0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    beside = affine.copy()
    beside[2, 3] = 5
    image = make_image(np.zeros((6, 7)), affine)
    for name, given in (("in", affine), ("beside", beside)):
        (tmp_path / f"{name}.nii.gz").write_bytes(nifti_bytes(np.ones((6, 7), np.float32), given, (1, 1)))
    assert read_reference_mask(tmp_path / "in.nii.gz").share_inside(image) == 1
    with pytest.raises(MaskError, match=r"5\.0 mm beside the plane"):
        read_reference_mask(tmp_path / "beside.nii.gz").require_overlap(image)


def test_a_blank_map_has_no_region(make_image):
    from types import SimpleNamespace

    facts = region_facts(SimpleNamespace(blank="zero gradient"), make_image(np.zeros((4, 5, 6))))
    assert facts["reason"] == "the map is blank"
    assert facts["parts"] == []


def test_the_command_explains_itself():
    assert "--rank-layers" in invoke("--help").output
