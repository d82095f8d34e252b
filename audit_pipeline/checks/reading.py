"""What a detector read: the digest of its inputs is taken from what it asked for, not from what it declares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np

from audit_pipeline.evidence import Evidence


class Reading:
    """Evidence that remembers which of its parts were read; it is used in its place."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._read: set[str] = set()

    def __getattr__(self, name: str) -> object:
        """Return a part of the evidence and remember its name."""
        found = getattr(self._evidence, name)
        if name in {"answer", "witness"}:
            self._read.add("answers" if name == "answer" else "prepared")
        else:
            self._read.add(name)
        return found

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that were read, in alphabetical order."""
        return tuple(sorted(self._read))


class Digests:
    """SHA-256 of every part of the evidence, taken when it is first asked for."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._known: dict[str, str] = {}

    def of(self, parts: tuple[str, ...], settings: object, version: int) -> str:
        """Return the digest over the named parts, the settings and the version of a detector."""
        whole = hashlib.sha256(f"{version} {settings!r}".encode())
        for name in parts:
            if name not in self._known:
                self._known[name] = _digest(getattr(self._evidence, name))
            whole.update(f" {name} {self._known[name]}".encode())
        return whole.hexdigest()


def _digest(part: object) -> str:
    digest = hashlib.sha256()
    _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, part: object) -> None:
    """Add a part: arrays by type, shape and content, records field by field, the rest by its text."""
    if isinstance(part, np.ndarray):
        digest.update(f"{part.dtype} {part.shape} ".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            digest.update(field.name.encode())
            _feed(digest, getattr(part, field.name))
    elif isinstance(part, Mapping):
        _feed(digest, sorted(part.items()))
    elif isinstance(part, tuple | list):
        for one in part:
            _feed(digest, one)
    else:
        digest.update(repr(part).encode())
