"""The loader's own failure modes."""

from __future__ import annotations

from audit_pipeline.findings import Outcome
from audit_pipeline.load import NOTES
from audit_pipeline.load.notes import noted


def test_the_notes_are_a25_to_a35_each_complete():
    assert [mode.code for mode in NOTES] == [f"A{number}" for number in range(25, 36)]
    assert len({mode.name for mode in NOTES}) == len(NOTES)
    for mode in NOTES:
        assert all([mode.title, mode.sentence, mode.advice, mode.reference, mode.provenance])
        assert mode.family == "A"
        assert all(1 <= grade <= 5 for grade in mode.severity)


def test_a_finding_takes_its_facts_from_its_mode():
    finding = noted(NOTES[0], Outcome.NOTE, "said", value=1.0)
    assert (finding.code, finding.name, finding.title) == (NOTES[0].code, NOTES[0].name, NOTES[0].title)
    assert (finding.message, finding.value, finding.advice) == ("said", 1.0, NOTES[0].advice)
