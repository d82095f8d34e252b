"""Prepared model inputs made from phantoms, for training and for measuring the embedded classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from audit_pipeline.card import ModelCard
from audit_pipeline.demo.phantom import phantom
from audit_pipeline.demo.radiograph import Radiograph, radiograph
from audit_pipeline.geometry import inverse, transform_points
from audit_pipeline.prepare import prepare
from audit_pipeline.records import Floats, Image, Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One model input: values (C, *S), whether there is a nodule, and where on the prepared grid."""

    values: Floats
    label: bool
    centre: tuple[float, ...] | None


def phantom_image(seed: int, dimensions: int, *, nodule: bool | None = None) -> tuple[Image, Mask]:
    """Return a phantom as the loader would deliver it, and the mask of its nodule, both on the source grid."""
    made = phantom(seed, nodule=nodule)
    if dimensions == 2:
        seen = radiograph(made, seed)
        return radiograph_image(seen), seen.mask
    image = Image(
        values=made.values,
        affine=made.affine,
        spacing_mm=tuple(float(np.linalg.norm(made.affine[:3, axis])) for axis in range(3)),
        modality="CT",
        unit="HU",
        format="dicom",
    )
    return image, made.nodule_mask


def radiograph_image(seen: Radiograph) -> Image:
    """Return a radiograph as the loader would deliver it."""
    return Image(
        values=seen.values,
        affine=None,
        spacing_mm=seen.spacing_mm,
        modality="DX",
        unit="stored value",
        format="dicom",
    )


def example(seed: int, card: ModelCard, *, nodule: bool | None = None) -> Example:
    """Return the model input of a phantom seed."""
    image, mask = phantom_image(seed, card.image_dims, nodule=nodule)
    prepared = prepare(image, card)
    centre = None
    if mask.any():
        middle = np.argwhere(mask).mean(axis=0)
        centre = tuple(float(part) for part in transform_points(inverse(prepared.to_source), middle))
    return Example(values=prepared.values, label=bool(mask.any()), centre=centre)


def examples(seeds: Iterable[int], card: ModelCard, *, nodule: bool | None = None, workers: int = 2) -> list[Example]:
    """Return the examples of many seeds, in order, made by several processes."""
    make: Callable[[int], Example] = partial(example, card=card, nodule=nodule)
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(make, seeds, chunksize=8))
