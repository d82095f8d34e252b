"""What ``list checks`` shows: every mode of the catalogue, and what of it is not built, with the reason."""

from __future__ import annotations

from audit_pipeline.checks import UNBUILT
from audit_pipeline.listing import checks, listing_text

SIZES = {"A": 24, "B": 7, "C": 15, "D": 27, "E": 21, "F": 6}
"""Failure modes of the reference catalogue by family."""


def test_every_mode_of_the_catalogue_has_a_check():
    listed = {entry["code"] for entry in checks()}
    wanted = {f"{family}{number:02d}" for family, size in SIZES.items() for number in range(1, size + 1)}
    assert wanted <= listed


def test_what_is_not_built_stands_beside_the_check_of_its_mode_with_the_reason():
    entries = {entry["code"]: entry for entry in checks()}
    for one in UNBUILT:
        assert {"part": one.part, "reason": one.reason} in entries[one.code]["not_built"]
    assert sum(len(entry["not_built"]) for entry in entries.values()) == len(UNBUILT)
    text = listing_text([entries["C06"], entries["C01"]])
    assert "    not built: dissent of an ensemble (a model card names one network" in text
    assert text.count("not built") == 1


def test_reasons_are_written_to_be_read():
    assert len({(one.code, one.part) for one in UNBUILT}) == len(UNBUILT)
    for one in UNBUILT:
        assert one.part[0].islower()
        assert not one.reason.endswith(".")
        assert len(one.reason) > 40
