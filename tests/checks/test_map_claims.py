"""Place, size and side that a reader takes from a map."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import disc, focal, make_evidence, make_explanation, make_image, make_prepared

from audit_pipeline.checks.map_claims import coarse_grid, misses_reference, otsu_overlap, wrong_side
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.findings import Outcome


def marked(grid, cell):
    """Return a mask of one cell of a grid of 8 voxels a cell."""
    return np.kron(focal(grid, cell), np.ones((8,) * len(grid))).astype(bool)


@pytest.mark.parametrize(("grid", "cell", "far"), [((8, 8), (2, 2), (6, 6)), ((5, 6, 6), (1, 1, 1), (4, 4, 4))])
def test_a_map_on_the_marked_cell_passes_and_one_far_away_does_not(grid, cell, far):
    one = make_explanation(focal(grid, cell))
    hit = misses_reference(make_evidence(one, reference_mask=marked(grid, cell)))
    assert hit.outcome is Outcome.PASS
    assert hit.value > 5
    missed = misses_reference(make_evidence(one, reference_mask=marked(grid, far)))
    assert (missed.outcome, missed.value) == (Outcome.FLAG, 0)


def test_a_finding_smaller_than_a_cell_is_only_noted():
    mask = np.zeros((64, 64), dtype=bool)
    mask[20, 20] = True
    assert misses_reference(make_evidence(make_explanation(focal((8, 8), (2, 2))), reference_mask=mask)).outcome is (
        Outcome.NOTE
    )


def test_the_labelled_class_is_the_one_that_has_to_point_there():
    top = replace(make_explanation(focal((8, 8), (6, 6))), target_name="class a")
    other = replace(make_explanation(focal((8, 8), (2, 2)), target=1), target_name="class b")
    mask = marked((8, 8), (2, 2))
    assert misses_reference(make_evidence(top, other, reference_mask=mask)).outcome is Outcome.FLAG
    assert misses_reference(make_evidence(top, other, reference_mask=mask, label="class b")).outcome is Outcome.PASS
    assert misses_reference(make_evidence(top, reference_mask=mask, label="class b")).outcome is Outcome.NOT_EVALUABLE
    assert misses_reference(make_evidence(top)).outcome is Outcome.NOT_EVALUABLE


def test_the_overlap_at_otsu_of_a_map_with_itself_is_one():
    mask = marked((8, 8), (2, 2))
    assert otsu_overlap(mask.astype(float), mask) == 1


@pytest.mark.parametrize(
    ("cells", "outcome"), [((5.0, 20.0), Outcome.NOTE), ((5.0, 12.0), Outcome.PASS), ((None, 5.0), Outcome.PASS)]
)
def test_cells_longer_than_twice_the_target_are_noted(cells, outcome):
    one = replace(make_explanation(focal((8, 8), (2, 2))), cell_mm=cells)
    finding = coarse_grid(make_evidence(one, intended=IntendedUse(target_mm=6.0)))
    assert (finding.outcome, finding.limit) == (outcome, 12)


def test_without_a_target_or_a_size_nothing_is_said():
    one = make_explanation(focal((8, 8), (2, 2)))
    assert coarse_grid(make_evidence(one)).outcome is Outcome.NOT_EVALUABLE
    assert coarse_grid(make_evidence(one, intended=IntendedUse(target_mm=6.0))).outcome is Outcome.NOT_EVALUABLE
    assert coarse_grid(make_evidence(intended=IntendedUse(target_mm=6.0))).outcome is Outcome.NOT_EVALUABLE


def sided(values, side, affine=None, orientation="", **changes):
    one = make_explanation(values)
    shape = one.on_input.shape
    prepared = replace(make_prepared(shape=shape), affine=affine)
    return make_evidence(
        one,
        image=make_image(np.zeros(shape), affine=affine, metadata={"PatientOrientation": orientation}),
        prepared=prepared,
        body=changes.pop("body", disc(shape)),
        intended=IntendedUse(sides={"nodule": side} if side else {}),
    )


@pytest.mark.parametrize(("sign", "side", "outcome"), [
    (1, "left", Outcome.PASS), (1, "right", Outcome.FLAG), (-1, "left", Outcome.FLAG), (-1, "right", Outcome.PASS),
])  # fmt: skip
def test_left_is_where_x_grows_in_the_patient(sign, side, outcome):
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[3, 3] = 1.0
    affine[0, 2] = sign
    finding = wrong_side(sided(focal((4, 5, 6), (1, 1, 5)), side, affine))
    assert finding.outcome is outcome
    assert abs(finding.value) == pytest.approx(1)


@pytest.mark.parametrize(("orientation", "outcome"), [("L\\F", Outcome.PASS), ("R\\F", Outcome.FLAG)])
def test_a_radiograph_says_where_its_columns_lead(orientation, outcome):
    assert wrong_side(sided(focal((8, 8), (3, 7)), "left", orientation=orientation)).outcome is outcome


def test_a_map_in_the_middle_names_no_side():
    values = np.ones((8, 8))
    finding = wrong_side(sided(values, "left", orientation="L\\F"))
    assert (finding.outcome, finding.value) == (Outcome.PASS, pytest.approx(0, abs=0.05))


@pytest.mark.parametrize("changes", [{"side": ""}, {"orientation": ""}, {"orientation": "A\\F"}, {"body": None}])
def test_without_a_side_a_body_or_an_orientation_nothing_is_judged(changes):
    facts = {"side": "left", "orientation": "L\\F"} | changes
    assert wrong_side(sided(focal((8, 8), (3, 7)), **facts)).outcome is Outcome.NOT_EVALUABLE
    assert wrong_side(make_evidence()).outcome is Outcome.NOT_EVALUABLE
