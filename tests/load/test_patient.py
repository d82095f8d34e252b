"""Who was examined, read for the clinical profile."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread

from audit_pipeline.load import find_studies, patient_of
from audit_pipeline.load.encode_dicom import Identity, ct_files
from tests.audit_fixtures import AFFINE, tiny_volume, write_studies

SOMEBODY = Identity(seed="s", patient_id="19580314", patient_name="Yamada^Tarou", birth_date="19580314")


def study(folder, **fields):
    dataset = dcmread(io.BytesIO(ct_files(tiny_volume(0)[:1], AFFINE, SOMEBODY)[0]))
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "one.dcm")
    (source,) = find_studies([folder])
    return patient_of(source)


def test_names_and_dates_are_written_as_people_write_them_and_numbers_stay(tmp_path):
    found = study(tmp_path, StudyDate="20260131", AccessionNumber="A 7")
    assert found == {
        "patient_name": "Yamada, Tarou", "patient_id": "19580314", "birth_date": "1958-03-14", "sex": "",
        "accession": "A 7", "study_date": "2026-01-31",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", "Yamada, Tarou (\u5c71\u7530, \u592a\u90ce)"),
        ("M\u00fcller-L\u00fcd^\u00c5sa", "M\u00fcller-L\u00fcd, \u00c5sa"),
        ("Single", "Single"),
        ("", ""),
    ],
)
def test_every_script_of_a_name_is_read(tmp_path, name, shown):
    assert study(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName=name)["patient_name"] == shown


def test_other_formats_tell_nobody(tmp_path):
    (source,) = find_studies([write_studies(tmp_path, 1)])
    assert set(patient_of(source).values()) == {""}
