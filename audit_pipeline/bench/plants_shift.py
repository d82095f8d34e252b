"""Planted shifts: studies unlike those a model was characterised on, in look, grey values, acquisition and answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.oracles_prediction import Answering
from audit_pipeline.bench.plants import plant
from audit_pipeline.evidence import Evidence, Reference
from audit_pipeline.records import Floats, Image, Matrix, Task

ELSEWHERE = {"B01": ("B02", "B03", "B05", "B06", "B07"), "B03": ("B01", "B02", "B05", "B06", "B07")}


def _sized(severity: int, sizes: tuple[float, float, float, float, float]) -> float:
    return sizes[severity - 1]


def _known_range(image: Image) -> tuple[float, float]:
    """Return the range that most of the image fills."""
    low, high = np.percentile(image.values, (1, 99))
    return float(low), float(max(high, low + 1))


def _blended(case: Case, other: Matrix, weight: float) -> Case:
    low, high = _known_range(case.image)
    values = (1 - weight) * case.image.values + weight * (low + (high - low) * other)
    return replace(case, image=replace(case.image, values=values.astype(np.float32)))


@plant("B01", sentence="The image shows something else: a texture of blobs.", accompanied=ELSEWHERE["B01"])
def other_anatomy(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Blend the image with a random field of blobs over its whole range."""
    field = gaussian_filter(random.standard_normal(case.image.values.shape), sigma=max(case.image.shape) / 20)
    other = np.clip(0.5 + 0.35 * field / field.std(), 0, 1)
    return _blended(case, other, _sized(severity, (0.1, 0.3, 0.6, 0.8, 1.0)))


@plant("B01", sentence="The image is noise.", accompanied=ELSEWHERE["B01"])
def only_noise(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Blend the image with noise that differs from voxel to voxel."""
    return _blended(case, random.random(case.image.values.shape), _sized(severity, (0.02, 0.1, 0.4, 0.7, 1.0)))


@plant("B02", sentence="The model answers far more strongly than ever.", accompanied=("B07", "C08"))
def too_strong(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Move the logits away from the middle, as a head that lost its scale does."""
    size = _sized(severity, (1.0, 3.0, 12.0, 18.0, 26.0))

    def stronger(logits: Tensor) -> Tensor:
        own = logits - logits.mean(dim=1, keepdim=True) if logits.shape[1] > 1 else logits
        return logits + size * torch.sign(own)

    return replace(case, network=Answering(case.network, stronger))


@plant("B03", sentence="A foreign object lies in the image.", accompanied=(*ELSEWHERE["B03"], "C03", "C04"))
def foreign_object(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Paste a ball into the middle of the image, of metal or of air, whichever differs more from what is there."""
    values = np.array(case.image.values)
    reach = _sized(severity, (0.03, 0.05, 0.12, 0.17, 0.22)) * min(values.shape[-2:])
    spacing = [side or 1.0 for side in case.image.spacing_mm]
    centre = [size * random.uniform(0.35, 0.65) for size in values.shape]
    places = np.meshgrid(*(np.arange(size) for size in values.shape), indexing="ij", sparse=True)
    distance = np.sqrt(
        sum(((place - middle) * side / spacing[-1]) ** 2
            for place, middle, side in zip(places, centre, spacing, strict=True))
    )  # fmt: skip
    low, high = (-1000.0, 3000.0) if values.ndim == 3 else (float(values.min()), float(values.max()))
    ball = distance <= reach
    there = np.clip(values[ball], *_known_range(case.image)).mean()
    middle = sum(_known_range(case.image)) / 2
    values[ball] = high if there < middle else low
    return replace(case, image=replace(case.image, values=values))


@plant("B04", sentence="A scanner that no reference study came from.")
def unseen_scanner(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Name another manufacturer, and from severity 3 on a tube voltage beyond the range of the reference."""
    image = replace(case.image, metadata={**case.image.metadata, "Manufacturer": f"UNSEEN {random.integers(1000)}"})
    if severity >= 3:
        image = replace(image, metadata={**image.metadata, "KVP": 60.0 + 10 * severity})
    known = case.reference or Reference(
        features=np.zeros((120, 1), dtype=np.float32),
        intensities=np.zeros((120, 4), dtype=np.float32),
        digest="planted",
    )
    size = len(known.features)
    makers = tuple(("MAKER A", "MAKER B", "MAKER C")[place % 3] for place in range(size))
    voltages = tuple(float(random.choice([110.0, 120.0, 130.0])) for _ in range(size))
    header = {**known.header, "Manufacturer": makers, "KVP": voltages}
    return replace(case, image=image, reference=replace(known, header=header))


@plant("B05", sentence="The grey values are bent by a gamma.", accompanied=("B01", "B02", "B03", "B06", "B07"))
def bent_greys(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Raise the grey values, scaled to their range, to a power."""
    exponent = _sized(severity, (1.05, 1.2, 1.8, 2.2, 3.0)) ** float(random.choice([-1, 1]))
    low, high = _known_range(case.image)
    if case.image.values.ndim == 3:
        low, high = -1000.0, 300.0
    scaled = np.clip((case.image.values - low) / (high - low), 0, 1) ** exponent
    return replace(case, image=replace(case.image, values=(low + (high - low) * scaled).astype(np.float32)))


def _far_features(case: Case, severity: int) -> Floats:
    """Return features as far from the reference as the severity says, in its standard deviations."""
    known = np.zeros((2, 1), dtype=np.float32) if case.reference is None else case.reference.features
    spread = np.maximum(known.std(axis=0), 1e-6)
    return np.asarray(known.mean(axis=0) + _sized(severity, (1.0, 2.0, 8.0, 20.0, 80.0)) * spread, dtype=np.float32)


@plant("B06", sentence="Only the features are unusual.", accompanied=("B01", "B07"))
def features_alone(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Give the study strange features and the most ordinary logits, and leave the thumbnails of the reference out."""
    features = _far_features(case, severity)

    def spoil(given: Evidence) -> Evidence:
        known = given.reference
        if known is None or known.logits is None:
            return given
        certainty = np.abs(known.logits[:, -1] - (known.logits[:, 0] if known.logits.shape[1] > 1 else 0))
        ordinary = known.logits[int(np.argsort(certainty)[len(certainty) // 2])]
        prediction = replace(given.prediction, features=tuple(features.tolist()), logits=tuple(ordinary.tolist()))
        return replace(given, prediction=prediction, reference=replace(known, thumbnails=None))

    return replace(case, spoil=spoil)


@plant("B07", sentence="The model is sure about a study with features unlike any.", accompanied=("B01", "B02", "B06"))
def sure_outlier(case: Case, severity: int, _random: np.random.Generator) -> Case:
    """Give the study strange features and a probability of 0.99."""
    features = _far_features(case, severity)

    def spoil(given: Evidence) -> Evidence:
        sure = (0.01,) * (len(given.prediction.classes) - 1) + (0.99,)
        if given.prediction.task is Task.MULTILABEL:
            sure = (0.99,) * len(given.prediction.classes)
        logits = tuple(float(np.log(chance / (1 - chance))) for chance in sure)
        prediction = replace(
            given.prediction, features=tuple(features.tolist()), probabilities=sure, logits=logits
        )  # fmt: skip
        return replace(given, prediction=prediction)

    return replace(case, spoil=spoil)
