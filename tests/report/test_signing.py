"""Signatures in 2D and 3D reports: they cover every byte, say who and why, and leave the archive format as it was."""

from __future__ import annotations

import io
import itertools
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pikepdf
import pytest
import report_cases
from asn1crypto import tsp
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from pdf_reading import placed_words
from pikepdf import pdfa
from pyhanko.keys.internal import translate_pyca_cryptography_cert_to_asn1, translate_pyca_cryptography_key_to_asn1
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from report_cases import context
from reportlab.lib.units import mm

from audit_pipeline.report import archive, render_audit, render_study, stamp
from audit_pipeline.report.signature_check import UNREADABLE, check_signatures
from audit_pipeline.report.signing import open_key, sign
from audit_pipeline.report.statement import (
    CertificateError,
    ForeignReportError,
    KeyFileError,
    KeyPasswordError,
    Meaning,
    SigningError,
    Statement,
    TimestampError,
)
from tests.signing_keys import KINDS as KEY_KINDS
from tests.signing_keys import PASSWORD, certificate_of, key_file

RECORD = {"record.json": b'{"schema": "audit-pipeline/study/1"}\n'}
NOW = datetime.now(UTC).replace(microsecond=0)
REPORTS = {
    "3D": lambda: render_study(*report_cases.volume_case(), context(), RECORD),
    "2D": lambda: render_study(*report_cases.radiograph_case(), context(), RECORD),
    "audit": lambda: render_audit(*report_cases.cohort(3), context(), {"run.json": b"{}"}),
}


def statement(meaning=Meaning.APPROVED, **changes):
    return Statement(**{"name": "Dr Grace Example", "meaning": meaning, "time": NOW, **changes})


@pytest.fixture(scope="module")
def key():
    return open_key(key_file(), PASSWORD)


@pytest.fixture(scope="module", params=REPORTS)
def report(request):
    return REPORTS[request.param]()


@pytest.fixture(scope="module")
def plain_report():
    return REPORTS["2D"]()


@pytest.fixture(scope="module")
def signed(report, key):
    return sign(report, key, statement(reason="agrees with my reading"))


@pytest.fixture(scope="module")
def signed_twice(plain_report, key):
    first = sign(plain_report, key, statement(Meaning.AUTHOR))
    return first, sign(first, key, statement(Meaning.REVIEWED))


def test_a_signature_says_who_when_what_and_why_and_covers_the_whole_file(signed):
    (one,), wrong = check_signatures(signed)
    assert wrong == ()
    assert (one.name, one.meaning, one.reason) == ("Dr Grace Example", "approved", "agrees with my reading")
    assert one.time == NOW.isoformat()
    assert "Dr Ada Example" in one.subject
    assert "Test Hospital" in one.subject
    assert one.covers == "the whole file"
    assert one.is_certifying


def test_the_signed_file_is_even_and_begins_with_the_report(report, signed):
    assert len(signed) % 2 == 0
    assert signed.startswith(report)


def test_every_reason_length_gives_an_even_file(plain_report, key):
    for length in range(1, 16):
        assert len(sign(plain_report, key, statement(reason="x" * length))) % 2 == 0


def test_the_attached_record_survives(report, signed):
    assert archive.attached_files(signed) == archive.attached_files(report)


def test_the_signed_file_is_still_pdf_a_3b_in_everything_the_validator_judges(signed):
    whole = pdfa.validate_written(io.BytesIO(signed), "3b")
    assert {one.kind for one in whole.findings} == {"unsupported"}
    with pikepdf.open(io.BytesIO(signed)) as document:
        for page in document.pages[:1]:
            page.Annots = pikepdf.Array([one for one in page.Annots if one.Subtype != "/Widget"])
        for name in ("/AcroForm", "/Perms", "/Extensions"):
            del document.Root[name]
        target = io.BytesIO()
        document.save(target, deterministic_id=True, min_version="1.7")
    without = pdfa.validate_written(io.BytesIO(target.getvalue()), "3b")
    assert without.passed, [str(one) for one in without.findings]


def test_the_visible_block_uses_embedded_fonts_and_is_printed(signed):
    with pikepdf.open(io.BytesIO(signed)) as document:
        widgets = [one for one in document.pages[0].Annots if one.Subtype == "/Widget"]
        assert len(widgets) == stamp.SLOTS
        assert all(int(one.F) & 4 and not int(one.F) & 2 for one in widgets)
        block = widgets[0].AP.N.Resources.XObject["/Block"]
        for font in block.Resources.Font.values():
            descriptor = font.get("/FontDescriptor")
            assert descriptor is None or "/FontFile2" in descriptor


