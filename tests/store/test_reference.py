"""A reference of clean studies: two files, one digest, and nothing that was not measured."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from audit_pipeline.errors import ConfigError
from audit_pipeline.store.files import sha256
from audit_pipeline.store.reference import read_reference, reference_bytes
from tests.store.traits_factory import TRAITS


def studies():
    second = replace(
        TRAITS, features=TRAITS.features + 1, header={"Modality": "MR"}, values={"low_margin": 0.5}, label=""
    )
    return [TRAITS, second]


def written(folder, traits=None):
    table, arrays = reference_bytes(traits or studies(), layer="stage4", model="abc")
    place = folder / "site.parquet"
    place.write_bytes(table)
    place.with_suffix(".safetensors").write_bytes(arrays)
    return place


def test_a_reference_comes_back_column_by_column(tmp_path):
    place = written(tmp_path)
    found = read_reference(place, sha256(place.read_bytes()))
    assert found.features.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert found.intensities.shape == (2, 4)
    assert (found.quantiles.shape, found.thumbnails.shape, found.logits.shape) == ((2, 64), (2, 9), (2, 2))
    assert found.header["Modality"] == ("CT", "MR")
    assert found.header["KVP"] == (120.0, None)
    assert {name: values.tolist() for name, values in found.values.items()} == {
        "low_margin": [0.5],
        "near_threshold": [0.25],
    }
    assert (found.labels, found.layer, found.model) == (("nodule", ""), "stage4", "abc")


def test_its_arrays_are_read_only(tmp_path):
    found = read_reference(written(tmp_path))
    for values in (found.features, found.thumbnails, found.values["low_margin"]):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


def test_the_same_studies_make_the_same_files():
    assert reference_bytes(studies(), layer="a", model="b") == reference_bytes(studies(), layer="a", model="b")


def test_the_table_pins_the_arrays_beside_it(tmp_path):
    place = written(tmp_path)
    arrays = place.with_suffix(".safetensors")
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(ConfigError, match="is not the file that was written with"):
        read_reference(place)


def test_arrays_that_are_gone_are_named(tmp_path):
    place = written(tmp_path)
    place.with_suffix(".safetensors").unlink()
    with pytest.raises(ConfigError, match=r"site\.safetensors cannot be read"):
        read_reference(place)


def test_studies_of_two_models_make_no_reference():
    with pytest.raises(ConfigError, match="features of one size"):
        reference_bytes([TRAITS, replace(TRAITS, features=np.zeros(4, dtype=np.float32))], layer="", model="")


def test_a_table_that_holds_its_arrays_itself_needs_no_second_file(tmp_path):
    stream = io.BytesIO()
    table = pa.table({"features": [[1.0, 2.0]], "intensities": [[0.0, 1.0, 0.0, 1.0]]})
    parquet.write_table(table.replace_schema_metadata({"layer": "stage4"}), stream)
    place = tmp_path / "plain.parquet"
    place.write_bytes(stream.getvalue())
    found = read_reference(place)
    assert (found.features.tolist(), found.layer, found.quantiles, found.values) == ([[1, 2]], "stage4", None, {})


def test_another_digest_than_the_pinned_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the model card pins 000"):
        read_reference(written(tmp_path), "0" * 64)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(50)])
def test_a_damaged_table_is_refused(tmp_path, content):
    place = tmp_path / "bad.parquet"
    place.write_bytes(content)
    with pytest.raises(ConfigError, match="make both with calibrate"):
        read_reference(place)
