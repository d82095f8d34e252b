"""What the parser may read of a header, and what it does not keep."""

from __future__ import annotations

import struct
import time
import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from dicom_bench import Bench, save
from dicom_cases_codecs import compress, jpeg_2000
from hostile_files import EMPTY_ITEM, element, enhanced, one_slice, with_bytes
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from audit_pipeline.errors import HeaderError, LimitError, PixelDataError
from audit_pipeline.load import LoadSettings
from audit_pipeline.load.deflated import inflated
from audit_pipeline.load.dicom_frames import frames_of
from audit_pipeline.load.dicom_index import read_header
from audit_pipeline.load.dicom_stream import BoundedStream
from audit_pipeline.load.pixel_file import open_pixels

SETTINGS = LoadSettings()
SMALL = np.arange(63, dtype="u2").reshape(7, 9)


def header_with(inserted: bytes, folder, settings=SETTINGS):
    with_bytes(inserted)(folder)
    (path,) = folder.iterdir()
    return read_header(path, settings)


def test_a_read_without_a_size_is_refused():
    """It is how pydicom asks for the rest of a file that it takes for deflated."""
    stream = BoundedStream(BytesIO(bytes(100)), 100, SETTINGS)
    with pytest.raises(HeaderError, match="deflated"):
        stream.read()


def test_the_bytes_read_are_counted_and_not_those_passed_over():
    stream = BoundedStream(BytesIO(bytes(10_000)), 10_000, LoadSettings(header_bytes=100))
    stream.seek(9000)
    assert len(stream.read(100)) == 100
    with pytest.raises(LimitError, match="100 bytes"):
        stream.read(1)


def test_a_large_private_value_is_not_kept(tmp_path):
    header = header_with(element(0x0019, 0x1001, b"OB", 70_000, bytes(70_000)), tmp_path)
    assert header.damage is None
    assert (0x0019, 0x1001) not in header.dataset
    assert header.rows == 7


def test_a_large_value_of_a_group_that_is_read_is_kept_whole(tmp_path):
    value = bytes(range(250)) * 400
    header = header_with(element(0x0020, 0x9FFE, b"OB", len(value), value), tmp_path)
    assert header.dataset.get_item((0x0020, 0x9FFE)).value == value


def test_large_values_that_are_read_count_as_header(tmp_path):
    inserted = b"".join(element(0x0020, 0x9F00 + number, b"OB", 70_000, bytes(70_000)) for number in range(3))
    header = header_with(inserted, tmp_path, LoadSettings(header_bytes=200_000))
    assert isinstance(header.damage, LimitError)


@pytest.mark.parametrize("group", [0x0019, 0x0020])
def test_a_header_that_ends_inside_a_large_value_is_cut(group, tmp_path):
    with_bytes(element(group, 0x9F00, b"OB", 70_000, bytes(70_000)))(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:60_000])
    header = read_header(path, SETTINGS)
    assert isinstance(header.damage, HeaderError)
    assert "inside its last element: 70000" in str(header.damage)


@pytest.mark.parametrize("length", [8 * 70_000, 0xFFFFFFFF])
def test_items_count_whether_their_sequence_has_a_length_or_not(length, tmp_path):
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if length == 0xFFFFFFFF else b""
    header = header_with(element(0x0018, 0x9346, b"SQ", length, EMPTY_ITEM * 70_000 + end), tmp_path)
    assert isinstance(header.damage, LimitError)
    assert "elements and items" in str(header.damage)


@pytest.mark.parametrize("is_undefined", [False, True])
def test_many_frames_may_have_many_elements(is_undefined, tmp_path):
    data = enhanced(300, Rows=1, Columns=1)
    data["PerFrameFunctionalGroupsSequence"].is_undefined_length = is_undefined
    for item in data.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = is_undefined
    data.PixelData = bytes(600)
    (path,) = save(tmp_path, [data])
    settings = LoadSettings(elements=100)
    header = read_header(path, settings)
    assert header.damage is None
    assert [one.position for one in frames_of(header, settings)] == [(0, 0, number) for number in range(300)]