def test_name_time_and_meaning_stand_in_the_left_margin_where_nothing_else_is(report, signed):
    ours = set(placed_words(flattened(signed))) - set(placed_words(report))
    shown = " ".join(sorted(box[4] for box in ours))
    assert f"Signed as approved, {NOW:%Y-%m-%d %H:%M:%S} UTC" in shown
    assert "Dr Grace Example" in shown
    assert "Reason: agrees with my reading" in shown
    assert "Certificate: Dr Ada Example, Test Hospital" in shown
    assert all(left > 0 and right < 16 * mm for left, _, right, _, _ in ours)
    assert all(left >= 16 * mm - 1 for left, *_ in placed_words(report))


def flattened(content):
    """The report with its annotations as part of the page, so that their text can be read."""
    with pikepdf.open(io.BytesIO(content)) as document:
        document.flatten_annotations("all")
        target = io.BytesIO()
        document.save(target)
    return target.getvalue()


@pytest.mark.parametrize("paper", [(595.3, 841.9), (612.0, 792.0)])
def test_all_places_lie_on_the_page_and_apart(paper):
    boxes = [stamp.box(slot) for slot in range(stamp.SLOTS)]
    assert all(0 < left < right < 16 * mm and 0 < low < high < paper[1] - 10 * mm for left, low, right, high in boxes)
    assert all(lower[3] < upper[1] for lower, upper in itertools.pairwise(boxes))


def test_later_signatures_approve_and_the_first_one_stays_intact(plain_report, signed_twice):
    first, second = signed_twice
    assert second.startswith(first)
    facts, wrong = check_signatures(second)
    assert wrong == ()
    assert [one.is_certifying for one in facts] == [True, False]
    assert [one.meaning for one in facts] == ["author", "reviewed"]
    assert [one.covers for one in facts] == ["its revision", "the whole file"]


def test_there_is_room_for_four_and_the_fifth_is_told(signed_twice, key):
    content = signed_twice[1]
    for meaning in (Meaning.APPROVED, Meaning.REJECTED):
        content = sign(content, key, statement(meaning))
    facts, wrong = check_signatures(content)
    assert wrong == ()
    assert [one.meaning for one in facts] == list(Meaning)
    with pytest.raises(SigningError, match="holds 4 signatures already"):
        sign(content, key, statement())


def test_every_byte_is_covered_by_the_last_signature_or_is_its_own_digits(signed):
    (start, first, second, rest), (length) = byte_range(signed), len(signed)
    assert (start, second + rest) == (0, length)
    assert re.fullmatch(rb"<[0-9A-F]+>", signed[first:second])


def byte_range(content):
    found = re.findall(rb"/ByteRange ?\[(\d+) (\d+) (\d+) (\d+) *\]", content)
    return tuple(int(one) for one in found[-1])


def test_one_flipped_bit_anywhere_is_found(signed_twice):
    content = signed_twice[1]
    _, first, second, _ = byte_range(content)
    generator = np.random.default_rng(20)
    places = [*generator.integers(0, len(content), 40), first, first + 1, first + 9, second - 2, second - 1, second]
    places += [*generator.integers(first, second, 20), 0, len(content) - 1]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << int(generator.integers(8))
        assert check_signatures(bytes(changed))[1], f"the change at {place} was not found"


def test_the_other_case_of_a_digit_of_the_signature_is_found(signed_twice):
    content = bytearray(signed_twice[1])
    _, first, second, _ = byte_range(content)
    place = next(one for one in range(first, second) if content[one] in b"ABCDEF")
    content[place] ^= 0x20
    assert check_signatures(bytes(content))[1] == ("bytes of signature 2 itself have changed",)


@pytest.mark.parametrize("more", [b"\n", b"\x00", b"%%EOF\n", b"1 0 obj\n<<>>\nendobj\n"])
def test_added_bytes_are_found(signed_twice, more):
    assert check_signatures(signed_twice[1] + more)[1]


def test_a_cut_file_is_found(signed_twice):
    first, second = signed_twice
    assert check_signatures(second[:-2])[1]
    assert check_signatures(second[: len(first) + 500])[1]


def test_a_page_changed_after_signing_is_found(signed_twice):
    from pyhanko.pdf_utils.generic import ArrayObject, NameObject, NumberObject
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(signed_twice[1]))
    page = writer.find_page_for_modification(0)[0].get_object()
    page[NameObject("/MediaBox")] = ArrayObject([NumberObject(one) for one in (0, 0, 50, 50)])
    writer.update_container(page)
    target = io.BytesIO()
    writer.write(target)
    assert "signature 2 does not allow what was changed after it" in check_signatures(target.getvalue())[1]


