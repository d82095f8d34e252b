"""The NIfTI bench: each case ends right, flagged or refused, exactly as it declares; none is silently wrong."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from nifti_cases import CASES, Case, largest_error

from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load import LoadSettings, deliver, find_studies
from audit_pipeline.records import Disposition, Image

TOLERANCE = 1e-2
"""Far below 1, the difference between neighbours, and above the rounding of 32 bit headers."""


def assert_right(image: Image, case: Case) -> None:
    plan, number = case.plan, case.settings.get("volume") or 0
    if image.affine is None:
        assert np.array_equal(image.values, case.meant(plan.stored(number)).T.reshape(image.shape))
    else:
        assert largest_error(image, plan, case.meant, number) < TOLERANCE
    assert (0 if image.invalid is None else int(image.invalid.sum())) == case.masked
    assert np.isfinite(image.values).all()
    assert not image.values.flags.writeable
    assert len(image.sources) == (2 if plan.is_pair else 1)


def finding_of(image: Image, case: Case) -> Finding:
    (found,) = (one for one in image.findings if one.code == case.code)
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_bench(case, tmp_path, record_property):
    (source,) = find_studies([case.write(tmp_path)])
    delivery = deliver(source, LoadSettings(**case.settings))
    assert len(delivery.files) == len(source.files)
    if case.error is not None:
        assert delivery.study is None, "delivered although it must be refused"
        assert type(delivery.error) is case.error, delivery.error
        assert re.search(case.words, str(delivery.error)), delivery.error
        assert str(tmp_path) not in str(delivery.error)
    else:
        assert delivery.error is None, delivery.error
        (image,) = delivery.study.images
        assert_right(image, case)
        assert {one.disposition for one in delivery.files} == {Disposition.USED}
        assert sorted({one.code for one in image.findings}) == ([case.code] if case.code else [])
        if case.code:
            finding = finding_of(image, case)
            assert finding.outcome in {Outcome.NOTE, Outcome.FLAG}
            assert finding.message.endswith(".")
            if case.number is not None:
                assert finding.value == pytest.approx(case.number, rel=2e-3)
    record_property("bench", f"nifti:{case.verdict}")


def test_the_bench_has_enough_cases_with_names_of_their_own():
    assert len(CASES) >= 55
    assert len({case.name for case in CASES}) == len(CASES)
    assert set(Counter(case.verdict for case in CASES)) == {"right", "flagged", "refused"}
