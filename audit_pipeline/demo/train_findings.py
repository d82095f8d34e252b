"""Train the classifier of several findings for the sample reports: ``python -m audit_pipeline.demo.train_findings``.

It starts from the embedded classifier of radiographs, which knows nodules, and learns the other findings on whole
radiographs: its first two blocks stay, so that the last one is trained in a minute on what they make of an image. Then
the logit of every class is calibrated and gets a threshold of its own. Most of the five minutes go to the phantoms.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.demo.chest_findings import FINDINGS, chest
from audit_pipeline.demo.examples import radiograph_image
from audit_pipeline.demo.measure import Scores, best_threshold
from audit_pipeline.demo.recipes import SAMPLES, Recipe
from audit_pipeline.demo.train import SEED, descend, platt, say, unpinned, write_classifier
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.models.networks import build_network
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Floats

NAME, START = "findings_2d", "cxr_2d"
TRAINING = range(50_000, 50_600)
TUNING = range(51_000, 51_200)
HELD_OUT = range(52_000, 52_200)
LAST_KEPT = "transition2"
"""Last module that stays as the classifier of nodules has it."""


def main() -> None:
    """Train it and write weights and card."""
    parser = argparse.ArgumentParser(description="Train the classifier of several findings on phantoms.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    train(SAMPLES[NAME], Path(__file__).parent / "weights" / f"{START}.yaml", arguments.output)


def train(recipe: Recipe, start_card: Path, output: Path) -> None:
    """Train from the classifier of `start_card`, calibrate, measure on held-out phantoms, and write the files."""
    start = time.perf_counter()
    card = unpinned(NAME, recipe)
    network = _begun(card, start_card)
    say(start, f"{NAME}: making {len(TRAINING)} training phantoms")
    _learn(network, *inputs(TRAINING, card), recipe, start)
    network.eval()
    thresholds = _calibrate(network, *inputs(TUNING, card))
    logits, truth = _logits(network, *inputs(HELD_OUT, card))
    facts = {
        "data": "phantoms of audit_pipeline.demo.chest_findings, no patient data",
        "training_phantoms": len(TRAINING),
        "tuning_phantoms": len(TUNING),
        "held_out_phantoms": len(HELD_OUT),
        **{f"held_out_{name}": _words(logits[:, k], truth[:, k], thresholds[name]) for k, name in enumerate(FINDINGS)},
        "starts_from": f"the features of {START}",
        "seed": SEED,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    write_classifier(NAME, recipe, network, thresholds, facts, output)
    say(start, yaml.safe_dump(facts, sort_keys=False))


def inputs(seeds: Sequence[int], card: ModelCard, *, workers: int = 2) -> tuple[Floats, Floats]:
    """Return model inputs (N, 1, H, W) and what they show, (N, findings) of 0 and 1."""
    with ProcessPoolExecutor(workers) as pool:
        made = list(pool.map(partial(_input, card=card), seeds, chunksize=8))
    return np.stack([values for values, _ in made]), np.stack([present for _, present in made])


def _input(seed: int, card: ModelCard) -> tuple[Floats, Floats]:
    one = chest(seed)
    present = np.array([name in one.findings for name in FINDINGS], dtype=np.float32)
    return prepare(radiograph_image(one.seen), card).values, present


def _begun(card: ModelCard, start_card: Path) -> nn.Module:
    """Return the network of `card` with the features of another one and an untrained head of its own."""
    network = build_network(card)
    own = network.state_dict()
    learnt = load_classifier(read_card(start_card), device="cpu").network.state_dict()
    network.load_state_dict({name: learnt[name] if learnt[name].shape == old.shape else old
                             for name, old in own.items()})  # fmt: skip
    return network


def _learn(network: nn.Module, images: Floats, truth: Floats, recipe: Recipe, start: float) -> None:
    """Train the last dense block and the head on what the blocks before it, which stay as they are, make of images."""
    children = dict(network.get_submodule("features").named_children())
    after = list(children).index(LAST_KEPT) + 1
    blocks = [*children.values(), network.get_submodule("class_layers")]
    early, late = nn.Sequential(*blocks[:after]).eval(), nn.Sequential(*blocks[after:]).train()
    with torch.inference_mode():
        kept = torch.cat([early(torch.from_numpy(images[at : at + 8])) for at in range(0, len(images), 8)]).clone()
    say(start, f"learning from {tuple(kept.shape[1:])} features")
    random = np.random.default_rng(SEED)
    optimiser = torch.optim.AdamW(late.parameters(), lr=recipe.tune_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.tune_rate, total_steps=recipe.tune_steps)
    mean = 0.0
    for step in range(recipe.tune_steps):
        chosen = random.integers(0, len(kept), 2 * recipe.tune_pairs)
        loss = functional.binary_cross_entropy_with_logits(late(kept[chosen]), torch.from_numpy(truth[chosen]))
        descend(loss, optimiser, schedule)
        mean = 0.95 * mean + 0.05 * loss.item()
        if step % 200 == 199:
            say(start, f"step {step + 1}: loss {mean / (1 - 0.95 ** (step + 1)):.3f}")


def _logits(network: nn.Module, images: Floats, truth: Floats) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        rows = [network(torch.from_numpy(images[start : start + 8])) for start in range(0, len(images), 8)]
    return torch.cat(rows).clone(), torch.from_numpy(truth).bool()


def _calibrate(network: nn.Module, images: Floats, truth: Floats) -> dict[str, float]:
    """Scale and shift every row of the head; return the threshold of every class on the calibrated probability."""
    logits, present = _logits(network, images, truth)
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    thresholds = {}
    for k, name in enumerate(FINDINGS):
        scale, shift = platt(logits[:, k], present[:, k])
        with torch.no_grad():
            head.weight[k].mul_(scale)
            head.bias[k].mul_(scale).add_(shift)
        calibrated = Scores(scale * logits[:, k] + shift, present[:, k], torch.zeros(0), torch.zeros(0))
        thresholds[name] = best_threshold(calibrated)
    return thresholds


def _words(logits: Tensor, present: Tensor, threshold: float) -> str:
    area = discrimination(logits.double().tolist(), present.tolist())
    called = torch.sigmoid(logits) >= threshold
    return (
        f"AUROC {area.auroc:.3f} ({area.low:.3f} to {area.high:.3f}), "
        f"sensitivity {int((called & present).sum())}/{int(present.sum())}, "
        f"specificity {int((~called & ~present).sum())}/{int((~present).sum())}"
    )


if __name__ == "__main__":
    main()
