"""A DICOMDIR is a hint: it says what should be there, and can neither lead outside nor cost time."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from pathlib import Path

import pydicom
import pytest
from dicom_bench import Bench, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from audit_pipeline.load import deliver, find_studies, load_study
from audit_pipeline.load.dicomdir import Directory, is_dicomdir, read_dicomdir
from audit_pipeline.load.dicomdir_records import records_of

REAL = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def record(kind, **values):
    data = Dataset()
    data.OffsetOfTheNextDirectoryRecord, data.RecordInUseFlag = 0, 0xFFFF
    data.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    data.DirectoryRecordType = kind
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def image(*parts, sop_uid="", **values):
    one = record("IMAGE", ReferencedSOPInstanceUIDInFile=sop_uid, **values)
    # names that the standard forbids are wanted here
    one.add(DataElement(0x00041500, "CS", list(parts), validation_mode=config.IGNORE))
    return one


def study(*images, uid="2.25.7"):
    return [record("PATIENT"), record("STUDY", StudyInstanceUID=uid), record("SERIES"), *images]


def directory_bytes(records, syntax=EXPLICIT, *, undefined=False):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    data.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
    data.file_meta.TransferSyntaxUID = syntax
    data.FileSetID = ""
    data.DirectoryRecordSequence = Sequence(records)
    data["DirectoryRecordSequence"].is_undefined_length = undefined
    for one in records:
        one.is_undefined_length_sequence_item = undefined
    content = io.BytesIO()
    data.save_as(content, enforce_file_format=True)
    return content.getvalue()


def medium(folder, count=6, listed=8, **kwargs):
    """Write a medium with `count` slices of which the DICOMDIR lists `listed`."""
    slices = Bench(count=count).slices()
    save(folder / "DICOM", slices, [f"im{number}" for number in range(count)])
    images = [image("DICOM", f"IM{number}", sop_uid=f"2.25.7.1.{number + 1}") for number in range(listed)]
    (folder / "DICOMDIR").write_bytes(directory_bytes(study(*images), **kwargs))
    return folder


@pytest.mark.parametrize("kwargs", [{}, {"syntax": IMPLICIT}, {"undefined": True}])
def test_images_that_are_listed_and_not_there_are_counted_for_their_study(kwargs, tmp_path):
    sources = find_studies([medium(tmp_path, **kwargs)])
    assert [(one.kind, len(one.files), one.absent) for one in sources] == [("dicom", 6, 2), ("unknown", 1, 0)]


def test_a_dicomdir_named_itself_stands_for_the_files_it_lists(tmp_path):
    save(tmp_path / "more", Bench(study_uid="2.25.8", series_uid="2.25.8.1").slices())
    medium(tmp_path, count=6, listed=5)
    sources = find_studies([tmp_path / "DICOMDIR"])
    assert [[one.name for one in source.files] for source in sources] == [[f"im{n}" for n in range(5)], ["DICOMDIR"]]
    assert sources[1].is_clutter
    assert load_study(tmp_path / "DICOMDIR").images[0].shape[0] == 5
    assert sum(len(one.files) for one in find_studies([tmp_path])) == 13


def test_a_medium_in_an_archive_reads_as_the_folder(tmp_path):
    medium(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        for file in sorted((tmp_path / "in").rglob("*")):
            target.write(file, Path("cd") / file.relative_to(tmp_path / "in"))
    for path, expected in ((tmp_path / "a.zip", 2), (tmp_path / "a.zip" / "cd" / "DICOMDIR", 2)):
        sources = find_studies([path])
        assert [(one.kind, len(one.files)) for one in sources] == [("dicom", 6), ("unknown", 1)]
        # named itself, the DICOMDIR and what it lists are all there is
        assert sources[0].absent == expected
        assert deliver(sources[0]).study is not None


def test_images_copied_under_other_names_are_not_absent(tmp_path):
    medium(tmp_path, count=6, listed=6)
    for number in range(6):
        (tmp_path / "DICOM" / f"im{number}").rename(tmp_path / "DICOM" / f"copy-{number}.dcm")
    assert [one.absent for one in find_studies([tmp_path])] == [0, 0]


def test_a_dicomdir_without_a_study_beside_it_is_clutter_and_still_accounted_for(tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(study(image("X", "Y"))))
    (tmp_path / "readme").write_text("x")
    (source,) = find_studies([tmp_path])
    assert source.is_clutter
    assert [one.disposition for one in deliver(source).files] == ["non-image", "non-image"]


def test_a_dicomdir_among_the_slices_keeps_its_disposition(tmp_path):
    slices = Bench().slices()
    save(tmp_path, slices, [f"{number}" for number in range(6)])
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(study(*(image(str(number)) for number in range(6)))))
    (source,) = find_studies([tmp_path])
    assert (len(source.files), source.absent) == (7, 0)
    assert {one.path.name: one.disposition for one in deliver(source).files}["DICOMDIR"] == "non-image"


def test_references_that_lead_outside_are_ignored_and_counted(tmp_path):
    (secret,) = save(tmp_path / "outside", Bench(count=1).slices(), ["secret"])
    inside = tmp_path / "cd"
    save(inside / "A", Bench().slices())
    (inside / "A" / "link").symlink_to(secret)
    parts = [("..", "outside", "secret"), ("A/../../outside/secret",), ("", "etc"), ("C:", "X"), (".", "A")]
    (inside / "DICOMDIR").write_bytes(directory_bytes(study(*(image(*one) for one in parts), image("A", "link"))))
    found = read_dicomdir(inside / "DICOMDIR")
    assert found.ignored == 5
    assert [one.parts for one in found.listed] == [("A", "link")]
    (source,) = find_studies([inside / "DICOMDIR"])
    assert [one.name for one in source.files] == ["DICOMDIR"]


def test_deleted_records_do_not_count(tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(study(image("A"), image("B", RecordInUseFlag=0))))
    assert [one.parts for one in read_dicomdir(tmp_path / "DICOMDIR").listed] == [("A",)]


def test_other_objects_than_images_are_listed_and_never_missed(tmp_path):
    save(tmp_path, Bench().slices())
    records = study(image("001"), record("SR DOCUMENT", ReferencedFileID=["SR1"]))
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(records))
    assert [one.is_image for one in read_dicomdir(tmp_path / "DICOMDIR").listed] == [True, False]
    assert find_studies([tmp_path])[0].absent == 0


@pytest.mark.parametrize("first", [2, 3])
def test_an_order_that_is_not_that_of_the_tree_reports_nothing(first, tmp_path):
    save(tmp_path, Bench().slices())
    records = study(image("NONE"))
    records[0], records[first] = records[first], records[0]
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(records))
    (listed,) = read_dicomdir(tmp_path / "DICOMDIR").listed
    assert listed.study_uid == ""
    assert find_studies([tmp_path])[0].absent == 0


def test_offsets_are_compared_and_never_followed(tmp_path):
    records = study(image("NONE"))
    for one in records:
        one.OffsetOfReferencedLowerLevelDirectoryEntity = one.OffsetOfTheNextDirectoryRecord = 396
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(records))
    assert [one.study_uid for one in read_dicomdir(tmp_path / "DICOMDIR").listed] == [""]


def test_a_nested_icon_is_stepped_over(tmp_path):
    icon = Dataset()
    icon.ReferencedFileID, icon.PixelData = ["WRONG"], bytes(64)
    icon["PixelData"].VR = "OB"
    for undefined in (False, True):
        one = image("A", IconImageSequence=Sequence([icon]))
        one["IconImageSequence"].is_undefined_length = undefined
        icon.is_undefined_length_sequence_item = undefined
        (tmp_path / "DICOMDIR").write_bytes(directory_bytes(study(one, image("B")), undefined=undefined))
        assert [one.parts for one in read_dicomdir(tmp_path / "DICOMDIR").listed] == [("A",), ("B",)]


def test_a_hundred_thousand_records_and_endless_nesting_come_to_an_end(tmp_path):
    content = directory_bytes(study(image("A", "B")))
    place = content.rindex(b"\xfe\xff\x00\xe0")
    start = content.index(struct.pack("<HH2s", 4, 0x1220, b"SQ")) + 8
    many = content[place:] * 100_000
    body = content[:start] + struct.pack("<I", place - start - 4 + len(many)) + content[start + 4 : place] + many
    assert len(records_of(body)) == 100_003
    deep = struct.pack("<HH2sHI", 0x0088, 0x0200, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    (tmp_path / "DICOMDIR").write_bytes(content[: place + 8] + deep * 100_000)
    assert read_dicomdir(tmp_path / "DICOMDIR").listed == ()
    empty = content[:start] + b"\xff\xff\xff\xff" + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 250_000
    (tmp_path / "DICOMDIR").write_bytes(empty)
    assert read_dicomdir(tmp_path / "DICOMDIR") == Directory()


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.2, 1),
)
def test_edited_and_cut_directories_only_list_less(tmp_path, edits, kept):
    content = bytearray(directory_bytes(study(*(image("A", f"B{number}") for number in range(9)))))
    for place, value in edits:
        content[132 + int(place * (len(content) - 132))] = value
    (tmp_path / "DICOMDIR").write_bytes(content[: max(132, int(kept * len(content)))])
    for one in read_dicomdir(tmp_path / "DICOMDIR").listed:
        assert not {"..", "", "."} & set(one.parts)


def test_what_is_no_dicomdir_lists_nothing(tmp_path):
    (path,) = save(tmp_path, Bench(count=1).slices())
    assert not is_dicomdir(path)
    assert read_dicomdir(path) == Directory()
    assert not is_dicomdir(tmp_path / "none")
    assert read_dicomdir(tmp_path / "none") == Directory()
    (tmp_path / "junk").write_bytes(bytes(128) + b"DICM" + b"\xff" * 100)
    assert read_dicomdir(tmp_path / "junk") == Directory()


def test_a_larger_directory_than_any_medium_has_lists_nothing(tmp_path, monkeypatch):
    (tmp_path / "DICOMDIR").write_bytes(directory_bytes(study(image("A"))))
    monkeypatch.setattr("audit_pipeline.load.dicomdir.MOST_BYTES", 100)
    assert read_dicomdir(tmp_path / "DICOMDIR") == Directory()


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_the_real_directories_list_what_pydicom_reads(name):
    expected = [
        tuple(one.ReferencedFileID)
        for one in pydicom.dcmread(REAL / name).DirectoryRecordSequence
        if "ReferencedFileID" in one
    ]
    found = read_dicomdir(REAL / name)
    assert [one.parts for one in found.listed] == expected
    assert len(expected) == 31


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-implicit", "DICOMDIR-bigEnd"])
def test_each_file_of_the_real_medium_has_the_study_its_directory_says(name):
    uids = {(REAL.joinpath(*one.parts)): one.study_uid for one in read_dicomdir(REAL / name).listed}
    for path, uid in uids.items():
        assert pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID == uid


@pytest.mark.parametrize("name", ["DICOMDIR-nopatient", "DICOMDIR-reordered"])
def test_the_real_directories_in_odd_order_tell_no_study(name):
    found = read_dicomdir(REAL / name).listed
    assert len(found) == 31
    assert {one.study_uid for one in found} == {""}


def test_the_real_medium_loads_from_its_directory_and_misses_what_is_taken_away(tmp_path):
    shutil.copytree(REAL, tmp_path / "cd")
    sources = find_studies([tmp_path / "cd" / "DICOMDIR"])
    assert sum(len(one.files) for one in sources if one.kind == "dicom") == 31
    assert {one.absent for one in sources} == {0}
    victims = sorted((tmp_path / "cd" / "98892003" / "MR700").iterdir())[:3]
    for victim in victims:
        victim.unlink()
    sources = find_studies([tmp_path / "cd"])
    assert max(one.absent for one in sources) == 3
    assert sum(one.absent for one in sources) == 3
