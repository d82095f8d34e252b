"""The run folder: where each fact of a run lies, and the order in which it is written.

A study is committed by its ``record.json``, written last and atomically: a folder without one is unfinished work that
the next run does again. ``run.json`` is written when the run starts, so that a resumed run can tell whether it is the
same audit, and again when it ends.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_pipeline.errors import StoreError
from audit_pipeline.store.files import json_bytes, write_atomically
from audit_pipeline.store.record_file import read_record, record_bytes
from audit_pipeline.study_record import StudyRecord

RUN_SCHEMA = "audit-pipeline/run/1"
TIMES = frozenset({"start", "end"})
LINKAGE = ("study", "name", "kind", "files", "identity", "note")
"""Columns that every linkage has; the clinical profile adds who was examined."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would execute a cell that starts with one of these."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @property
    def studies(self) -> Path:
        """The folder of the studies."""
        return self.path / "studies"

    @property
    def report(self) -> Path:
        """The audit report."""
        return self.path / "report.pdf"

    def open(self, identity: Mapping[str, str], run: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create the folder, or resume in it; return the content of ``run.json`` as it now stands.

        Parameters
        ----------
        identity : what must be the same for two runs to share a folder: digests of the settings, the card, the model
        run : the first content of ``run.json``

        Raises
        ------
        StoreError
            The folder belongs to another audit, or cannot be written.
        """
        place = self.path / "run.json"
        if place.exists():
            known = self.run()
            for name, value in identity.items():
                if known.get("identity", {}).get(name) != value:
                    raise StoreError(
                        f"{self.path} holds a run that differs in its {name.replace('_', ' ')}; choose another "
                        "--output, or repeat the first settings to resume it"
                    )
            return known
        if self.path.exists() and any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and holds no run; choose another --output")
        content = {"schema": RUN_SCHEMA, "identity": dict(identity), **run}
        try:
            write_atomically(place, json_bytes(content))
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
        return content

    def run(self) -> dict[str, Any]:
        """Return ``run.json``.

        Raises
        ------
        StoreError
            The file is missing, damaged or of another schema.
        """
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path} holds no readable run.json; is it a run folder?") from error
        if content.get("schema") != RUN_SCHEMA:
            raise StoreError(f"{self.path} has schema {content.get('schema')!r}, this version reads {RUN_SCHEMA!r}")
        return content

    def cohort(self) -> dict[str, Any]:
        """Return ``cohort.json``, empty when the run was not closed yet.

        Raises
        ------
        StoreError
            The file is damaged.
        """
        place = self.path / "cohort.json"
        try:
            content: dict[str, Any] = json.loads(place.read_bytes()) if place.exists() else {}
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path} holds a damaged cohort.json; run the audit again") from error
        return content

    def study(self, key: str) -> Path:
        """Return the folder of one study."""
        return self.studies / key

    def is_committed(self, key: str) -> bool:
        """Whether the study is finished: its record is there."""
        return (self.study(key) / "record.json").exists()

    def commit(self, record: StudyRecord, artefacts: Mapping[str, bytes]) -> None:
        """Write the files of a study, then its record.

        Parameters
        ----------
        artefacts : path relative to the study folder -> content
        """
        folder = self.study(record.study)
        for name, content in artefacts.items():
            write_atomically(folder / name, content)
        write_atomically(folder / "record.json", record_bytes(record))

    def records(self) -> tuple[StudyRecord, ...]:
        """Return the records of all committed studies, by key."""
        texts: dict[str, str] = {}
        return tuple(read_record(self.study(key) / "record.json", texts) for key in self.keys())

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all committed studies, sorted."""
        return tuple(path.parent.name for path in sorted(self.studies.glob("*/record.json")))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the JSON files at the top of the run."""
        write_atomically(self.path / name, json_bytes(content))

    def write(self, name: str, content: bytes) -> None:
        """Write one of the files at the top of the run."""
        write_atomically(self.path / name, content)

    def write_linkage(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Write ``linkage.csv``, readable by its owner only: pseudonym -> where the study came from."""
        stream = io.StringIO()
        found = list(rows)
        columns = dict.fromkeys([*LINKAGE, *(name for row in found for name in row)])
        writer = csv.DictWriter(stream, list(columns), lineterminator="\n", restval="")
        writer.writeheader()
        for row in found:
            writer.writerow({key: _inert(value) for key, value in row.items()})
        write_atomically(self.path / "linkage.csv", stream.getvalue().encode(), mode=0o600)

    def close_to_others(self) -> None:
        """Let nobody but the owner into the folder."""
        self.path.chmod(0o700)

    def linkage(self) -> Mapping[str, Mapping[str, str]]:
        """Return the rows of ``linkage.csv`` by study.

        Raises
        ------
        StoreError
            The file is missing or damaged.
        """
        try:
            text = (self.path / "linkage.csv").read_text(encoding="utf-8")
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
            return {row["study"]: {name: _as_given(value) for name, value in row.items()} for row in rows}
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
            raise StoreError(
                "linkage.csv of this run is missing or damaged, and a clinical report shows what only that file tells; "
                "put it back from a copy, or audit again"
            ) from error


def timeless_run(run: Mapping[str, Any]) -> bytes:
    """Return ``run.json`` as the audit report carries it: without the times of its start and end."""
    return json_bytes({name: value for name, value in run.items() if name not in TIMES})


def _as_given(value: str) -> str:
    """Return the text that `_inert` wrote."""
    return value[1:] if value.startswith("'") and value[1:].startswith(FORMULA_STARTS) else value


def _inert(value: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value
