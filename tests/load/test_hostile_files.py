"""Files made to break a reader: whatever the bytes, the answer is an image or a typed refusal."""

from __future__ import annotations

import struct

import nibabel
import numpy as np
import pytest
from dicom_bench import Bench, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import LimitError, LoadError
from audit_pipeline.load import deliver, find_studies, study
from audit_pipeline.load.encode_nifti import nifti_bytes

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


def test_sequences_nested_without_end_are_refused(tmp_path):
    (path,) = save(tmp_path, Bench(count=1).slices())
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    opening = struct.pack("<HH2sHI", 0x0018, 0x9346, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    path.write_bytes(content[:at] + opening * 20_000 + content[at:])
    (source,) = find_studies([tmp_path])
    assert isinstance(deliver(source).error, LimitError)


@pytest.mark.parametrize("start", [b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04"])
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
