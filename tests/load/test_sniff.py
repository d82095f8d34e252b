"""What a file is, is told by its first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import numpy as np
import pytest
from dicom_bench import Bench, save

from audit_pipeline.load.archive_format import has_valid_checksum, is_tar_header
from audit_pipeline.load.encode_nifti import nifti_bytes
from audit_pipeline.load.sniff import FileKind, is_clutter, is_text, kind_of

NIFTI_GZIP = nifti_bytes(np.zeros((2, 3, 4), np.float32), np.eye(4), (1.0, 1.0, 1.0))


def tar_bytes(size=2_000_000):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as target:
        info = tarfile.TarInfo("x")
        info.size = size
        target.addfile(info, io.BytesIO(np.random.default_rng(0).integers(0, 256, size).astype(np.uint8).tobytes()))
    return content.getvalue()


def zip_bytes():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        target.writestr("x", b"1")
    return content.getvalue()


TAR = tar_bytes()
KINDS = {
    "plain tar": (TAR, FileKind.ARCHIVE),
    "tar.gz": (gzip.compress(TAR, 1), FileKind.ARCHIVE),
    "tar.bz2": (bz2.compress(TAR, 1), FileKind.ARCHIVE),
    "tar.xz": (lzma.compress(TAR, preset=0), FileKind.ARCHIVE),
    "zip": (zip_bytes(), FileKind.ARCHIVE),
    "empty zip": (b"PK\x05\x06" + bytes(18), FileKind.ARCHIVE),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), FileKind.ARCHIVE),
    "tar with a damaged header": (TAR[:5] + b"~" + TAR[6:], FileKind.ARCHIVE),
    "zip preamble of a DICOM file": (zip_bytes()[:64].ljust(128, b"\0") + b"DICM" + bytes(99), FileKind.DICOM),
    "NIfTI in gzip": (NIFTI_GZIP, FileKind.NIFTI),
    "NIfTI": (gzip.decompress(NIFTI_GZIP), FileKind.NIFTI),
    "text in gzip": (gzip.compress(b"text" * 999), FileKind.OTHER),
    "text in bzip2": (bz2.compress(b"text" * 999), FileKind.OTHER),
    "text in xz": (lzma.compress(b"text" * 999), FileKind.OTHER),
    "damaged bzip2": (b"BZh91AY&SY" + bytes(99), FileKind.OTHER),
    "bzip2 by chance": (b"BZhello world", FileKind.OTHER),
    "zeros": (bytes(2048), FileKind.OTHER),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(99), FileKind.OTHER),
}


@pytest.mark.parametrize("case", KINDS)
def test_the_content_tells_the_kind_under_any_name(case, tmp_path):
    content, kind = KINDS[case]
    for name in ("x", "x.dcm", "x.zip", "X.TXT"):
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) is kind


@pytest.mark.parametrize("name", ["x.tar.gz", "X.TGZ", "x.tar.zst"])
def test_a_damaged_archive_is_told_by_its_name(name, tmp_path):
    start = b"\x28\xb5\x2f\xfd" if name.endswith("zst") else b"\x1f\x8b\x08"
    (tmp_path / name).write_bytes(start + bytes(99))
    assert kind_of(tmp_path / name) is FileKind.ARCHIVE


def test_a_tar_that_is_named_as_an_image_is_an_archive_and_junk_so_named_is_an_image(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(TAR, 1))
    assert kind_of(tmp_path / "x.nii.gz") is FileKind.ARCHIVE
    (tmp_path / "y.nii").write_bytes(b"junk")
    assert kind_of(tmp_path / "y.nii") is FileKind.NIFTI
    (tmp_path / "._y.nii").write_bytes(b"\x00\x05\x16\x07" + bytes(99))
    assert kind_of(tmp_path / "._y.nii") is FileKind.OTHER


def test_what_cannot_be_read_may_be_anything(tmp_path):
    assert kind_of(tmp_path / "none") is FileKind.UNREADABLE
    assert not is_text(tmp_path / "none")
    assert not is_clutter(tmp_path / "none")
    (tmp_path / "broken.zip").write_bytes(zip_bytes()[:40])
    assert kind_of(tmp_path / "broken.zip" / "x") is FileKind.UNREADABLE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", True),
        (b"study,label\n", True),
        ("Größe, 年".encode(), True),
        ("Größe;Ärztin\r\n".encode("latin-1"), True),
        ("study\tlabel".encode("utf-16"), True),
        (("ü" * 4000).encode()[:4097], True),
        (b"text\0text", False),
        (bytes(range(256)), False),
        (b"\xff\xd8\xff\xe0\x10JFIF", False),
    ],
)
def test_text_is_told_from_other_bytes(content, expected, tmp_path):
    (tmp_path / "x").write_bytes(content)
    assert is_text(tmp_path / "x") is expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (".DS_Store", b"\x00\x00\x00\x01Bud1" + bytes(50), True),
        ("._x.dcm", b"\x00\x05\x16\x07" + bytes(50), True),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), True),
        ("scan.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), False),
        ("x.pdf", b"%PDF-1.7\n\x00\xff", False),
        ("x", os.urandom(4096), False),
    ],
)
def test_what_a_desktop_leaves_behind_is_clutter(name, content, expected, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert is_clutter(tmp_path / name) is expected


def test_an_image_is_no_clutter(tmp_path):
    (path,) = save(tmp_path, Bench(count=1).slices())
    assert not is_clutter(path)


def test_a_header_sum_of_signed_characters_holds_too():
    block = bytearray(tarfile.TarInfo("ü").tobuf(tarfile.GNU_FORMAT))
    assert has_valid_checksum(bytes(block))
    block[257:265] = bytes(8)
    block[148:156] = b"        "
    unsigned = sum(block)
    block[148:156] = b"%06o\0 " % (unsigned - 512)
    assert has_valid_checksum(bytes(block))
    assert is_tar_header(bytes(block))
    block[148:156] = b"%06o\0 " % (unsigned - 511)
    assert not is_tar_header(bytes(block))
    assert not is_tar_header(bytes(block[:511]))
