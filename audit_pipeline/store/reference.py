"""A reference of clean studies: one Parquet with a row per study, and one safetensors file with their arrays.

The schema of the Parquet names the layer of the features, the weights of the model, and the SHA-256 of the safetensors
file beside it, so that one digest pins both.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from safetensors import SafetensorError
from safetensors.numpy import load, save

from audit_pipeline.errors import ConfigError
from audit_pipeline.evidence import Reference, Traits
from audit_pipeline.records import Floats, Matrix, Scalar, sealed
from audit_pipeline.store.files import sha256

SCHEMA = "audit-pipeline/reference/1"
ARRAYS = {
    "features": "features", "intensities": "moments", "quantiles": "quantiles", "thumbnails": "thumbnail",
    "logits": "logits",
}  # fmt: skip
"""Name in a reference -> name in the traits of one study."""

COLUMNS = pa.schema([("label", pa.string()), ("header", pa.string()), ("values", pa.string())])


def reference_bytes(traits: Sequence[Traits], *, layer: str, model: str) -> tuple[bytes, bytes]:
    """Return the Parquet and the safetensors file of a reference; the same bytes for the same traits.

    Raises
    ------
    ConfigError
        The studies have features, thumbnails or logits of different sizes.
    """
    arrays = {}
    for name, own in ARRAYS.items():
        rows = [getattr(one, own) for one in traits]
        if len({row.shape for row in rows}) != 1:
            raise ConfigError(f"the studies of a reference need {own} of one size; they are not of one model")
        arrays[name] = np.stack(rows).astype(np.float32)
    tensors = save(arrays)
    metadata = {"schema": SCHEMA, "layer": layer, "model": model, "arrays_sha256": sha256(tensors)}
    rows = [
        {
            "label": one.label,
            "header": json.dumps(dict(one.header), sort_keys=True),
            "values": json.dumps(dict(one.values), sort_keys=True, allow_nan=False),
        }
        for one in traits
    ]
    stream = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=COLUMNS.with_metadata(metadata))
    parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue(), tensors


def read_reference(path: Path, pinned: str | None = None) -> Reference:
    """Return the reference studies in a Parquet file and in the safetensors file beside it.

    A Parquet that holds the columns ``features`` and ``intensities`` itself needs no second file.

    Raises
    ------
    ConfigError
        A file cannot be read, differs from its pinned digest, or lacks what it must hold.
    """
    content = _content(path)
    digest = sha256(content)
    if pinned is not None and digest != pinned:
        raise ConfigError(f"the reference table {path.name} has SHA-256 {digest}, the model card pins {pinned}")
    try:
        table = parquet.read_table(io.BytesIO(content))
        facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        columns = {name: table[name].to_pylist() for name in table.column_names}
        arrays = _arrays(path, facts, columns)
        return Reference(
            features=arrays["features"],
            intensities=arrays["intensities"],
            digest=digest,
            layer=facts.get("layer", ""),
            model=facts.get("model", ""),
            quantiles=arrays.get("quantiles"),
            thumbnails=arrays.get("thumbnails"),
            logits=arrays.get("logits"),
            header=_by_keyword([json.loads(text) for text in columns.get("header", ())]),
            values=_by_check([json.loads(text) for text in columns.get("values", ())]),
            labels=tuple(columns.get("label", ())),
        )
    except (pa.ArrowException, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the reference table {path.name} needs the list columns features and intensities, or the safetensors file "
            "that was written with it; make both with calibrate"
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the reference table {path.name} cannot be read: {error.strerror}") from error


def _arrays(path: Path, facts: Mapping[str, str], columns: Mapping[str, list[Any]]) -> dict[str, Floats]:
    if "arrays_sha256" not in facts:
        plain = {name: np.asarray(columns[name], dtype=np.float32) for name in ("features", "intensities")}
        return {name: sealed(values) for name, values in plain.items()}
    place = path.with_suffix(".safetensors")
    content = _content(place)
    if sha256(content) != facts["arrays_sha256"]:
        raise ConfigError(f"{place.name} is not the file that was written with {path.name}; make both with calibrate")
    return {name: sealed(values) for name, values in load(content).items()}


def _by_keyword(rows: Sequence[Mapping[str, Scalar]]) -> dict[str, tuple[Scalar, ...]]:
    keywords = sorted({keyword for row in rows for keyword in row})
    return {keyword: tuple(row.get(keyword) for row in rows) for keyword in keywords}


def _by_check(rows: Sequence[Mapping[str, float]]) -> dict[str, Matrix]:
    names = sorted({name for row in rows for name in row})
    return {name: sealed(np.asarray([row[name] for row in rows if name in row], dtype=np.float64)) for name in names}
