"""Every explanation method on phantoms with a planted nodule: ``python -m audit_pipeline.demo.methods_report``.

For the embedded 3D and 2D classifiers it prints, per registered method, how well the map finds the nodule, how much
more deletion hurts than with shifted maps, what is left of the map when the model's parameters are random, and the
time. The edge magnitude of the image is the control that must lose. A second table asks, per layer, whether cells are
better placed by even tiling of the image or by the centres of their receptive fields.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import ModelCard, read_card
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.examples import phantom_image
from audit_pipeline.errors import AuditError
from audit_pipeline.explain.engine import explain_batch
from audit_pipeline.explain.faithfulness import CurveSettings, deletion_insertion, on_grid
from audit_pipeline.explain.forward import logits_of
from audit_pipeline.explain.intervals import Estimate, mean_estimate
from audit_pipeline.explain.layers import Candidate, candidates
from audit_pipeline.explain.localisation import TOLERANCE_MM, Case, localisation, localise
from audit_pipeline.explain.methods import EXPLAINERS
from audit_pipeline.explain.place import peak_centre
from audit_pipeline.explain.randomisation import randomised, similarity, sobel
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.geometry import half_pixel_map, inverse
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Floats, Mask, Matrix
from audit_pipeline.resampling import sample_map

SEEDS = 60_000
"""First seed of the phantoms; those of training, reference, evaluation and tests lie elsewhere."""

SMALL = {"samples": 64, "draws": 8, "steps": 16}
"""Upper limits of settings that multiply the cost; a method's own default holds where it is lower."""

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
    seconds : per image
    """

    method: str
    scores: dict[str, Estimate]
    seconds: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What placing the cells of one layer by receptive fields gains over even tiling.

    precision : difference in average precision over voxels, above 0 where receptive fields are better; distance_mm :
    difference in the distance of the mass-weighted peak from the nodule, below 0 where they are better
    """

    layer: str
    grid: tuple[int, ...]
    tiled: Estimate
    precision: Estimate
    distance_mm: Estimate
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

        def explain(model: nn.Module, images: Tensor) -> Tensor:
            maps = explain_batch(model, images, methods=[name], targets=[target], settings={name: settings})
            return maps.values[name][:, 0]

        return explain

    chosen = [name for name, one in EXPLAINERS.items() if one.kind == "cam"] if names is None else names
    return {**{name: explainer(name) for name in chosen}, EDGES: lambda _model, images: sobel(images)}


def measure(
    network: nn.Module, given: Sequence[Planted], methods: dict[str, Explain], target: int, curves: CurveSettings
) -> list[Row]:
    """Return a row per method, in the order given."""
    inputs = [torch.from_numpy(np.array(one.values))[None] for one in given]
    with torch.no_grad():
        ((_, random),) = randomised(network, lambda model: model(inputs[0]), order="cascading", steps=1, seed=0)
    rows = []
    for number, (name, explain) in enumerate(methods.items(), start=1):
        rows.append(_row(name, explain, (network, random), inputs, given, target, curves))
        sys.stderr.write(f"[{number}/{len(methods)}] {name}\n")
    return rows


def _row(
    name: str,
    explain: Explain,
    models: tuple[nn.Module, nn.Module],
    inputs: Sequence[Tensor],
    given: Sequence[Planted],
    target: int,
    curves: CurveSettings,
) -> Row:
    network, random = models
    start = time.perf_counter()
    try:
        maps = [explain(network, one) for one in inputs]
        seconds = (time.perf_counter() - start) / len(inputs)
        changed = [explain(random, one) for one in inputs]
    except AuditError as error:
        return Row(method=name, scores={}, seconds=0.0, reason=str(error))
    trials = [
        deletion_insertion(one[0], own[0], target, lambda images: logits_of(network, images, curves.batch), curves)
        for one, own in zip(inputs, maps, strict=True)
    ]
    found = localisation(
        [
            Case(values=on_grid(own[0], one.mask.shape).numpy(), mask=one.mask, spacing_mm=one.spacing_mm)
            for own, one in zip(maps, given, strict=True)
        ]
    ).scores
    own, other = (torch.cat(list(part)).double().numpy() for part in (maps, changed))
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
        seconds=seconds,
    )


def placements(network: nn.Module, given: Sequence[Planted], target: int) -> list[Placement]:
    """Return, per layer that ends a stage, how even tiling and receptive-field centres compare on HiResCAM maps."""
    inputs = [torch.from_numpy(np.array(one.values))[None] for one in given]
    ends: dict[tuple[int, ...], Candidate] = {
        one.grid: one for one in candidates(network, inputs[0]) if one.calls == 1 and min(one.grid) > 1
    }
    return [_placement(network, layer, inputs, given, target) for layer in ends.values()]


