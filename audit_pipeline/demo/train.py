"""Train the two embedded classifiers on phantoms: ``python -m audit_pipeline.demo.train``.

Each network first learns on small crops, half of them around a nodule, the other half at the same place of the same
patient without it. Global average pooling makes the network independent of the crop's size; the linear head is then
fitted to whole images, and the whole network is tuned on them, while evidence in the air around the body and at the
rim of the image, and evidence for a nodule far from it, is penalised (right for the right reasons: Ross et al. 2017,
arXiv:1703.03717). The head is then calibrated. Seeds of training, tuning, the reference (see `references`) and held-out
evaluation are disjoint from each other and from the demo cohort.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.demo.examples import Example, examples
from audit_pipeline.demo.measure import Scores, best_threshold, evidence, peaks_on_nodules, performance, scores
from audit_pipeline.demo.recipes import RECIPES, Recipe, card_text
from audit_pipeline.explain.layers import choose_layer
from audit_pipeline.models.networks import build_network
from audit_pipeline.store.files import sha256

TRAINING = range(10_000, 10_700)
TUNING = range(20_000, 20_200)
REFERENCE = range(30_000, 30_120)
HELD_OUT = range(40_000, 40_240)
SEED = 20261122
AIR_LEVEL = 0.04
"""Model input of air, which the intensity windows map to 0, with its noise."""


def main() -> None:
    """Train what the command line asks for and write weights and cards; `references` measures the clean studies."""
    parser = argparse.ArgumentParser(description="Train the embedded classifiers on phantoms.")
    parser.add_argument("--only", choices=sorted(RECIPES), help="train one of them")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    for name in [arguments.only] if arguments.only else RECIPES:
        train(name, RECIPES[name], arguments.output)


def train(name: str, recipe: Recipe, output: Path) -> None:
    """Train one classifier and write its files."""
    start = time.perf_counter()
    card = unpinned(name, recipe)
    random = np.random.default_rng(SEED)
    say(start, f"{name}: making {2 * len(TRAINING)} training phantoms")
    pairs = list(zip(examples(TRAINING, card, nodule=True), examples(TRAINING, card, nodule=False), strict=True))
    network = build_network(card)
    say(start, f"{sum(parameter.numel() for parameter in network.parameters())} parameters; learning on crops")
    learn_on_crops(network, pairs, recipe, random, start)
    say(start, "fitting the head and tuning on whole images")
    fit_head(network, pairs[: recipe.head_pairs])
    tune(network, pairs, recipe, random, start)
    del pairs
    finish(name, recipe, network, output, start)


def finish(name: str, recipe: Recipe, network: nn.Module, output: Path, start: float) -> None:
    """Calibrate a trained network on the tuning phantoms, measure it on held-out ones, and write its files."""
    card = unpinned(name, recipe)
    network.eval()
    tuning_examples = examples(TUNING, card)
    calibrate(network, scores(network, tuning_examples, card))
    threshold = best_threshold(scores(network, tuning_examples, card))
    held_out = scores(network, examples(HELD_OUT, card), card)
    facts = {
        "data": "phantoms of audit_pipeline.demo.phantom, no patient data",
        "training_phantoms": 2 * len(TRAINING),
        "tuning_phantoms": len(TUNING),
        "held_out_phantoms": len(HELD_OUT),
        **performance(held_out, threshold),
        "peak_within_one_cell_of_detected_nodule": peaks_on_nodules(held_out, threshold),
        "seed": SEED,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    write_classifier(name, recipe, network, {recipe.card["classes"][-1]: threshold}, facts, output)
    say(start, yaml.safe_dump(facts, sort_keys=False))


def unpinned(name: str, recipe: Recipe) -> ModelCard:
    """Return the card of a network whose weights do not exist yet."""
    return read_card({**recipe.card, "weights": {"path": f"{name}.safetensors", "sha256": "0" * 64}})


def say(start: float, sentence: str) -> None:
    """Print a line of progress with the seconds since `start`."""
    print(f"[{time.perf_counter() - start:6.0f} s] {sentence}", flush=True)  # noqa: T201 - a script


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(evidence(logits), labels)


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Take one step of an optimiser and its schedule."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    schedule.step()


def _minimise(parameters: Sequence[Tensor], loss_of: Callable[[], Tensor]) -> None:
    """Bring a smooth loss to its minimum, in place."""
    optimiser = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]


def learn_on_crops(
    network: nn.Module,
    pairs: Sequence[tuple[Example, Example]],
    recipe: Recipe,
    random: np.random.Generator,
    start: float,
) -> None:
    """Let a network tell the twins of `pairs` apart on small crops."""
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.crop_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.crop_rate, total_steps=recipe.crop_steps)
    labels = torch.tensor([1.0, 0.0]).repeat(recipe.crop_pairs)
    mean = 0.0
    for step in range(recipe.crop_steps):
        chosen = random.integers(0, len(pairs), recipe.crop_pairs)
        crops = [crop for place in chosen for crop in _crops(pairs[place], recipe.crop, random)]
        loss = _loss(network(torch.from_numpy(np.stack(crops))), labels)
        descend(loss, optimiser, schedule)
        mean = 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 99:
            say(start, f"crop step {step + 1}: loss {mean / (1 - 0.98 ** (step + 1)):.3f}")


def _crops(pair: tuple[Example, Example], size: Sequence[int], random: np.random.Generator) -> list[np.ndarray]:
    """Return the same place of both twins, the nodule anywhere in it but at its rim, mirrored alike at random."""
    with_nodule, without = pair
    assert with_nodule.centre is not None
    corner = []
    for middle, side, full in zip(with_nodule.centre, size, with_nodule.values.shape[1:], strict=True):
        reach = side * 0.3
        first = round(middle + random.uniform(-reach, reach) - side / 2)
        corner.append(int(np.clip(first, 0, full - side)))
    window = tuple(slice(first, first + side) for first, side in zip(corner, size, strict=True))
    mirrored = tuple(slice(None, None, -1 if flip else 1) for flip in random.random(len(size)) < 0.5)
    shift = np.float32(random.normal(0, 0.01))
    return [np.ascontiguousarray(one.values[:, *window][:, *mirrored]) + shift for one in (with_nodule, without)]


def head_of(network: nn.Module) -> nn.Linear:
    """Return the last linear layer."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _signs(head: nn.Linear) -> Tensor:
    """Return how evidence for a nodule is shared among the logits: all on the only one, or half against half."""
    return torch.tensor([1.0]) if head.out_features == 1 else torch.tensor([-0.5, 0.5])


