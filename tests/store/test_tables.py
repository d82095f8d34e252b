"""Tables: rows equal the records, and reference tables are checked."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from audit_pipeline.errors import ConfigError
from audit_pipeline.records import Status
from audit_pipeline.store import tables
from audit_pipeline.store.reference import read_reference
from audit_pipeline.store.tables import FMEA, _column, findings_bytes, fmea_bytes, results_bytes
from audit_pipeline.study_record import Failure, StudyRecord
from tests.store.test_record_file import FULL, MODEL

REFUSED = StudyRecord(
    study="f" * 12,
    status=Status.REFUSED,
    model=MODEL,
    error=Failure(code="PatientMixError", message="two", stage="load"),
)


def test_results_hold_a_row_per_class_and_one_for_a_refused_study():
    rows = parquet.read_table(io.BytesIO(results_bytes([FULL, REFUSED]))).to_pylist()
    assert rows[0]["study"] == FULL.study
    assert rows[0]["class"] == "nodule"
    assert rows[0]["probability"] == 1 / 3
    assert rows[0]["predicted"] is False
    assert rows[0]["verdict_prediction"] == "flag"
    assert rows[1]["status"] == "refused"
    assert rows[1]["error"] == "PatientMixError"
    assert rows[1]["class"] is None


def test_findings_hold_a_row_per_finding():
    rows = parquet.read_table(io.BytesIO(findings_bytes([FULL, REFUSED]))).to_pylist()
    assert len(rows) == 1
    assert (rows[0]["study"], rows[0]["code"], rows[0]["outcome"], rows[0]["value"]) == (
        FULL.study,
        "C01",
        "flag",
        None,
    )


def test_tables_of_nothing_keep_their_columns_and_bytes_are_reproducible():
    assert parquet.read_table(io.BytesIO(results_bytes([]))).num_rows == 0
    assert results_bytes([FULL]) == results_bytes([FULL])


def reference_file(place, **columns):
    parquet.write_table(pa.table(columns), place)
    return place


def test_a_reference_is_read_with_its_digest(tmp_path):
    place = reference_file(
        tmp_path / "r.parquet", features=[[1.0, 2.0], [3.0, 4.0]], intensities=[[0.0, 1.0, 0.0, 1.0]] * 2
    )
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    found = read_reference(place, digest)
    np.testing.assert_array_equal(found.features, [[1, 2], [3, 4]])
    assert found.intensities.shape == (2, 4)
    assert found.digest == digest


def test_a_wrong_reference_is_refused(tmp_path):
    place = reference_file(tmp_path / "r.parquet", features=[[1.0]])
    with pytest.raises(ConfigError, match="needs the list columns"):
        read_reference(place)
    with pytest.raises(ConfigError, match="the model card pins"):
        read_reference(place, "0" * 64)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_reference(tmp_path / "gone.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(ConfigError, match="needs the list columns"):
        read_reference(tmp_path / "bad.parquet")


def test_the_fmea_is_a_row_per_failure_mode_with_empty_cells_for_what_is_not_known():
    row = dict.fromkeys(FMEA, 1) | {"code": "E01", "title": 'a "gap"', "sensitivity": None, "after": None}
    lines = fmea_bytes([row]).decode().splitlines()
    assert lines[0].split(",") == list(FMEA)
    assert lines[1].startswith('E01,"a ""gap""",1,')
    assert lines[1].endswith(",1,")


def test_columns_laid_out_by_hand_read_as_those_of_the_library():
    values = {pa.string(): ["\u03b1\U0001f600", None, "", "x"], pa.float64(): [None, -0.0, 1e-300, 2.5],
              pa.bool_(): [True, None, False, True]}  # fmt: skip
    for kind, column in values.items():
        made = _column(column, kind)
        made.validate(full=True)
        assert made.equals(pa.chunked_array([pa.array(column, kind)]))
        assert made.null_count == 1


def test_columns_longer_than_a_chunk_go_on_in_the_next(monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    made = _column(["a", None, "bc"], pa.string())
    assert made.num_chunks == 2
    assert made.to_pylist() == ["a", None, "bc"]


def test_writing_the_tables_does_not_load_pandas():
    program = (
        "import sys\n"
        "from audit_pipeline.store.tables import findings_bytes, results_bytes\n"
        "from tests.store.test_record_file import FULL\n"
        "assert results_bytes([FULL]) and findings_bytes([FULL])\n"
        "sys.exit('pandas' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
