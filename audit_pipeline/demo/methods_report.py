"""Every explanation method on phantoms with a planted nodule: ``python -m audit_pipeline.demo.methods_report``.

For the embedded 3D and 2D classifiers it prints, per registered method, how well the map finds the nodule, how much
more deletion hurts than with shifted maps, what is left of the map when the model's parameters are random, and the
time. The edge magnitude of the image is the control that must lose.

Every method gets the same time, not the same number of phantoms: each measure takes the phantoms in the same order
until its share of the time is spent. The table prints how many each measure saw, and a star where time ended it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.examples import phantom_image
from audit_pipeline.errors import AuditError
from audit_pipeline.explain.controls import sobel
from audit_pipeline.explain.engine import explain_batch
from audit_pipeline.explain.faithfulness import CurveSettings, Infill, deletion_insertion, on_grid
from audit_pipeline.explain.forward import logits_of
from audit_pipeline.explain.intervals import Estimate, mean_estimate
from audit_pipeline.explain.localisation import TOLERANCE_MM, Case, localisation
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.randomisation import randomised, similarity
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Floats, Mask
from audit_pipeline.resampling import sample_map

SEEDS = 60_000
"""First seed of the phantoms; those of training, reference, evaluation and tests lie elsewhere."""

SMALL = {"samples": 64, "draws": 8, "steps": 16, "n_segments": 32}
"""Upper limits of settings that multiply the cost; a method's own default holds where it is lower."""

LARGE = {"stride": 0.25}
"""Lower limits of settings that divide it."""

PHANTOMS = {"ct_3d": 12, "cxr_2d": 24}
SECONDS = {"ct_3d": 7.0, "cxr_2d": 6.0}
"""Processor time of one method; the shares of its measures follow. Each sees one phantom at least."""

INFILLS: dict[str, Infill] = {"ct_3d": "blurred", "cxr_2d": "matched"}
"""The cheapest infill that tells evidence from edges on each network, see `faithfulness.TRUSTED`."""

MAPS_SHARE, RANDOM_SHARE, DELETION_SHARE = 0.25, 0.15, 0.6

EDGES = "sobel edges (control)"
COLUMNS = ("VxAP", "hit rate", "pointing", "mass in mask", "deletion", "randomised")


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """One model input with its nodule: values (C, *S), mask (*S), spacing per axis."""

    values: Floats
    mask: Mask
    spacing_mm: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one method is worth; all None with the reason when it does not fit.

    scores : by the names of `COLUMNS`; VxAP, hit rate, pointing game and mass : see `localisation`; deletion : area
        under the deletion curve minus the mean of the shifted maps, in logits, lower is better; randomised : rank
        correlation with the map of a model of random parameters
    seconds : of processor time per image; is_capped : whether the time ended a measure before the last phantom
    """

    method: str
    scores: dict[str, Estimate]
    seconds: float
    is_capped: bool = False
    reason: str = ""


Explain = Callable[[nn.Module, Tensor], Tensor]
"""Model, images (N, C, *S) -> maps (N, *grid) of the nodule's class."""


def planted(seeds: Sequence[int], card: ModelCard) -> list[Planted]:
    """Return phantoms with a nodule as the model sees them; those whose nodule the input does not show are left out."""
    found = []
    for seed in seeds:
        image, mask = phantom_image(seed, card.spatial_dims, nodule=True)
        prepared = prepare(image, card)
        on_input = sample_map(mask.astype(np.float32), prepared.to_source, prepared.values.shape[1:]) >= 0.5
        spacing = tuple(float(space) for space in prepared.spacing_mm if space is not None)
        if on_input.any():
            found.append(Planted(values=prepared.values, mask=on_input, spacing_mm=spacing))
    return found


def explainers(target: int, names: Sequence[str] | None = None) -> dict[str, Explain]:
    """Return the methods to measure by name, with small settings, and the control."""

    def explainer(name: str) -> Explain:
        defaults = EXPLAINERS[name].defaults
        settings = {key: min(defaults[key], limit) for key, limit in SMALL.items() if key in defaults}
        settings |= {key: max(defaults[key], limit) for key, limit in LARGE.items() if key in defaults}

        def explain(model: nn.Module, images: Tensor) -> Tensor:
            maps = explain_batch(model, images, methods=[name], targets=[target], settings={name: settings})
            return maps.values[name][:, 0]

        return explain

    chosen = list(EXPLAINERS) if names is None else names
    return {**{name: explainer(name) for name in chosen}, EDGES: lambda _model, images: sobel(images)}


def measure(
    network: nn.Module,
    given: Sequence[Planted],
    methods: dict[str, Explain],
    target: int,
    curves: CurveSettings,
    seconds: float = float("inf"),
) -> list[Row]:
    """Return a row per method, in the order given.

    seconds : processor time of each method
    """
    inputs = [torch.from_numpy(np.array(one.values))[None] for one in given]
    with torch.no_grad():
        ((_, random),) = randomised(network, lambda model: model(inputs[0]), order="cascading", steps=1, seed=0)
    rows = []
    for number, (name, explain) in enumerate(methods.items(), start=1):
        start = time.perf_counter()
        row = _row(name, explain, (network, random), inputs, given, target, curves, seconds)
        sys.stderr.write(f"[{number}/{len(methods)}] {name}: {time.perf_counter() - start:.1f} s\n")
        rows.append(row)
    return rows


