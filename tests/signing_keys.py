"""Keys and certificates made for one test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import NameOID

PASSWORD = b"correct horse"
KINDS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def certificate_of(key, *, name="Dr Ada Example", start=-1, end=30, usage=None):
    """A self-signed certificate valid from `start` to `end` days from now."""
    now = datetime.now(UTC)
    subject = x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Hospital"),
    ])  # fmt: skip
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=start)).not_valid_after(now + timedelta(days=end))
    )  # fmt: skip
    if usage is not None:
        names = (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        )  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(**{one: one == usage for one in names}), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def key_file(kind="P-256", *, password=PASSWORD, **certificate):
    """The bytes of a PKCS#12 file."""
    key = KINDS[kind]()
    return pkcs12.serialize_key_and_certificates(
        b"key", key, certificate_of(key, **certificate), None, BestAvailableEncryption(password)
    )
