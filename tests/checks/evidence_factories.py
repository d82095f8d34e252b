"""Small true records from which the tests of the checks build their evidence."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.map_measures import resampled
from audit_pipeline.evidence import Evidence, IntendedUse
from audit_pipeline.geometry import half_pixel_map
from audit_pipeline.records import Explanation, Image, MapStatistics, Prediction, Prepared, Task, sealed

STATISTICS = MapStatistics(
    min=0.0,
    max=1.0,
    mean=0.5,
    std=0.1,
    peak_value=1.0,
    peak_index=(0, 0),
    peak_position_mm=None,
    centre_index=None,
    mass_levels=None,
    positive_share=1.0,
)


def make_image(values=None, **changes):
    values = np.asarray(gradient((32, 32)) if values is None else values, dtype=np.float32)
    spatial = values.ndim - 1 if changes.pop("is_colour", False) else values.ndim
    facts = {
        "affine": np.eye(4),
        "spacing_mm": (1.0,) * spatial,
        "modality": "CT",
        "unit": "HU",
        "format": "dicom",
        "metadata": {},
    }
    return Image(values=sealed(values), **(facts | changes))


def make_prepared(values=None, inside=None, shape=(32, 32)):
    values = np.asarray(gradient(shape)[None] if values is None else values, dtype=np.float32)
    spatial = values.shape[1:]
    return Prepared(
        values=sealed(values),
        to_source=np.eye(len(spatial) + 1),
        affine=None,
        spacing_mm=(1.0,) * len(spatial),
        inside=sealed(np.ones(spatial, dtype=bool) if inside is None else np.asarray(inside)),
        steps=(),
        display_window=(0.0, 1.0),
    )


def make_prediction(probabilities=(0.9, 0.1), logits=None, task=Task.MULTICLASS, thresholds=None, features=()):
    classes = tuple(f"class {chr(97 + index)}" for index in range(len(probabilities)))
    return Prediction(
        task=task,
        classes=classes,
        logits=tuple(np.log(np.maximum(probabilities, 1e-12)) if logits is None else logits),
        probabilities=tuple(probabilities),
        thresholds=thresholds or {},
        predicted=(classes[0],),
        device="cpu",
        precision="fp32",
        features=tuple(features),
    )


def make_explanation(values, shape=None, method="gradcam", target=0, signal_floor=1e-6):
    values = np.asarray(values, dtype=np.float32)
    shape = shape or tuple(8 * size for size in values.shape)
    on_input = resampled(values.astype(np.float64), shape).astype(np.float32)
    return Explanation(
        method=method,
        target=target,
        target_name="nodule",
        layer="stage4",
        values=sealed(values),
        on_input=sealed(on_input),
        to_source=half_pixel_map(values.shape, shape),
        affine=None,
        cell_mm=(None,) * values.ndim,
        statistics=STATISTICS,
        signal_floor=signal_floor,
    )


def make_evidence(*maps, image=None, prepared=None, prediction=None, **changes):
    shape = maps[0].on_input.shape if maps else (32, 32)
    return Evidence(
        image=image or make_image(),
        prepared=prepared or make_prepared(shape=shape),
        prediction=prediction or make_prediction(),
        explanations=tuple(maps),
        intended=changes.pop("intended", IntendedUse()),
        **changes,
    )


def gradient(shape):
    """Values that all differ, so that nothing about them is blank or repeated."""
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def focal(grid, cell):
    """A map with one hot cell."""
    values = np.zeros(grid)
    values[cell] = 1.0
    return values


def disc(shape, radius=0.35):
    """A ball in the middle, radius in shares of each axis."""
    places = np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5 for size in shape], indexing="ij")
    return np.sqrt(sum(place**2 for place in places)) <= radius
