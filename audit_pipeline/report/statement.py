"""What a person says by signing a report, and the ways in which signing can fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from audit_pipeline.errors import ReportError


class SigningError(ReportError):
    """The report cannot be signed, or its signatures cannot be read."""


class SigningLibraryError(SigningError):
    """The optional library that makes and checks signatures is not installed."""


class KeyFileError(SigningError):
    """The key file is no PKCS#12 file, is damaged, or holds no private key with its certificate."""


class KeyPasswordError(SigningError):
    """The password does not open the key file."""


class CertificateError(SigningError):
    """The certificate is not valid today, or is not meant for signatures."""


class ForeignReportError(SigningError):
    """The file is no report of this product, or was not rendered by a version that reports can be signed of."""


class ReviewMissingError(SigningError):
    """Studies that ask for the verdict of a reviewer have none, so the audit cannot be signed as reviewed."""


class TimestampError(SigningError):
    """The time-stamp authority did not answer."""


class Meaning(StrEnum):
    """What the signature says about the report (21 CFR 11.50)."""

    AUTHOR = "author"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One signature in words.

    name : of the signer, as printed; "" takes the name in the certificate
    time : when it is signed, in UTC, whole seconds
    """

    name: str
    meaning: Meaning
    time: datetime
    reason: str = ""

    @property
    def words(self) -> str:
        """The meaning, and the reason behind a colon where one was given."""
        return f"{self.meaning}: {self.reason}" if self.reason else str(self.meaning)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureFacts:
    """One signature as it stands in a report.

    name, meaning, reason : as the signer gave them; time : as the signer's clock showed it, ISO 8601, UTC
    subject, certificate_sha256 : of the certificate; whether to trust it is the reader's decision
    is_self_signed : its holder issued the certificate, so nobody else vouches for the name
    covers : "the whole file", or "its revision" where further signatures follow
    """

    name: str
    meaning: str
    reason: str
    time: str
    subject: str
    certificate_sha256: str
    covers: str
    is_certifying: bool
    is_self_signed: bool
