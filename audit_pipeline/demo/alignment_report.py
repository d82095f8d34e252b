"""Where the cells of a layer lie, measured on planted nodules: ``python -m audit_pipeline.demo.alignment_report``.

For one layer per grid of the embedded 3D and 2D classifiers it prints how much better HiResCAM finds the nodule when
cells are placed by the centres of their receptive fields instead of by even tiling: paired over phantoms, with
intervals. `explain.place` chooses by what this prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.card import read_card
from audit_pipeline.demo.audit import WEIGHTS
from audit_pipeline.demo.methods_report import SEEDS, Planted, planted, shown, table
from audit_pipeline.errors import AuditError
from audit_pipeline.explain.engine import explain_batch
from audit_pipeline.explain.intervals import Estimate, mean_estimate
from audit_pipeline.explain.layers import Candidate, candidates
from audit_pipeline.explain.localisation import Case, localise
from audit_pipeline.explain.place import peak_centre
from audit_pipeline.explain.receptive import receptive_fields
from audit_pipeline.geometry import half_pixel_map
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.records import Floats, Matrix
from audit_pipeline.resampling import sample_placed

PHANTOMS = {"ct_3d": 48, "cxr_2d": 96}
"""How many are measured unless the command line asks for another number."""

HEAD = ("layer", "grid", "cell pixels", "apart in cells", "AUPRC tiled", "AUPRC gained", "peak farther by mm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What placing the cells of one layer by receptive fields gains over even tiling.

    cell_pixels : edge of a cell along the first axis; apart : largest distance between the two places of the middle
    cell, in cells; precision : difference in average precision over voxels, above 0 where receptive fields are better;
    distance_mm : difference in the distance of the mass-weighted peak from the nodule, below 0 where they are better
    """

    layer: str
    grid: tuple[int, ...]
    cell_pixels: float
    apart: float
    tiled: Estimate
    precision: Estimate
    distance_mm: Estimate
    reason: str = ""


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
    even = half_pixel_map(layer.grid, given[0].mask.shape)
    edge = float(even[0, 0])
    try:
        fields = receptive_fields(network, layer.name, inputs[0]).to_input()
        maps = [
            explain_batch(network, one, methods=["hirescam"], layer=layer.name, targets=[target]).values["hirescam"]
            for one in inputs
        ]
    except AuditError as error:
        none = mean_estimate([])
        return Placement(
            layer=layer.name, grid=layer.grid, cell_pixels=edge, apart=0.0,
            tiled=none, precision=none, distance_mm=none, reason=str(error),
        )  # fmt: skip
    scores = np.array(
        [
            [_placed(own[0, 0].numpy(), matrix, one) for matrix in (even, fields)]
            for own, one in zip(maps, given, strict=True)
        ]
    )
    gains = scores[:, 1] - scores[:, 0]
    middle = np.array([*(cells // 2 for cells in layer.grid), 1])
    return Placement(
        layer=layer.name,
        grid=layer.grid,
        cell_pixels=edge,
        apart=float(np.abs(((fields - even) @ middle)[:-1] / np.diag(even)[:-1]).max()),
        tiled=mean_estimate(scores[:, 0, 0].tolist()),
        precision=mean_estimate(gains[:, 0].tolist()),
        distance_mm=mean_estimate([float(gain) for gain in gains[:, 1] if np.isfinite(gain)]),
    )


def _placed(values: Floats, to_input: Matrix, one: Planted) -> tuple[float, float]:
    """Return the average precision of a map placed so, and the distance of its peak in mm; NaN without a peak."""
    shape = one.mask.shape
    on_input = sample_placed(values, to_input, shape, np.eye(len(shape) + 1), shape)
    precision = localise(Case(values=on_input, mask=one.mask, spacing_mm=None)).auprc
    centre = peak_centre(values)
    assert precision is not None
    if centre is None:
        return precision, float("nan")
    place = to_input[:-1, :-1] @ centre + to_input[:-1, -1]
    return precision, float(np.linalg.norm((place - np.argwhere(one.mask).mean(axis=0)) * one.spacing_mm))


def report(name: str, count: int) -> str:
    """Return the text for one embedded classifier."""
    card = read_card(WEIGHTS / f"{name}.yaml")
    given = planted(range(SEEDS, SEEDS + count), card)
    network = load_classifier(card, device="cpu").network
    found = placements(network, given, len(card.classes) - 1)
    rows = [
        [
            one.layer, "x".join(map(str, one.grid)), f"{one.cell_pixels:g}", f"{one.apart:.2f}",
            shown(one.tiled), shown(one.precision), shown(one.distance_mm),
        ]
        for one in found
    ]  # fmt: skip
    return "\n".join(
        [
            f"{name}: {len(given)} phantoms with a nodule, HiResCAM per layer; 95 % BCa bootstrap over pairs",
            "cells placed by receptive-field centres instead of even tiling: AUPRC gained, peak farther off in mm",
            table(HEAD, rows),
            *(f"{one.layer}: {one.reason}" for one in found if one.reason),
        ]
    )


def main() -> None:
    """Print the report for what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure where the cells of a layer lie, on planted nodules.")
    parser.add_argument("--only", choices=tuple(PHANTOMS), help="measure one of the two classifiers")
    parser.add_argument("--phantoms", type=int, help="instead of 48 in 3D and 96 in 2D")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in [given.only] if given.only else PHANTOMS:
        print(report(name, given.phantoms or PHANTOMS[name]), end="\n\n", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
