"""Checking the signatures of a report: what they cover is unchanged, nothing else was added, who signed.

Trust in a certificate is not judged: that needs the roots of a site. Its subject and digest are told instead.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from asn1crypto import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.generic_cms import validate_sig_integrity
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from audit_pipeline.report.statement import SignatureFacts

UNREADABLE = "its signatures cannot be read: the file is damaged"


def check_signatures(content: bytes) -> tuple[tuple[SignatureFacts, ...], tuple[str, ...]]:
    """Return the signatures of a PDF, and one sentence per thing that is wrong with them.

    Both are empty for a readable PDF without a signature.
    """
    try:
        found = PdfFileReader(io.BytesIO(content)).embedded_regular_signatures
        facts = tuple(_facts(one) for one in found)
        wrong = [words for number, one in enumerate(found, 1) for words in _wrong(one, number, len(found), content)]
    except Exception:  # noqa: BLE001 - damaged bytes can break a parser anywhere, and each way is the same finding
        return (), (UNREADABLE,)
    return facts, tuple(wrong)


def _facts(signature: EmbeddedPdfSignature) -> SignatureFacts:
    signature.compute_integrity_info()
    certificate: x509.Certificate = signature.signer_cert
    meaning, _, reason = str(signature.sig_object.get("/Reason", "")).partition(": ")
    is_whole = signature.coverage is SignatureCoverageLevel.ENTIRE_FILE
    return SignatureFacts(
        name=str(signature.sig_object.get("/Name", "")),
        meaning=meaning,
        reason=reason,
        time=_time(signature).isoformat(timespec="seconds"),
        subject=str(certificate.subject.human_friendly),
        certificate_sha256=hashlib.sha256(certificate.dump()).hexdigest(),
        covers="the whole file" if is_whole else "its revision",
        is_certifying=signature.docmdp_level is not None,
        is_self_signed=bool(certificate.self_issued),
    )


def _time(signature: EmbeddedPdfSignature) -> datetime:
    time: datetime | None = signature.self_reported_timestamp
    if time is None:
        raise ValueError("the signature tells no time")
    return time.astimezone(UTC)


def _wrong(signature: EmbeddedPdfSignature, number: int, count: int, content: bytes) -> Sequence[str]:
    """Return what is wrong with one of `count` signatures."""
    is_intact, is_valid = validate_sig_integrity(
        signature.signer_info, signature.signer_cert, "data", signature.compute_digest()
    )
    certificate = signature.signer_cert
    least = SignatureCoverageLevel.ENTIRE_FILE if number == count else SignatureCoverageLevel.ENTIRE_REVISION
    checks = (
        (is_intact, f"what signature {number} covers has changed"),
        (is_valid, f"signature {number} was not made with the key of its certificate"),
        (signature.coverage.value >= least.value, f"bytes were added that signature {number} does not cover"),
        (
            signature.summarise_integrity_info()["docmdp_ok"] is not False,
            f"signature {number} does not allow what was changed after it",
        ),
        (_is_written_plainly(signature, content), f"bytes of signature {number} itself have changed"),
        (
            certificate.not_valid_before <= _time(signature) <= certificate.not_valid_after,
            f"the certificate of signature {number} was not valid when it was made",
        ),
        (
            (signature.docmdp_level is not None) is (number == 1),
            f"signature {number} is {'not ' if number == 1 else ''}the one that certifies the document",
        ),
    )
    return [words for is_right, words in checks if not is_right]


def _is_written_plainly(signature: EmbeddedPdfSignature, content: bytes) -> bool:
    """Whether the part of the file that no signature covers, its own digits, is the one way to write it."""
    _, first, second, _ = signature.byte_range
    digits = content[first:second]
    written = signature.pkcs7_content
    size = _der_length(written)
    return digits == b"<" + written.hex().upper().encode() + b">" and not any(written[size:])


def _der_length(content: bytes) -> int:
    """Return how many bytes the first element of DER content takes (X.690, 8.1.3)."""
    short = content[1]
    if short < 0x80:
        return 2 + short
    octets = short & 0x7F
    return 2 + octets + int.from_bytes(content[2 : 2 + octets], "big")
