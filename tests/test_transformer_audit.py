"""A vision transformer and a Swin Transformer through the whole audit: a bright block, and where the map says it is."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("einops", reason="MONAI's transformers need einops")

from audit_pipeline import run_audit
from audit_pipeline.card import read_card
from audit_pipeline.load.encode_dicom import Identity, dx_file
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.models.networks import build_network
from audit_pipeline.models.weights import digest_of
from tests.planted_transformers import bright_patch_swin, bright_patch_vit

pytestmark = pytest.mark.untraced

SPACING_MM = (2.0, 1.5, 3.0)
PIXEL_MM = (2.0, 2.0)
IDENTITY = Identity(seed="transformers", patient_id="PHANTOM-1", patient_name="PHANTOM^ONE")
VIT = {"patch_size": 8, "hidden_size": 12, "mlp_dim": 16, "num_layers": 1, "num_heads": 3}
SWIN = {"feature_size": 12, "window_size": 3, "num_heads": [2, 2, 2, 2]}

SIZES = {
    "vit": {2: (16, 24), 3: (16, 24, 16)},
    "swin": {2: (64, 96), 3: (64, 32, 64)},
}
CELLS = {
    ("vit", 2): ((8, 8), (1, 2)),
    ("vit", 3): ((8, 8, 8), (0, 2, 1)),
    ("swin", 2): ((32, 32), (1, 0)),
    ("swin", 3): ((32, 32, 32), (1, 0, 1)),
}
AFFINE = np.array([[0, 0, 3.0, -30], [0, 1.5, 0, -40], [2.0, 0, 0, 10], [0, 0, 0, 1]])


def card_of(name, dimensions, folder):
    """Write hand-set weights and return the card of the network that carries them."""
    size = SIZES[name][dimensions]
    card = {
        "name": name,
        "version": "1",
        "task": "multiclass",
        "classes": ["bright", "dark"],
        "spatial_dims": dimensions,
        "input": {
            "orientation": "HPL" if dimensions == 3 else None,
            "spacing_mm": SPACING_MM if dimensions == 3 else None,
            "size": list(size),
            "intensity": {"range": {"low": 0, "high": 1000}},
        },
        "network": {"name": name, "args": VIT if name == "vit" else SWIN},
        "weights": {"path": str(folder / "w.safetensors"), "sha256": "0" * 64},
    }
    torch.manual_seed(0)
    network = build_network(read_card(card)).eval()
    planted = bright_patch_vit(network) if name == "vit" else bright_patch_swin(network, size, (0,) * dimensions)
    save_file(planted.state_dict(), folder / "w.safetensors")
    card["weights"]["sha256"] = digest_of(folder / "w.safetensors")
    return card


def write_study(folder, name, dimensions):
    """Write one image that is bright inside one cell of the tokens; return the middle of the bright part, index."""
    size, (cell, at) = SIZES[name][dimensions], CELLS[name, dimensions]
    values = np.zeros(size, dtype=np.float32)
    if name == "swin":
        box = tuple(slice(place * side, (place + 1) * side) for place, side in zip(at, cell, strict=True))
    else:
        box = tuple(slice(place * side + 1, (place + 1) * side - 1) for place, side in zip(at, cell, strict=True))
    values[box] = 1000
    folder.mkdir()
    if dimensions == 3:
        (folder / "study.nii.gz").write_bytes(nifti_bytes(values, AFFINE, SPACING_MM))
    else:
        (folder / "study.dcm").write_bytes(dx_file(values, PIXEL_MM, IDENTITY))
    return np.array([(part.start + part.stop - 1) / 2 for part in box])


@pytest.fixture(
    scope="module",
    params=[(name, dimensions) for name in SIZES for dimensions in (2, 3)],
    ids=lambda case: f"{case[0]}{case[1]}d",
)
def audited(request, tmp_path_factory):
    name, dimensions = request.param
    tmp_path = tmp_path_factory.mktemp(f"{name}{dimensions}d")
    centre = write_study(tmp_path / "studies", name, dimensions)
    methods = ["gradcam", "hirescam", *(["attention_rollout"] if name == "vit" else ["token_hirescam"])]
    result = run_audit(
        {
            "audit": {"name": "transformers"},
            "input": {"paths": [str(tmp_path / "studies")]},
            "model": {"card": card_of(name, dimensions, tmp_path)},
            "explain": {"methods": methods},
            "report": {"html": "none"},
            "run": {"device": "cpu", "output": str(tmp_path / "run")},
        }
    )
    return name, dimensions, centre, result


def test_the_audit_places_the_map_of_a_transformer_within_half_a_token_of_what_is_bright(audited):
    name, dimensions, centre, result = audited
    assert dict(result.counts) == {"found": 1, "audited": 1, "refused": 0, "failed": 0, "excluded": 0}
    (record,) = result.records
    cell, _ = CELLS[name, dimensions]
    folder = result.folder / "studies" / record.study
    document = json.loads((folder / "record.json").read_bytes())
    shown = [one for one in document["explanations"] if one["target_name"] == "bright"]
    assert [one["method"] for one in shown][:2] == ["gradcam", "hirescam"]
    grid = tuple(side // edge for side, edge in zip(SIZES[name][dimensions], cell, strict=True))
    spacing = SPACING_MM if dimensions == 3 else PIXEL_MM
    for one in shown:
        assert tuple(one["grid"]) == grid
        assert one["layer"] == ("blocks.0.norm1" if name == "vit" else "norm")
        assert one["cell_mm"] == pytest.approx([edge * step for edge, step in zip(cell, spacing, strict=True)])
        peak = np.array(one["statistics"]["peak_index"])
        assert (np.abs(peak - centre) <= np.array(cell) / 2).all(), one["method"]
        if dimensions == 3:
            there = (AFFINE @ [*centre, 1])[:3]
            half = np.abs(AFFINE[:3, :3]) @ np.array(cell) / 2
            assert (np.abs(np.array(one["statistics"]["peak_position_mm"]) - there) <= half).all()
            image = nibabel.load(folder / one["map"])
            hottest = np.unravel_index(int(np.argmax(image.dataobj)), image.shape)
            ras = image.affine @ [*hottest, 1]
            assert (np.abs(ras[:3] * [-1, -1, 1] - there) <= half).all()


def test_the_report_of_a_transformer_is_written_and_says_what_the_maps_owe(audited):
    name, _, _, result = audited
    (record,) = result.records
    assert (result.folder / "studies" / record.study / "report.pdf").stat().st_size > 0
    assert not [finding for finding in record.findings if str(finding.outcome) == "error"]
    hirescam = next(one for one in record.explanations if one.method == "hirescam")
    kinds = {proof.kind: proof.holds for proof in hirescam.proofs}
    assert kinds["replay"] is True
    assert kinds["completeness"] is (True if name == "swin" else None)
