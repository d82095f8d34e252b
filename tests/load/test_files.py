"""Bytes are reached the same way in folders and in archives."""

from __future__ import annotations

import zipfile

import pytest

from audit_pipeline.errors import ArchiveError
from audit_pipeline.load.files import is_file, is_member, open_file, read_bytes, size_of


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("d/x", b"content")
    return tmp_path / "a.zip"


def test_a_file_and_a_member_read_alike(archive, tmp_path):
    (tmp_path / "plain").write_bytes(b"content")
    for path in (tmp_path / "plain", archive / "d" / "x"):
        assert (size_of(path), read_bytes(path), is_file(path)) == (7, b"content", True)
        with open_file(path) as stream:
            assert (stream.read(2), stream.tell(), stream.seekable(), stream.readable()) == (b"co", 2, True, True)
    assert not is_member(tmp_path / "plain")
    assert is_member(archive / "d" / "x")


@pytest.mark.parametrize("inside", ["d", "d/y", "d/x/y", "y" * 300, "/".join(["y" * 200] * 30)])
def test_what_is_not_in_an_archive_is_not_found(inside, archive):
    path = archive / inside
    assert not is_file(path)
    for read in (open_file, size_of, read_bytes):
        with pytest.raises(FileNotFoundError):
            read(path)


def test_what_is_nowhere_is_not_found(tmp_path):
    for path in (tmp_path / "none", tmp_path / "none" / "x", tmp_path / "\0"):
        assert not is_file(path)
    assert not is_file(tmp_path)
    assert not is_member(tmp_path / "none" / "x")
    for read in (open_file, size_of):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none" / "x")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / ("y" * 300))


def test_below_a_file_that_is_no_archive_nothing_is_found(tmp_path):
    (tmp_path / "plain").write_text("x")
    assert not is_file(tmp_path / "plain" / "x")
    with pytest.raises(ArchiveError):
        open_file(tmp_path / "plain" / "x")
