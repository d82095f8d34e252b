"""Planted faults of the prediction: outputs, stability, dependence on the image, agreement with labelled studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.oracles_prediction import (
    Answering,
    BatchNormed,
    Grainy,
    Marked,
    Placed,
    Steep,
    Striding,
    Thinned,
    Wrapped,
    roughness,
)
from audit_pipeline.bench.plants import plant
from audit_pipeline.checks.inpaint import noise_level
from audit_pipeline.evidence import Evidence, Reference
from audit_pipeline.geometry import inverse, transform_points
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Floats, Image, Matrix, PartScores, Prepared, Task

PRESENT = "present"
"""The class of the hand-written networks that asserts a finding."""


def _inputs(case: Case) -> Tensor:
    return torch.from_numpy(np.array(prepare(case.image, case.card).values[None]))


def _evidence(network: nn.Module, images: Tensor) -> float:
    """Return the logit of class 1 over class 0."""
    with torch.inference_mode():
        logits = network.eval()(images)
    return float(logits[0, 1] - logits[0, 0])


def _with_threshold(case: Case, threshold: float) -> Case:
    return replace(case, card=case.card.model_copy(update={"thresholds": {PRESENT: threshold}}))


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _sized(severity: int, sizes: tuple[float, float, float, float, float]) -> float:
    return sizes[severity - 1]


@plant("C01", sentence="The probability lies near the operating point.", network="brightness", accompanied=("C02",))
def at_the_threshold(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Shift the evidence so that the probability is 0.3 plus or minus a little."""
    gap = _sized(severity, (0.2, 0.08, 0.04, 0.015, 0.004)) * float(random.choice([-1, 1]))
    network = Wrapped(len(case.card.network_size))
    network.offset = _logit(0.3 + gap) - _evidence(network, _inputs(case))
    return replace(_with_threshold(case, 0.3), network=network)


