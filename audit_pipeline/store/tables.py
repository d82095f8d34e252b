"""The tables of a run, and the table of reference studies: Parquet, the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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

MOST_ROWS = 1 << 20
"""Of a chunk: the rows of a row group; its texts stay below the 2 GiB that a column of texts can address."""

FMEA = (
    "code", "title", "severity", "expected", "occurrence", "raised", "judged", "upper", "undetected", "sensitivity",
    "planted", "undetected_after", "before", "after",
)  # fmt: skip


def results_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``results.parquet``: a row per study and class; one row with nulls for a study without a prediction."""
    rows = [row for record in records for row in _result_rows(record)]
    return _written({name: [row.get(name) for row in rows] for name in RESULTS.names}, RESULTS)


def findings_bytes(records: Sequence[StudyRecord]) -> bytes:
    """Return ``findings.parquet``: a row per finding."""
    columns: dict[str, list[Any]] = {"study": [record.study for record in records for _ in record.findings]}
    for name in FINDINGS.names[1:]:
        columns[name] = [getattr(finding, name) for record in records for finding in record.findings]
    return _written(columns, FINDINGS)


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


def _written(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> bytes:
    """Return a Parquet file with the columns of `schema`; memory of the library goes back to the system."""
    arrays = [_column(columns[one.name], one.type) for one in schema]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), stream, compression="zstd")
    del arrays
    pa.default_memory_pool().release_unused()
    return stream.getvalue()


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.ChunkedArray:
    parts = [values[start : start + MOST_ROWS] for start in range(0, len(values), MOST_ROWS)]
    return pa.chunked_array([_chunk(one, kind) for one in parts], type=kind)


def _chunk(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values, or None for a null, as an array.

    Its buffers are laid out here (Arrow columnar format 1.5, "Variable-size Binary Layout" and "Validity bitmaps"),
    because `pyarrow.array` loads pandas where that is installed: 50 MB more for every report.
    """
    validity = _bits([one is not None for one in values])
    if kind == pa.string():
        texts = [b"" if one is None else str(one).encode() for one in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(b"".join(texts)), validity)
    if kind == pa.bool_():
        content = _bits([bool(one) for one in values])
    else:
        content = pa.py_buffer(np.asarray([0.0 if one is None else one for one in values], dtype=np.float64))
    return pa.Array.from_buffers(kind, len(values), [validity, content])


def _bits(values: Sequence[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.asarray(values, dtype=np.bool_), bitorder="little"))
