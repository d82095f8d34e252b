"""The reference studies of the embedded classifiers: measured by one command, pinned in the card, repeatable."""

from __future__ import annotations

import shutil

import pytest

from audit_pipeline.card import read_card
from audit_pipeline.demo import cohort, references
from audit_pipeline.demo.audit import AUDITS, WEIGHTS
from audit_pipeline.demo.cohort import write_clean_ct
from audit_pipeline.demo.references import main, measure
from audit_pipeline.demo.train import REFERENCE
from audit_pipeline.load import find_studies, read_labels
from audit_pipeline.store.files import sha256
from audit_pipeline.store.reference import read_reference
from tests.demo.phantom_cases import made


@pytest.fixture
def weights(tmp_path):
    """A copy of the shipped weights and card of the radiograph, to be pinned anew."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("cxr_2d.yaml", "cxr_2d.safetensors"):
        shutil.copyfile(WEIGHTS / name, folder / name)
    return folder


@pytest.mark.slow
def test_a_reference_is_measured_pinned_and_the_same_when_it_is_measured_again(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "phantom", made)
    seeds = range(60_300, 60_306)
    monkeypatch.setattr(references, "LEVEL", "screen")
    monkeypatch.setattr("audit_pipeline.execute.calibrate.FEWEST_STUDIES", len(seeds))
    learnt = measure("dx", "cxr_2d", weights, tmp_path / "work", seeds)
    assert learnt.studies == len(seeds)
    card = read_card(weights / "cxr_2d.yaml")
    reference = read_reference(card.reference.path, card.reference.sha256)
    assert reference.model == card.weights.sha256
    assert sorted(reference.labels) == ["clear"] * 3 + ["nodule"] * 3
    assert card.development["reference_phantoms"] == len(seeds)
    before = {path.name: sha256(path.read_bytes()) for path in weights.iterdir()}
    measure("dx", "cxr_2d", weights, tmp_path / "work", seeds)  # continues, although the card now pins a reference
    assert {path.name: sha256(path.read_bytes()) for path in weights.iterdir()} == before


def test_clean_volumes_are_series_and_files_as_in_the_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "phantom", made)
    write_clean_ct(tmp_path, range(60_400, 60_406))
    assert [one.kind for one in find_studies([tmp_path])].count("nifti") == 1
    labels = read_labels(tmp_path / "labels.csv")
    assert {row["label"] for row in labels.values()} == {"clear", "nodule"}


def test_the_command_measures_what_it_is_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(references, "measure", lambda *given: asked.append(given))
    monkeypatch.setattr("sys.argv", ["references", "--only", "ct_3d", "--weights", str(tmp_path), "--work", "w"])
    main()
    ((cohort_name, name, weights, work, seeds),) = asked
    assert (cohort_name, name, weights, work.as_posix(), seeds) == ("ct", "ct_3d", tmp_path, "w/ct_3d", REFERENCE)
    assert set(references.WRITERS) == {one for one, _, _ in AUDITS}
