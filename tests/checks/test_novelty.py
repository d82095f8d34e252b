"""Scores of novelty against closed forms, and the ranks they give."""

import numpy as np
import pytest

from audit_pipeline.checks.novelty import (
    Novelty,
    groups_of,
    logit_scores,
    neighbour_distance,
    relative_mahalanobis,
    residual_scores,
    strongest,
)
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Task

CLEAN = np.arange(1.0, 201.0)


def test_the_p_value_is_conformal_and_the_limit_its_quantile():
    result = Novelty(150.0, CLEAN).result("It is 150", "units")
    assert result.p_value == pytest.approx((1 + 51) / 201)
    assert result.limit == 199.0
    assert result.outcome is Outcome.PASS


def test_beyond_the_limit_it_is_flagged_and_left_to_be_weighed():
    result = Novelty(201.0, CLEAN).result("It is 201", "units")
    assert (result.outcome, result.p_value, result.provenance) == (Outcome.FLAG, pytest.approx(1 / 201), "")


def test_far_beyond_all_clean_studies_it_is_flagged_whatever_their_number():
    for clean in (CLEAN, CLEAN[:30]):
        far = Novelty(0.0, clean).remote + 1
        result = Novelty(far, clean).result("It is far", "units")
        assert (result.outcome, result.provenance, result.p_value) == (Outcome.FLAG, "dom", None)


def test_few_clean_studies_give_no_p_value():
    result = Novelty(31.0, CLEAN[:30]).result("It is 31", "units")
    assert (result.outcome, result.p_value) == (Outcome.PASS, None)


def test_an_exponential_tail_is_hardly_ever_far_beyond():
    random = np.random.default_rng(0)
    far = [Novelty(float(draw[0]), draw[1:]) for draw in random.exponential(size=(4000, 121))]
    assert sum(one.value > one.remote for one in far) <= 4


def test_the_score_that_stands_out_most_counts():
    clean = np.stack([np.arange(101.0), 10 * np.arange(101.0)], axis=1)
    value, null, which = strongest(np.asarray([50.0, 1000.0]), clean)
    assert which == 1
    assert value == pytest.approx((1000 - 500) / (950 - 500))
    assert null[50] == pytest.approx(0)


def test_a_score_without_any_spread_does_not_count():
    value, _, which = strongest(np.asarray([9.0, 3.0]), np.stack([np.ones(50), np.arange(50.0)], axis=1))
    assert (which, np.isfinite(value)) == (0, True)


def test_the_distance_to_neighbours_is_in_standard_deviations_of_each_feature():
    random = np.random.default_rng(1)
    known = random.standard_normal((80, 3)) * [1, 10, 100]
    own, clean = neighbour_distance(known, known[0] + known.std(axis=0) * [100, 0, 0], 5)
    standard = known / known.std(axis=0)
    expected = np.sort(np.linalg.norm(standard - (standard[0] + [100, 0, 0]), axis=1))[4]
    assert own == pytest.approx(expected)
    assert clean.shape == (80,)
    assert clean[3] == pytest.approx(np.sort(np.linalg.norm(standard - standard[3], axis=1))[5])


def test_the_relative_distance_sees_what_lies_between_classes_and_not_what_both_share():
    random = np.random.default_rng(2)
    groups = np.repeat([0, 1], 60)
    known = random.standard_normal((120, 4))
    known[:, 0] += 12 * groups
    between, shared = known.mean(axis=0).copy(), known[groups == 0].mean(axis=0)
    found = {name: relative_mahalanobis(known, point, groups) for name, point in (("mid", between), ("own", shared))}
    assert found["mid"][0] > found["mid"][1].max()
    assert found["own"][0] < np.quantile(found["own"][1], 0.9)


def test_one_class_has_no_relative_distance():
    assert relative_mahalanobis(np.zeros((50, 2)), np.zeros(2), np.zeros(50, dtype=int)) is None


def test_the_scores_of_logits_have_their_closed_forms():
    energy, largest, confidence, entropy = logit_scores(np.asarray([[2.0, 0.0]]), Task.MULTICLASS)[0]
    chance = 1 / (1 + np.exp(-2))
    assert energy == pytest.approx(-np.log(np.exp(2) + 1))
    assert largest == -2
    assert confidence == pytest.approx(1 - chance)
    assert entropy == pytest.approx(-chance * np.log(chance) - (1 - chance) * np.log(1 - chance))


def test_a_sigmoid_is_as_sure_of_absence_as_of_presence():
    scores = logit_scores(np.asarray([[3.0], [-3.0]]), Task.BINARY)
    assert np.allclose(scores[0], scores[1])
    pair = logit_scores(np.asarray([[-1.5, 1.5]]), Task.MULTICLASS)
    assert np.allclose(scores[0], pair[0])


@pytest.mark.parametrize("size", [24 * 24, 12**3])
def test_what_the_reference_cannot_rebuild_stands_out(size):
    random = np.random.default_rng(3)
    shapes = random.standard_normal((5, size))

    def study():
        return random.standard_normal(5) @ shapes + 0.05 * random.standard_normal(size)

    known = np.stack([study() for _ in range(100)]).astype(np.float32)
    ordinary = [residual_scores(known, study()) for _ in range(40)]
    assert sum(Novelty(*one).p_value <= 0.05 for one in ordinary) <= 6
    strange = study()
    strange[: size // 60] += 2
    value, clean = residual_scores(known, strange)
    assert value > 2 * clean.max()


def test_groups_are_labels_or_else_what_the_model_said():
    logits = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    assert groups_of(("b", "a"), None, Task.MULTICLASS).tolist() == [1, 0]
    assert groups_of(("b", ""), logits, Task.MULTICLASS).tolist() == [0, 1]
    assert groups_of((), logits[:, :1] - 0.5, Task.BINARY).tolist() == [1, 0]
    assert groups_of((), None, Task.BINARY) is None


def test_how_far_is_remote_follows_the_tail_of_the_clean_scores():
    """Of a power tail P(x > s) = s^-2, one study in n^2 reaches the square of what one in n reaches."""
    assert Novelty(0.0, np.asarray([-1.0, 2.0, 6.0])).remote == 2 * 6 - 2
    assert Novelty(0.0, np.asarray([5.0, 6.0, 7.0])).remote == pytest.approx(49 / 6)
    assert Novelty(0.0, np.asarray([1.0, 2.0, 8.0])).remote == 32
    random = np.random.default_rng(0)
    found = [Novelty(0.0, random.random(120) ** -0.5).remote for _ in range(400)]
    assert np.mean([remote**-2 for remote in found]) < 0.005
