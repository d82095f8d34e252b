"""The small classifiers of the sample reports: pinned, small, and able to tell what their cards say they tell."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from audit_pipeline.card import read_card
from audit_pipeline.demo import train_findings, train_slices
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.chest_findings import FINDINGS, chest
from audit_pipeline.demo.examples import Example, radiograph_image
from audit_pipeline.demo.recipes import RECIPES, SAMPLES
from audit_pipeline.demo.train import HELD_OUT, REFERENCE, TRAINING, TUNING, platt
from audit_pipeline.explain.over_parts import over_parts
from audit_pipeline.explain.slicewise import Slices
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.prepare import prepare
from audit_pipeline.store.files import sha256

LARGEST_BYTES = 400_000
UNSEEN = range(90_000, 90_012)


@cache
def classifier(name):
    return load_classifier(read_card(WEIGHTS / f"{name}.yaml"), device="cpu")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_weights_are_small_and_those_that_the_card_pins(name):
    content = (WEIGHTS / f"{name}.safetensors").read_bytes()
    assert len(content) < LARGEST_BYTES
    assert classifier(name).weights_sha256 == sha256(content)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_card_is_the_recipe_with_a_threshold_for_every_class(name):
    card, recipe = classifier(name).card, SAMPLES[name].card
    assert card.classes == recipe["classes"]
    assert set(card.thresholds) == set(card.classes)
    assert all(0 < limit < 1 for limit in card.thresholds.values())
    assert card.development["seed"] == 20261122


def test_no_phantom_is_used_twice():
    used = [TRAINING, TUNING, REFERENCE, HELD_OUT]
    used += [
        getattr(one, part) for one in (train_findings, train_slices) for part in ("TRAINING", "TUNING", "HELD_OUT")
    ]
    seeds = [seed for part in used for seed in part]
    assert len(seeds) == len(set(seeds))
    assert not set(UNSEEN) & set(seeds)
    assert not set(SAMPLES) & set(RECIPES)


@cache
def answers():
    """Logits (N, findings) and what is there, for radiographs that no script has seen."""
    card, network = classifier("findings_2d").card, classifier("findings_2d").network
    shown = [chest(seed) for seed in UNSEEN]
    images = np.stack([prepare(radiograph_image(one.seen), card).values for one in shown])
    with torch.inference_mode():
        logits = network(torch.from_numpy(images)).numpy()
    return logits, np.asarray([[name in one.findings for name in FINDINGS] for one in shown])


@pytest.mark.parametrize("name", ["effusion", "cardiomegaly", "pacemaker"])
def test_a_large_finding_in_an_unseen_radiograph_scores_higher_than_its_absence(name):
    logits, present = answers()
    k = FINDINGS.index(name)
    assert present[:, k].any()
    assert np.median(logits[present[:, k], k]) > np.max(logits[~present[:, k], k])


def test_a_slice_stands_between_its_neighbours_as_when_the_model_is_run():
    values = np.random.default_rng(1).random((1, 5, 4, 6)).astype(np.float32)
    volume = Example(values=values, label=False, centre=None)
    taken = Slices(neighbours=1).take(torch.from_numpy(values), 0, 5)
    for place in range(5):
        assert np.array_equal(train_slices._stack(volume, place), taken[place].numpy())


def test_the_volume_gets_the_mean_of_its_two_highest_slices():
    network = over_parts(classifier("slices_2d").network, classifier("slices_2d").card)
    volume = torch.rand(1, 9, 112, 128, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        parts = network.part_logits(volume)
        whole = network(volume[None])
    assert parts.shape == (9, 1)
    assert float(whole[0, 0]) == pytest.approx(float(parts[:, 0].topk(2).values.mean()), abs=1e-6)


def test_platt_scaling_recovers_scale_and_shift_of_distorted_logits():
    random = torch.Generator().manual_seed(5)
    honest = 2 * torch.randn(20_000, generator=random)
    labels = torch.rand(20_000, generator=random) < torch.sigmoid(honest)
    scale, shift = platt((honest - 1.5) / 3, labels)
    assert scale == pytest.approx(3, rel=0.06)
    assert shift == pytest.approx(1.5, abs=0.1)
