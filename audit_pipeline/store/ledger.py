"""``ledger.jsonl``: one line per file of a run, each holding the digest of the line before it."""

from __future__ import annotations

import json
from pathlib import Path

from audit_pipeline.errors import StoreError
from audit_pipeline.store.files import sha256, write_atomically

LEDGER = "ledger.jsonl"
LEFT_OUT = {LEDGER, "linkage.csv"}
"""The linkage names identities and must be removable without breaking the chain."""

START = "0" * 64


def write_ledger(run: Path) -> str:
    """Write the chain over every file of the run, in path order; return the digest of its last line."""
    lines: list[str] = []
    previous = START
    for path in _files(run):
        content = path.read_bytes()
        name = path.relative_to(run).as_posix()
        entry = {"file": name, "bytes": len(content), "sha256": sha256(content), "previous": previous}
        line = json.dumps(entry, sort_keys=True)
        previous = sha256(line.encode())
        lines.append(line)
    write_atomically(run / LEDGER, "".join(f"{line}\n" for line in lines).encode())
    return previous


def verify(run: Path) -> tuple[str, ...]:
    """Return one sentence per difference between the run folder and its ledger; empty when all agree.

    Raises
    ------
    StoreError
        There is no ledger.
    """
    try:
        lines = (run / LEDGER).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"{run} has no {LEDGER}: the run did not finish, or this is not a run folder") from error
    differences: list[str] = []
    previous = START
    listed: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            name, digest, before = entry["file"], entry["sha256"], entry["previous"]
        except (ValueError, KeyError, TypeError):
            differences.append(f"{LEDGER} line {number} is damaged")
            previous = sha256(line.encode())
            continue
        if before != previous:
            differences.append(f"{LEDGER} line {number} ({name}) does not follow from the line before it")
        previous = sha256(line.encode())
        listed.add(name)
        path = run / name
        if not path.is_file():
            differences.append(f"{name} is missing")
        elif sha256(path.read_bytes()) != digest:
            differences.append(f"{name} has changed since the run")
    found = {path.relative_to(run).as_posix() for path in _files(run)}
    return (*differences, *(f"{name} was added after the run" for name in sorted(found - listed)))


def _files(run: Path) -> list[Path]:
    return sorted(
        path
        for path in run.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.relative_to(run).as_posix() not in LEFT_OUT
    )