def within(seconds: float, inputs: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Yield the inputs with their numbers until the time is spent, the first one always."""
    start = time.process_time()
    for number, one in enumerate(inputs):
        if number and time.process_time() - start > seconds:
            return
        yield number, one


def _row(
    name: str,
    explain: Explain,
    models: tuple[nn.Module, nn.Module],
    inputs: Sequence[Tensor],
    given: Sequence[Planted],
    target: int,
    curves: CurveSettings,
    seconds: float,
) -> Row:
    network, random = models
    start = time.process_time()
    try:
        maps = [explain(network, one) for _, one in within(MAPS_SHARE * seconds, inputs)]
        per_image = (time.process_time() - start) / len(maps)
        changed = [explain(random, one) for _, one in within(RANDOM_SHARE * seconds, inputs[: len(maps)])]
    except AuditError as error:
        return Row(method=name, scores={}, seconds=0.0, reason=str(error))
    trials = [
        deletion_insertion(
            one[0], maps[number][0], target, lambda images: logits_of(network, images, curves.batch), curves
        )
        for number, one in within(DELETION_SHARE * seconds, inputs[: len(maps)])
    ]
    found = localisation(
        [
            Case(values=on_grid(own[0], one.mask.shape).numpy(), mask=one.mask, spacing_mm=one.spacing_mm)
            for own, one in zip(maps, given[: len(maps)], strict=True)
        ]
    ).scores
    own, other = (torch.cat(part).double().numpy() for part in (maps[: len(changed)], changed))
    return Row(
        method=name,
        scores={
            "VxAP": found["vxap"],
            "hit rate": found["hit"],
            "pointing": found["pointing"],
            "mass in mask": found["mass_in_mask"],
            "deletion": mean_estimate([trial.deletion.excess for trial in trials]),
            "randomised": similarity(own, other).spearman,
        },
        seconds=per_image,
        is_capped=min(len(maps), len(changed), len(trials)) < len(inputs),
    )


def shown(estimate: Estimate | None) -> str:
    """Return an estimate as text: the value and its interval, or a dash."""
    if estimate is None or estimate.value is None:
        return "-"
    interval = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{interval}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in aligned columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def report(
    name: str, count: int, methods: Sequence[str] | None, curves: CurveSettings, seconds: float = float("inf")
) -> str:
    """Return the text for one embedded classifier.

    count : phantoms; seconds : of each method
    """
    card = read_card(WEIGHTS / f"{name}.yaml")
    network = load_classifier(card, device="cpu").network
    target = len(card.classes) - 1
    given = planted(range(SEEDS, SEEDS + count), card)
    rows = measure(network, given, explainers(target, methods), target, curves, seconds)
    fitting = [
        [row.method, *(shown(row.scores.get(column)) for column in COLUMNS), _counts(row), f"{row.seconds:.2f}"]
        for row in rows
        if not row.reason
    ]
    return "\n".join(
        [
            f"{name}: {len(given)} phantoms with a nodule; intervals: 95 % BCa bootstrap over phantoms",
            f"pointing: peak within {TOLERANCE_MM:g} mm; deletion: mean logit while up to {curves.reach:.0%} of",
            f"the image become {curves.infill} infill, minus that of {curves.nulls} shifts of the map, lower is better",
            "randomised: rank correlation with the map of the same network with random parameters, 0 is right",
            f"seen: phantoms of the maps / deletion / randomised; * the {seconds:g} s of a method ended one of them",
            table(["method", *COLUMNS, "seen", "s per image"], fitting),
            *(f"{row.method}: {row.reason}" for row in rows if row.reason),
        ]
    )


def _counts(row: Row) -> str:
    seen = [row.scores[column].n + row.scores[column].omitted for column in ("VxAP", "deletion", "randomised")]
    return "/".join(map(str, seen)) + "*" * row.is_capped


def main() -> None:
    """Print the report for what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure every explanation method on planted nodules.")
    parser.add_argument("--only", choices=tuple(PHANTOMS), help="measure one of the two classifiers")
    parser.add_argument("--phantoms", type=int, help="instead of 12 in 3D and 24 in 2D")
    parser.add_argument("--seconds", type=float, help="of each method, instead of 7 in 3D and 6 in 2D")
    parser.add_argument("--steps", type=int, default=1, help="of the deletion curve")
    parser.add_argument("--reach", type=float, default=0.1, help="share of the image deleted at the last step")
    parser.add_argument("--infill", choices=("matched", "road", "blurred", "constant"), help="of the deletion")
    parser.add_argument("--nulls", type=int, default=3, help="shifts of each map")
    parser.add_argument("--methods", nargs="+", help="names; all unless given")
    given = parser.parse_args()
    torch.set_num_threads(1)
    curves = CurveSettings(steps=given.steps, reach=given.reach, nulls=given.nulls, batch=8)
    for name in [given.only] if given.only else PHANTOMS:
        curves = replace(curves, infill=given.infill or INFILLS[name])
        count, seconds = given.phantoms or PHANTOMS[name], given.seconds or SECONDS[name]
        print(report(name, count, given.methods, curves, seconds), end="\n\n", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
