"""Train the classifier that reads volumes slice by slice: ``python -m audit_pipeline.demo.train_slices``.

It learns as the embedded classifiers do (see `train`), on slices through the nodule and slices of the twin without one:
the same slice for the crops, any slice for the tuning. The logit of a whole volume, the mean of its highest slices, is
then calibrated. For the sample reports; it takes about seven minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from audit_pipeline.card import ModelCard
from audit_pipeline.demo.examples import Example, example
from audit_pipeline.demo.measure import Scores, best_threshold, performance
from audit_pipeline.demo.recipes import SAMPLES, Recipe
from audit_pipeline.demo.train import SEED, calibrate, fit_head, learn_on_crops, say, tune, unpinned, write_classifier
from audit_pipeline.explain.over_parts import over_parts
from audit_pipeline.models.networks import build_network
from audit_pipeline.records import Floats

NAME = "slices_2d"
TRAINING = range(60_000, 60_240)
TUNING = range(61_000, 61_100)
HELD_OUT = range(62_000, 62_100)

Pair = tuple[Example, Example]
Made = TypeVar("Made")


def main() -> None:
    """Train it and write weights and card."""
    parser = argparse.ArgumentParser(description="Train the classifier over slices on phantoms.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    train(SAMPLES[NAME], arguments.output)


def train(recipe: Recipe, output: Path) -> None:
    """Train, calibrate, measure on held-out phantoms, and write the files."""
    start = time.perf_counter()
    card = unpinned(NAME, recipe)
    random = np.random.default_rng(SEED)
    say(start, f"{NAME}: making {2 * len(TRAINING)} training phantoms")
    made = _in_parallel(slices_of, TRAINING, card)
    same, any_other = [one for pairs, _ in made for one in pairs], [one for _, pairs in made for one in pairs]
    network = build_network(card)
    learn_on_crops(network, same, recipe, random, start)
    fit_head(network, any_other[:: max(1, len(any_other) // recipe.head_pairs)])
    tune(network, any_other, recipe, random, start)
    del made, same, any_other
    network.eval()
    calibrate(network, scores(network, TUNING, card))
    threshold = best_threshold(scores(network, TUNING, card))
    facts = {
        "data": "phantoms of audit_pipeline.demo.phantom, no patient data",
        "training_phantoms": 2 * len(TRAINING),
        "tuning_phantoms": len(TUNING),
        "held_out_phantoms": len(HELD_OUT),
        **performance(scores(network, HELD_OUT, card), threshold),
        "seed": SEED,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    write_classifier(NAME, recipe, network, {recipe.card["classes"][-1]: threshold}, facts, output)
    say(start, yaml.safe_dump(facts, sort_keys=False))


def slices_of(seed: int, card: ModelCard) -> tuple[list[Pair], list[Pair]]:
    """Return slices through a nodule, each beside the same slice of its twin, and beside any slice of its twin.

    Three of each: the slice through the centre and the two next to it, as far as they cut the nodule in its middle.
    """
    random = np.random.default_rng([seed, 31])
    with_nodule, without = (example(seed, card, nodule=nodule) for nodule in (True, False))
    assert with_nodule.centre is not None
    middle, *centre = with_nodule.centre
    same, any_other = [], []
    for place in (round(middle) - 1, round(middle), round(middle) + 1):
        if abs(place - middle) > 1:
            continue
        shown = Example(values=_stack(with_nodule, place), label=True, centre=tuple(centre))
        elsewhere = int(random.integers(with_nodule.values.shape[1]))
        same.append((shown, Example(values=_stack(without, place), label=False, centre=None)))
        any_other.append((shown, Example(values=_stack(without, elsewhere), label=False, centre=None)))
    return same, any_other


def _stack(volume: Example, place: int) -> Floats:
    """Return a slice between its neighbours as (3, H, W); the ends repeat, as when the model is run."""
    places = np.clip(np.arange(place - 1, place + 2), 0, volume.values.shape[1] - 1)
    return np.asarray(volume.values[0, places], dtype=np.float32)


def scores(network: nn.Module, seeds: Sequence[int], card: ModelCard) -> Scores:
    """Return the logits of whole volumes, by the rule of the card, and their labels."""
    volumes = _in_parallel(example, seeds, card)
    whole = over_parts(network, card)
    with torch.inference_mode():
        logits: list[Tensor] = [whole(torch.from_numpy(one.values.copy())[None])[0, 0] for one in volumes]
    labels = torch.tensor([one.label for one in volumes])
    return Scores(torch.stack(logits).clone(), labels, torch.zeros(0), torch.zeros(0))


def _in_parallel(make: Callable[..., Made], seeds: Sequence[int], card: ModelCard) -> list[Made]:
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(partial(make, card=card), seeds, chunksize=8))


if __name__ == "__main__":
    main()
