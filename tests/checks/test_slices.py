"""Gaps between slices and unknown positions."""

import numpy as np
import pytest
from evidence_factories import gradient, make_evidence, make_image

from audit_pipeline.checks.slices import slice_gaps, unknown_affine
from audit_pipeline.findings import Outcome
from audit_pipeline.records import StackFacts


def volume(**changes):
    return make_image(gradient((10, 6, 6)), **changes)


def stack_at(positions):
    """Return the facts of slices at these positions, measured like a loader would."""
    gaps = np.diff(np.sort(positions))
    median = float(np.median(gaps))
    even = np.polynomial.Polynomial.fit(np.arange(len(positions)), np.sort(positions), 1)(np.arange(len(positions)))
    return StackFacts(
        slices=len(positions),
        step_mm=median,
        residual_mm=float(np.abs(np.sort(positions) - even).max()),
        largest_gap_ratio=float(gaps.max()) / median,
        smallest_gap_ratio=float(gaps.min()) / median,
    )


def judged(positions):
    return slice_gaps(make_evidence(image=volume(stack=stack_at(np.asarray(positions, dtype=float)))))


def test_even_slices_pass():
    finding = judged(np.arange(10) * 2.5)
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("missing", [1, 3])
def test_a_missing_inner_slice_is_flagged_with_the_size_of_the_gap(missing):
    positions = np.delete(np.arange(20) * 2.5, slice(8, 8 + missing))
    finding = judged(positions)
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(missing + 1)
    assert finding.limit == pytest.approx(1.5)


def test_an_extra_slice_between_two_others_is_flagged():
    assert judged([0, 1, 2, 2.2, 3, 4, 5, 6]).outcome is Outcome.FLAG


def test_a_small_unevenness_is_a_note():
    finding = judged([0, 1, 2.05, 3, 4, 5])
    assert finding.outcome is Outcome.NOTE
    assert finding.value == pytest.approx(0.05)


def test_slices_without_a_measured_value_are_flagged_and_listed():
    invalid = np.zeros((10, 6, 6), dtype=bool)
    invalid[[3, 4]] = True
    finding = slice_gaps(make_evidence(image=volume(invalid=invalid, stack=stack_at(np.arange(10.0)))))
    assert finding.outcome is Outcome.FLAG
    assert finding.slices == (3, 4)
    assert "2 slices of 10 without any measured value: 3, 4" in finding.message


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (make_image(), "A single image has no gaps between slices."),
        (volume(format="nifti", modality=""), "NIfTI stores one spacing; gaps cannot be seen."),
        (volume(), "The slice positions were not measured; gaps cannot be seen."),
    ],
)
def test_what_cannot_show_gaps_is_not_evaluable(image, words):
    finding = slice_gaps(make_evidence(image=image))
    assert (finding.outcome, finding.message) == (Outcome.NOT_EVALUABLE, words)


def position(image):
    return unknown_affine(make_evidence(image=image)).outcome


def test_a_volume_without_position_is_critical_and_with_one_passes():
    assert position(volume(affine=None)) is Outcome.CRITICAL
    assert position(volume()) is Outcome.PASS


@pytest.mark.parametrize("diagonal", [(1, 1, 0, 1), (1, np.nan, 1, 1)])
def test_an_affine_that_cannot_place_a_voxel_is_critical(diagonal):
    assert position(volume(affine=np.diag(np.asarray(diagonal, dtype=float)))) is Outcome.CRITICAL


def test_an_affine_with_parallel_axes_is_critical():
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0]
    assert position(volume(affine=affine)) is Outcome.CRITICAL


def test_one_slice_of_a_tomogram_without_position_is_flagged():
    assert position(make_image(affine=None)) is Outcome.FLAG
    assert position(make_image(affine=None, modality="", format="nifti")) is Outcome.FLAG


def test_a_radiograph_needs_no_position_but_a_spacing():
    assert position(make_image(affine=None, modality="DX", spacing_mm=(0.14, 0.14))) is Outcome.PASS
    assert position(make_image(affine=None, modality="DX", spacing_mm=(None, None))) is Outcome.NOTE
