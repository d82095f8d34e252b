"""Evidence outside the body and on the border, in 2D and 3D."""

import numpy as np
import pytest
from evidence_factories import disc, focal, make_evidence, make_explanation

from audit_pipeline.checks.map_location import on_border, outside_body, widened
from audit_pipeline.findings import Outcome


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (8, 8, 8)])
def test_evidence_in_a_corner_outside_the_body_is_flagged(grid):
    explanation = make_explanation(focal(grid, (0,) * len(grid)))
    finding = outside_body(make_evidence(explanation, body=disc(explanation.on_input.shape)))
    assert finding.outcome is Outcome.FLAG
    assert finding.value > 0.99
    assert "Grad-CAM for nodule" in finding.message


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (8, 8, 8)])
def test_evidence_in_the_middle_of_the_body_passes(grid):
    explanation = make_explanation(focal(grid, tuple(size // 2 for size in grid)))
    finding = outside_body(make_evidence(explanation, body=disc(explanation.on_input.shape)))
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("grid", [(7, 7), (4, 4, 4), (4, 7, 7)])
@pytest.mark.parametrize("radius", [0.2, 0.3, 0.4])
def test_one_hot_cell_whose_centre_lies_in_the_body_is_never_raised(grid, radius):
    body = disc(tuple(8 * size for size in grid), radius)
    cells = [cell for cell in np.ndindex(grid) if body[tuple(8 * place + 4 for place in cell)]]
    evidences = [make_evidence(make_explanation(focal(grid, cell)), body=body) for cell in cells]
    found = {outside_body(evidence, shifts=4).outcome for evidence in evidences}
    assert found == {Outcome.PASS}


def test_an_even_map_over_a_small_body_is_most_outside():
    explanation = make_explanation(np.ones((7, 7)))
    body = disc((56, 56), radius=0.25)
    finding = outside_body(make_evidence(explanation, body=body))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(1 - widened(body, (7, 7)).mean())


def test_a_share_that_shifted_maps_reach_as_well_is_a_note():
    explanation = make_explanation(np.ones((7, 7)))
    body = np.zeros((56, 56), dtype=bool)
    body[:, :30] = True
    finding = outside_body(make_evidence(explanation, body=body))
    assert finding.outcome is Outcome.NOTE
    assert finding.value == pytest.approx(22 / 56)
    assert "p = 1" in finding.message


def test_a_rare_placement_above_the_limit_is_flagged_below_one_half():
    values = np.zeros((14, 14))
    values[7, 7], values[0, 0] = 0.6, 0.4
    body = np.ones((112, 112), dtype=bool)
    body[:16, :16] = False
    finding = outside_body(make_evidence(make_explanation(values), body=body), share_limit=0.15)
    assert finding.outcome is Outcome.FLAG
    assert finding.value < 0.5


def test_a_body_that_fills_the_frame_leaves_nothing_outside():
    explanation = make_explanation(focal((7, 7), (0, 0)))
    finding = outside_body(make_evidence(explanation, body=np.ones((56, 56), dtype=bool)))
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0.0)


def test_without_a_body_mask_it_is_not_evaluable():
    assert outside_body(make_evidence(make_explanation(focal((7, 7), (0, 0))))).outcome is Outcome.NOT_EVALUABLE


def test_the_body_is_widened_by_half_a_cell():
    body = np.zeros((56, 56), dtype=bool)
    body[20:30, 20:30] = True
    grown = widened(body, (7, 14))
    assert np.argwhere(grown).min(axis=0).tolist() == [16, 18]
    assert np.argwhere(grown).max(axis=0).tolist() == [33, 31]


def ring(grid):
    values = np.ones(grid)
    values[tuple(slice(1, -1) for _ in grid)] = 0
    return values


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (8, 8, 8), (4, 7, 7)])
def test_a_ring_on_the_border_is_flagged(grid):
    finding = on_border(make_evidence(make_explanation(ring(grid))))
    assert finding.outcome is Outcome.FLAG
    assert finding.value > finding.limit


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (4, 4, 4), (8, 8, 8), (2, 7, 7)])
def test_an_even_map_and_a_central_one_pass(grid):
    even = on_border(make_evidence(make_explanation(np.ones(grid))))
    assert (even.outcome, even.value) == (Outcome.PASS, pytest.approx(1))
    middle = tuple(size // 2 for size in grid)
    assert on_border(make_evidence(make_explanation(focal(grid, middle)))).outcome is Outcome.PASS


def test_the_limit_depends_on_the_grid_and_follows_the_slack():
    coarse, fine = (on_border(make_evidence(make_explanation(np.ones((size, size))))) for size in (7, 28))
    assert coarse.limit > fine.limit
    assert on_border(make_evidence(make_explanation(np.ones((7, 7)))), slack=2.0).limit == pytest.approx(
        2 * coarse.limit
    )


@pytest.mark.parametrize("check", [outside_body, on_border])
def test_flipping_image_and_map_together_changes_nothing(check):
    random = np.random.default_rng(3)
    values, body = random.normal(size=(7, 7)), disc((56, 56))
    body[:10] = False
    given = [check(make_evidence(make_explanation(values[::step]), body=body[::step])).value for step in (1, -1)]
    assert given[0] == pytest.approx(given[1])


@pytest.mark.parametrize("check", [outside_body, on_border])
def test_an_empty_map_has_no_place(check):
    finding = check(make_evidence(make_explanation(-np.ones((7, 7))), body=disc((56, 56))))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "see D05" in finding.message


@pytest.mark.parametrize("check", [outside_body, on_border])
def test_without_maps_it_is_not_evaluable(check):
    assert check(make_evidence(body=disc((32, 32)))).outcome is Outcome.NOT_EVALUABLE


def test_the_worst_of_the_methods_is_reported_by_name():
    shape = (56, 56)
    good = make_explanation(focal((7, 7), (3, 3)))
    bad = make_explanation(focal((7, 7), (0, 0)), method="hirescam")
    finding = outside_body(make_evidence(good, bad, body=disc(shape)))
    assert finding.outcome is Outcome.FLAG
    assert finding.message.startswith("HiResCAM for nodule")


def test_maps_of_other_classes_are_not_judged():
    top = make_explanation(focal((7, 7), (3, 3)))
    second = make_explanation(focal((7, 7), (0, 0)), target=1)
    assert outside_body(make_evidence(top, second, body=disc((56, 56)))).outcome is Outcome.PASS


def test_one_empty_map_does_not_hide_the_other():
    empty = make_explanation(np.zeros((7, 7)))
    bad = make_explanation(focal((7, 7), (0, 0)), method="hirescam")
    assert outside_body(make_evidence(empty, bad, body=disc((56, 56)))).outcome is Outcome.FLAG