@plant("C02", sentence="Two classes are almost equally probable.", network="brightness")
def undecided(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Shift the evidence so that the two probabilities differ by little."""
    lead = _sized(severity, (0.4, 0.2, 0.08, 0.03, 0.005))
    network = Wrapped(len(case.card.network_size))
    network.offset = _logit((1 + lead) / 2) - _evidence(network, _inputs(case))
    return replace(case, network=network)


@plant("C03", sentence="A stride aliases: every second column counts.", network="striding", accompanied=("C04",))
def aliasing_stride(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Add a sign that a shift of one column turns, about an undecided answer."""
    images, network = _inputs(case), Striding(len(case.card.network_size))
    network.offset = -_evidence(network, images)
    network.strength = _sized(severity, (0.1, 0.5, 2.0, 4.0, 8.0))
    return replace(case, network=network)


@plant("C03", sentence="The answer depends on where the body lies.", network="placed", accompanied=("C04",))
def position_bias(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Add the place of the centre of mass, with the operating point a quarter of a per cent beside it."""
    images, network = _inputs(case), Placed(len(case.card.network_size))
    network.offset = -_evidence(network, images)
    network.strength = 1.0
    with torch.inference_mode():
        own = float(network.added(images)) / 1000 + network.centre
    network.centre = own + 0.0025 * float(random.choice([-1, 1]))
    network.strength = _sized(severity, (0.02, 0.1, 0.5, 1.0, 2.0))
    return replace(case, network=network)


@plant("C04", sentence="The answer is read from the noise.", network="grainy", accompanied=("C03",))
def noise_reader(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Add the roughness above a level that faint noise reaches."""
    images, network = _inputs(case), Grainy(len(case.card.network_size))
    network.offset = -_evidence(network, images)
    faint = images + torch.from_numpy(random.standard_normal(images.shape).astype(np.float32)) / 512
    own, risen = float(roughness(images)), float(roughness(faint))
    network.level = own + 0.3 * (risen - own)
    network.strength = _sized(severity, (0.1, 0.5, 3.0, 6.0, 12.0)) / (risen - own)
    return replace(case, network=network)


@plant("C05", sentence="A faint checkerboard turns the decision.", network="steep", level="deep", accompanied=("C04",))
def huge_weights(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Give a checkerboard weights at which a step of a share of the noise turns the decision."""
    prepared = prepare(case.image, case.card)
    images, network = torch.from_numpy(np.array(prepared.values[None])), Steep(len(case.card.network_size))
    sigma = noise_level(prepared.values[0], prepared.inside) or 0.01
    share = _sized(severity, (2.0, 0.9, 0.2, 0.1, 0.05))
    margin = 2.0
    network.strength = margin / (share * sigma * images.numel())
    with torch.inference_mode():
        network.offset = margin - _evidence(network.reader, images) - network.strength * float(network.added(images))
    return replace(case, network=network)


@plant("C07", sentence="Dropout was left on.", network="thinned", accompanied=("C03", "C04"))
def dropout_left_on(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Drop a share of the cells at every pass."""
    network = Thinned(len(case.card.network_size), gain=4.0)
    network.strength = _sized(severity, (0.01, 0.03, 0.1, 0.2, 0.5))
    return replace(case, network=network)


@plant("C07", sentence="Batch statistics were left on.", network="batch_normed", accompanied=("C03", "C04"))
def batch_statistics(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Take a share of the mean over the batch from the logits."""
    network = BatchNormed(len(case.card.network_size), gain=4.0)
    network.strength = _sized(severity, (0.01, 0.03, 0.1, 0.3, 1.0))
    return replace(case, network=network)


@plant("C08", sentence="The model returns probabilities instead of logits.", network="brightness", has_severity=False)
def softmax_twice(case: Case, _severity: int, _random: np.random.Generator) -> Case:
    """Send the logits through a softmax already."""
    return replace(case, network=Answering(case.network, lambda logits: torch.softmax(logits, dim=1)))


@plant("C08", sentence="A sigmoid is applied twice.", network="labels", has_severity=False)
def sigmoid_twice(case: Case, _severity: int, _random: np.random.Generator) -> Case:
    """Declare five labels for a model that applies the sigmoid itself."""
    card = case.card.model_copy(update={"task": Task.MULTILABEL, "classes": ["a", "b", "c", "d", "e"]})
    return replace(case, card=card)


@plant("C08", sentence="The logits are far too large.", network="brightness")
def exploded_logits(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Add to the larger logit and take from the smaller."""
    size = _sized(severity, (15.0, 25.0, 40.0, 80.0, 300.0))

    def exploded(logits: Tensor) -> Tensor:
        return logits + size * torch.sign(logits - logits.mean(dim=1, keepdim=True))

    return replace(case, network=Answering(case.network, exploded))


def _labelled(case: Case, logits: Matrix, truth: NDArray[np.int64]) -> Case:
    """Attach a reference of labelled studies whose features are those of no layer."""
    size = len(truth)
    labels = tuple(case.card.classes[int(place)] for place in truth)
    empty = np.zeros((size, 1), dtype=np.float32)
    known = Reference(
        features=empty, intensities=np.zeros((size, 4), dtype=np.float32), digest="planted",
        logits=logits.astype(np.float32), labels=labels,
    )  # fmt: skip
    return replace(case, reference=known)


def _logits_of(evidence: Matrix) -> Matrix:
    return np.asarray(np.stack([-evidence, evidence], axis=1) / 2)


@plant("C09", sentence="The classes are named in another order than the outputs.", network="brightness")
def classes_swapped(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Label the reference studies of a model of growing skill against its outputs."""
    truth = random.integers(0, 2, 200)
    skill = _sized(severity, (0.05, 0.2, 1.0, 2.0, 4.0))
    evidence = skill * (1 - 2 * truth) + random.standard_normal(truth.size)
    return _labelled(case, _logits_of(evidence), truth)


@plant("C13", sentence="No label conforms to the labelled studies.", network="brightness", accompanied=("C02",))
def nonconforming(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Attach the labelled studies of a model that is surer than the one that answers."""
    truth = random.integers(0, 2, 300)
    sure = _sized(severity, (0.0, 1.0, 4.0, 6.0, 8.0))
    evidence = (2 * truth - 1) * (sure + np.abs(random.standard_normal(truth.size)))
    return _labelled(case, _logits_of(evidence), truth)


@plant("C14", sentence="The probabilities are overconfident.", network="brightness", accompanied=("C13",))
def overconfident(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Divide the logits of a calibrated model by a temperature, in the reference and in the study."""
    temperature = _sized(severity, (0.9, 0.7, 0.35, 0.25, 0.15))
    true = random.normal(0, 1.2, 600)
    truth = (random.random(true.size) < 1 / (1 + np.exp(-true))).astype(np.int64)
    network = Wrapped(len(case.card.network_size))
    network.offset = float(random.choice([-1, 1])) / temperature - _evidence(network, _inputs(case))
    return replace(_labelled(case, _logits_of(true / temperature), truth), network=network)


@plant("C10", sentence="The answer is the bias, whatever the image.", network="brightness", accompanied=("C11",))
def bias_only(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Let the image add only a share of its evidence to a bias."""
    network = Wrapped(len(case.card.network_size), gain=_sized(severity, (1.0, 0.3, 0.05, 0.01, 0.0)))
    network.offset = 3.0 * float(random.choice([-1, 1]))
    return replace(case, network=network)


def _darkest_corner(values: Floats, random: np.random.Generator) -> tuple[slice, slice]:
    """Return rows and columns of a square near one corner, in from the edge by a fortieth."""
    ends = []
    for size in values.shape[-2:]:
        start, side = size // 40, max(2, size // 18)
        ends.append((slice(start, start + side), slice(size - start - side, size - start)))
    corners = [(rows, columns) for rows in ends[0] for columns in ends[1]]
    return min(corners, key=lambda one: float(values[..., one[0], one[1]].mean()) + 1e-6 * random.random())


def _place_of(corner: tuple[slice, slice], image: Image, prepared: Prepared) -> tuple[slice, ...]:
    """Return where a part of every slice of the image lies in the model input."""
    ends = np.asarray([[one.start for one in corner], [one.stop - 1 for one in corner]], dtype=np.float64)
    if image.values.ndim == 3:
        ends = np.column_stack([[0, image.shape[0] - 1], ends])
    found = np.sort(transform_points(inverse(prepared.to_source), ends), axis=0)
    sizes = prepared.values.shape[1:]
    return tuple(
        slice(max(0, round(low)), min(size, max(round(low), round(high)) + 1))
        for low, high, size in zip(*found.tolist(), sizes, strict=True)
    )


@plant("C11", sentence="The finding is read from a marker beside the body.", network="marked")
def marker_reader(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Put a bright square into the darkest corner, and read the finding from there."""
    values = np.array(case.image.values)
    rows, columns = _darkest_corner(values, random)
    values[..., rows, columns] = values.max()
    image = replace(case.image, values=values)
    prepared = prepare(image, case.card)
    place = _place_of((rows, columns), image, prepared)
    network = Marked(len(place), place)
    with torch.inference_mode():
        lit = float(network.added(torch.from_numpy(np.array(prepared.values[None]))))
        unlit = float(network.added(_inputs(case)))
    network.strength = _sized(severity, (0.5, 2.0, 8.0, 12.0, 20.0)) / max(lit - unlit, 0.05)
    network.offset = -network.strength * (lit + unlit) / 2
    return replace(_with_threshold(replace(case, image=image), 0.5), network=network)


@plant("C12", sentence="One slice alone makes the finding.", network="brightness", dimensions=(3,))
def lone_slice(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Let one slice answer far above its neighbours, as a corrupted slice does, and take the largest as the answer."""
    height = _sized(severity, (0.2, 0.8, 2.0, 4.0, 8.0))
    count = case.image.shape[0]
    evidence = random.normal(-3.0, 0.3, count)
    evidence[int(random.integers(1, count - 1))] = height
    return replace(_with_threshold(case, 0.5), spoil=_read_by_slices(evidence))


def _read_by_slices(evidence: Matrix) -> Callable[[Evidence], Evidence]:
    """Return what makes a study one that was read slice by slice, with `evidence` for class 1 in each slice."""

    def spoil(given: Evidence) -> Evidence:
        both = {name: tuple((sign * evidence / 2).tolist()) for name, sign in (("absent", -1), (PRESENT, 1))}
        places = [int(evidence.argmax())]
        parts = PartScores(
            kind="slice", rule="the largest", logits=both, counted={name: tuple(places) for name in both},
            centres=tuple((float(place), 0.0, 0.0) for place in range(evidence.size)), axis=0,
        )  # fmt: skip
        top = float(evidence.max())
        chance = 1 / (1 + np.exp(-top))
        prediction = replace(
            given.prediction, parts=parts, logits=(-top / 2, top / 2), probabilities=(1 - chance, chance),
            predicted=(PRESENT,),
        )  # fmt: skip
        return replace(given, prediction=prediction)

    return spoil