def _placement(
    network: nn.Module, layer: Candidate, inputs: Sequence[Tensor], given: Sequence[Planted], target: int
) -> Placement:
    try:
        fields = receptive_fields(network, layer.name, inputs[0]).to_input()
        maps = [
            explain_batch(network, one, methods=["hirescam"], layer=layer.name, targets=[target]).values["hirescam"]
            for one in inputs
        ]
    except AuditError as error:
        none = mean_estimate([])
        return Placement(
            layer=layer.name, grid=layer.grid, tiled=none, precision=none, distance_mm=none, reason=str(error)
        )
    even = half_pixel_map(layer.grid, given[0].mask.shape)
    scores = np.array(
        [
            [_placed(own[0, 0].numpy(), matrix, one) for matrix in (even, fields)]
            for own, one in zip(maps, given, strict=True)
        ]
    )
    gains = scores[:, 1] - scores[:, 0]
    return Placement(
        layer=layer.name,
        grid=layer.grid,
        tiled=mean_estimate(scores[:, 0, 0].tolist()),
        precision=mean_estimate(gains[:, 0].tolist()),
        distance_mm=mean_estimate([float(gain) for gain in gains[:, 1] if np.isfinite(gain)]),
    )


def _placed(values: Floats, to_input: Matrix, one: Planted) -> tuple[float, float]:
    """Return the average precision of a map placed so, and the distance of its peak in mm; NaN without a peak."""
    on_input = sample_map(values, inverse(to_input), one.mask.shape)
    precision = localise(Case(values=on_input, mask=one.mask, spacing_mm=None)).auprc
    centre = peak_centre(values)
    assert precision is not None
    if centre is None:
        return precision, float("nan")
    place = to_input[:-1, :-1] @ centre + to_input[:-1, -1]
    return precision, float(np.linalg.norm((place - np.argwhere(one.mask).mean(axis=0)) * one.spacing_mm))


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


def report(name: str, count: int, methods: Sequence[str] | None, curves: CurveSettings) -> str:
    """Return the text for one embedded classifier."""
    card = read_card(WEIGHTS / f"{name}.yaml")
    network = load_classifier(card, device="cpu").network
    target = len(card.classes) - 1
    given = planted(range(SEEDS, SEEDS + count), card)
    rows = measure(network, given, explainers(target, methods), target, curves)
    fitting = [
        [row.method, *(shown(row.scores.get(column)) for column in COLUMNS), f"{row.seconds:.2f}"]
        for row in rows
        if not row.reason
    ]
    left_out = [f"{row.method}: {row.reason}" for row in rows if row.reason]
    layers = [
        [one.layer, "x".join(map(str, one.grid)), shown(one.tiled), shown(one.precision), shown(one.distance_mm)]
        for one in placements(network, given, target)
    ]
    return "\n".join(
        [
            f"{name}: {len(given)} phantoms with a nodule; intervals: 95 % BCa bootstrap over phantoms",
            f"pointing: peak within {TOLERANCE_MM:g} mm; deletion: mean logit while up to {curves.reach:.0%} of",
            f"the image become {curves.infill} infill, minus that of {curves.nulls} shifts of the map, lower is better",
            "randomised: rank correlation with the map of the same network with random parameters, 0 is right",
            table(["method", *COLUMNS, "s per image"], fitting),
            *left_out,
            "",
            "HiResCAM per layer, cells placed by receptive-field centres instead of even tiling",
            table(["layer", "grid", "AUPRC tiled", "AUPRC gained", "peak farther by mm"], layers),
        ]
    )


def main() -> None:
    """Print the report for what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure every explanation method on planted nodules.")
    parser.add_argument("--only", choices=("ct_3d", "cxr_2d"), help="measure one of the two classifiers")
    parser.add_argument("--phantoms", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="of the deletion curve")
    parser.add_argument("--reach", type=float, default=0.1, help="share of the image deleted at the last step")
    parser.add_argument("--infill", choices=("road", "blurred", "constant"), default="road")
    parser.add_argument("--nulls", type=int, default=9, help="shifts of each map")
    parser.add_argument("--methods", nargs="+", help="names, or all; default are the CAM methods of the shared pass")
    given = parser.parse_args()
    torch.set_num_threads(1)
    methods = list(EXPLAINERS) if given.methods == ["all"] else given.methods
    curves = CurveSettings(steps=given.steps, reach=given.reach, infill=given.infill, nulls=given.nulls, batch=8)
    for name in [given.only] if given.only else ["ct_3d", "cxr_2d"]:
        print(report(name, given.phantoms, methods, curves), end="\n\n", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
