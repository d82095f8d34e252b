"""The content of a file, once, in order: every byte right, every checksum verified, every limit kept on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit_pipeline.errors import CorruptFileError, LimitError
from audit_pipeline.load import inflate
from audit_pipeline.load.inflate import Content, opened
from audit_pipeline.load.settings import LoadSettings

RAW = bytes(range(256)) * 40 + b"the end"


class Trickle(io.BytesIO):
    """A stream that gives few bytes at a time and cannot go back, as a member of an archive."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self.step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(self.step, len(self.getbuffer()) if size is None or size < 0 else size))

    def seek(self, *_):
        raise io.UnsupportedOperation


def content_of(stored: bytes, **limits) -> Content:
    return Content(io.BytesIO(stored), len(stored), LoadSettings(**limits))


def everything(content: Content) -> bytes:
    parts = []
    while part := content.take(1000):
        parts.append(part)
    content.finish()
    return b"".join(parts)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_a_gzip_file_gives_its_content(level):
    content = content_of(gzip.compress(RAW, compresslevel=level))
    assert content.is_zipped
    assert everything(content) == RAW
    assert (content.position, content.stray_bytes) == (len(RAW), 0)


def test_a_plain_file_gives_itself():
    content = content_of(RAW)
    assert not content.is_zipped
    assert everything(content) == RAW


@pytest.mark.parametrize("stored", [b"", b"\x1f", gzip.compress(b"", mtime=0)])
def test_content_may_be_empty_or_too_short_to_be_gzip(stored):
    assert everything(content_of(stored)) == (stored if len(stored) < 2 else b"")


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.binary(max_size=600), st.integers(0, 9), st.integers(1, 40)), min_size=1, max_size=4),
    st.integers(0, 600),
    st.integers(1, 300),
    st.sampled_from([1, 2, 7, 100, 2**18]),
)
def test_any_members_in_any_portions_give_the_same_bytes(members, padding, step, grown):
    before, inflate._INFLATED_BYTES = inflate._INFLATED_BYTES, grown
    try:
        raw = b"".join(part * times for part, _, times in members)
        stored = b"".join(gzip.compress(part * times, level) for part, level, times in members) + bytes(padding)
        content = Content(Trickle(stored, step), len(stored), LoadSettings())
        assert everything(content) == raw
        assert content.stray_bytes == 0
        assert content.sha256 == hashlib.sha256(stored).hexdigest()
    finally:
        inflate._INFLATED_BYTES = before


@settings(deadline=None, max_examples=300)
@given(st.integers(0), st.integers(0, 7), st.booleans())
@example(164_314_284_167, 4, False)
def test_a_flipped_bit_never_changes_what_is_delivered(place, bit, is_stored):
    stored = bytearray(gzip.compress(RAW, compresslevel=0 if is_stored else 6, mtime=0))
    stored[place % len(stored)] ^= 1 << bit
    try:
        content = content_of(bytes(stored))
        found = everything(content)
    except CorruptFileError:
        return
    # a flip in the time or system of the header harms nothing, nor one that quotes an equal place; one in
    # the magic makes it no gzip file
    assert found == RAW or (not content.is_zipped and place % len(stored) < 2)


@settings(deadline=None, max_examples=150)
@given(st.integers(3, len(gzip.compress(RAW, mtime=0)) - 1))
def test_a_cut_gzip_file_is_refused_wherever_it_was_cut(kept):
    with pytest.raises(CorruptFileError, match="ends early"):
        everything(content_of(gzip.compress(RAW, mtime=0)[:kept]))


@pytest.mark.parametrize("place", [-1, -5])
def test_length_and_checksum_of_the_last_member_are_verified(place):
    stored = bytearray(gzip.compress(RAW) + gzip.compress(RAW))
    stored[place] ^= 1
    content = content_of(bytes(stored))
    assert content.take(len(RAW)) == RAW
    with pytest.raises(CorruptFileError, match="checksum"):
        content.finish()


def test_every_optional_field_of_the_header_is_passed_over():
    head = b"\x1f\x8b\x08" + bytes([2 | 4 | 8 | 16]) + bytes(6) + struct.pack("<H", 3) + b"abc" + b"name\0comment\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    assert everything(content_of(head + gzip.compress(RAW)[10:])) == RAW


def test_what_follows_the_last_member_is_counted_from_its_first_byte_that_is_not_zero():
    content = content_of(gzip.compress(RAW) + bytes(5) + b"abc\0")
    assert everything(content) == RAW
    assert content.stray_bytes == 4


def test_growth_is_stopped_at_the_limit_and_not_after_it():
    stored = gzip.compress(bytes(50 * 2**20), compresslevel=9)
    content = content_of(stored, inflate_ratio=2, inflate_free_bytes=2**20)
    assert content.skip(2**20) == 2**20
    with pytest.raises(LimitError, match="grows beyond 1048576"):
        content.finish()


def test_members_count_together():
    stored = gzip.compress(bytes(2**19)) * 3
    with pytest.raises(LimitError):
        content_of(stored, inflate_free_bytes=2**20).finish()


def test_announcements_are_refused_before_anything_is_read():
    with pytest.raises(LimitError, match="announces 5000 bytes"):
        content_of(gzip.compress(b"x"), inflate_free_bytes=4000).expect(5000)
    with pytest.raises(CorruptFileError, match="5000 bytes expected by its header, 3 found"):
        content_of(b"abc").expect(5000)


def test_a_file_over_the_limit_is_not_opened():
    with pytest.raises(LimitError, match="at most 2 are read"):
        content_of(b"abc", file_bytes=2)


def test_skip_and_fill_keep_their_place():
    content = content_of(gzip.compress(RAW))
    assert content.skip(300) == 300
    target = bytearray(20)
    assert content.fill(memoryview(target)) == 20
    assert bytes(target) == RAW[300:320]
    assert content.finish() == len(RAW) - 320
    assert content.skip(1) == content.fill(memoryview(target)) == 0


def test_the_digest_is_that_of_the_stored_bytes_also_behind_the_last_member(tmp_path):
    stored = gzip.compress(RAW) + bytes(600_000) + b"more"
    (tmp_path / "a").write_bytes(stored)
    with opened(tmp_path / "a", LoadSettings()) as content:
        content.finish()
    assert content.sha256 == hashlib.sha256(stored).hexdigest()
