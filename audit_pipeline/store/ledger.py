"""``ledger.jsonl``: an append-only chain of lines, each about one file and holding the digest of the line before it.

Closing a run adds a line for every file that is new, has changed or is gone since the last line about it; what was
written before stays. Signing a report adds a line of its own. A signature only appends to its file, so a line about a
signed file says what its first bytes were, and stays provable when further signatures follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit_pipeline.errors import StoreError
from audit_pipeline.store.files import sha256, write_atomically

LEDGER = "ledger.jsonl"
LEFT_OUT = {LEDGER, "linkage.csv"}
"""The linkage names identities and must be removable without breaking the chain."""

START = "0" * 64
REMOVED, SIGNED = "removed", "signed"
"""What a line tells beside the bytes of a file; a line without an event is about a file as it was written."""


@dataclass(slots=True)
class _Chain:
    """What was read of a ledger: its lines, the digest of the last one, what stands there and what is wrong."""

    lines: list[str] = field(default_factory=list)
    previous: str = START
    entries: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def last(self) -> dict[str, dict[str, Any]]:
        """The last entry about each file."""
        return {entry["file"]: entry for entry in self.entries}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line that follows from the last one."""
        line = json.dumps({**entry, "previous": self.previous}, sort_keys=True)
        self.lines.append(line)
        self.previous = sha256(line.encode())

    def write(self, run: Path) -> str:
        """Write the ledger; return the digest of its last line."""
        write_atomically(run / LEDGER, "".join(f"{line}\n" for line in self.lines).encode())
        return self.previous


def write_ledger(run: Path) -> str:
    """Append a line for every file that differs from the last line about it; return the digest of the last line.

    A chain that is damaged stays as it is and is continued, so that `verify` goes on to name the damage.
    """
    chain = _read(run) if (run / LEDGER).exists() else _Chain()
    last = chain.last
    found = {path.relative_to(run).as_posix(): path for path in _files(run)}
    for name, path in found.items():
        content = path.read_bytes()
        digest = sha256(content)
        if last.get(name, {}).get("sha256") != digest:
            chain.add({"file": name, "bytes": len(content), "sha256": digest})
    for name in sorted(name for name, entry in last.items() if name not in found and entry["sha256"] is not None):
        chain.add({"file": name, "event": REMOVED, "bytes": 0, "sha256": None})
    return chain.write(run)


def add_signature(run: Path, name: str, content: bytes, facts: Mapping[str, str]) -> str:
    """Append the line of a signature; return its digest, which is that of the whole chain.

    Parameters
    ----------
    name : the signed file, relative to the run
    content : the file with the signature
    facts : who signed, when and with which meaning

    Raises
    ------
    StoreError
        There is no ledger.
    """
    chain = _read(run)
    chain.add({"file": name, "event": SIGNED, "bytes": len(content), "sha256": sha256(content), **facts})
    return chain.write(run)


def is_as_written(run: Path, name: str) -> bool:
    """Whether a file is as the last line about it says.

    Raises
    ------
    StoreError
        There is no ledger.
    """
    entry = _read(run).last.get(name)
    path = run / name
    return entry is not None and path.is_file() and sha256(path.read_bytes()) == entry["sha256"]


def require_as_written(run: Path, *names: str) -> None:
    """Refuse to go on from files that somebody changed or took away, which a new line would make look right.

    names : base names of the files that will be read; a folder without a ledger is not finished and passes

    Raises
    ------
    StoreError
        A file of such a name is not as the last line about it says.
    """
    if not (run / LEDGER).exists():
        return
    told = {name: entry for name, entry in _read(run).last.items() if name.rpartition("/")[2] in names}
    changed = [name for name, entry in told.items() if _differences(run / name, name, entry)]
    if changed:
        more = f", nor {len(changed) - 1} more," if len(changed) > 1 else ""
        raise StoreError(
            f"{changed[0]} is not{more} as the run wrote it; restore it from a copy (the command verify names every "
            "difference)"
        )


def verify(run: Path) -> tuple[str, ...]:
    """Return one sentence per difference between the run folder and its ledger; empty when all agree.

    Raises
    ------
    StoreError
        There is no ledger.
    """
    chain = _read(run)
    differences = [*chain.differences]
    last = chain.last
    for name, entry in last.items():
        differences += _differences(run / name, name, entry)
    for entry in chain.entries:
        if entry.get("event") == SIGNED and entry is not last[entry["file"]]:
            differences += _lost_signature(run / entry["file"], entry)
    found = {path.relative_to(run).as_posix() for path in _files(run)}
    listed = {name for name, entry in last.items() if entry["sha256"] is not None}
    return (*differences, *(f"{name} was added after the run" for name in sorted(found - listed)))


def _differences(path: Path, name: str, entry: Mapping[str, Any]) -> list[str]:
    if entry["sha256"] is None:
        return []
    if not path.is_file():
        return [f"{name} is missing"]
    since = "its signature" if entry.get("event") == SIGNED else "the run"
    return [] if sha256(path.read_bytes()) == entry["sha256"] else [f"{name} has changed since {since}"]


def _lost_signature(path: Path, entry: Mapping[str, Any]) -> list[str]:
    if not path.is_file() or sha256(path.read_bytes()[: entry["bytes"]]) == entry["sha256"]:
        return []
    return [f"{entry['file']} no longer begins with what was signed earlier"]


def _read(run: Path) -> _Chain:
    try:
        lines = (run / LEDGER).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise StoreError(f"{LEDGER} is not text; restore it from a copy, the run cannot be verified") from error
    except OSError as error:
        raise StoreError(f"{run} has no {LEDGER}: the run did not finish, or this is not a run folder") from error
    chain = _Chain(lines=lines)
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None:
            chain.differences.append(f"{LEDGER} line {number} is damaged")
        else:
            if entry["previous"] != chain.previous:
                chain.differences.append(
                    f"{LEDGER} line {number} ({entry['file']}) does not follow from the line before it"
                )
            chain.entries.append(entry)
        chain.previous = sha256(line.encode())
    return chain


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        is_whole = (
            isinstance(entry["file"], str)
            and isinstance(entry["bytes"], int)
            and isinstance(entry["sha256"], str | None)
            and isinstance(entry["previous"], str)
        )
    except (ValueError, KeyError, TypeError):
        return None
    return entry if is_whole else None


def _files(run: Path) -> list[Path]:
    return sorted(
        path
        for path in run.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.relative_to(run).as_posix() not in LEFT_OUT
    )
