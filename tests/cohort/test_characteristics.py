"""Characteristics: counts by label that add up with what is missing, quartiles of numbers, no age but in bands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit_pipeline.cohort.characteristics import characteristics_of
from audit_pipeline.records import Status
from tests.cohort.cohorts import record

RECORDS = [
    record(place, 0.9, ("nodule", "clear")[place % 2], {"sex": "F" if place < 4 else "M", "patient": f"p{place // 2}"})
    for place in range(10)
]


def row(content, name):
    return next(one for one in content["rows"] if one["name"] == name)


def test_levels_are_counted_over_all_and_by_label():
    content = characteristics_of(RECORDS)
    assert content["columns"] == [("All", 10), ("Label clear", 5), ("Label nodule", 5)]
    assert row(content, "Sex")["levels"] == {"F": [4, 2, 2], "M": [6, 3, 3]}
    assert content["patients"] == 5


def test_levels_and_gaps_of_every_property_add_up_to_the_studies_of_the_column():
    some = [*RECORDS, record(20, 0.9, "nodule"), record(21, 0.9, None, {"sex": "F", "site": "A"})]
    content = characteristics_of(some)
    for one in content["rows"]:
        for place, (_, total) in enumerate(content["columns"]):
            known = (
                sum(counts[place] for counts in one["levels"].values())
                if one["levels"] is not None
                else (one["numbers"][place] or {"n": 0})["n"]
            )
            assert known + one["missing"][place] == total, one["name"]


def test_studies_without_a_label_have_a_column_of_their_own():
    content = characteristics_of([*RECORDS, record(20, 0.9, None)])
    assert content["columns"][-1] == ("No label", 1)
    assert row(content, "Label")["missing"] == [1, 0, 0, 1]


def test_of_many_labels_the_rarer_ones_share_a_column():
    labels = [f"class {place % 7}" for place in range(35)] + ["class 0", "class 1"]
    content = characteristics_of([record(place, 0.9, label) for place, label in enumerate(labels)])
    assert content["columns"] == [("All", 37), ("Label class 0", 6), ("Label class 1", 6), ("Other labels", 25)]


def test_a_label_that_reads_like_a_column_title_stays_apart():
    records = [record(place, 0.9, label) for place, label in enumerate(["All", "No label", "", "All"])]
    content = characteristics_of(records)
    assert content["columns"] == [("All", 4), ("Label All", 2), ("Label No label", 1), ("No label", 1)]


def test_numbers_have_their_quartiles_and_range():
    spacings = [0.5, 0.75, 1.0, 1.5, 3.0]
    records = [
        replace(one, image=replace(one.image, spacing_mm=(2 * spacing, spacing, spacing), shape=(30, 8, 8)))
        for one, spacing in zip(RECORDS, spacings, strict=False)
    ]
    found = row(characteristics_of(records), "Slice spacing, mm")["numbers"][0]
    assert found == {"n": 5, "median": 2.0, "q1": 1.5, "q3": 3.0, "low": 1.0, "high": 6.0}
    pixel = row(characteristics_of(records), "Pixel spacing, mm")["numbers"][0]
    assert [pixel[name] for name in ("low", "q1", "median", "q3", "high")] == np.quantile(
        spacings, [0, 0.25, 0.5, 0.75, 1]
    ).tolist()


def test_an_unknown_spacing_is_missing_and_not_a_number():
    records = [replace(one, image=replace(one.image, spacing_mm=(None, None))) for one in RECORDS[:2]] + RECORDS[2:]
    found = row(characteristics_of(records), "Pixel spacing, mm")
    assert (found["numbers"][0]["n"], found["missing"]) == (8, [2, 1, 1])


def test_ages_of_the_header_are_told_in_bands_only():
    ages = [47, 93, 8]
    records = [
        replace(one, image=replace(one.image, metadata={"PatientAge": age}))
        for one, age in zip(RECORDS, ages, strict=False)
    ]
    levels = row(characteristics_of(records), "Age")["levels"]
    assert list(levels) == ["0-9", "40-49", "90+"]


def test_rare_levels_are_pooled_and_no_study_is_lost():
    records = [record(place, 0.9, None, {"scanner": f"s{place % 30:02d}"}) for place in range(90)]
    levels = row(characteristics_of(records), "scanner")["levels"]
    assert len(levels) == 13
    assert levels["other"] == [90 - 12 * 3]


def test_refused_studies_are_not_described_and_no_study_at_all_has_no_rows():
    gone = [replace(one, status=Status.REFUSED) for one in RECORDS]
    assert characteristics_of(gone) == {"columns": [("All", 0)], "patients": None, "rows": []}


def test_patients_are_never_listed():
    assert "patient" not in {one["name"] for one in characteristics_of(RECORDS)["rows"]}
