"""Empty, diffuse and one-slice maps, in 2D and 3D."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_prediction

from audit_pipeline.checks.map_measures import neighbour_correlation
from audit_pipeline.checks.map_shape import ALTERNATING, diffuse_map, empty_map, fragmented_map, one_slice
from audit_pipeline.findings import Outcome
from audit_pipeline.records import PartScores


@pytest.mark.parametrize("grid", [(7, 7), (4, 4, 4)])
@pytest.mark.parametrize(
    ("values", "outcome", "words"),
    [
        (0.0, Outcome.CRITICAL, "zero everywhere"),
        (-1.0, Outcome.FLAG, "only evidence against the class"),
        (1e-9, Outcome.CRITICAL, "stays within 1e-09 logit of zero"),
        (-1e-9, Outcome.CRITICAL, "stays within 1e-09 logit of zero"),
        (np.nan, Outcome.CRITICAL, "100 % of the map is not finite"),
        (0.5, Outcome.PASS, "the strongest evidence is 0.5 logit"),
    ],
)
def test_the_ways_of_being_empty_are_told_apart(grid, values, outcome, words):
    finding = empty_map(make_evidence(make_explanation(np.full(grid, values))))
    assert finding.outcome is outcome
    assert words in finding.message
    assert finding.limit == pytest.approx(1e-6)


def test_the_floor_of_the_layer_decides_and_can_be_raised():
    weak = make_explanation(np.full((7, 7), 0.01))
    assert empty_map(make_evidence(weak)).outcome is Outcome.PASS
    assert empty_map(make_evidence(weak), floor=0.1).outcome is Outcome.CRITICAL
    assert empty_map(make_evidence(make_explanation(np.full((7, 7), 0.01), signal_floor=0.1))).value == pytest.approx(
        0.01
    )


def test_one_infinite_cell_is_critical():
    values = np.ones((5, 5))
    values[2, 2] = np.inf
    with np.errstate(invalid="ignore"):
        finding = empty_map(make_evidence(make_explanation(values)))
    assert finding.outcome is Outcome.CRITICAL
    assert "4 % of the map is not finite" in finding.message


def test_the_empty_one_of_two_methods_is_reported():
    good, empty = make_explanation(np.ones((7, 7))), make_explanation(np.zeros((7, 7)), method="hirescam")
    assert empty_map(make_evidence(good, empty)).message.startswith("HiResCAM for nodule")


def test_without_maps_emptiness_is_not_evaluable():
    assert empty_map(make_evidence()).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (4, 4, 4), (2, 7, 7)])
def test_an_even_map_is_diffuse(grid):
    finding = diffuse_map(make_evidence(make_explanation(np.ones(grid))))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == pytest.approx(1)


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (4, 4, 4), (8, 8, 8), (2, 7, 7)])
def test_a_focal_map_is_not_diffuse(grid):
    finding = diffuse_map(make_evidence(make_explanation(focal(grid, tuple(size // 2 for size in grid)))))
    assert finding.outcome is Outcome.PASS
    assert finding.value < 0.9


def test_a_nearly_even_map_with_few_high_cells_is_found_by_its_entropy():
    values = np.ones((14, 14))
    values[3, 3] = 3.0
    finding = diffuse_map(make_evidence(make_explanation(values)))
    assert finding.outcome is Outcome.FLAG
    assert "entropy" in finding.message


def test_an_entropy_between_the_quantiles_is_a_note():
    values = np.full((7, 7), 0.25)
    values[::2, ::2] = 1.0
    explanation = make_explanation(values)
    entropy = diffuse_map(make_evidence(explanation), slack=9.0)
    assert entropy.outcome is Outcome.NOTE
    assert 0.985 < entropy.value <= 0.991


@pytest.mark.parametrize("grid", [(8, 8, 8), (4, 7, 7), (16, 16, 16)])
def test_one_bright_slice_is_flagged(grid):
    values = np.zeros(grid)
    values[2] = 1.0
    finding = one_slice(make_evidence(make_explanation(values)))
    assert finding.outcome is Outcome.FLAG
    assert finding.value < finding.limit == 2.5
    assert finding.value == pytest.approx(1.3, abs=0.4)


@pytest.mark.parametrize("grid", [(8, 8, 8), (4, 7, 7), (4, 4, 4)])
def test_a_focal_finding_is_only_a_note(grid):
    finding = one_slice(make_evidence(make_explanation(focal(grid, tuple(size // 2 for size in grid)))))
    assert finding.outcome is Outcome.NOTE
    assert "focal within the slice too" in finding.message


def test_a_finding_over_several_slices_passes():
    values = np.zeros((8, 8, 8))
    values[2:6, 3:5, 3:5] = 1.0
    assert one_slice(make_evidence(make_explanation(values))).outcome is Outcome.PASS


def test_the_slices_are_those_along_the_first_axis():
    values = np.zeros((8, 8, 8))
    values[:, 2] = 1.0
    assert one_slice(make_evidence(make_explanation(values))).outcome is Outcome.PASS


def test_an_image_has_one_slice():
    finding = one_slice(make_evidence(make_explanation(np.ones((7, 7)))))
    assert (finding.outcome, finding.message) == (Outcome.NOT_EVALUABLE, "An image has one slice.")


def test_two_cells_across_slices_cannot_tell():
    assert one_slice(make_evidence(make_explanation(np.ones((2, 7, 7))))).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("disconnected", Outcome.CRITICAL),
        ("constant", Outcome.CRITICAL),
        ("saturated", Outcome.FLAG),
        ("all negative", Outcome.FLAG),
    ],
)
def test_the_reason_why_a_map_is_blank_is_told(kind, outcome):
    one = replace(make_explanation(focal((4, 4), (1, 1))), blank=kind, blank_sentence=f"{kind}: because.")
    finding = empty_map(make_evidence(one))
    assert finding.outcome is outcome
    assert f"{kind}: because." in finding.message


@pytest.mark.parametrize("grid", [(14, 14), (8, 8, 8)])
def test_a_checkerboard_is_fragmented_and_one_focus_is_one_piece(grid):
    board = (np.indices(grid).sum(axis=0) % 2).astype(float)
    finding = fragmented_map(make_evidence(make_explanation(1.5 * board - 0.5)))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == board.sum()
    focus = fragmented_map(make_evidence(make_explanation(focal(grid, tuple(size // 2 for size in grid)))))
    assert (focus.outcome, focus.value) == (Outcome.PASS, 1)


def test_a_constant_map_is_diffuse_although_it_is_blank():
    one = replace(make_explanation(np.ones((7, 7))), blank="constant")
    assert diffuse_map(make_evidence(one)).outcome is Outcome.FLAG
    assert fragmented_map(make_evidence(one)).outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("grid", [(16, 16), (8, 8, 8)])
def test_a_board_whose_cells_interpolation_joins_at_their_corners_is_still_in_pieces(grid):
    """Linear interpolation joins four cells at half the mean of the bright two, so brighter ones in a patch are one."""
    board = (np.indices(grid).sum(axis=0) % 2).astype(float)
    slope = np.linspace(0, 1, grid[0]).reshape(-1, *[1] * (len(grid) - 1))
    values = board * (0.9 + 0.1 * slope) + 0.1 * (1 - board)
    finding = fragmented_map(make_evidence(make_explanation(values)))
    assert finding.outcome is Outcome.FLAG
    assert finding.value == board.sum()


def test_cells_that_have_nothing_in_common_hardly_ever_alternate():
    random = np.random.default_rng(0)
    found = [neighbour_correlation(random.random((14, 14))) for _ in range(1000)]
    assert {pairs for _, pairs in found} == {2 * 13 * 14}
    assert np.mean([value < -ALTERNATING / np.sqrt(pairs) for value, pairs in found]) < 0.01
    assert neighbour_correlation(np.ones((3, 3))) == (None, 12)


def test_a_model_that_counts_two_slices_is_not_blamed_for_evidence_in_two():
    values = np.zeros((8, 7, 7))
    values[2:4] = 1.0
    parts = PartScores(
        kind="slice", rule="the mean of the 2 highest", logits={"nodule": (0.0,) * 8}, counted={"nodule": (2, 3)},
        axis=0, centres=tuple((float(place), 0.0, 0.0) for place in range(8)),
    )  # fmt: skip
    evidence = make_evidence(make_explanation(values), prediction=replace(make_prediction(), parts=parts))
    assert one_slice(make_evidence(make_explanation(values))).outcome is Outcome.FLAG
    found = one_slice(evidence)
    assert found.outcome is Outcome.NOT_EVALUABLE
    assert "counts 2 slices" in found.message
