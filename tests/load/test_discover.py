"""Which files belong to which study."""

from __future__ import annotations

import logging
import os
import shutil
import socket

import nibabel
import numpy as np
import pytest
from dicom_bench import Bench, save

from audit_pipeline.errors import NotAStudyError, SeveralStudiesError
from audit_pipeline.load import deliver, find_studies, load_study


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


def test_sources_have_absolute_sorted_files(tmp_path, monkeypatch):
    save(tmp_path / "in", Bench().slices())
    monkeypatch.chdir(tmp_path)
    (source,) = find_studies(["in"])
    assert all(path.is_absolute() for path in source.files)
    assert list(source.files) == sorted(source.files)
    assert source.name == "in"


def test_names_of_every_kind_are_searched_and_come_back_as_text(tmp_path):
    slices = Bench(count=5).slices()
    names = ["-o", "日本 ü.DCM", os.fsdecode(b"caf\xe9"), "n" * 255, "no.extension.7"]
    for name, data in zip(names, slices, strict=True):
        save(tmp_path / "in" / "case", [data], [name])
    (source,) = find_studies([tmp_path / "in"])
    assert sorted(path.name for path in source.files) == sorted(names)
    assert deliver(source).study.images[0].shape[0] == 5
    nifti(tmp_path / "in" / os.fsdecode(b"caf\xe9") / "a.NII.GZ")
    assert find_studies([tmp_path / "in"])[0].name == "caf\\xe9/a"


def test_deep_folders_are_searched(tmp_path):
    folder = tmp_path / "in"
    for level in range(30):
        folder /= f"level {level}"
    save(folder, Bench().slices())
    (source,) = find_studies([tmp_path / "in"])
    assert len(source.files) == 6


def test_folders_deeper_than_a_path_may_be_are_noted(tmp_path, monkeypatch, caplog):
    nifti(tmp_path / "in" / "a.nii")
    descriptor = os.open(tmp_path / "in", os.O_RDONLY)
    for _ in range(30):  # beyond PATH_MAX no absolute name reaches
        os.mkdir("d" * 200, dir_fd=descriptor)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    with caplog.at_level(logging.WARNING, "audit_pipeline"):
        (source,) = find_studies([tmp_path / "in"])
    assert source.name == "a"
    assert "1 folders could not be searched" in caplog.text
    assert "ddd" not in caplog.text


def test_pipes_and_sockets_are_never_opened(tmp_path):
    nifti(tmp_path / "a.nii")
    os.mkfifo(tmp_path / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.dcm"))
        (source,) = find_studies([tmp_path])
    assert [path.name for path in source.files] == ["a.nii"]


def test_a_folder_that_may_not_be_searched_is_noted_and_does_not_stop_the_others(tmp_path, monkeypatch, caplog):
    nifti(tmp_path / "in" / "a.nii")
    nifti(tmp_path / "in" / "John_Doe" / "b.nii")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("John_Doe"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("audit_pipeline.load.tree.os.scandir", closed)
    with caplog.at_level(logging.WARNING, "audit_pipeline"):
        (source,) = find_studies([tmp_path / "in"])
    assert source.name == "a"
    assert "1 folders could not be searched" in caplog.text
    assert "John" not in caplog.text
    with pytest.raises(NotAStudyError, match="1 folders could not be searched"):
        find_studies([tmp_path / "in" / "John_Doe"])


def test_a_loop_of_links_and_an_impossible_name_do_not_exist(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for path in (tmp_path / "one", tmp_path / ("n" * 300), tmp_path / "\0"):
        with pytest.raises(NotAStudyError, match="does not exist"):
            find_studies([path])


def test_extensions_of_pairs_are_found_in_any_case(tmp_path):
    nifti(tmp_path / "in" / "c.img", 2)
    (tmp_path / "in" / "c.img").rename(tmp_path / "in" / "c.IMG")
    (source,) = find_studies([tmp_path / "in"])
    assert len(source.files) == 2


def test_files_that_differ_in_their_suffix_only_have_different_names(tmp_path):
    nifti(tmp_path / "in" / "a.nii")
    nifti(tmp_path / "in" / "a.nii.gz", 1)
    assert [source.name for source in find_studies([tmp_path / "in"])] == ["a.nii", "a.nii.gz"]


def test_thousands_of_files_are_one_source(tmp_path):
    (content,) = (path.read_bytes() for path in save(tmp_path / "one", Bench(count=1).slices()))
    for number in range(3000):
        folder = tmp_path / "in" / f"{number // 200}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(content if number % 3 else b"text")
    (source,) = find_studies([tmp_path / "in"])
    assert len(source.files) == 3000