def test_a_report_without_signature_has_nothing_to_say(plain_report):
    assert check_signatures(plain_report) == ((), ())
    assert check_signatures(b"no PDF") == ((), (UNREADABLE,))


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_keys_of_every_kind_sign_and_leave_the_version_of_the_file(plain_report, kind):
    key = open_key(key_file(kind), PASSWORD)
    content = sign(plain_report, key, statement(name=""))
    (one,), wrong = check_signatures(content)
    assert wrong == ()
    with pikepdf.open(io.BytesIO(content)) as document:
        assert document.pdf_version == "1.7", "PDF/A-3 is of a version 1"
    assert one.name == "Dr Ada Example", "without a name the one in the certificate is printed"


def test_a_key_that_no_reader_of_this_version_knows_is_told():
    with pytest.raises(KeyFileError, match="neither RSA nor of an elliptic curve"):
        open_key(key_file("Ed25519"), PASSWORD)


def test_a_wrong_password_is_told():
    with pytest.raises(KeyPasswordError, match="does not open the key file"):
        open_key(key_file(), b"wrong")


@pytest.mark.parametrize("spoil", [lambda one: b"", lambda one: b"no key", lambda one: one[:200], lambda one: one[5:]])
def test_a_damaged_key_file_is_told(spoil):
    with pytest.raises(KeyFileError, match="not a whole PKCS#12 file"):
        open_key(spoil(key_file()), PASSWORD)


def test_a_key_file_without_a_key_is_told():
    certificate = certificate_of(KEY_KINDS["P-256"]())
    content = pkcs12.serialize_key_and_certificates(b"x", None, None, [certificate], BestAvailableEncryption(PASSWORD))
    with pytest.raises(KeyFileError, match="needs a private key and its certificate"):
        open_key(content, PASSWORD)


@pytest.mark.parametrize(("dates", "words"), [((-30, -1), "has expired"), ((1, 30), "is not valid yet")])
def test_a_certificate_that_is_not_valid_today_does_not_sign(plain_report, dates, words):
    key = open_key(key_file(start=dates[0], end=dates[1]), PASSWORD)
    with pytest.raises(CertificateError, match=words):
        sign(plain_report, key, statement())


def test_a_certificate_for_something_else_does_not_sign(plain_report):
    with pytest.raises(CertificateError, match="not meant for signatures"):
        sign(plain_report, open_key(key_file(usage="key_encipherment"), PASSWORD), statement())
    sign(plain_report, open_key(key_file(usage="content_commitment"), PASSWORD), statement())


def test_a_signature_dated_outside_of_its_certificate_is_found(plain_report, monkeypatch, key):
    monkeypatch.setattr("audit_pipeline.report.signing.check_certificate", lambda *_: None)
    content = sign(plain_report, key, statement(time=NOW + timedelta(days=90)))
    assert check_signatures(content)[1] == ("the certificate of signature 1 was not valid when it was made",)


@pytest.mark.parametrize("content", [b"", b"no PDF"])
def test_something_that_is_no_report_is_not_signed(content, key):
    with pytest.raises(ForeignReportError, match="not a report of this product"):
        sign(content, key, statement())


def test_a_pdf_of_others_is_not_signed(key):
    target = io.BytesIO()
    with pikepdf.new() as document:
        document.add_blank_page()
        document.save(target)
    with pytest.raises(ForeignReportError):
        sign(target.getvalue(), key, statement())


def test_a_name_that_does_not_fit_its_line_is_told(plain_report, key):
    with pytest.raises(SigningError, match="fit one line"):
        sign(plain_report, key, statement(name="Professor " * 12))


def test_a_silent_time_stamp_authority_is_told(plain_report, key):
    with pytest.raises(TimestampError, match="did not answer"):
        sign(plain_report, key, statement(), timestamp_url="http://127.0.0.1:9/")


class _Authority(BaseHTTPRequestHandler):
    """A time-stamp authority (RFC 3161) with a key of its own, on this machine only."""

    def do_POST(self):
        request = tsp.TimeStampReq.load(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.stamper.request_tsa_response(request).dump()
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def authority():
    private = KEY_KINDS["RSA"]()
    server = HTTPServer(("127.0.0.1", 0), _Authority)
    server.stamper = DummyTimeStamper(
        translate_pyca_cryptography_cert_to_asn1(certificate_of(private, name="Test Authority")),
        translate_pyca_cryptography_key_to_asn1(private),
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_time_stamp_is_put_into_the_signature(plain_report, key, authority):
    content = sign(plain_report, key, statement(), timestamp_url=authority)
    (one,), wrong = check_signatures(content)
    assert wrong == ()
    assert one.meaning == "approved"
    assert len(content) % 2 == 0
    (signature,) = PdfFileReader(io.BytesIO(content)).embedded_regular_signatures
    assert [attribute["type"].native for attribute in signature.signer_info["unsigned_attrs"]] == [
        "signature_time_stamp_token"
    ]
