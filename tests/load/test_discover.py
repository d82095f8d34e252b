"""Which files belong to which study."""

from __future__ import annotations

import gzip
import os
import shutil

import nibabel
import numpy as np
import pytest
from dicom_bench import Bench, save

from audit_pipeline.errors import NotAStudyError, SeveralStudiesError
from audit_pipeline.load import deliver, find_studies, load_study
from audit_pipeline.load.sniff import FileKind, kind_of


def nifti(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.full((3, 4, 5), value, np.uint8), np.eye(4))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def test_two_studies_in_one_folder_are_two_sources_with_different_names(tmp_path):
    one = Bench(study_uid="2.25.1", series_uid="2.25.1.1", count=2).slices()
    other = Bench(study_uid="2.25.2", series_uid="2.25.2.1", count=3).slices()
    save(tmp_path / "in", [*one, *other], [f"f{number}.dcm" for number in range(5)])
    sources = find_studies([tmp_path / "in"])
    assert [len(source.files) for source in sources] == [2, 3]
    assert [source.name for source in sources] == ["f0", "f2"]
    with pytest.raises(SeveralStudiesError, match="found 2"):
        load_study(tmp_path / "in")


def test_a_study_spread_over_folders_is_one_source_named_by_their_parent(tmp_path):
    slices = Bench().slices()
    save(tmp_path / "in" / "case" / "a", slices[:3])
    save(tmp_path / "in" / "case" / "Größe ü", slices[3:])
    (source,) = find_studies([tmp_path / "in"])
    assert source.name == "case"
    assert source.identity == "dicom||BENCH-1|2.25.7"
    assert load_study(tmp_path / "in").images[0].shape[0] == 6


def test_identity_does_not_depend_on_names_or_place(tmp_path):
    save(tmp_path / "a", Bench().slices())
    save(tmp_path / "b", Bench().slices()[::-1])
    (one,), (other,) = find_studies([tmp_path / "a"]), find_studies([tmp_path / "b"])
    assert one.identity == other.identity


def test_each_nifti_file_is_a_study_and_a_pair_is_one(tmp_path):
    nifti(tmp_path / "in" / "a.nii")
    nifti(tmp_path / "in" / "sub" / "b.nii.gz", 1)
    nifti(tmp_path / "in" / "c.img", 2)
    sources = find_studies([tmp_path / "in"])
    assert [(source.kind, source.name, len(source.files)) for source in sources] == [
        ("nifti", "a", 1),
        ("nifti", "c", 2),
        ("nifti", "sub/b", 1),
    ]
    assert len({source.identity for source in sources}) == 3
    assert all(source.identity.startswith("nifti|") for source in sources)


def test_the_identity_of_a_nifti_study_is_its_content(tmp_path):
    nifti(tmp_path / "a.nii")
    shutil.copy(tmp_path / "a.nii", tmp_path / "b.nii")
    one, other = find_studies([tmp_path])
    assert one.identity == other.identity


@pytest.mark.parametrize("name", ["a.img", "a.hdr"])
def test_either_file_of_a_pair_names_both(name, tmp_path):
    nifti(tmp_path / "a.img")
    (source,) = find_studies([tmp_path / name])
    assert [path.name for path in source.files] == ["a.hdr", "a.img"]


def test_other_files_join_the_only_dicom_study_of_their_folder(tmp_path):
    save(tmp_path / "in" / "case", Bench().slices())
    (tmp_path / "in" / "case" / "readme").write_text("x")
    (tmp_path / "in" / "labels.csv").write_text("study,label\n")
    known, unknown = find_studies([tmp_path / "in"])
    assert len(known.files) == 7
    assert (unknown.kind, [path.name for path in unknown.files]) == ("unknown", ["labels.csv"])
    assert unknown.identity.startswith("file|")


