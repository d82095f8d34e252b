"""``record.json``: the study record as JSON and back, without loss and without NaN."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from audit_pipeline.errors import StoreError
from audit_pipeline.store.files import json_bytes
from audit_pipeline.study_record import SCHEMA, StudyRecord

_ADAPTER: TypeAdapter[StudyRecord] = TypeAdapter(StudyRecord)


def record_bytes(record: StudyRecord) -> bytes:
    """Return the JSON of a record, schema first."""
    content: dict[str, Any] = _ADAPTER.dump_python(record, mode="python")
    return json_bytes({"schema": content.pop("schema"), **_plain(content)})


def timeless_bytes(record: StudyRecord) -> bytes:
    """Return the record as its report carries it: the stored bytes but for the timings, which no two runs share."""
    return record_bytes(replace(record, timings_s={}))


def read_record(path: Path, texts: dict[str, str] | None = None) -> StudyRecord:
    """Return the record in a file.

    Parameters
    ----------
    texts : texts of the records read before, from each to itself, which grows: thousands of records that are held at
        once say the same words, and with it hold them once

    Raises
    ------
    StoreError
        The file is missing, damaged, or of another schema.
    """
    try:
        content = json.loads(path.read_bytes())
        found = content.get("schema")
        if found != SCHEMA:
            raise StoreError(f"{path.parent.name}/{path.name} has schema {found!r}, this version reads {SCHEMA!r}")
        return _ADAPTER.validate_python(content if texts is None else _shared(content, texts))
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise StoreError(f"{path.parent.name}/{path.name} is damaged; run the audit of this study again") from error


def _shared(content: Any, texts: dict[str, str]) -> Any:
    """Return the content with every text replaced by the equal one of `texts`."""
    if isinstance(content, dict):
        return {texts.setdefault(key, key): _shared(value, texts) for key, value in content.items()}
    if isinstance(content, list):
        return [_shared(value, texts) for value in content]
    return texts.setdefault(content, content) if isinstance(content, str) else content


def _plain(content: Any) -> Any:
    """Return mappings, lists and scalars only: enumerations become their value, tuples lists."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return str(content) if isinstance(content, str) else content
