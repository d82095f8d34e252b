"""Files made to break a reader: whatever the bytes, the answer is an image or a typed refusal."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_bench import Bench, save
from hostile_files import CASES, series_of_one
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import LimitError, LoadError
from audit_pipeline.load import LoadSettings, deliver, find_studies, study
from audit_pipeline.load.encode_nifti import nifti_bytes
from tests.fuzz.apart import GROWTH_BYTES, apart
from tests.fuzz.invariants import Violation, check_folder

EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)
RELAXED = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


def edited(content: bytes, edits, start: int = 0) -> bytes:
    changed = bytearray(content)
    for place, value in edits:
        changed[start + int(place * (len(changed) - start))] = value
    return bytes(changed)


def answered(folder):
    for source in find_studies([folder]):
        delivery = deliver(source)
        assert (delivery.study is None) == isinstance(delivery.error, LoadError)
        assert [one.path for one in delivery.files] == list(source.files)


@RELAXED
@given(EDITS, st.floats(0.3, 1))
def test_edited_and_cut_dicom_files_are_answered(tmp_path, edits, kept):
    (path, *_) = save(tmp_path, Bench(count=3, rows=3, columns=3).slices())
    content = edited(path.read_bytes(), edits, start=132)
    path.write_bytes(content[: max(140, int(kept * len(content)))])
    answered(tmp_path)


@RELAXED
@given(EDITS, st.booleans())
def test_edited_nifti_files_are_answered(tmp_path, edits, zipped):
    content = nifti_bytes(np.zeros((2, 3, 4), np.float32), np.eye(4), (1.0, 1.0, 1.0))
    if not zipped:
        nibabel.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4)).to_filename(tmp_path / "a.nii")
        content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(edited(content, edits))
    answered(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by /proc")
@pytest.mark.parametrize("one", CASES, ids=[one.sentence for one in CASES])
def test_hostile_files_end_as_they_must_in_time_and_memory(one, tmp_path):
    folder = tmp_path / "QFOLDERQ"
    folder.mkdir()
    one.write(folder)
    answer = apart(folder, LoadSettings(**one.settings), one.seconds)
    assert not answer.defect
    assert set(answer.end.split()) <= one.ends
    assert answer.grown_bytes < GROWTH_BYTES


def test_a_folder_of_1500_series_of_one_slice_is_delivered_whole(tmp_path):
    series_of_one(1500, tmp_path)
    (source,) = find_studies([tmp_path])
    delivery = deliver(source)
    assert len(delivery.study.images) == len(delivery.files) == 1500


def test_the_judge_of_hostile_files_sees_what_is_wrong(tmp_path):
    """A judge that accepts everything would make all of these tests pass."""
    save(tmp_path / "named", Bench(count=1).slices())
    (path,) = (tmp_path / "named").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    assert check_folder(tmp_path / "named") == "PixelDataError"
    with pytest.raises(Violation, match="processor time"):
        check_folder(tmp_path / "named", seconds=0.0)


def nifti_with(**fields):
    header = nibabel.Nifti2Header()
    header.set_data_shape((2, 3, 4))
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+2\0\r\n\x1a\n", 544
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4) + bytes(96)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": [7] + [2**62] * 7}, "voxels a volume"),
        ({"srow_y": [0, 1e20, 0, 0]}, "are possible"),
        ({"srow_x": [1, 0, 0, 1e30]}, "are possible"),
        ({"srow_x": [1e-30, 0, 0, 0]}, "are possible"),
        ({"pixdim": [1, 1e-200, 1, 1, 1, 1, 1, 1]}, "voxel sizes"),
        ({"pixdim": [1, 1e200, 1, 1, 1, 1, 1, 1]}, "voxel sizes"),
    ],
)
def test_nifti_headers_of_absurd_size_are_refused(fields, reason, tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_with(**fields))
    check_folder(tmp_path)
    assert reason in str(deliver(find_studies([tmp_path])[0]).error)


def test_a_nifti_header_of_sound_size_is_delivered(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_with())
    assert check_folder(tmp_path) == "delivered"


@pytest.mark.parametrize("start", [b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"#!", b"PK\x03\x04"])
def test_a_preamble_that_is_a_program_is_noted(start, tmp_path):
    (path,) = save(tmp_path, Bench(count=1).slices())
    path.write_bytes(start + path.read_bytes()[len(start) :])
    (image,) = deliver(find_studies([tmp_path])[0]).study.images
    assert "program" in next(one.message for one in image.findings if one.code == "A29")


def test_a_tiff_preamble_is_a_legal_use(tmp_path):
    (path,) = save(tmp_path, Bench(count=1).slices())
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    (image,) = deliver(find_studies([tmp_path])[0]).study.images
    assert "A29" not in {one.code for one in image.findings}


def test_a_study_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    save(tmp_path, Bench(count=2).slices())

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(study, "decode_plans", no_memory)
    assert isinstance(deliver(find_studies([tmp_path])[0]).error, LimitError)


def test_a_file_that_disappears_is_accounted_for(tmp_path):
    paths = save(tmp_path, Bench().slices())
    (source,) = find_studies([tmp_path])
    for path in paths:
        path.unlink()
    delivery = deliver(source)
    assert delivery.study is None
    assert len(delivery.files) == 6
