"""Signing a report: PAdES B-B (ETSI EN 319 142-1) from a PKCS#12 key, offline unless a time stamp is asked for.

The first signature certifies: it fixes the document and allows nothing but further signatures, in fields that are made
beforehand because none may be added later. Only this module and `signature_check` need the optional library.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asn1crypto import pkcs12 as asn1_pkcs12
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.content import PdfContent
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, BoxConstraints, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields
from pyhanko.sign.general import SigningError as LibraryError
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.signers.constants import ESIC_EXTENSION_1
from pyhanko.sign.timestamps.common_utils import TimestampRequestError
from pyhanko.sign.timestamps.requests_client import RequestsHTTPTimeStamper
from pyhanko.stamp import StaticStampStyle

from audit_pipeline.report import archive, stamp
from audit_pipeline.report.statement import (
    CertificateError,
    ForeignReportError,
    KeyFileError,
    KeyPasswordError,
    Meaning,
    ReviewMissingError,
    SigningError,
    Statement,
    TimestampError,
)

SIGNING_USES = {"digital_signature", "non_repudiation"}
"""Key usages of which a certificate must name one, where it names any (RFC 5280, 4.2.1.3)."""

TRIES = 24
"""Line ends put before the signature until the signed file is even, which about every second number of them makes it.