def test_frames_keep_the_private_uptake_factor_and_leave_out_other_private_elements(tmp_path):
    data = enhanced(2, Rows=1, Columns=1)
    data.PixelData = bytes(4)
    data.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0, "DS", "2.5")
    data.private_block(0x0019, "SOMEBODY", create=True).add_new(0, "LO", "x")
    (path,) = save(tmp_path, [data])
    for frame in frames_of(read_header(path, SETTINGS), SETTINGS):
        assert frame.dataset.private_block(0x7053, "Philips PET Private Group")[0].value == 2.5
        assert (0x0019, 0x0010) not in frame.dataset


def deflated(size: int) -> bytes:
    data = one_slice()
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    written = BytesIO()
    data.save_as(written, enforce_file_format=True)
    content = written.getvalue()
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return content[:start] + packer.compress(bytes(size)) + packer.flush()


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_every_byte_of_a_deflated_data_set_arrives(size):
    content = inflated(deflated(size), SETTINGS)
    assert content[-size:] == bytes(size) if size else content
    assert len(content) - size == len(inflated(deflated(0), SETTINGS))


def test_noise_that_zlib_hands_out_slowly_is_inflated_in_linear_time():
    """Fed in one piece, zlib copies what is left for every block that it hands out."""
    noise = np.random.default_rng(0).integers(0, 256, 60_000_000, dtype="u1").tobytes()
    head = deflated(0)
    packer = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = head[:-2] + packer.compress(noise) + packer.flush()
    start = time.process_time()
    zlib.decompress(content[len(head) - 2 :], -zlib.MAX_WBITS)
    plain = time.process_time() - start
    assert inflated(content, SETTINGS).endswith(noise[-1000:])
    assert time.process_time() - start < 40 * plain


def offset_table(tmp_path, starts, lengths):
    data = enhanced(2)
    frame = jpeg_2000(np.zeros((64, 64), "u2"))
    compress(data, frame, JPEG2000Lossless, has_offsets=False)
    data.PixelData = pydicom.encaps.encapsulate([frame, frame], has_bot=False)
    size = len(frame) + len(frame) % 2
    data.ExtendedOffsetTable = struct.pack("<2Q", *(one(size) for one in starts))
    data.ExtendedOffsetTableLengths = struct.pack("<2Q", *(one(size) for one in lengths))
    (path,) = save(tmp_path, [data])
    return open_pixels(read_header(path, SETTINGS), SETTINGS).frames, frame


def test_an_extended_offset_table_that_is_right_is_followed(tmp_path):
    frames, frame = offset_table(tmp_path, (lambda _: 0, lambda size: size + 8), (lambda size: size,) * 2)
    assert [one[: len(frame)] for one in frames] == [frame, frame]


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [
        ((lambda _: 0, lambda _: 0), (lambda size: size,) * 2),
        ((lambda _: 0, lambda size: size), (lambda size: size,) * 2),
        ((lambda _: 0, lambda size: size + 8), (lambda size: size, lambda _: 2**20)),
        ((lambda _: 0, lambda _: 2**64 - 8), (lambda size: size,) * 2),
        ((lambda _: 0, lambda size: size + 8), (lambda size: size, lambda _: 2**64 - 1)),
    ],
)
def test_an_extended_offset_table_whose_frames_overlap_or_lie_outside_is_refused(starts, lengths, tmp_path):
    with pytest.raises(PixelDataError, match="overlap or lie outside"):
        offset_table(tmp_path, starts, lengths)


def test_slices_of_files_are_read_as_pydicom_reads_them(tmp_path):
    for path in save(tmp_path, Bench(count=3).slices()):
        header = read_header(path, SETTINGS)
        whole = pydicom.dcmread(path)
        del whole.PixelData
        assert list(header.dataset.keys()) == list(whole.keys())
        assert all(header.dataset.get_item(tag).value == whole.get_item(tag).value for tag in whole.keys())  # noqa: SIM118