def fit_head(network: nn.Module, pairs: Sequence[tuple[Example, Example]]) -> None:
    """Fit the linear head to the pooled features of whole images by penalised logistic regression."""
    head = head_of(network)
    inputs: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _module, given: inputs.append(given[0].detach()))
    flat = [one for pair in pairs for one in pair]
    network.eval()
    with torch.no_grad():
        for one in flat:
            network(torch.from_numpy(one.values)[None])
    handle.remove()
    features, labels = torch.cat(inputs), torch.tensor([float(one.label) for one in flat])
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    weight, bias = torch.zeros(features.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)

    def penalised() -> Tensor:
        logits = ((features - mean) / deviation) @ weight + bias
        return functional.binary_cross_entropy_with_logits(logits, labels) + 1e-3 * weight.square().sum()

    _minimise([weight, bias], penalised)
    scaled = (weight / deviation).detach()
    offset = (bias - (weight * mean / deviation).sum()).detach()
    with torch.no_grad():
        head.weight.copy_(_signs(head)[:, None] * scaled)
        head.bias.copy_(_signs(head) * offset)


def tune(
    network: nn.Module,
    pairs: Sequence[tuple[Example, Example]],
    recipe: Recipe,
    random: np.random.Generator,
    start: float,
) -> None:
    """Tune all weights on whole images; batch statistics stay as the crops left them."""
    network.eval()
    stage = choose_layer(network, torch.from_numpy(pairs[0][0].values)[None])
    features: list[Tensor] = []
    handle = network.get_submodule(stage).register_forward_hook(lambda *given: features.append(given[2].clone()))
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.tune_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.tune_steps)
    labels = torch.tensor([1.0, 0.0]).repeat(recipe.tune_pairs)
    mean = 0.0
    for step in range(recipe.tune_steps):
        chosen = random.integers(0, len(pairs), recipe.tune_pairs)
        given = [one for place in chosen for one in pairs[place]]
        batch = np.stack([one.values for one in given])
        shift = random.normal(0, 0.01, (len(batch), *[1] * (batch.ndim - 1))).astype(np.float32)
        inputs = torch.from_numpy(batch + shift)
        features.clear()
        loss = _loss(network(inputs), labels) + recipe.penalty * _misplaced(
            features[0], inputs, head_of(network).weight, given
        )
        descend(loss, optimiser, schedule)
        mean = 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 49:
            say(start, f"whole-image step {step + 1}: loss {mean / (1 - 0.95 ** (step + 1)):.3f}")
    handle.remove()


