"""Slices that do not belong together, seen in the pixels alone."""

import numpy as np
import pytest
from evidence_factories import make_evidence, make_image
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.decide import decide
from audit_pipeline.checks.stack import foreign_slice, mixed_phases
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Outcome


def gradual(slices=24, seed=0):
    """A volume whose anatomy changes slowly from slice to slice, with noise."""
    random = np.random.default_rng(seed)
    anatomy = gaussian_filter(random.normal(0, 1, (slices, 48, 48)), (4, 3, 3))
    return 100 * anatomy / anatomy.std() + random.normal(0, 10, anatomy.shape)


def judged(check, values, **changes):
    return check(make_evidence(image=make_image(values, **changes)))


@pytest.mark.parametrize("seed", range(5))
def test_a_volume_that_changes_gradually_passes(seed):
    for check in (mixed_phases, foreign_slice):
        assert judged(check, gradual(seed=seed)).outcome is Outcome.PASS


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("slices", [24, 25])
def test_two_phases_that_take_turns_are_flagged(start, slices):
    values = gradual(slices)
    values[start::2] += 40 * (values[start::2] > 0)
    finding = judged(mixed_phases, values)
    assert finding.outcome is Outcome.FLAG
    assert finding.value > 1.5


def test_a_slice_that_repeats_the_one_before_is_named():
    values = gradual()
    values[7] = values[6]
    finding = judged(mixed_phases, values)
    assert (finding.outcome, finding.slices) == (Outcome.FLAG, (7,))


def test_constant_slices_are_no_repetition():
    values = gradual()
    values[:3] = 0
    assert judged(mixed_phases, values).slices == ()


@pytest.mark.parametrize("place", [0, 9, 23])
def test_a_slice_from_elsewhere_is_named(place):
    values = gradual()
    values[place] = gradual(seed=9)[3]
    finding = judged(foreign_slice, values)
    assert finding.outcome is Outcome.FLAG
    assert place in finding.slices


def test_two_odd_slices_side_by_side_are_both_named():
    values = gradual()
    values[9], values[10] = gradual(seed=9)[3:5]
    assert {9, 10} <= set(judged(foreign_slice, values).slices)


def test_a_slice_that_was_never_measured_is_not_from_elsewhere():
    values, invalid = gradual(), np.zeros((24, 48, 48), dtype=bool)
    values[9], invalid[9] = values.min(), True
    assert judged(foreign_slice, values, invalid=invalid).outcome is Outcome.PASS


@pytest.mark.parametrize("check", [mixed_phases, foreign_slice])
def test_single_images_short_stacks_and_missing_numbers_cannot_be_judged(check):
    short, broken = gradual(6), gradual()
    broken[3, 3, 3] = np.nan
    for values in (gradual()[0], short, broken):
        assert judged(check, values).outcome is Outcome.NOT_EVALUABLE


def test_a_volume_of_mostly_unmeasured_slices_cannot_be_judged():
    values = gradual()
    values[4:] = 0
    assert judged(foreign_slice, values).outcome is Outcome.NOT_EVALUABLE


def test_a_slice_that_repeats_one_further_away_is_named():
    values = gradual()
    values[15] = values[6]
    finding = judged(mixed_phases, values)
    assert (finding.outcome, finding.value, finding.slices) == (Outcome.FLAG, 1, (15,))


def test_no_reference_makes_repeated_slices_usual():
    """They follow from arithmetic, whereas the alternation of the same check is a measure."""
    values = gradual()
    values[7] = values[6]
    finding, measured = judged(mixed_phases, values), judged(mixed_phases, gradual())
    empty = np.zeros((200, 1), dtype=np.float32)
    known = {"mixed_phases": np.linspace(0, 9, 200)}
    reference = Reference(features=empty, intensities=empty, digest="", values=known)
    found = decide([finding, measured], {"mixed_phases": 4}, reference)
    assert [one.outcome for one in found] == [Outcome.FLAG, Outcome.PASS]
    assert [one.calibrated for one in found] == [False, True]
