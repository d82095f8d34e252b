"""What may be kept of the labels file."""

from __future__ import annotations

import logging

import pytest

from audit_pipeline.errors import ConfigError
from audit_pipeline.load import facts_of, site_name


def pseudonym(text):
    return f"{len(text):04d}abcdef"


def facts(columns, count=4, folder=None):
    rows = {f"s{place}": {"study": f"s{place}", "label": "x"} for place in range(count)}
    for name, values in columns.items():
        for place, value in enumerate(values):
            rows[f"s{place}"][name] = value
    return [one.facts for one in facts_of(rows, pseudonym, folder).values()]


def test_patients_become_pseudonyms_and_the_same_patient_stays_the_same():
    found = [one["patient"] for one in facts({"patient": ["MUELLER", "MUELLER", "OTHER", "MUELLER"]})]
    assert found[0] == found[1] == found[3] != found[2]
    assert not any("MUELLER" in one for one in found)


@pytest.mark.parametrize("given", ["A", "b", "7", "site 3", "Centre-B", "S12", "hospital_2"])
def test_sites_that_are_a_letter_or_a_number_are_kept(given):
    assert site_name(given, pseudonym) == given


@pytest.mark.parametrize("given", ["St Mary's", "Bonn", "AB", "12345", "site Bonn"])
def test_other_sites_become_pseudonyms(given):
    assert given not in site_name(given, pseudonym)
    assert site_name(given, pseudonym).startswith("site ")


def test_dates_become_quarters_and_other_periods_are_kept():
    found = facts({"period": ["2026-02-11", "20261231", "before", "2025-07"]})
    assert [one["period"] for one in found] == ["2026-Q1", "2026-Q4", "before", "2025-Q3"]


def test_ages_become_bands_with_ninety_and_above_pooled():
    found = facts({"age": ["034Y", "93", "", "104.5"]})
    assert [one.get("age") for one in found] == ["30-39", "90+", None, "90+"]


def test_a_column_that_groups_is_a_subgroup_and_rare_values_are_pooled():
    found = facts({"scanner": ["X", "X", "Y", ""]})
    assert [one.get("scanner") for one in found] == ["X", "X", "other", None]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patient_name", ["Qx1", "Qx1", "b", "b"]),
        ("MRN", ["Qx1", "Qx1", "b", "b"]),
        ("study_date", ["2026-01-02", "2026-01-02", "2026-01-03", "2026-01-03"]),
        ("number", ["12345678", "12345678", "87654321", "87654321"]),
        ("operator", ["SMITH^JOHN", "SMITH^JOHN", "x", "x"]),
        ("remark", ["text " * 20, "b", "b", "c"]),
    ],
)
def test_columns_that_may_identify_are_left_out_with_a_warning(caplog, name, values):
    with caplog.at_level(logging.WARNING, logger="audit_pipeline"):
        found = facts({name: values})
    assert found == [{}, {}, {}, {}]
    assert "not used as a subgroup" in caplog.text
    assert values[0] not in caplog.text


def test_texts_with_too_many_values_are_left_out_and_numbers_become_quarters_of_the_studies():
    texts = facts({"room": [f"room {place}" for place in range(30)]}, 30)
    assert texts == [{}] * 30
    found = [one["dose"] for one in facts({"dose": [str(place / 7) for place in range(40)]}, 40)]
    assert [found.count(f"quarter {part}") for part in (1, 2, 3, 4)] == [10, 10, 10, 10]
    assert found == sorted(found)


def test_empty_columns_and_labels_say_nothing():
    rows = {"s": {"study": "s", "label": "", "sex": "", "patient": "", "site": ""}}
    found = facts_of(rows, pseudonym)["s"]
    assert (found.label, found.facts, found.mask) == (None, {}, None)


def test_masks_are_found_beside_the_labels_file_and_must_exist(tmp_path):
    (tmp_path / "m.nii.gz").write_bytes(b"x")
    rows = {"s": {"study": "s", "label": "x", "mask": "m.nii.gz"}}
    assert facts_of(rows, pseudonym, tmp_path)["s"].mask == tmp_path / "m.nii.gz"
    rows["s"]["mask"] = "absent.nii.gz"
    with pytest.raises(ConfigError, match="mask of the labels file") as caught:
        facts_of(rows, pseudonym, tmp_path)
    assert "absent" not in str(caught.value)


def test_without_a_folder_masks_are_left_out():
    assert facts_of({"s": {"study": "s", "label": "x", "mask": "absent.nii.gz"}}, pseudonym)["s"].mask is None