def _misplaced(features: Tensor, inputs: Tensor, weight: Tensor, given: Sequence[Example]) -> Tensor:
    """Return the evidence in logits that lies where it must not, mean of the batch.

    That is all evidence of cells that hold only air or lie at the rim of the image, and, where there is a nodule, the
    evidence for it in cells away from it.
    """
    direction = weight[-1] - (weight[0] if len(weight) == 2 else 0)
    contributions = torch.einsum("c,nc...->n...", direction, features) / features[0, 0].numel()
    misplaced = functional.interpolate(inputs, size=tuple(features.shape[2:]), mode="area")[:, 0] < AIR_LEVEL
    for axis in range(1, misplaced.ndim):
        misplaced.index_fill_(axis, torch.tensor([0, misplaced.shape[axis] - 1]), value=True)
    elsewhere = torch.stack([_away(one, tuple(features.shape[2:])) for one in given])
    wrong = contributions.abs() * misplaced + contributions.clamp(min=0) * elsewhere
    return wrong.flatten(1).sum(1).mean()


def _away(one: Example, grid: tuple[int, ...]) -> Tensor:
    """Return the cells farther from the nodule than 1.5 cells along some axis; none without a nodule."""
    far = torch.zeros(grid, dtype=torch.bool)
    for axis, (cells, size) in enumerate(zip(grid, one.values.shape[1:], strict=True)):
        if one.centre is not None:
            place = (one.centre[axis] + 0.5) * cells / size - 0.5
            apart = (torch.arange(cells) - place).abs() > 1.5
            far |= apart.reshape([-1 if other == axis else 1 for other in range(len(grid))])
    return far


def platt(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the scale and the shift of logits (N,) that make probabilities of them which fit labels (N,) bool.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines: a logistic regression on the score, with targets
    (P + 1) / (P + 2) and 1 / (N + 2) for P positives and N negatives.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    targets = torch.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale, shift = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    _minimise([scale, shift], lambda: functional.binary_cross_entropy_with_logits(scale * logits + shift, targets))
    return scale.item(), shift.item()


def calibrate(network: nn.Module, tuning: Scores) -> None:
    """Scale and shift the head so that its probabilities fit the tuning phantoms."""
    scale, shift = platt(tuning.logits, tuning.labels)
    head = head_of(network)
    with torch.no_grad():
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(_signs(head) * shift)


def write_classifier(
    name: str,
    recipe: Recipe,
    network: nn.Module,
    thresholds: dict[str, float],
    facts: dict[str, Any],
    output: Path,
) -> None:
    """Write weights and card; `facts` say how it was developed, its `thresholds` come from the tuning phantoms."""
    output.mkdir(parents=True, exist_ok=True)
    weights = save({key: value.contiguous() for key, value in network.state_dict().items()})
    (output / f"{name}.safetensors").write_bytes(weights)
    card = dict(recipe.card)
    card["weights"] = {"path": f"{name}.safetensors", "sha256": sha256(weights)}
    card["thresholds"] = thresholds
    card["thresholds_from"] = f"largest Youden index on {facts['tuning_phantoms']} tuning phantoms"
    card["development"] = facts
    (output / f"{name}.yaml").write_text(card_text(card), encoding="utf-8")


if __name__ == "__main__":
    main()