A DICOM element would pad an odd file with a byte that no signature covers (PS3.5, 7.1.1).
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A private key with its certificate."""

    signer: SimpleSigner

    @property
    def common_name(self) -> str:
        """The name in the certificate; "" when it has none."""
        return str(self.signer.signing_cert.subject.native.get("common_name", ""))

    @property
    def subject(self) -> str:
        """The parts of the subject of the certificate, the name before the others."""
        parts = {"common_name": "", **self.signer.signing_cert.subject.native}
        words = (", ".join(part) if isinstance(part, list) else str(part) for part in parts.values())
        return ", ".join(filter(None, words))


def open_key(content: bytes, password: bytes) -> Key:
    """Return the key in a PKCS#12 file.

    Raises
    ------
    KeyFileError
        The file is no PKCS#12 file, is damaged, or lacks the key or its certificate.
    KeyPasswordError
        The password does not open it.
    """
    try:
        asn1_pkcs12.Pfx.load(content, strict=True)["auth_safe"]["content"].native  # noqa: B018 - parses it
    except (ValueError, TypeError, KeyError) as error:
        raise KeyFileError("the key file is not a whole PKCS#12 file (.p12 or .pfx); export it again") from error
    try:
        private, certificate, _ = pkcs12.load_key_and_certificates(content, password)
    except ValueError as error:
        raise KeyPasswordError("the password does not open the key file, or the file was altered") from error
    if private is None or certificate is None:
        raise KeyFileError("the key file needs a private key and its certificate; export both together")
    if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
        raise KeyFileError(
            "the key is neither RSA nor of an elliptic curve for ECDSA, which a PDF 1.7 can be signed with"
        )
    return Key(SimpleSigner.load_pkcs12_data(content, (), password))


def check_certificate(key: Key, time: datetime) -> None:
    """Check that a certificate may sign at a time.

    Raises
    ------
    CertificateError
        It is not valid yet, has expired, or is meant for something else.
    """
    certificate = key.signer.signing_cert
    start, end = certificate.not_valid_before, certificate.not_valid_after
    if not start <= time <= end:
        state = "has expired" if time > end else "is not valid yet"
        raise CertificateError(f"the certificate {state}; sign with one that is valid today")
    usage = certificate.key_usage_value
    if usage is not None and not usage.native & SIGNING_USES:
        raise CertificateError("the certificate is not meant for signatures: its key usage names neither of "
                               "digitalSignature and nonRepudiation")  # fmt: skip


def check_report(content: bytes) -> None:
    """Check that a file is a report of this product.

    Raises
    ------
    ForeignReportError
        It is not, or carries no record.
    """
    if not archive.KINDS.keys() & archive.attached_files(content).keys():
        raise ForeignReportError(
            "the file is not a report of this product with its record attached; name a report.pdf of a run, and render "
            "older ones again with the command report"
        )


def check_reviews(content: bytes, meaning: Meaning) -> None:
    """Check that nobody signs an audit as reviewed or approved while the verdict on a study is open.

    The report says itself which studies are open, in the ``cohort.json`` that it carries; author and rejecter may
    always sign, and so may whoever signs the report of a single study, whose verdict that signature is.

    Raises
    ------
    ReviewMissingError
        A study with a flag of severity 4 or 5 has no verdict.
    """
    cohort = archive.attached_files(content).get("cohort.json")
    if cohort is None or meaning not in {Meaning.REVIEWED, Meaning.APPROVED}:
        return
    reviews = json.loads(cohort).get("reviews") or {}
    still_open = reviews.get("open") or []
    if still_open:
        one = len(still_open) == 1
        raise ReviewMissingError(
            f"{len(still_open)} {'study asks' if one else 'studies ask'} for a verdict and {'has' if one else 'have'} "
            f"none, for example {still_open[0]}; write the verdicts into reviews.csv of the run, render the run again "
            "with the command report, then sign"
        )


def sign(content: bytes, key: Key, statement: Statement, *, timestamp_url: str | None = None) -> bytes:
    """Return a report with one more signature; its first bytes are those of `content`.

    Raises
    ------
    ForeignReportError
        The file is no report of this product.
    CertificateError
        The certificate may not sign today.
    TimestampError
        The time-stamp authority cannot be reached.
    SigningError
        All places are taken, the name does not fit the block, or the file cannot be signed.
    """
    check_report(content)
    stated = replace(statement, name=statement.name.strip() or key.common_name, time=statement.time.astimezone(UTC))
    if not stated.name or not stamp.fits(stated.name):
        raise SigningError("the name of the signer must be given and fit one line of the block, about 45 letters")
    check_certificate(key, stated.time)
    with _plain_errors():
        for line_ends in range(TRIES):
            signed = _signed(content + b"\n" * line_ends, key, stated, timestamp_url)
            if len(signed) % 2 == 0:
                return signed
    raise SigningError("the signed file cannot be made of even length; report this with the file")


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except TimestampRequestError as error:
        raise TimestampError("the time-stamp authority did not answer; try again, or sign without a stamp") from error
    except (LibraryError, PdfError) as error:
        raise SigningError("the file cannot be signed: it was changed after its last signature") from error


def _signed(content: bytes, key: Key, statement: Statement, timestamp_url: str | None) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(content))
    taken = len(PdfFileReader(io.BytesIO(content)).embedded_regular_signatures)
    if taken == stamp.SLOTS:
        raise SigningError(f"the report holds {stamp.SLOTS} signatures already, as many as have a place on its page")
    if not taken:
        for slot in range(stamp.SLOTS):
            fields.append_signature_field(writer, _field(slot))
    metadata = PdfSignatureMetadata(
        field_name=_field_name(taken),
        name=statement.name,
        reason=statement.words,
        certify=not taken,
        docmdp_permissions=fields.MDPPerm.FILL_FORMS,
        subfilter=fields.SigSeedSubFilter.PADES,
    )
    timestamper = RequestsHTTPTimeStamper(timestamp_url) if timestamp_url else None
    signer = _Signer(metadata, key.signer, timestamper=timestamper, stamp_style=_style(statement, key.subject))
    signer.time = statement.time
    return bytes(signer.sign_pdf(writer, existing_fields_only=True).getvalue())


def _field_name(slot: int) -> str:
    return f"Signature{slot + 1}"


def _field(slot: int) -> fields.SigFieldSpec:
    return fields.SigFieldSpec(
        _field_name(slot), on_page=0, box=stamp.box(slot), readable_field_name=f"Place of signature {slot + 1}"
    )


class _Signer(PdfSigner):  # type: ignore[misc]
    """A signer whose clock shows the time that its visible block prints."""

    time: datetime

    def register_extensions(self, pdf_out: Any, **_: Any) -> None:
        """Declare PAdES only: the library would raise the file to version 2.0 for ECDSA, which PDF/A-3 rules out."""
        pdf_out.register_extension(ESIC_EXTENSION_1)

    def init_signing_session(self, *arguments: Any, **settings: Any) -> Any:
        """Begin as the library does, at the stated time."""
        session = super().init_signing_session(*arguments, **settings)
        session.system_time = self.time
        return session


class _Block(PdfContent):  # type: ignore[misc]
    """The page of the visible block."""

    def __init__(self, page: bytes) -> None:
        super().__init__(box=BoxConstraints(stamp.SHORT, stamp.LONG))
        self.page = page

    def render(self) -> bytes:
        """Bring the page in and return the operator that draws it."""
        drawn = self.writer.import_page_as_xobject(PdfFileReader(io.BytesIO(self.page)))
        self.resources.xobject["/Block"] = drawn
        return b"/Block Do"


def _style(statement: Statement, subject: str) -> StaticStampStyle:
    return StaticStampStyle(
        border_width=0,
        background=_Block(stamp.appearance(statement, subject)),
        background_layout=SimpleBoxLayoutRule(
            x_align=AxisAlignment.ALIGN_MID, y_align=AxisAlignment.ALIGN_MID, margins=Margins.uniform(0)
        ),
        background_opacity=1.0,
    )
