"""What is measured of one map: where its evidence lies in the patient, and whether the model follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import CurveSettings, Faithfulness, Trial, deletion_insertion
from audit_pipeline.explain.forward import like_the_model, logits_of
from audit_pipeline.explain.place import on_source
from audit_pipeline.explain.regions import MASS_SHARE, Region, mass_mask, regions, total_volume_ml
from audit_pipeline.geometry import index_map, transform_points
from audit_pipeline.records import Explanation, Floats, Image, Matrix

BATCH = 8
"""Images in one forward pass of the curves."""

MOST_REGIONS = 20
"""Parts of a region that are listed, the largest first."""

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    r"""What is explained: the network, and the prepared image (C, \*S) that it sees.

    like : a tensor on the device and in the type that measures compute in; seed : of what draws random numbers
    """

    network: Any
    values: Floats
    like: Any
    seed: int

    @property
    def image(self) -> Any:
        r"""The image as a tensor (C, \*S)."""
        return self.like.new_tensor(np.array(self.values))

    def tensor(self, values: Floats) -> Any:
        """Return an array as a tensor on the same device."""
        return self.like.new_tensor(np.array(values))

    def logits_of(self, images: Any) -> Any:
        r"""Return the logits (M, K) of images (M, C, \*S)."""
        return logits_of(self.network, like_the_model(self.network, images), BATCH)


def faithfulness_facts(one: Explanation, subject: Subject, settings: CurveSettings) -> Facts:
    """Return the deletion and insertion curves of a map with those of its shifts, or the reason against them."""
    if settings.steps < 1:
        return {"reason": "not asked for"}
    if one.blank:
        return {"reason": "the map is blank"}
    try:
        found = deletion_insertion(subject.image, subject.tensor(one.values), one.target, subject.logits_of, settings)
    except ExplainError as error:
        return {"reason": str(error)}
    return _curves(found)


def _curves(found: Faithfulness) -> Facts:
    return {
        "reason": found.reason,
        "settings": asdict(found.settings),
        "shares": list(found.shares),
        **{name: trial_facts(getattr(found, name)) for name in ("deletion", "insertion", "between")},
        "forwards": found.forwards,
    }


def once(measure: Callable[[Explanation], Facts]) -> Callable[[Explanation], Facts]:
    """Return the measure with its results kept: equal maps, as of Grad-CAM and HiResCAM behind a mean, cost once."""
    known: dict[tuple[int, bytes], Facts] = {}

    def measured(one: Explanation) -> Facts:
        key = one.target, np.ascontiguousarray(one.values).tobytes()
        if key not in known:
            known[key] = measure(one)
        return known[key]

    return measured


def trial_facts(trial: Trial) -> Facts:
    """Return one kind of curve with its null as plain data."""
    return {
        "area": trial.area,
        "null_area": float(trial.null_areas.mean()) if trial.null_areas.size else None,
        "p_value": trial.p_value,
        "curve": trial.curve.tolist(),
        **{f"null_{name}": row for name, row in _band(trial).items()},
    }


def _band(trial: Trial) -> dict[str, list[float]]:
    """Return the least, middle and largest score of the shifted maps at every share; nothing without shifts."""
    if not len(trial.null_curves):
        return {"low": [], "middle": [], "high": []}
    low, middle, high = np.quantile(trial.null_curves, (0, 0.5, 1), axis=0)
    return {"low": low.tolist(), "middle": middle.tolist(), "high": high.tolist()}


def region_facts(one: Explanation, image: Image) -> Facts:
    """Return the weakly supervised region: the strongest voxels that hold half of the positive mass, and its parts.

    Places in mm are in the frame of `frame`.
    """
    facts: Facts = {"share_of_mass": MASS_SHARE, "reason": "", "count": 0, "parts": []}
    if one.blank:
        return facts | {"reason": "the map is blank"}
    values, affine = on_source(one, image.shape, image.affine)
    factor = -(-image.shape[0] // values.shape[0])
    placed = affine if affine is not None else _by_spacing(image, factor)
    found = regions(values, mass_mask(values), placed)
    areas = [part.area_mm2 for part in found]
    return facts | {
        "reason": "" if found else "nothing in the map is positive",
        "count": len(found),
        "volume_ml": total_volume_ml(found) if values.ndim == 3 else None,
        "area_mm2": sum(area for area in areas if area is not None) if areas and None not in areas else None,
        "parts": [_part(part, image, placed, factor) for part in found[:MOST_REGIONS]],
    }


def frame(image: Image) -> str:
    """Return in words what positions in mm refer to; "" when they are unknown.

    They lie in the patient (LPS+), or where the image has no position but a spacing, they are distances from the centre
    of its first pixel along the axes of the array.
    """
    if image.affine is not None:
        return "LPS+"
    return "" if None in image.spacing_mm else "from first pixel"


def peak_facts(one: Explanation, image: Image) -> Facts:
    """Return where the strongest cell and the mass-weighted peak lie, in mm in the frame of `frame`, else None."""
    placed = image.affine if image.affine is not None else _by_spacing(image, 1)
    cell = np.unravel_index(int(np.argmax(one.values)), one.values.shape)
    peak = transform_points(one.to_source, np.array(cell, dtype=np.float64))
    centre = one.statistics.centre_index
    return {
        "frame": frame(image),
        "peak_mm": _in_mm(peak, placed),
        "centre_mm": None if centre is None else _in_mm(np.array(centre), placed),
    }


def _in_mm(index: Matrix, affine: Matrix | None) -> list[float] | None:
    if affine is None:
        return None
    return [float(part) for part in transform_points(affine, np.pad(index, (0, len(affine) - 1 - len(index))))]


def _by_spacing(image: Image, factor: int) -> Matrix | None:
    sides = [side for side in image.spacing_mm if side is not None]
    if len(sides) < len(image.spacing_mm):
        return None
    return index_map([side * factor for side in sides], [side * (factor - 1) / 2 for side in sides])


def _part(part: Region, image: Image, affine: Matrix | None, factor: int) -> Facts:
    corners = part.corners_mm
    return {
        "box": [
            [first * factor, min(last * factor, size)]
            for (first, last), size in zip(part.box, image.shape, strict=True)
        ],
        "box_mm": None if corners is None else np.stack([corners.min(axis=0), corners.max(axis=0)], axis=1).tolist(),
        "corners_mm": None if corners is None else corners.tolist(),
        "centre_mm": _in_mm(np.array(part.centre_index), affine),
        "peak_value": part.peak_value,
        "mass_share": part.mass_share,
        "volume_ml": part.volume_ml,
        "area_mm2": part.area_mm2,
    }
