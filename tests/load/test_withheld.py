"""Allow-listed header fields travel, unless their text says who the patient is."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from audit_pipeline.load.dicom_metadata import in_common, metadata_of

SYNTAX = str(ExplicitVRLittleEndian)


def header(**fields):
    """A data set as it is read from a file, its values still bytes."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "M\u00fcller-L\u00fcd^Anna", "A-4711", "19580314"
    dataset.ReferringPhysicianName, dataset.AccessionNumber = "Okafor^Ben", "ACC77"
    dataset.Manufacturer, dataset.BodyPartExamined = "Vendor", "CHEST"
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    stream.seek(0)
    return dcmread(stream, force=True)


def test_plain_fields_travel_and_nothing_is_said_to_be_withheld():
    found = metadata_of(header(ConvolutionKernel="B30f", SoftwareVersions="20240131", KVP="120"), SYNTAX)
    assert (found["Manufacturer"], found["BodyPartExamined"], found["ConvolutionKernel"]) == ("Vendor", "CHEST", "B30f")
    assert (found["SoftwareVersions"], found["KVP"]) == ("20240131", 120.0)
    assert "Withheld" not in found


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ConvolutionKernel", "for Anna"),
        ("ConvolutionKernel", "M\u00fcller-L\u00fcd"),
        ("ConvolutionKernel", "OKAFOR"),
        ("Manufacturer", "Anna M\u00fcller"),
        ("Manufacturer", "unit A-4711"),
        ("ManufacturerModelName", "ACC77"),
        ("SoftwareVersions", "14.03.1958"),
        ("SoftwareVersions", "1958-03-14"),
        ("Manufacturer", "DOE^JANE"),
        ("Manufacturer", "Dr. Somebody"),
        ("ConvolutionKernel", "2026-01-31"),
        ("ConvolutionKernel", "12345678"),
    ],
)
def test_a_field_that_repeats_the_patient_or_looks_like_identity_is_withheld_and_named(keyword, value):
    found = metadata_of(header(**{keyword: value}), SYNTAX)
    assert keyword not in found
    assert found["Withheld"] == keyword
    assert value not in str(found)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Manufacturer", "Okafor"),
        ("ManufacturerModelName", "MR 5300"),
        ("ManufacturerModelName", "DR Retrofit"),
        ("ManufacturerModelName", "Scanner 20240131"),
        ("ConvolutionKernel", "4711"),
    ],
)
def test_machines_named_like_people_and_plain_numbers_travel(keyword, value):
    assert metadata_of(header(**{keyword: value}), SYNTAX)[keyword] == value


def test_a_body_part_that_is_a_name_too_travels_and_numbers_are_never_withheld():
    found = metadata_of(header(PatientName="Hand^Chest", PatientID="120.0", KVP="120", BodyPartExamined="HAND"), SYNTAX)
    assert (found["BodyPartExamined"], found["KVP"]) == ("HAND", 120.0)


def test_what_one_slice_withholds_is_withheld_of_the_series():
    found = in_common([(header(), SYNTAX), (header(Manufacturer="Anna M\u00fcller"), SYNTAX)])
    assert found["Manufacturer"] is None
    assert found["Withheld"] == "Manufacturer"
