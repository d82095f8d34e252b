"""The tables of a run, and the table of reference studies: Parquet, the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

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

FMEA = (
    "code", "title", "severity", "expected", "occurrence", "raised", "judged", "upper", "undetected", "sensitivity",
    "planted", "undetected_after", "before", "after",
)  # fmt: skip


def results_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``results.parquet``: a row per study and class; one row with nulls for a study without a prediction."""
    rows = [row for record in records for row in _result_rows(record)]
    return _table_bytes(rows, RESULTS)


def findings_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``findings.parquet``: a row per finding."""
    pairs = [(record.study, finding) for record in records for finding in record.findings]
    columns = {"study": [study for study, _ in pairs]}
    columns |= {name: [_plain(getattr(finding, name)) for _, finding in pairs] for name in FINDINGS.names[1:]}
    return _written(pa.table(columns, schema=FINDINGS))


def fmea_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return ``fmea.csv``: a row per failure mode, as in ``cohort.json``; an unknown value is an empty cell."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FMEA, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


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
    plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
    return _written(pa.Table.from_pylist(plain, schema=schema))


def _plain(value: object) -> object:
    """Return the value of an enumeration as text, anything else as it is."""
    return str(value) if isinstance(value, str) else value


def _written(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()
