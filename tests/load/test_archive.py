"""Archives act as folders: what is in them reads as it was packed, and the bad ones are refused with a type."""

from __future__ import annotations

import gc
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_bench import Bench, largest_error, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import ArchiveError, CorruptFileError, LimitError, LoadError, NotAStudyError
from audit_pipeline.load import LoadSettings, archive, deliver, find_studies, load_study
from audit_pipeline.load.archive import archive_at, member_size, open_member, refusal_of
from audit_pipeline.load.archive_names import member_name
from audit_pipeline.load.files import open_file, read_bytes, size_of

DEFAULTS = LoadSettings()
TAR_MODES = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}
ARCHIVES = ("a.zip", *TAR_MODES)


def pack(path, files, *, method=zipfile.ZIP_DEFLATED, **kwargs):
    """Write an archive with `files`, a mapping of name to content, by the reference implementations."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as target:
            for name, content in files.items():
                target.writestr(zipfile.ZipInfo(name), content, method)
    else:
        with tarfile.open(path, TAR_MODES.get(path.name, "w"), **kwargs) as target:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                target.addfile(info, io.BytesIO(content))
    return path


def pack_folder(path, folder):
    return pack(
        path, {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}
    )


def tar_of(path, *infos):
    """Write a tar of bare headers."""
    with tarfile.open(path, "w") as target:
        for info in infos:
            target.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return path


def info_of(name, kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def refused(path, limits=DEFAULTS):
    error = refusal_of(path, limits)
    assert error is not None
    assert path.name not in str(error)
    return error


def changed(path, at, new):
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


# what is in them


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_series_in_an_archive_has_the_values_of_the_folder(name, tmp_path):
    save(tmp_path / "in" / "case", Bench().slices())
    (source,) = find_studies([pack_folder(tmp_path / name, tmp_path / "in")])
    assert (source.kind, source.name, len(source.files), source.root) == ("dicom", "case", 6, tmp_path / name)
    (image,) = deliver(source).study.images
    (plain,) = load_study(tmp_path / "in").images
    assert np.array_equal(image.values, plain.values)
    assert np.array_equal(image.affine, plain.affine)
    assert largest_error(image) < 0.02
    assert image.sources == plain.sources
    assert source.identity == find_studies([tmp_path / "in"])[0].identity


def test_a_compressed_nifti_file_in_a_zip_archive_reads_as_in_the_folder(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2, 3, 4, 1])), tmp_path / "brain.nii.gz")
    pack(tmp_path / "a.zip", {"sub/brain.nii.gz": (tmp_path / "brain.nii.gz").read_bytes()})
    (source,) = find_studies([tmp_path / "a.zip"])
    assert (source.kind, source.name) == ("nifti", "sub/brain")
    (image,) = deliver(source).study.images
    assert np.array_equal(image.values, values.T)
    assert source.identity == find_studies([tmp_path / "brain.nii.gz"])[0].identity


def test_a_header_and_image_pair_in_a_tar_archive_is_one_study(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Pair(values, np.diag([2, 3, 4, 1])), tmp_path / "x.img")
    pack(tmp_path / "a.tar.gz", {one: (tmp_path / one).read_bytes() for one in ("x.hdr", "x.img")})
    (source,) = find_studies([tmp_path / "a.tar.gz"])
    assert len(source.files) == 2
    assert np.array_equal(deliver(source).study.images[0].values, values.T)
    (named,) = find_studies([tmp_path / "a.tar.gz" / "x.img"])
    assert named.files == source.files


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_read_back_in_any_order_of_seeks(method, tmp_path):
    content = np.random.default_rng(0).integers(0, 4, 200_000).astype(np.uint8).tobytes()
    path = pack(tmp_path / "a.zip", {"d/x": content}, method=method) / "d" / "x"
    assert (size_of(path), read_bytes(path)) == (len(content), content)
    with open_file(path) as stream:
        assert stream.seek(150_000) == 150_000
        assert stream.read(10) == content[150_000:150_010]
        assert stream.seek(5) == 5
        assert stream.read(90_000) == content[5:90_005]
        assert stream.seek(-3, io.SEEK_END) == len(content) - 3
        assert stream.tell() == len(content) - 3
        assert stream.read(100) == content[-3:]
        stream.seek(len(content) + 9)
        assert stream.read() == b""
        with pytest.raises(OSError, match="below the start"):
            stream.seek(-len(content) - 1, io.SEEK_END)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_read_in_every_tar_format(form, tmp_path):
    name = f"{'f' * 90}/{'g' * 60}" if form == tarfile.USTAR_FORMAT else f"{'ordner ü ' * 20}/{'日本' * 60}/x"
    path = pack(tmp_path / "a.tar", {f"./{name}": b"content", "short": b""}, format=form)
    assert set(archive_at(path, DEFAULTS).members) == {name, "short"}
    assert b"".join(open_member(path / one).read() for one in (name, "short")) == b"content"


def test_a_tar_size_of_eight_gigabytes_in_a_pax_record_is_believed_and_found_missing(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as target:
        target.addfile(info_of("x", pax_headers={"size": str(2**40)}, size=0), io.BytesIO())
    assert "ends early" in str(refused(tmp_path / "a.tar"))


def test_a_name_without_a_flag_is_read_as_utf8_or_as_code_page_437(tmp_path):
    path = pack(tmp_path / "a.zip", {"aa_aa": b"1", "bb_bb": b"2"})
    content = path.read_bytes().replace(b"aa_aa", b"aa" + "ü".encode() + b"a").replace(b"bb_bb", b"bb\x81bb")
    path.write_bytes(content)
    assert set(archive_at(path, DEFAULTS).members) == {"aaüa", "bbübb"}


def test_backslashes_of_old_packers_separate_folders(tmp_path):
    path = pack(tmp_path / "a.zip", {"d|e|x": b"1"})
    path.write_bytes(path.read_bytes().replace(b"d|e|x", b"d\\e\\x"))
    assert open_member(path / "d" / "e" / "x").read() == b"1"


def test_a_64_bit_zip_archive_and_a_prefixed_one_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target, target.open("x", "w", force_zip64=True) as member:
        member.write(b"content")
    content = (tmp_path / "a.zip").read_bytes()
    place = content.index(b"PK\x05\x06")
    directory = content.index(b"PK\x01\x02")
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, place - directory, directory)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "wide.zip").write_bytes(content[:place] + end64 + locator + end)
    assert zipfile.ZipFile(tmp_path / "wide.zip").namelist() == ["x"]
    assert open_member(tmp_path / "wide.zip" / "x").read() == b"content"
    (tmp_path / "prefixed.zip").write_bytes(b"PK\x03\x04" + bytes(96) + content)
    assert open_member(tmp_path / "prefixed.zip" / "x").read() == b"content"


def test_a_member_whose_sizes_are_in_the_64_bit_field_reads(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"content"}, method=zipfile.ZIP_STORED)
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02")
    entry = bytearray(content[place : place + 47])
    struct.pack_into("<2L", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", entry, 30, 24)
    field = struct.pack("<4s2H2Q", b"\x99\x99\x00\x00", 1, 16, 7, 7)
    end = bytearray(content[place + 47 :])
    struct.pack_into("<L", end, 12, 47 + 24)
    path.write_bytes(content[:place] + bytes(entry) + field + bytes(end))
    assert open_member(path / "x").read() == b"content"


def test_folders_links_and_devices_are_no_files(tmp_path):
    kinds = {"hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE, "disk": tarfile.BLKTYPE, "tty": tarfile.CHRTYPE}
    infos = [info_of(name, kind, linkname="/etc/hostname") for name, kind in kinds.items()]
    path = tar_of(
        tmp_path / "a.tar", info_of("d", tarfile.DIRTYPE), info_of("d/x"), info_of("p", tarfile.FIFOTYPE), *infos
    )
    opened = archive_at(path, DEFAULTS)
    assert (set(opened.members), opened.links) == ({"d/x"}, 5)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        target.writestr(link, "/etc/hostname")
        target.mkdir("d")
        target.writestr("d/x", b"")
    opened = archive_at(tmp_path / "a.zip", DEFAULTS)
    assert (set(opened.members), opened.links) == ({"d/x"}, 1)
    with pytest.raises(FileNotFoundError):
        open_member(tmp_path / "a.zip" / "link")


def test_an_old_tar_without_magic_is_an_archive(tmp_path):
    info = info_of("old", size=3)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:512])
    block[257:265] = bytes(8)
    block[156:157] = b"\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a").write_bytes(bytes(block) + b"abc".ljust(512, b"\0") + bytes(1024))
    assert open_member(tmp_path / "a" / "old").read() == b"abc"


def test_a_file_with_the_mode_of_a_folder_or_of_another_system_is_not_lost(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        for name, system, mode in (("x", 3, 0o040755), ("y", 0, 0o120777), ("z", 3, 0o755), ("d", 3, 0o040755)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = system, mode << 16
            target.writestr(info, b"" if name == "d" else b"content")
    assert set(archive_at(tmp_path / "a.zip", DEFAULTS).members) == {"x", "y", "z"}
    path = pack(tmp_path / "a.tar", {"x": b"content"})
    block = bytearray(path.read_bytes())
    block[:2] = b"x/"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block[:512])
    path.write_bytes(block)
    assert set(archive_at(path, DEFAULTS).members) == {"x"}


# how they lie among other files


def test_a_folder_may_hold_archives_beside_files(tmp_path):
    save(tmp_path / "in" / "one", Bench().slices())
    save(tmp_path / "other", Bench(study_uid="2.25.8", series_uid="2.25.8.1").slices())
    save(tmp_path / "third" / "s", Bench(study_uid="2.25.9", series_uid="2.25.9.1").slices())
    pack_folder(tmp_path / "in" / "case 2.zip", tmp_path / "other")
    (tmp_path / "in" / "sub").mkdir()
    pack_folder(tmp_path / "in" / "sub" / "a.tar", tmp_path / "third")
    (tmp_path / "in" / "readme").write_text("x")
    sources = find_studies([tmp_path / "in"])
    assert [(source.name, source.kind, len(source.files)) for source in sources] == [
        ("case 2", "dicom", 6),
        ("one", "dicom", 6),
        ("readme", "unknown", 1),
        ("sub/a.tar/s", "dicom", 6),
    ]
    assert all(deliver(source).study for source in sources if source.kind == "dicom")


def test_a_series_spread_over_archives_and_folders_is_one_study(tmp_path):
    slices = Bench().slices()
    save(tmp_path / "in" / "a", slices[:3])
    save(tmp_path / "b", slices[3:])
    pack_folder(tmp_path / "in" / "b.zip", tmp_path / "b")
    assert load_study(tmp_path / "in").images[0].shape[0] == 6


def test_an_archive_named_as_root_lends_its_name_without_suffix(tmp_path):
    save(tmp_path / "in", Bench().slices())
    for name in ("case.7.zip", "case.7.tar"):
        (source,) = find_studies([pack_folder(tmp_path / name, tmp_path / "in")])
        assert source.name == "case.7"


def test_a_path_may_lead_into_an_archive(tmp_path):
    save(tmp_path / "in" / "x" / "1", Bench().slices())
    save(tmp_path / "in" / "x" / "2", Bench(study_uid="2.25.8", series_uid="2.25.8.1", count=3).slices())
    path = pack_folder(tmp_path / "a.zip", tmp_path / "in")
    (source,) = find_studies([path / "x" / "2"])
    assert (source.name, len(source.files), source.root) == ("2", 3, path / "x" / "2")
    assert [one.name for one in find_studies([path / "x"])] == ["1", "2"]
    (source,) = find_studies([path / "x" / "2" / "001"])
    assert (source.name, len(source.files)) == ("001", 1)
    for wrong in ("y", "x/2/009", "x/2/001/deeper", "../a.zip"):
        with pytest.raises(NotAStudyError, match="does not exist"):
            find_studies([path / wrong] if wrong != "../a.zip" else [path / "x" / ".." / ".." / "nothing"])
    with pytest.raises(NotAStudyError, match="does not exist"):
        find_studies([save(tmp_path / "plain", Bench(count=1).slices())[0] / "inside"])


def test_clutter_of_macos_in_an_archive_is_no_study(tmp_path):
    save(tmp_path / "in", Bench().slices())
    files = {f"s/{one.name}": one.read_bytes() for one in (tmp_path / "in").iterdir()}
    files |= {"__MACOSX/s/._001": b"\x00\x05\x16\x07" + bytes(90), ".DS_Store": b"\x00\x00\x00\x01Bud1" + bytes(90)}
    files |= {"__MACOSX/s/._scan.nii": b"\x00\x05\x16\x07" + bytes(90)}
    sources = find_studies([pack(tmp_path / "a.zip", files)])
    assert [source.name for source in sources if not source.is_clutter] == ["s"]
    assert sum(len(source.files) for source in sources) == 9


def test_an_archive_inside_an_archive_is_not_opened_and_not_refused(tmp_path):
    save(tmp_path / "in", Bench().slices())
    inner = pack_folder(tmp_path / "inner.zip", tmp_path / "in")
    files = {one.name: one.read_bytes() for one in (tmp_path / "in").iterdir()}
    path = pack(tmp_path / "a.tar", {**files, "inner.zip": inner.read_bytes()})
    (source,) = find_studies([path])
    assert len(source.files) == 7
    assert refusal_of(path / "inner.zip", DEFAULTS) is None
    delivery = deliver(source)
    assert delivery.study is not None
    assert [one.disposition for one in delivery.files if one.path.name == "inner.zip"] == ["non-image"]


def test_an_office_file_is_a_file_and_clutter(tmp_path):
    pack(tmp_path / "labels.xlsx.zip", {"xl/workbook.xml": b"<a/>", "[Content_Types].xml": b"<a/>", "b": b"\0\1"})
    (source,) = find_studies([tmp_path])
    assert [one.name for one in source.files] == ["labels.xlsx.zip"]
    assert refusal_of(source.files[0], DEFAULTS) is None


def test_a_refused_archive_is_a_source_of_its_own(tmp_path):
    save(tmp_path / "in", Bench().slices())
    pack(tmp_path / "in" / "bad.zip", {"../x": b""})
    known, bad = sorted(find_studies([tmp_path / "in"]), key=lambda source: source.kind)
    assert (known.kind, len(known.files)) == ("dicom", 6)
    assert (bad.kind, bad.files, bad.is_clutter) == ("unknown", (tmp_path / "in" / "bad.zip",), False)
    (named,) = find_studies([tmp_path / "in" / "bad.zip"])
    assert named.files == bad.files
    with pytest.raises(ArchiveError, match="leads outside"):
        find_studies([tmp_path / "in" / "bad.zip" / "study"])


def test_a_refused_archive_is_delivered_as_its_refusal(tmp_path):
    pack(tmp_path / "bad.zip", {"../x": b""})
    (source,) = find_studies([tmp_path])
    delivery = deliver(source)
    assert isinstance(delivery.error, ArchiveError)
    assert [one.disposition for one in delivery.files] == ["refused"]


def test_an_empty_archive_is_refused_and_kept_as_a_file(tmp_path):
    path = pack(tmp_path / "a.zip", {})
    assert "no file" in str(refused(path))
    (source,) = find_studies([tmp_path])
    assert (source.files, source.is_clutter) == ((path,), False)


@pytest.mark.parametrize("start", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00"])
def test_archives_that_are_not_read_are_refused_by_their_kind(start, tmp_path):
    (tmp_path / "study").write_bytes(start + bytes(99))
    (source,) = find_studies([tmp_path])
    assert isinstance(refused(source.files[0]), ArchiveError)
    (tmp_path / "study.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(99))
    assert "not read" in str(refused(tmp_path / "study.tar.zst"))


# names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x", "outside"),
        ("a/../../x", "outside"),
        ("a/..", "outside"),
        ("/etc/x", "absolute"),
        ("\\x", "absolute"),
        ("..\\x", "outside"),
        ("C:/x", "outside"),
        ("c:x", "outside"),
        ("a" * 5000, "characters"),
        ("a/" * 200 + "x", "folders"),
    ],
)
def test_names_that_lead_outside_condemn_the_archive(name, said, tmp_path):
    for path in (tmp_path / "a.zip", tmp_path / "a.tar"):
        pack(path, {"good": b"1", name: b"2"})
        error = refused(path)
        assert isinstance(error, ArchiveError)
        assert said in str(error)


def test_a_nul_in_a_name_condemns_the_archive(tmp_path):
    path = pack(tmp_path / "a.zip", {"ab_cd": b"1"})
    path.write_bytes(path.read_bytes().replace(b"ab_cd", b"ab\0cd"))
    assert "NUL" in str(refused(path))
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as target:
        target.addfile(info_of("x", pax_headers={"path": "a\0b"}))
    assert "NUL" in str(refused(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("x", "x"), "two members"),
        (("d/x", "./d//x"), "two members"),
        (("d", "d/x"), "both a file and a folder"),
        (("d/e/x", "d/e"), "both a file and a folder"),
        ((".",), "without a name"),
    ],
)
def test_names_that_mean_two_things_condemn_the_archive(names, said, tmp_path):
    assert said in str(refused(tar_of(tmp_path / "a.tar", *(info_of(name) for name in names))))
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        warnings.simplefilter("ignore")  # of the writer, about the name given twice
        for name in names:
            target.writestr(name, b"")
    assert said in str(refused(tmp_path / "a.zip"))


def test_a_file_below_a_link_condemns_the_archive(tmp_path):
    link = info_of("d", tarfile.SYMTYPE, linkname="/etc")
    assert "both a file and a folder" in str(refused(tar_of(tmp_path / "a.tar", link, info_of("d/passwd"))))


@given(st.text(max_size=40))
def test_an_accepted_name_stays_below_its_archive(name):
    try:
        cleaned = member_name(name)
    except ArchiveError:
        return
    assert not {"..", ".", ""} & set(cleaned.split("/")) or cleaned == ""
    assert "\0" not in cleaned
    assert os.path.normpath(f"/a/{cleaned}").startswith("/a")


# damage, lies and bombs


def test_a_zip_bomb_is_refused_before_anything_is_unpacked(tmp_path):
    path = pack(tmp_path / "a.zip", {"zeros": bytes(10 * 2**20)})
    limits = LoadSettings(inflate_ratio=100, inflate_free_bytes=2**20)
    assert isinstance(refused(path, limits), LimitError)
    assert refusal_of(path, DEFAULTS) is None
    assert isinstance(refused(path, LoadSettings(archive_bytes=2**20)), LimitError)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_a_compressed_tar_bomb_is_refused_while_it_grows(name, tmp_path):
    path = pack(tmp_path / name, {"zeros": bytes(10 * 2**20)})
    limits = LoadSettings(inflate_ratio=100, inflate_free_bytes=2**20)
    assert "grows beyond" in str(refused(path, limits))
    assert refusal_of(path, DEFAULTS) is None


def test_the_size_of_a_plain_tar_is_limited(tmp_path):
    path = pack(tmp_path / "a.tar", {"x": bytes(2000), "y": bytes(2000)})
    assert isinstance(refused(path, LoadSettings(archive_bytes=3000)), LimitError)


@pytest.mark.parametrize("stated", [5, 5000])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_that_states_a_wrong_size_is_refused_and_never_unpacked_beyond(method, stated, tmp_path):
    path = pack(tmp_path / "a.zip", {"x": bytes(range(250)) * 4}, method=method)
    changed(path, path.read_bytes().index(b"PK\x01\x02") + 24, struct.pack("<L", stated))
    with pytest.raises(CorruptFileError, match="longer" if stated == 5 else "shorter"):
        read_bytes(path / "x")


def test_a_stored_member_of_two_sizes_condemns_the_archive(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"content"}, method=zipfile.ZIP_STORED)
    changed(path, path.read_bytes().index(b"PK\x01\x02") + 24, struct.pack("<L", 9))
    assert isinstance(refused(path), ArchiveError)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_fails_the_checksum_when_the_last_byte_is_read(method, tmp_path):
    content = np.random.default_rng(1).integers(0, 256, 30_000).astype(np.uint8).tobytes()
    path = pack(tmp_path / "a.zip", {"x": content}, method=method)
    changed(path, 20_000, bytes([path.read_bytes()[20_000] ^ 1]))
    with open_file(path / "x") as stream, pytest.raises(CorruptFileError, match="checksum"):
        stream.read(len(content))
    with open_file(path / "x") as stream:
        stream.seek(len(content) - 1)
        with pytest.raises(CorruptFileError, match="checksum"):
            stream.read(1)


def test_a_broken_deflate_stream_is_a_corrupt_file(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": bytes(range(256)) * 40})
    changed(path, 31, b"\xff" * 20)
    with pytest.raises(CorruptFileError, match="cannot be unpacked"):
        read_bytes(path / "x")


def test_members_that_share_data_condemn_the_archive(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": bytes(1000), "y": bytes(1000)})
    second = path.read_bytes().rindex(b"PK\x01\x02")
    changed(path, second + 42, struct.pack("<L", 0))
    assert "overlap" in str(refused(path))


def test_a_quoted_local_header_is_found_when_the_member_is_opened(tmp_path):
    """The overlap hides in the length of a local extra field, which the table of contents does not repeat."""
    path = pack(tmp_path / "a.zip", {"x": bytes(1000), "y": bytes(1000)})
    changed(path, 28, struct.pack("<H", 31))
    assert refusal_of(path, DEFAULTS) is None
    with pytest.raises(CorruptFileError, match="share data"):
        read_bytes(path / "x")


def test_a_local_header_that_disagrees_is_a_corrupt_file(tmp_path):
    path = changed(pack(tmp_path / "a.zip", {"x": b"content"}), 30, b"y")
    with pytest.raises(CorruptFileError, match="two things"):
        open_file(path / "x")


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2000])
def test_an_encrypted_archive_is_refused(flag, tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"content"})
    changed(path, path.read_bytes().index(b"PK\x01\x02") + 8, struct.pack("<H", flag))
    assert "encrypted" in str(refused(path))


def test_a_method_that_is_not_read_is_named(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"content"}, method=zipfile.ZIP_LZMA)
    assert "method 14" in str(refused(path))


def test_a_part_of_a_split_archive_is_refused(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"content"})
    changed(path, path.read_bytes().index(b"PK\x05\x06") + 4, struct.pack("<H", 1))
    assert "several" in str(refused(path))
    path = pack(tmp_path / "a.zip", {"x": b"content"})
    changed(path, path.read_bytes().index(b"PK\x01\x02") + 34, struct.pack("<H", 1))
    assert "several" in str(refused(path))


def test_damaged_tables_of_contents_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    whole = pack(path, {"x": b"content", "ü": b""}).read_bytes()
    directory, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    broken = {
        "cut": whole[:-23],
        "no entry": whole.replace(b"PK\x01\x02", b"PK\x01\x03"),
        "count": whole[: end + 8] + struct.pack("<2H", 3, 3) + whole[end + 12 :],
        "size": whole[: end + 12] + struct.pack("<L", 2**28) + whole[end + 16 :],
        "offset": whole[: end + 16] + struct.pack("<L", 2**28) + whole[end + 20 :],
        "long": whole[: end + 12] + struct.pack("<L", directory + end) + whole[end + 16 :],
        "utf-8": whole.replace("ü".encode(), b"\xff\xff"),
        "locator": whole[:end] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 2, 1) + whole[end:],
        "outside": whole[: directory + 42] + struct.pack("<L", 2**28) + whole[directory + 46 :],
    }
    for name, content in broken.items():
        path.write_bytes(content)
        assert isinstance(refused(path), ArchiveError | LimitError), name


@pytest.mark.parametrize("name", TAR_MODES)
def test_a_truncated_tar_archive_is_refused_wherever_it_ends(name, tmp_path):
    content = np.random.default_rng(2).integers(0, 256, 3000).astype(np.uint8).tobytes()
    whole = pack(tmp_path / name, {"x": content, "y": content}).read_bytes()
    for share in (0.4, 0.6, 0.97):
        kept = whole[: int(share * len(whole))] if name != "a.tar" else whole[: int(share * 2 * (512 + 3072))]
        (tmp_path / name).write_bytes(kept)
        error = refused(tmp_path / name)
        assert isinstance(error, ArchiveError | CorruptFileError)


def test_a_tar_archive_cut_between_two_members_is_refused(tmp_path):
    whole = pack(tmp_path / "a.tar", {"x": bytes(512), "y": bytes(512)}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1024])
    with tarfile.open(tmp_path / "a.tar") as lenient:
        assert lenient.getnames() == ["x"]
    assert "ends early" in str(refused(tmp_path / "a.tar"))


def test_a_damaged_header_in_the_middle_is_refused_and_not_taken_for_the_end(tmp_path):
    path = changed(pack(tmp_path / "a.tar", {"x": bytes(512), "y": bytes(512)}), 1024 + 5, b"~")
    assert "damaged" in str(refused(path))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_changed_byte_in_a_compressed_tar_is_a_corrupt_file(suffix, tmp_path):
    content = np.random.default_rng(3).integers(0, 256, 40_000).astype(np.uint8).tobytes()
    path = pack(tmp_path / f"a.tar.{suffix}", {"x": content})
    changed(path, 30_000, bytes([path.read_bytes()[30_000] ^ 1]))
    assert isinstance(refused(path), CorruptFileError)


def test_several_gzip_members_and_zero_padding_are_one_stream(tmp_path):
    import gzip

    plain = pack(tmp_path / "a.tar", {"x": b"content"}).read_bytes()
    (tmp_path / "b.tgz").write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:]) + bytes(700))
    assert open_member(tmp_path / "b.tgz" / "x").read() == b"content"


def test_sparse_and_split_tar_members_are_refused_by_name(tmp_path):
    for name, kind in (("S", b"S"), ("M", b"M")):
        assert "not read" in str(refused(tar_of(tmp_path / f"{name}.tar", info_of("x", kind))))
    with tarfile.open(tmp_path / "p.tar", "w", format=tarfile.PAX_FORMAT) as target:
        target.addfile(info_of("GNUSparseFile.0/x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))
    assert "sparse" in str(refused(tmp_path / "p.tar"))


def test_extended_headers_that_make_no_sense_are_refused(tmp_path):
    def with_header(kind, text, size=None):
        block = info_of("x", kind, size=len(text) if size is None else size).tobuf(tarfile.USTAR_FORMAT)
        (tmp_path / "a.tar").write_bytes(block + text.ljust(-(-len(text) // 512) * 512, b"\0") + bytes(1024))
        return refused(tmp_path / "a.tar")

    assert isinstance(with_header(b"x", b"99 path=a\n"), ArchiveError)
    assert isinstance(with_header(b"x", b"xx path=a\n"), ArchiveError)
    assert isinstance(with_header(b"x", b"6 path\n"), ArchiveError)
    assert isinstance(with_header(b"x", b"0 path=a\n"), ArchiveError)
    assert isinstance(with_header(b"x", b"10 size=x\n"), ArchiveError)
    assert isinstance(with_header(b"x", b"1" * 600), ArchiveError)
    assert isinstance(with_header(b"g", b"10 path=a\n"), ArchiveError)
    assert isinstance(with_header(b"L", b"", 2**31), LimitError)
    assert isinstance(with_header(b"L", b"", 2**16), ArchiveError)


def test_volume_labels_and_harmless_global_headers_are_passed_over(tmp_path):
    blocks = [
        info_of("label", b"V").tobuf(tarfile.USTAR_FORMAT),
        info_of("g", b"g", size=13).tobuf(tarfile.USTAR_FORMAT) + b"13 comment=a\n".ljust(512, b"\0"),
        info_of("k", b"K", size=5).tobuf(tarfile.USTAR_FORMAT) + b"where".ljust(512, b"\0"),
        info_of("x", size=2).tobuf(tarfile.USTAR_FORMAT) + b"ab".ljust(512, b"\0"),
    ]
    (tmp_path / "a.tar").write_bytes(b"".join(blocks) + bytes(512))
    assert open_member(tmp_path / "a.tar" / "x").read() == b"ab"


def test_sizes_that_are_no_numbers_are_refused(tmp_path):
    for number, field in enumerate((b"\xff" * 12, b"8" * 11 + b"\0", b"\x80" + b"\x7f" * 11)):
        block = bytearray(info_of("x").tobuf(tarfile.USTAR_FORMAT))
        block[124:136] = field
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
        (tmp_path / f"{number}.tar").write_bytes(bytes(block) + bytes(1024))
        assert isinstance(refused(tmp_path / f"{number}.tar"), ArchiveError)


def zip_of_empty_members(count):
    local, central = io.BytesIO(), io.BytesIO()
    for number in range(count):
        name, place = b"%07d" % number, local.tell()
        local.write(struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name)
        head = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, place)
        central.write(head + name)
    start, size = local.tell(), central.tell()
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 2**16, count % 2**16, size, start, 0)
    return local.getvalue() + central.getvalue() + end


def test_a_hundred_thousand_members_are_listed_or_refused(tmp_path):
    """The packer wrapped its 16-bit count, as old ones do; the table of contents counts, not the number."""
    (tmp_path / "a.zip").write_bytes(zip_of_empty_members(100_000))
    assert isinstance(refused(tmp_path / "a.zip", LoadSettings(archive_members=50_000)), LimitError)
    assert len(archive_at(tmp_path / "a.zip", DEFAULTS).members) == 100_000


def test_too_many_tar_members_are_refused_without_reading_them_all(tmp_path):
    path = tar_of(tmp_path / "a.tar", *(info_of(str(number)) for number in range(300)))
    assert isinstance(refused(path, LoadSettings(archive_members=299)), LimitError)
    assert refusal_of(path, LoadSettings(archive_members=300)) is None


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("a.zip", "a.tar", "a.tar.gz")),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0.2, 1),
)
def test_edited_and_cut_archives_read_or_are_refused_with_a_type(tmp_path, name, edits, kept):
    content = bytearray(pack(tmp_path / name, {"d/x": b"content" * 30, "y": bytes(700)}).read_bytes())
    for place, value in edits:
        content[int(place * len(content))] = value
    (tmp_path / name).write_bytes(content[: int(kept * len(content))])
    try:
        for member, packed in archive_at(tmp_path / name, DEFAULTS).members.items():
            assert len(read_bytes(tmp_path / name / member)) == packed.size
    except LoadError:
        pass


# the cache


def test_a_changed_archive_is_opened_anew(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"old"})
    assert read_bytes(path / "x") == b"old"
    pack(path, {"x": b"renewed", "y": b""})
    assert (read_bytes(path / "x"), member_size(path / "y")) == (b"renewed", 0)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        open_member(path / "x")


def test_limits_chosen_for_an_archive_hold_for_its_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_OPEN", 1)
    path = pack(tmp_path / "a.zip", {"x": bytes(100_000)})
    generous = LoadSettings(inflate_ratio=5000, inflate_free_bytes=0)
    assert isinstance(refused(path, LoadSettings(inflate_ratio=1, inflate_free_bytes=0)), LimitError)
    assert refusal_of(path, generous) is None
    archive_at(pack(tmp_path / "b.zip", {"y": b""}), DEFAULTS)  # pushes the other one out
    assert len(read_bytes(path / "x")) == 100_000


def test_a_stream_outlives_its_place_in_the_cache_and_nothing_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_OPEN", 2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    paths = [pack(tmp_path / f"{number}.tar.gz", {"x": bytes([number]) * 5000}) for number in range(9)]
    streams = [open_file(path / "x") for path in paths]
    assert [stream.read()[0] for stream in streams] == list(range(9))
    for stream in streams:
        stream.close()
    del streams, stream
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2 * archive._MOST_OPEN


def test_threads_share_one_archive(tmp_path):
    contents = {f"{n}": np.random.default_rng(n).integers(0, 9, 50_000).astype(np.uint8).tobytes() for n in range(8)}
    path = pack(tmp_path / "a.tar.gz", contents)
    found = {}

    def read(name):
        for _ in range(5):
            found[name] = read_bytes(path / name)

    threads = [threading.Thread(target=read, args=(name,)) for name in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == contents


def test_nothing_is_written_under_the_name_of_a_member(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "spool"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "spool").mkdir()
    path = pack(tmp_path / "a.tar.gz", {"evil": b"content"})
    stream = open_member(path / "evil")
    assert list((tmp_path / "spool").iterdir()) == []
    assert stream.read() == b"content"
    stream.close()


def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = pack(tmp_path / "a.tar.gz", {"x": b"content"})
    monkeypatch.setattr("audit_pipeline.load.archive_tar.os.write", full)
    assert "no room" in str(refused(path))


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_an_archive_that_shrinks_while_it_is_read_is_a_corrupt_file(name, tmp_path):
    path = pack(tmp_path / name, {"x": np.random.default_rng(0).integers(0, 256, 2**20).astype(np.uint8).tobytes()})
    with open_file(path / "x") as stream:
        stream.read(10)
        os.truncate(path, 2**16)
        with pytest.raises(CorruptFileError, match="shorter"):
            stream.read()


FORKING = """
import os, sys, threading
from pathlib import Path
from audit_pipeline.load import LoadSettings, archive
from audit_pipeline.load.files import read_bytes

path = Path(sys.argv[1])
archive.archive_at(path, LoadSettings())
with archive._CACHE._lock:
    child = os.fork()
    if child == 0:
        reader = threading.Thread(target=lambda: read_bytes(path / "x"), daemon=True)
        reader.start()
        reader.join(5)
        os._exit(int(reader.is_alive()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_process_reads_too(tmp_path):
    # in a program without other threads: a fork inherits their locks
    path = pack(tmp_path / "a.zip", {"x": b"content"})
    subprocess.run([sys.executable, "-c", FORKING, str(path)], check=True, timeout=60)


def test_a_checksum_is_that_of_the_standard(tmp_path):
    path = pack(tmp_path / "a.zip", {"x": b"123456789"})
    assert archive_at(path, DEFAULTS).members["x"].checksum == zlib.crc32(b"123456789") == 0xCBF43926
