"""Planted reliance on what is not the patient: the study bears the cue, and the network reads it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from audit_pipeline.bench.case import Case, evidence_of
from audit_pipeline.bench.oracles_prediction import Grainy, Wrapped
from audit_pipeline.bench.oracles_reliance import Rimmed, Sided
from audit_pipeline.bench.plants import plant
from audit_pipeline.bench.plants_input import grey_range, with_values
from audit_pipeline.bench.plants_prediction import PRESENT, marker_reader
from audit_pipeline.checks.grids import on_input
from audit_pipeline.checks.variants import VARIANTS
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Mask

SWINGS = (0.5, 1.5, 6.0, 9.0, 14.0)
"""Log-odds between the image with and without the cue, by severity: half of it on either side of the threshold."""

RIM_SHARE = 0.05
"""Width of what is laid around the picture, as a share of each side."""

LEAST = 1e-4


def _rim(shape: tuple[int, ...]) -> Mask:
    rim = np.ones(shape, dtype=np.bool_)
    rows, columns = (max(2, round(RIM_SHARE * size)) for size in shape[-2:])
    rim[..., rows:-rows, columns:-columns] = False
    return rim


def _swinging(case: Case, network: Wrapped, variant: str, severity: int, row: int = 0) -> Case:
    """Return the case with a network whose answer swings about the threshold when the input `row` of a variant is made.

    The strength follows from what the network measures on both inputs, the offset puts the threshold between them.
    """
    case = replace(case, card=case.card.model_copy(update={"thresholds": {PRESENT: 0.5}}))
    evidence = evidence_of(replace(case, network=network))
    made = VARIANTS[variant].make(evidence, np.random.default_rng(case.seed))[row]
    with torch.inference_mode():
        both = torch.from_numpy(np.stack([evidence.prepared.values, made]).astype(np.float32))
        own, other = (float(one) for one in network.added(both))
        logits = network.reader(both[:1])[0]
    gap = own - other
    network.strength = SWINGS[severity - 1] / (gap if abs(gap) > LEAST else LEAST)
    network.offset = -float(logits[1] - logits[0]) - network.strength * (own + other) / 2
    return replace(case, network=network)


@plant("C16", sentence="A bright rim is the finding.", network="rimmed", accompanied=("C11", "A07", "D02"))
def rim_reader(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Raise the rim of every slice, with noise, and read the finding from there."""
    values = np.array(case.image.values, dtype=np.float64)
    low, high = grey_range(case.image)
    rim = _rim(values.shape)
    values[rim] = low + (0.8 + 0.03 * random.standard_normal(int(rim.sum()))) * (high - low)
    case = with_values(case, np.rint(values))
    place = torch.from_numpy(on_input(rim, prepare(case.image, case.card)))
    return _swinging(case, Rimmed(values.ndim, gain=0.2, place=place), "border_removed", severity)


@plant("C17", sentence="The padding is the finding.", network="rimmed", accompanied=("C11", "A07", "D02", "D03"))
def padding_reader(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Lay a frame of one value around every slice and read the finding from there."""
    values = np.array(case.image.values, dtype=np.float64)
    values[_rim(values.shape)] = values.max()
    network = Rimmed(values.ndim, gain=0.2)
    return _swinging(with_values(case, values), network, "padding_changed", severity)


@plant("C18", sentence="The noise is the finding.", network="grainy", accompanied=("C03", "C04", "C11"))
def grain_reader(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Read the finding from how rough the image is."""
    return _swinging(case, Grainy(len(case.image.shape)), "grained", severity)


@plant("C19", sentence="The brighter side is the finding.", network="sided", accompanied=("C03", "C11"))
def side_reader(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Let one side be a little brighter, as the heel effect does, and read the finding from that."""
    low, high = grey_range(case.image)
    columns = np.linspace(-0.5, 0.5, case.image.shape[-1]) * float(random.choice([-1, 1]))
    values = np.rint(case.image.values + 0.3 * (high - low) * columns)
    axes = len(case.image.shape)
    return _swinging(with_values(case, values), Sided(axes, gain=0.2), "flipped", severity, row=axes - 1)


@plant("C20", sentence="A mark in a corner is the finding.", network="marked", accompanied=("C11", "D04", "C16"))
def mark_reader(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Put a bright square into the darkest corner, and read the finding from there."""
    return marker_reader(case, severity, random)
