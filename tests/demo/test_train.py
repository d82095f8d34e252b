"""The training script: its parts on cases with known answers, and the whole of it once on very little data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audit_pipeline.card import read_card
from audit_pipeline.cohort.proportions import FEWEST
from audit_pipeline.demo import examples as example_module
from audit_pipeline.demo import train as script
from audit_pipeline.demo.examples import Example, example
from audit_pipeline.demo.measure import Scores, best_threshold, evidence, peaks_on_nodules
from audit_pipeline.demo.recipes import RECIPES
from audit_pipeline.explain.engine import explain_input
from audit_pipeline.models.classifier import load_classifier
from tests.demo.phantom_cases import made

ENDINGS = (".safetensors", ".yaml")
UNPINNED = {"weights": {"path": "none.safetensors", "sha256": "0" * 64}}


def twins(shape=(40, 50, 60), centre=(20.0, 25.0, 30.0), background=0.5):
    """A pair that differs in one voxel, the nodule."""
    coordinates = np.indices(shape).sum(axis=0) / 10_000
    without = (background + coordinates).astype(np.float32)[None]
    with_nodule = without.copy()
    with_nodule[(0, *np.rint(centre).astype(int))] = 9.0
    return (
        Example(values=with_nodule, label=True, centre=centre),
        Example(values=without, label=False, centre=None),
    )


@pytest.mark.parametrize("centre", [(20.0, 25.0, 30.0), (1.0, 2.0, 58.0), (39.0, 0.0, 0.0)], ids=str)
def test_a_crop_holds_the_nodule_in_the_twin_that_has_it(centre):
    random = np.random.default_rng(1)
    for _ in range(50):
        ill, well = script._crops(twins(centre=centre), (16, 20, 24), random)
        assert ill.shape == well.shape == (1, 16, 20, 24)
        assert (ill > 8).sum() == 1
        assert (well > 8).sum() == 0


def test_both_twins_are_cropped_at_the_same_place():
    random = np.random.default_rng(2)
    for _ in range(20):
        ill, well = script._crops(twins(), (16, 20, 24), random)
        elsewhere = ill < 8
        assert np.array_equal(ill[elsewhere], well[elsewhere])


def test_the_nodule_of_a_crop_is_neither_at_one_place_nor_at_the_rim():
    random = np.random.default_rng(3)
    places = np.array([np.argwhere(script._crops(twins(), (16, 20, 24), random)[0][0] > 8)[0] for _ in range(200)])
    assert (places.min(axis=0) >= (2, 3, 4)).all()
    assert (places.max(axis=0) <= (13, 16, 19)).all()
    assert (np.ptp(places, axis=0) >= (8, 10, 12)).all()


def test_crops_are_mirrored_along_each_axis_about_half_of_the_time():
    random = np.random.default_rng(4)
    shape = (16, 20, 24)
    grows = np.zeros(3)
    for _ in range(200):
        well = script._crops(twins(), shape, random)[1][0]
        grows += [np.diff(well, axis=axis).mean() > 0 for axis in range(3)]
    assert ((grows > 70) & (grows < 130)).all()


def test_a_crop_as_large_as_the_image_is_the_image_mirrored():
    pair = twins(shape=(8, 8), centre=(3.0, 4.0))
    ill, _ = script._crops(pair, (8, 8), np.random.default_rng(5))
    assert ill.max() == pytest.approx(9.0, abs=0.1)
    assert ill.shape == (1, 8, 8)


def scores(logits, labels):
    given = torch.tensor(logits, dtype=torch.float32)
    return Scores(given, torch.tensor(labels), torch.zeros(len(logits), 1), torch.zeros(len(logits)))


def test_the_peak_is_judged_of_the_nodules_that_are_called_at_the_threshold():
    given = scores(torch.logit(torch.tensor([0.9, 0.8, 0.5, 0.9])).tolist(), [True, True, True, False])
    given.peak_cells[:] = torch.tensor([0.5, 1.5, 0.5, torch.nan])
    assert (peaks_on_nodules(given, 0.6), peaks_on_nodules(given, 0.4)) == ("1/2", "2/3")


def test_the_threshold_lies_midway_between_groups_that_are_apart():
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    given = scores(torch.logit(probabilities).tolist(), [False, False, False, True, True, True])
    assert best_threshold(given) == pytest.approx(0.5, abs=0.01)


def test_the_threshold_gives_up_what_costs_least():
    # one of four healthy above the ill ones: calling from 0.6 keeps 4/4 ill and 3/4 well, anything higher loses ill
    probabilities = torch.tensor([0.1, 0.2, 0.4, 0.95, 0.62, 0.7, 0.8, 0.9])
    given = scores(torch.logit(probabilities).tolist(), [False] * 4 + [True] * 4)
    chosen = best_threshold(given)
    assert 0.4 < chosen <= 0.62


def test_evidence_of_two_classes_is_the_difference_of_their_logits():
    assert evidence(torch.tensor([[1.0, 4.0], [2.0, -1.0]])).tolist() == [3.0, -3.0]
    assert evidence(torch.tensor([[2.5], [-1.0]])).tolist() == [2.5, -1.0]


class Toy(nn.Module):
    """Channel means, then one linear layer."""

    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(2, classes)

    def forward(self, inputs):
        return self.head(inputs.flatten(2).mean(-1))


def separable(count=40):
    random = np.random.default_rng(6)
    pairs = []
    for _ in range(count):
        noise = random.normal(0, 1, 2)
        ill, well = (np.array([noise[0] + side, noise[1]], dtype=np.float32) for side in (4, -4))
        pairs.append(
            tuple(
                Example(values=np.broadcast_to(one[:, None, None], (2, 4, 4)).copy(), label=label, centre=None)
                for one, label in ((ill, True), (well, False))
            )
        )
    return pairs


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_fitted_head_separates_what_a_line_can_separate(name):
    card = read_card({**RECIPES[name].card, **UNPINNED})
    torch.manual_seed(0)
    network, pairs = Toy(len(card.classes)), separable()
    script.fit_head(network, pairs)
    with torch.no_grad():
        for ill, well in pairs:
            ill_logit, well_logit = (evidence(network(torch.from_numpy(one.values)[None])) for one in (ill, well))
            assert ill_logit > 0 > well_logit


def test_the_fitted_head_of_two_classes_is_as_sure_of_one_as_of_the_other():
    network = Toy(2)
    script.fit_head(network, separable())
    assert torch.allclose(network.head.weight[0], -network.head.weight[1])
    assert torch.allclose(network.head.bias[0], -network.head.bias[1])
    assert abs(network.head.weight[1, 0]) > 3 * abs(network.head.weight[1, 1])


@pytest.mark.parametrize("classes", [1, 2])
def test_calibration_scales_and_shifts_the_evidence_to_where_the_tuning_phantoms_are(classes):
    random = np.random.default_rng(8)
    torch.manual_seed(1)
    network = Toy(classes)
    inputs = torch.from_numpy(random.normal(0, 3, (60, 2, 2, 2)).astype(np.float32))
    with torch.no_grad():
        before = evidence(network(inputs))
        labels = torch.from_numpy(random.random(60)) < torch.sigmoid(3 * before - 1)
        script.calibrate(network, Scores(before, labels, torch.zeros(60, 1), torch.zeros(60)))
        after = evidence(network(inputs))
    scale, shift = np.polyfit(before.numpy(), after.numpy(), 1)
    assert after.numpy() == pytest.approx(scale * before.numpy() + shift, abs=1e-4)
    # Platt's targets, and the two conditions of the largest likelihood of a logistic regression
    positives, negatives = int(labels.sum()), int((~labels).sum())
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    rest = torch.sigmoid(after).numpy() - targets
    assert rest.sum() == pytest.approx(0, abs=1e-2)
    assert (rest * before.numpy()).sum() == pytest.approx(0, abs=1e-2)
    assert scale > 1


GRID, INPUT = (6, 6, 6), (24, 24, 24)
WEIGHT = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])
"""Two classes, two channels; the first channel speaks for a nodule."""


def misplaced(cells, *, centre=None, air=(), amount=1.0, channel=0):
    """The penalty for `amount` of activation in `cells`, tissue everywhere but in the `air` cells."""
    features = torch.zeros(1, 2, *GRID)
    inputs = torch.full((1, 1, *INPUT), 0.6)
    for cell in cells:
        features[(0, channel, *cell)] = amount
    for cell in air:
        inputs[(0, 0, *(slice(4 * at, 4 * at + 4) for at in cell))] = 0.0
    one = Example(values=inputs[0].numpy(), label=centre is not None, centre=centre)
    return float(script._misplaced(features, inputs, WEIGHT, [one]))


CELL = (2, 3, 2)
ON_CELL = tuple(4 * at + 1.5 for at in CELL)
"""The place on the input of the middle of that cell."""


def test_evidence_at_the_nodule_is_not_misplaced():
    assert misplaced([CELL, (3, 3, 2), (2, 2, 3)], centre=ON_CELL) == 0


def test_evidence_far_from_the_nodule_is_misplaced_by_its_share_of_the_logit():
    assert misplaced([(4, 3, 2)], centre=ON_CELL) == pytest.approx(1 / np.prod(GRID))


def test_evidence_against_a_nodule_may_lie_anywhere_in_the_body():
    assert misplaced([(4, 3, 2)], centre=ON_CELL, amount=-1.0) == 0


def test_without_a_nodule_evidence_in_the_body_is_no_more_misplaced_than_elsewhere():
    assert misplaced([(4, 3, 2)], centre=None) == 0


@pytest.mark.parametrize("amount", [1.0, -1.0])
@pytest.mark.parametrize("cell", [(0, 3, 3), (5, 3, 3), (3, 0, 3), (3, 5, 3), (3, 3, 0), (3, 3, 5)])
def test_any_evidence_at_the_rim_is_misplaced(cell, amount):
    assert misplaced([cell], amount=amount) == pytest.approx(1 / np.prod(GRID))


@pytest.mark.parametrize("amount", [1.0, -1.0])
def test_any_evidence_in_air_is_misplaced(amount):
    assert misplaced([CELL], air=[CELL], amount=amount) == pytest.approx(1 / np.prod(GRID))
    assert misplaced([CELL], air=[(3, 3, 3)], amount=amount) == 0


def test_a_channel_without_a_say_is_never_misplaced():
    assert misplaced([(0, 0, 0)], channel=1) == 0


def test_the_penalty_is_the_mean_of_the_batch():
    features = torch.zeros(2, 1, 6, 6)
    features[0, 0, 0, 0] = 3.0
    inputs = torch.full((2, 1, 24, 24), 0.6)
    given = [Example(values=one.numpy(), label=False, centre=None) for one in inputs]
    penalty = script._misplaced(features, inputs, torch.tensor([[2.0]]), given)
    assert float(penalty) == pytest.approx(2.0 * 3.0 / 36 / 2)


def test_cells_away_from_the_nodule_are_those_beyond_one_and_a_half_cells():
    one = Example(values=np.zeros((1, 24, 24), dtype=np.float32), label=True, centre=(9.5, 13.5))
    away = script._away(one, (6, 6))
    near = np.zeros((6, 6), dtype=bool)
    near[1:4, 2:5] = True
    assert np.array_equal(away.numpy(), ~near)


def test_without_a_nodule_no_cell_is_away_from_it():
    one = Example(values=np.zeros((1, 24, 24), dtype=np.float32), label=False, centre=None)
    assert not script._away(one, (6, 6)).any()


def in_process(seeds, card, *, nodule=None, workers=2):
    """Examples as they come out of another process, with arrays of their own, without starting one.

    Every other one has a nodule when the script leaves it to the seed: among so few, chance would leave some out.
    """
    made_one = [example(seed, card, nodule=seed % 2 == 0 if nodule is None else nodule) for seed in seeds]
    return [replace(one, values=one.values.copy()) for one in made_one]


@pytest.fixture
def short(monkeypatch):
    """Few phantoms, made in this process and shared by the tests, instead of 1,900."""
    monkeypatch.setattr(script, "examples", in_process)
    monkeypatch.setattr(example_module, "phantom", made)
    for name, first, count in (("TRAINING", 60_000, 3), ("TUNING", 60_100, 4)):
        monkeypatch.setattr(script, name, range(first, first + count))
    monkeypatch.setattr(script, "HELD_OUT", range(60_200, 60_200 + 2 * FEWEST))


def small_recipe(name, crop, **change):
    """The shipped recipe on a coarser grid with a handful of steps."""
    given = RECIPES[name]
    card = {**given.card, "input": {**given.card["input"], **change}}
    return replace(given, card=card, crop=crop, crop_steps=3, crop_pairs=2, head_pairs=3, tune_steps=2, tune_pairs=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("cxr_2d", small_recipe("cxr_2d", (32, 32), size=[64, 64])),
        ("ct_3d", small_recipe("ct_3d", (16, 16, 16), size=[32, 32, 40], spacing_mm=[9.0, 9.0, 9.0])),
    ],
    ids=["2D", "3D"],
)
def test_training_writes_a_classifier_that_can_be_loaded_and_says_where_it_comes_from(
    tmp_path, short, capsys, name, recipe
):
    torch.manual_seed(0)
    script.train(name, recipe, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}{end}" for end in ENDINGS}
    card = read_card(tmp_path / f"{name}.yaml")
    classifier = load_classifier(card, device="cpu")
    assert card.classes == RECIPES[name].card["classes"]
    assert 0 < card.thresholds["nodule"] < 1
    facts = card.development
    assert (facts["training_phantoms"], facts["tuning_phantoms"], facts["held_out_phantoms"]) == (6, 4, 2 * FEWEST)
    assert facts["held_out_auroc_interval_95"][0] <= facts["held_out_auroc"] <= facts["held_out_auroc_interval_95"][1]
    one = in_process([60_100], card)[0]
    assert np.isfinite(explain_input(classifier.network, one.values, methods=["hirescam"]).logits.numpy()).all()
    assert "held_out_auroc" in capsys.readouterr().out


def test_the_command_trains_what_it_is_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(script, "train", lambda name, recipe, output: asked.append((name, recipe, output)))
    monkeypatch.setattr("sys.argv", ["train", "--only", "cxr_2d", "--output", str(tmp_path)])
    script.main()
    assert asked == [("cxr_2d", RECIPES["cxr_2d"], tmp_path)]
    assert torch.initial_seed() == script.SEED
