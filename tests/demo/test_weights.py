"""The embedded classifiers as they are shipped: files, cards, and what they still can do on phantoms never seen."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from audit_pipeline.card import read_card
from audit_pipeline.checks import LEAST_STUDIES
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.demo import examples
from audit_pipeline.demo.audit import AUDITS, WEIGHTS
from audit_pipeline.demo.recipes import RECIPES, SAMPLES
from audit_pipeline.demo.train import HELD_OUT, REFERENCE, TRAINING, TUNING
from audit_pipeline.explain.engine import explain_input
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.store.reference import read_reference
from tests.demo.phantom_cases import made

NAMES = [card for _, card, _ in AUDITS]
ENDINGS = (".safetensors", ".yaml", "_reference.parquet", "_reference.safetensors")
SIZE_LIMIT = 2 * 1024 * 1024
FRESH = range(50_100, 50_124)
"""Seeds of no other use."""


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def card(name):
    return read_card(WEIGHTS / f"{name}.yaml")


@cache
def shipped(name):
    """Return the classifier, and per fresh phantom its example, its logit for a nodule and its HiResCAM map."""
    classifier = load_classifier(read_card(WEIGHTS / f"{name}.yaml"), device="cpu")
    target = len(classifier.card.classes) - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "phantom", made)
        given = [examples.example(seed, classifier.card, nodule=seed % 2 == 0) for seed in FRESH]
    seen = []
    for one in given:
        maps = explain_input(classifier.network, one.values, methods=["hirescam"], targets=[target])
        logits = maps.logits[0]
        score = float(logits[0] if len(logits) == 1 else logits[1] - logits[0])
        seen.append((one, score, maps.values["hirescam"][0, 0].numpy(), maps.features[0].numpy()))
    return classifier, seen


def threshold(card):
    return card.thresholds[card.classes[-1]]


def is_called(score, card):
    return 1 / (1 + np.exp(-score)) >= threshold(card)


def test_a_recipe_stands_behind_every_card():
    assert set(NAMES) == set(RECIPES)


def test_the_card_is_the_one_of_the_recipe(name, card):
    recipe = read_card({**RECIPES[name].card, "weights": {"path": "none", "sha256": "0" * 64}})
    for part in ("name", "version", "task", "classes", "spatial_dims", "channels", "input", "network", "allowed"):
        assert getattr(card, part) == getattr(recipe, part), part


def test_the_card_says_what_it_is_for_and_where_its_threshold_comes_from(card):
    assert "Not for diagnosis" in card.intended_use
    assert "tuning phantoms" in card.thresholds_from
    assert 0 < threshold(card) < 1


def test_the_card_says_what_it_learnt_from(card):
    facts = card.development
    assert facts["training_phantoms"] == 2 * len(TRAINING)
    assert facts["tuning_phantoms"] == len(TUNING)
    assert facts["reference_phantoms"] == len(REFERENCE)
    assert facts["held_out_phantoms"] == len(HELD_OUT)
    assert "no patient data" in facts["data"]


def test_phantoms_of_different_use_differ():
    uses = [set(TRAINING), set(TUNING), set(REFERENCE), set(HELD_OUT), set(FRESH)]
    assert len(set().union(*uses)) == sum(map(len, uses))


def test_the_card_states_a_held_out_auroc_that_is_worth_demonstrating(card):
    facts = card.development
    low, high = facts["held_out_auroc_interval_95"]
    assert facts["held_out_auroc"] >= 0.95
    assert low <= facts["held_out_auroc"] <= high


def test_stated_counts_add_up(card):
    facts = card.development
    (found, ill), (right, well) = (
        map(int, facts[f"held_out_{side}"].split("/")) for side in ("sensitivity", "specificity")
    )
    assert 0 <= found <= ill
    assert 0 <= right <= well
    assert ill + well == facts["held_out_phantoms"]


def test_every_file_is_small_and_is_the_pinned_one(card):
    assert card.reference.path.with_suffix(".safetensors").stat().st_size < SIZE_LIMIT
    for part in (card.weights, card.reference):
        assert part.path.stat().st_size < SIZE_LIMIT
        assert hashlib.sha256(part.path.read_bytes()).hexdigest() == part.sha256


def test_the_folder_holds_nothing_else():
    expected = {f"{name}{end}" for name in NAMES for end in ENDINGS}
    expected |= {f"{name}{end}" for name in SAMPLES for end in ENDINGS[:2]}
    assert {path.name for path in Path(WEIGHTS).iterdir() if path.is_file()} == expected


def test_the_weights_fit_the_network_and_are_finite(name, card):
    classifier = load_classifier(card, device="cpu")
    stored = load_file(card.weights.path)
    state = classifier.network.state_dict()
    assert set(stored) == set(state)
    assert all(torch.equal(stored[key], state[key]) for key in stored)
    assert all(torch.isfinite(value).all() for value in stored.values())
    assert not classifier.network.training


def test_the_reference_table_has_a_row_per_reference_phantom(card):
    reference = read_reference(card.reference.path, card.reference.sha256)
    features, intensities = np.asarray(reference.features), np.asarray(reference.intensities)
    assert len(features) == len(intensities) == len(REFERENCE) >= LEAST_STUDIES
    assert features.shape[1] >= 16
    assert intensities.shape[1] == 4
    assert np.isfinite(features).all()
    mean, deviation, low, high = intensities.T
    assert ((low <= mean) & (mean <= high) & (deviation > 0)).all()
    assert low.min() >= 0
    assert high.max() <= 1


def test_the_reference_is_of_these_weights_and_of_the_layer_that_is_explained(card):
    reference = read_reference(card.reference.path, card.reference.sha256)
    assert reference.model == card.weights.sha256
    classifier = load_classifier(card, device="cpu")
    assert reference.layer in dict(classifier.network.named_modules())
    assert reference.features.shape[1] == sum(
        weight.shape[1] for name, weight in classifier.network.named_parameters() if name.endswith("out.weight")
    )


def test_the_reference_holds_what_shift_and_measures_are_judged_against(card):
    reference = read_reference(card.reference.path, card.reference.sha256)
    studies = len(reference.features)
    assert reference.quantiles.shape == (studies, 64)
    assert reference.logits.shape == (studies, len(card.classes))
    assert len(reference.thumbnails) == len(reference.labels) == studies
    assert set(reference.labels) == {"clear", "nodule"}
    assert all(len(values) == studies for values in reference.header.values())
    enough = {name for name, values in reference.values.items() if len(values) >= LEAST_STUDIES}
    assert {"blurred_image", "noisy_image", "clipped_body", "on_border", "outside_body", "transform_chain"} <= enough
    assert all(np.isfinite(values).all() for values in reference.values.values())


@pytest.mark.untraced
@pytest.mark.slow
def test_phantoms_never_seen_are_told_apart(name):
    _, seen = shipped(name)
    area = discrimination([score for _, score, _, _ in seen], [one.label for one, _, _, _ in seen])
    assert area.auroc >= 0.9


@pytest.mark.untraced
@pytest.mark.slow
def test_most_calls_at_the_stated_threshold_are_right(name, card):
    _, seen = shipped(name)
    right = [is_called(score, card) == one.label for one, score, _, _ in seen]
    assert np.mean(right) >= 0.75


@pytest.mark.untraced
@pytest.mark.slow
def test_the_hirescam_peak_of_most_detected_nodules_lies_within_one_cell():
    classifier, seen = shipped("ct_3d")
    distances = []
    for one, score, values, _ in seen:
        if one.label and is_called(score, classifier.card):
            peak = np.unravel_index(int(values.argmax()), values.shape)
            cells = np.array(values.shape) / np.array(one.values.shape[1:])
            place = (np.array(one.centre) + 0.5) * cells - 0.5
            distances.append(np.abs(peak - place).max())
    assert len(distances) >= 6
    assert np.mean(np.array(distances) <= 1) > 0.5


@pytest.mark.untraced
@pytest.mark.slow
def test_fresh_phantoms_look_like_those_of_the_reference(name, card):
    reference = np.asarray(read_reference(card.reference.path, card.reference.sha256).features)
    _, seen = shipped(name)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0) + 1e-6
    distances = np.array([np.abs((features - mean) / deviation).mean() for _, _, _, features in seen])
    assert np.median(distances) < 1.5
