"""The tables of a run, and the table of reference studies: Parquet, the same bytes for the same rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from audit_pipeline.errors import ConfigError
from audit_pipeline.evidence import Reference
from audit_pipeline.records import sealed
from audit_pipeline.store.files import sha256
from audit_pipeline.study_record import StudyRecord

RESULTS = pa.schema(
    [
        ("study", pa.string()),
        ("status", pa.string()),
        ("class", pa.string()),
        ("logit", pa.float64()),
        ("probability", pa.float64()),
        ("threshold", pa.float64()),
        ("predicted", pa.bool_()),
        ("label", pa.string()),
        ("verdict_prediction", pa.string()),
        ("verdict_explanation", pa.string()),
        ("error", pa.string()),
    ]
)
FINDINGS = pa.schema(
    [
        ("study", pa.string()),
        ("code", pa.string()),
        ("name", pa.string()),
        ("family", pa.string()),
        ("outcome", pa.string()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("unit", pa.string()),
        ("provenance", pa.string()),
        ("message", pa.string()),
    ]
)


def results_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``results.parquet``: a row per study and class; one row with nulls for a study without a prediction."""
    rows = [row for record in records for row in _result_rows(record)]
    return _table_bytes(rows, RESULTS)


def findings_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``findings.parquet``: a row per finding."""
    columns = FINDINGS.names[1:]
    rows = [
        {"study": record.study, **{name: getattr(finding, name) for name in columns}}
        for record in records
        for finding in record.findings
    ]
    return _table_bytes(rows, FINDINGS)


def _result_rows(record: StudyRecord) -> list[dict[str, object]]:
    shared: dict[str, object] = {
        "study": record.study,
        "status": record.status,
        "label": record.label,
        "verdict_prediction": record.verdict and record.verdict.prediction,
        "verdict_explanation": record.verdict and record.verdict.explanation,
        "error": record.error and record.error.code,
    }
    prediction = record.prediction
    if prediction is None:
        return [shared]
    return [
        {
            **shared,
            "class": name,
            "logit": prediction.logits[name],
            "probability": prediction.probabilities[name],
            "threshold": prediction.thresholds.get(name),
            "predicted": name in prediction.predicted,
        }
        for name in prediction.probabilities
    ]


def _table_bytes(rows: list[dict[str, object]], schema: pa.Schema) -> bytes:
    plain = [{key: str(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(plain, schema=schema), stream, compression="zstd")
    return stream.getvalue()


def read_reference(path: Path, pinned: str | None = None) -> Reference:
    """Return the reference studies in a Parquet file with the columns ``features`` and ``intensities``.

    The metadata of its schema may name the ``layer`` whose spatial means the features are.

    Raises
    ------
    ConfigError
        The file cannot be read, differs from the pinned digest, or lacks a column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the reference table {path.name} cannot be read: {error.strerror}") from error
    digest = sha256(content)
    if pinned is not None and digest != pinned:
        raise ConfigError(f"the reference table {path.name} has SHA-256 {digest}, the model card pins {pinned}")
    try:
        table = parquet.read_table(io.BytesIO(content))
        columns = [np.asarray(table[name].to_pylist(), dtype=np.float32) for name in ("features", "intensities")]
        layer = (table.schema.metadata or {}).get(b"layer", b"").decode()
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ConfigError(
            f"the reference table {path.name} needs the list columns features and intensities; make it with calibrate"
        ) from error
    return Reference(features=sealed(columns[0]), intensities=sealed(columns[1]), digest=digest, layer=layer)
