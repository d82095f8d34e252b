"""A short fixed slice of the fuzzing, in every run: the same inputs each time, so a failure is a change of the code."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.elements import parsed
from tests.fuzz.invariants import CANARY, Violation, check_folder
from tests.fuzz.mutators import mutated_dicom
from tests.fuzz.seeds import dicom_seeds
from tests.fuzz.targets import TARGETS

SLICES = {"headers": 200, "frames": 80, "nifti": 250, "archives": 100, "directories": 70}
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_keep_all_invariants(name, tmp_path):
    target = TARGETS[name]

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=SLICES[name],
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(SEEDS)
    def run(seed):
        target.one(target.made(random.Random(seed)), tmp_path / "FOLDERQ")

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_themselves_are_answered(name, tmp_path):
    target = TARGETS[name]
    ends = {seed: target.one(content, tmp_path / "FOLDERQ") for seed, content in target.seeds().items()}
    assert "delivered" in " ".join(ends.values()), ends


@pytest.mark.parametrize("name", [name for name, content in dicom_seeds().items() if parsed(content).elements])
def test_a_file_taken_apart_is_written_back_as_it_was(name):
    content = dicom_seeds()[name]
    assert parsed(content).written() == content


def test_the_same_seed_makes_the_same_file():
    seed = dicom_seeds()["enhanced"]
    assert mutated_dicom(random.Random(7), seed) == mutated_dicom(random.Random(7), seed)


def test_a_message_that_quotes_the_header_is_seen(tmp_path, monkeypatch):
    from audit_pipeline.load import study

    folder = tmp_path / "FOLDERQ"
    folder.mkdir()
    (folder / "a").write_bytes(dicom_seeds()["explicit"])

    def quoting(*_, **__):
        from audit_pipeline.errors import HeaderError

        raise HeaderError(f"the name is {CANARY}")

    monkeypatch.setattr(study, "plan_dicom", quoting)
    with pytest.raises(Exception, match=CANARY):
        check_folder(folder)


def test_a_warning_that_gets_out_is_seen(tmp_path, monkeypatch):
    import warnings

    from audit_pipeline.load import discover

    folder = tmp_path / "FOLDERQ"
    folder.mkdir()
    (folder / "a").write_bytes(dicom_seeds()["explicit"])
    known = discover.read_identity

    def warning(*given):
        warnings.warn("look", stacklevel=1)
        return known(*given)

    monkeypatch.setattr(discover, "read_identity", warning)
    with pytest.raises(Violation, match="warnings"):
        check_folder(folder)
