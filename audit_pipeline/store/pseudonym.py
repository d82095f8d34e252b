"""Pseudonyms: the same study gets the same key under the same site secret, and nobody without it can go back."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from audit_pipeline.errors import StoreError

ENVIRONMENT = "AUDIT_PIPELINE_SITE_KEY"
KEY_DIGITS = 12


def site_key(path: Path | None) -> bytes:
    """Return the site secret: from `path`, else from the environment, else from the user's own file, made once.

    Raises
    ------
    StoreError
        The file that was named cannot be read or is empty.
    """
    if path is None and os.environ.get(ENVIRONMENT):
        return os.environ[ENVIRONMENT].encode()
    place = path or _own_file()
    if path is None and not place.exists():
        _make(place)
    try:
        secret = place.read_bytes().strip()
    except OSError as error:
        raise StoreError(f"the site key {place} cannot be read: {error.strerror}") from error
    if not secret:
        raise StoreError(f"the site key {place} is empty; write at least 16 random characters into it")
    return secret


def study_key(identity: str, secret: bytes) -> str:
    """Return the pseudonym: the first 12 hex digits of HMAC-SHA256(site secret, identity).

    >>> study_key("dicom||P1|1.2", b"secret") == study_key("dicom||P1|1.2", b"other")
    False
    """
    return hmac.new(secret, identity.encode(), hashlib.sha256).hexdigest()[:KEY_DIGITS]


def _own_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "audit_pipeline" / "site.key"


def _make(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(32))