def test_an_unknown_source_is_refused_with_a_disposition_for_each_file(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    (source,) = find_studies([tmp_path])
    delivery = deliver(source)
    assert isinstance(delivery.error, NotAStudyError)
    assert [one.disposition for one in delivery.files] == ["non-image"]


def test_symbolic_links_are_not_followed(tmp_path):
    save(tmp_path / "elsewhere", Bench().slices())
    nifti(tmp_path / "in" / "a.nii")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "file").symlink_to(tmp_path / "elsewhere" / "001")
    (tmp_path / "in" / "again.nii").symlink_to(tmp_path / "in" / "a.nii")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (source,) = find_studies([tmp_path / "in"])
    assert [path.name for path in source.files] == ["a.nii"]
    (tmp_path / "in" / "a.nii").unlink()
    with pytest.raises(NotAStudyError, match="4 symbolic links were not followed"):
        find_studies([tmp_path / "in"])


def test_a_linked_root_is_followed(tmp_path):
    nifti(tmp_path / "data" / "a.nii")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(find_studies([tmp_path / "link"])) == 1


def test_overlapping_paths_count_a_file_once(tmp_path):
    nifti(tmp_path / "in" / "sub" / "a.nii")
    assert len(find_studies([tmp_path / "in", tmp_path / "in" / "sub", tmp_path / "in" / "sub" / "a.nii"])) == 1


def test_missing_and_empty_paths_are_refused_without_being_named(tmp_path):
    with pytest.raises(NotAStudyError, match="does not exist") as caught:
        find_studies([tmp_path / "John_Doe"])
    assert "John" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAStudyError, match="holds no file"):
        find_studies([tmp_path / "empty"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAStudyError, match="neither a file nor a folder"):
        find_studies([tmp_path / "pipe"])


def test_every_regular_file_is_in_exactly_one_source(tmp_path):
    save(tmp_path / "in" / "one", Bench().slices())
    save(tmp_path / "in" / "two", Bench(study_uid="2.25.9", series_uid="2.25.9.1").slices())
    for folder in ("one", "two", "three"):
        nifti(tmp_path / "in" / folder / "x.nii.gz")
        (tmp_path / "in" / folder / "notes").write_text(folder)
    truncated = (tmp_path / "in" / "one" / "001").read_bytes()[:200]
    (tmp_path / "in" / "two" / "cut").write_bytes(truncated)
    sources = find_studies([tmp_path / "in"])
    found = sorted(path for source in sources for path in source.files)
    assert found == sorted(path for path in (tmp_path / "in").rglob("*") if path.is_file())
    assert sources == find_studies([tmp_path / "in"])
    for source in sources:
        assert len(deliver(source).files) == len(source.files)


def test_series_without_study_uid_are_united_by_their_series(tmp_path):
    slices = Bench().slices()
    for data in slices[:3]:
        del data.StudyInstanceUID
    save(tmp_path, slices)
    assert len(find_studies([tmp_path])) == 1


def test_files_without_any_uid_are_studies_of_their_own(tmp_path):
    slices = Bench(count=2).slices()
    for data in slices:
        del data.StudyInstanceUID, data.SeriesInstanceUID
    save(tmp_path, slices)
    sources = find_studies([tmp_path])
    assert [len(source.files) for source in sources] == [1, 1]
    assert sources[0].identity != sources[1].identity
    assert deliver(sources[0]).study is not None


def test_kinds_are_told_by_content(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(b"\x5c\x01\0\0" + b"\0" * 124 + b"DICM" + b"\0" * 300))
    assert kind_of(path) is FileKind.OTHER
    path.write_bytes(b"\x1f\x8b\x08 no gzip")
    assert kind_of(path) is FileKind.OTHER
    path.write_bytes(b"")
    assert kind_of(path) is FileKind.OTHER
    assert kind_of(tmp_path / "absent") is FileKind.OTHER
    path.write_bytes(b"MZ" + b"\0" * 126 + b"DICM")
    assert kind_of(path) is FileKind.DICOM
    path.write_bytes(b"\x08\0\x05\0")
    assert kind_of(path) is FileKind.OTHER


def test_sources_have_absolute_sorted_files(tmp_path, monkeypatch):
    save(tmp_path / "in", Bench().slices())
    monkeypatch.chdir(tmp_path)
    (source,) = find_studies(["in"])
    assert all(path.is_absolute() for path in source.files)
    assert list(source.files) == sorted(source.files)
    assert source.name == "in"
