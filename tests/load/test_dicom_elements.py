"""Single header values: readable or refused, in time that grows with their length."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_bench import raw
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from audit_pipeline.errors import NoGeometryError
from audit_pipeline.load.codec_pool import MOST_SECONDS, seconds_for
from audit_pipeline.load.dicom_elements import exactly, numbers, text, uid_name, whole, words
from audit_pipeline.load.dicom_geometry import frame_of, pixel_steps, refuse_remote, stack_of
from audit_pipeline.load.dicom_metadata import is_calibrated
from audit_pipeline.load.dicom_pixels import _space_name

FRAME = frame_of([[1, 0, 0, 0, 1, 0]])


def holding(keyword: str, value: bytes, vr: str = "DS") -> Dataset:
    data = Dataset()
    raw(data, keyword, value, vr)
    return data


@pytest.mark.parametrize("value", ["1", "1.", ".5", "-0.25", "+1E+3", "1.5e-7", "0." + "3" * 60])
def test_decimal_strings_of_any_form_are_numbers(value):
    assert exactly(holding("RescaleSlope", value.encode()), "RescaleSlope", 1) == (float(value),)


@pytest.mark.parametrize("value", ["1" * 65, "1" * 65_000 + "x", "1e", ".", "e5", "1_0", "0x1", "nan", "inf", "1e999"])
def test_other_text_is_refused(value):
    with pytest.raises(ValueError, match="RescaleSlope is not"):
        numbers(holding("RescaleSlope", value.encode()), "RescaleSlope")


@pytest.mark.parametrize("value", ["1e300", "4294967297", "-4294967298", "7.5"])
def test_whole_numbers_that_no_header_means_are_refused(value):
    with pytest.raises(ValueError, match="one whole number"):
        whole(holding("NumberOfFrames", value.encode(), "IS"), "NumberOfFrames", 1)


def test_the_largest_unsigned_number_is_a_whole_number():
    assert whole(holding("NumberOfFrames", b"4294967295", "IS"), "NumberOfFrames", 1) == 2**32 - 1


def test_values_that_cannot_be_put_into_words_are_unreadable(monkeypatch):
    class Odd:
        def __str__(self) -> str:
            raise TypeError

    data = Dataset()
    data.EchoTime = 1.0
    monkeypatch.setattr(data["EchoTime"], "_value", Odd())
    with pytest.raises(ValueError, match="EchoTime cannot be read"):
        words(data, "EchoTime")
    assert text(data, "EchoTime") == ""


@pytest.mark.parametrize("uid", ["", "1.2.3", "\x0bDOE JOHN", CTImageStorage + "\x0b", CTImageStorage + " "])
def test_only_the_exact_text_of_a_uid_has_a_name(uid):
    assert uid_name(uid) == ""
    assert uid_name(CTImageStorage) == "CT Image Storage"


@pytest.mark.parametrize("spacing", [1e-6, 1e-300, 1e5, 1e300, 0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_no_pixel_has_is_refused(spacing):
    for pair in ((spacing, 1.0), (1.0, spacing)):
        with pytest.raises(NoGeometryError, match="PixelSpacing"):
            pixel_steps(FRAME, pair)


@pytest.mark.parametrize("spacing", [1e-5, 1e4])
def test_the_smallest_and_largest_spacing_are_used(spacing):
    assert pixel_steps(FRAME, (spacing, 1.0))[1, 0] == spacing


@pytest.mark.parametrize("coordinate", [1.1e7, -1e300, float("nan"), float("-inf")])
def test_positions_far_from_any_patient_are_refused(coordinate):
    with pytest.raises(NoGeometryError, match="ImagePositionPatient"):
        refuse_remote([0.0, coordinate, 0.0])
    with pytest.raises(NoGeometryError, match="ImagePositionPatient"):
        stack_of(np.array([[0, 0, 0], [0, 0, coordinate]]), FRAME, (1.0, 1.0))


@pytest.mark.parametrize(
    ("detector", "spacing", "calibration", "expected"),
    [
        (None, b"0.5\\0.5", b"", True),
        (b"0.5\\0.5", b"0.50\\0.5", b"", False),
        (b"0.5\\0.5", b"0.4\\0.4", b"", True),
        (b"0.5\\0.5", b"0.5\\0.5", b"FIDUCIAL", True),
    ],
)
def test_a_spacing_equal_to_that_at_the_detector_is_no_size_in_the_patient(detector, spacing, calibration, expected):
    data = holding("PixelSpacing", spacing)
    if detector:
        raw(data, "ImagerPixelSpacing", detector, "DS")
    raw(data, "PixelSpacingCalibrationType", calibration, "CS")
    assert is_calibrated(data) is expected


@pytest.mark.parametrize(
    ("photometric", "name"),
    [("HSV", "HSV"), ("CMYK", "CMYK"), ("", "an unnamed colour space"), ("DOE^JOHN", "another colour space")],
)
def test_only_defined_colour_spaces_are_named(photometric, name):
    assert _space_name(photometric) == name


def test_the_time_for_a_frame_grows_with_its_pixels_to_a_limit():
    assert seconds_for(10**6) == 11.0
    assert seconds_for(64 * 10**6) == 74.0
    assert seconds_for(10**9) == MOST_SECONDS
