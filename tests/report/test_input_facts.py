"""Header fields and stack in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_cases

from audit_pipeline.records import StackFacts
from audit_pipeline.report import input_facts, tables

HEADER = {
    "Modality": "CT", "RescaleType": "HU", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL", "KVP": 120.0, "BitsStored": 12,
    "BitsAllocated": 16, "PixelRepresentation": 0, "RescaleSlope": 1.0, "RescaleIntercept": -1024.0,
    "WindowCenter": -550.0, "WindowWidth": 1300.0, "PatientAge": 50, "stored_min": 6.0, "stored_max": 1536.0,
    "ConvolutionKernel": None, "LossyImageCompression": "00", "Laterality": "",
}  # fmt: skip
STACK = StackFacts(slices=87, step_mm=3.32, residual_mm=5.3e-13, largest_gap_ratio=1.0, smallest_gap_ratio=1 - 1e-14)


@pytest.fixture(scope="module")
def image():
    record, _ = report_cases.volume_case()
    return replace(record.image, metadata=HEADER)


def test_fields_that_belong_together_are_one_fact_and_codes_are_words(image):
    assert dict(input_facts.header(image)) == {
        "Image type": "ORIGINAL, PRIMARY, AXIAL",
        "Tube voltage, kV": "120",
        "Patient age, years": "50",
        "Convolution kernel": "differs between slices",
        "Lossy image compression": "no",
        "Stored values": "6 to 1536",
        "Pixel format": "12 of 16 bits, unsigned",
        "Rescale": "slope 1, intercept \u22121024",
        "Window in the header": "centre \u2212550 width 1300",
    }


def test_a_field_without_its_partner_is_still_printed(image):
    alone = replace(image, metadata={"RescaleSlope": 2.0, "WindowCenter": None, "WindowWidth": 300.0})
    assert dict(input_facts.header(alone)) == {
        "Rescale slope": "2",
        "Window centre": "differs between slices",
        "Window width": "300",
    }


def test_modality_and_unit_of_the_header_are_printed_when_they_say_something_else(image):
    other = replace(image, metadata={"Modality": "OT", "RescaleType": "US"})
    assert dict(input_facts.header(other)) == {"Modality": "OT", "Rescale type": "US"}


def test_no_keyword_of_the_header_is_printed_as_it_stands(image):
    names = [name for name, _ in input_facts.facts(image)]
    assert not set(names) & set(HEADER)
    assert not [name for name in names if "_" in name]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "87 slices, step 3.32 mm, on one straight line, even gaps, no tilt"),
        (
            {"residual_mm": 0.2, "largest_gap_ratio": 2.0, "smallest_gap_ratio": 0.98, "tilt_degrees": 1.5},
            "87 slices, step 3.32 mm, at most 0.2 mm off their line, gaps 0.98 to 2 times the median, tilt 1.5 degrees",
        ),
        (
            {"largest_gap_ratio": 1.4},
            "87 slices, step 3.32 mm, on one straight line, gaps 1 to 1.4 times the median, no tilt",
        ),
    ],
)  # fmt: skip
def test_the_stack_is_told_in_words_and_rounding_errors_are_no_deviation(changes, words):
    assert input_facts.stack(replace(STACK, **changes)) == words


@pytest.mark.parametrize("count", [1, 2, 5])
def test_facts_in_two_halves_keep_every_fact_in_reading_order(count):
    rows = [(f"name {place}", f"fact {place}") for place in range(count)]
    cells = tables.pairs_twice(rows, 178)._cellvalues
    read = [[cell.getPlainText() for cell in line] for line in cells]
    found = [tuple(line[:2]) for line in read] + [tuple(line[2:]) for line in read if line[2]]
    assert found == rows
