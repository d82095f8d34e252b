"""The bench of DICOM cases: each ends as it should, and nothing is ever delivered wrong in silence.

The totals of a run are printed at its end. Which peers end how on the same folders: ``tests/bench/reader_verdicts.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_cases_register import all_cases, judge, write_case

CASES = all_cases()
FEWEST, FEWEST_DELIVERED = 90, 45
ROWS_OF_TABLES = set(range(1, 71))


@pytest.mark.parametrize("one", CASES, ids=[case.sentence for case in CASES])
def test_every_case_of_the_bench_ends_as_it_should(one, tmp_path: Path, record_property):
    folder = tmp_path / "study"
    judgement = judge(one, write_case(one, folder), folder)
    record_property("bench", f"dicom:{judgement.verdict}")
    record_property("bench_answerable", one.is_answerable)
    assert not judgement.problems, "\n".join([f"ended {judgement.verdict}", *judgement.problems])


def test_the_bench_is_as_large_as_it_claims():
    delivered = [case for case in CASES if case.is_answerable and case.ends & {"right", "flagged"}]
    assert len(CASES) >= FEWEST
    assert len(delivered) >= FEWEST_DELIVERED
    assert len({case.sentence for case in CASES}) == len(CASES)


def test_every_row_of_the_tables_has_a_case():
    assert not ROWS_OF_TABLES - {row for case in CASES for row in case.rows}
